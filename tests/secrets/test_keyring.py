"""The source `keyring:`, against real keyrings and against back ends that behave badly."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass._system.terminal import Terminal
from gatepass.errors import SecretUnavailable
from gatepass.secrets.keyring import _deadline_of, entry
from tests.support.ask_keyring import BACKENDS, SECRET, ask, with_backend, with_chain
from tests.support.peers import secret_service
from tests.support.peers.environ import clean_environ
from tests.support.secret_context import PYTHONPATH, context

PLAINTEXT_MODULE = '''
from keyring.backend import KeyringBackend

class EncryptedKeyring(KeyringBackend):
    """Asks for its own password, on a terminal that may not be there."""

    priority = 0.4
    kept = "from the plain file"

    def get_password(self, service, username):
        return self.kept

    def set_password(self, service, username, password):
        self.kept = password

class PlaintextKeyring(EncryptedKeyring):
    """What everybody finds who asks for it."""

    priority = 0.5
'''


FEED_MODULE = '''
from keyring.backend import KeyringBackend

class FeedKeyring(KeyringBackend):
    """Logs on to package feeds, and keeps nothing of anybody's."""

    priority = 9

    def get_password(self, service, username):
        return None

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError
'''


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="gatepass-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def unlocked(folder: Path) -> Iterator[dict[str, str]]:
    """A desktop after the login."""
    (folder / "unlocked").mkdir()
    with secret_service.unlocked(folder / "unlocked") as environ:
        yield environ


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[dict[str, str]]:
    """A desktop whose keyring is locked, with nobody to ask."""
    (folder / "locked").mkdir()
    with secret_service.locked(folder / "locked") as environ:
        yield environ


@pytest.fixture
def plaintext(tmp_path: Path) -> dict[str, str]:
    """Variables of a process that finds keyrings.alt among its packages, or what looks like it."""
    return installed(tmp_path / "site", "keyrings.alt", "file", PLAINTEXT_MODULE)


@pytest.fixture
def feed(tmp_path: Path) -> dict[str, str]:
    """Variables of a process that finds a package for feeds, whose back end is asked first."""
    return installed(tmp_path / "site", "feeds", "keyring", FEED_MODULE)


def installed(site: Path, package: str, module: str, code: str) -> dict[str, str]:
    """Return variables of a process that finds a package with an entry point of keyring's."""
    folder = site.joinpath(*package.split("."))
    folder.mkdir(parents=True)
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = site / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {package}\nVersion: 1\n", encoding="utf-8")
    entry_points = f"[keyring.backends]\n{module} = {package}.{module}\n"
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    return {"PYTHONPATH": str(site)}


# --- which entry ---------------------------------------------------------------------------


def test_the_bound_entry_of_a_password_is_found_by_server_and_user() -> None:
    here = context(user_name="CORP\\bob")
    assert entry("", here) == ("gatepass:https://mi.example.com", "CORP\\bob")


def test_the_bound_entry_of_another_field_is_found_by_server_and_field() -> None:
    here = context(field="client_secret", user_name="bob")
    assert entry("", here) == ("gatepass:https://mi.example.com", "client_secret")


@pytest.mark.parametrize("user_name", [None, ""])
def test_the_bound_entry_of_a_password_needs_a_user(user_name: str | None) -> None:
    with pytest.raises(SecretUnavailable, match="user name is not known"):
        entry("", context(user_name=user_name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my-script/granta-admin", ("my-script", "granta-admin")),
        ("https://mi.example.com/x/bob", ("https://mi.example.com/x", "bob")),
        ("a:b/CORP\\bob", ("a:b", "CORP\\bob")),
    ],
)
def test_a_named_entry_is_split_at_the_last_slash(text: str, expected: tuple[str, str]) -> None:
    assert entry(text, context()) == expected


# --- real keyrings -------------------------------------------------------------------------


def test_an_unlocked_keyring_keeps_gives_and_forgets(unlocked: dict[str, str]) -> None:
    name = ["https://a.example/x", "zoë"]
    assert ask(unlocked, ["store", *name, SECRET], ["read", *name]).answer == SECRET
    assert ask(unlocked, ["keyring", "/".join(name)]).answer == SECRET
    assert ask(unlocked, ["remove", *name], ["read", *name]).answer is None


def test_storing_replaces(unlocked: dict[str, str]) -> None:
    calls = (["store", "replaced", "bob", word] for word in ("first", "second"))
    assert ask(unlocked, *calls, ["read", "replaced", "bob"]).answer == "second"


def test_what_the_keyring_command_stored_is_found(unlocked: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "keyring", "set", "my-script", "granta-admin"]
    subprocess.run(argv, env=unlocked, input=f"{SECRET}\n", encoding="utf-8", check=True)
    assert ask(unlocked, ["keyring", "my-script/granta-admin"]).answer == SECRET


def test_the_bound_entry_of_one_server_is_not_another_servers(unlocked: dict[str, str]) -> None:
    stored = ask(
        unlocked,
        ["store", "gatepass:https://mi.example.com", "CORP\\bob", SECRET],
        ["keyring", ""],
        user_name="CORP\\bob",
    )
    assert stored.answer == SECRET
    moved = ask(unlocked, ["keyring", ""], user_name="CORP\\bob", origin="https://evil.example")
    assert "no entry" in moved.message


def test_a_missing_bound_entry_names_the_command_that_stores_it(unlocked: dict[str, str]) -> None:
    outcome = ask(unlocked, ["keyring", ""], field="client_secret")
    assert outcome.hint == "store it: gatepass secret set PROFILE client_secret"


def test_a_missing_named_entry_names_the_command_that_stores_it(unlocked: dict[str, str]) -> None:
    outcome = ask(unlocked, ["keyring", "my script/CORP\\bob"])
    assert outcome.hint == "store it: keyring set 'my script' 'CORP\\bob'"


def test_removing_what_is_not_there_is_an_error(unlocked: dict[str, str]) -> None:
    assert "no entry nobody" in ask(unlocked, ["remove", "nothing", "nobody"]).message


def test_a_locked_keyring_says_how_it_is_unlocked(locked: dict[str, str]) -> None:
    for call in (["read", "a", "b"], ["store", "a", "b", SECRET], ["remove", "a", "b"]):
        outcome = ask(locked, call)
        assert outcome.message == "the keyring is locked"
        assert "log in to the desktop" in outcome.hint
        assert "env:NAME or file:PATH" in outcome.hint


def test_a_bus_without_a_keyring_is_told(folder: Path) -> None:
    (folder / "absent").mkdir()
    with secret_service.absent(folder / "absent") as environ:
        outcome = ask(environ, ["read", "a", "b"])
    assert "no keyring" in outcome.message
    assert "env:NAME or file:PATH" in outcome.hint


@pytest.mark.skipif(sys.platform == "win32", reason="Windows always has a keyring")
def test_a_server_without_a_bus_is_told(folder: Path) -> None:
    environ = secret_service.no_dbus(folder)
    assert "no keyring" in ask(environ, ["read", "a", "b"]).message
    assert ask(environ, ["describe"]).answer[0] == "keyring.backends.fail.Keyring"


def test_a_good_back_end_is_described(unlocked: dict[str, str]) -> None:
    assert ask(unlocked, ["describe"]).answer == ["keyring.backends.SecretService.Keyring", None]


# --- which back end ------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["unlocked", "locked"])
def test_a_keyring_tells_whether_it_would_ask_to_be_unlocked(
    state: str, request: pytest.FixtureRequest
) -> None:
    environ: dict[str, str] = request.getfixturevalue(state)

    assert ask(environ, ["lock_state"]).answer == state


def test_the_back_end_that_the_variable_names_is_used(tmp_path: Path) -> None:
    environ = with_backend(tmp_path, "Memory")
    assert ask(environ, ["describe"]).answer == [BACKENDS + "Memory", None]
    assert ask(environ, ["store", "a", "b", SECRET], ["read", "a", "b"]).answer == SECRET


@pytest.mark.skipif(sys.platform == "win32", reason="Windows always has a keyring")
def test_plain_text_is_refused_by_name_unless_allowed(
    plaintext: dict[str, str], tmp_path: Path
) -> None:
    environ = secret_service.no_dbus(tmp_path) | plaintext
    for call in (["read", "a", "b"], ["store", "a", "b", SECRET], ["remove", "a", "b"]):
        outcome = ask(environ, call)
        assert "keyrings.alt.file.PlaintextKeyring" in outcome.message
        assert "allow_insecure_keyring = true" in outcome.hint
    allowed = ask(environ, ["read", "a", "b"], allow_insecure_keyring=True)
    assert allowed.answer == "from the plain file"


@pytest.mark.parametrize("name", ["PlaintextKeyring", "EncryptedKeyring"])
def test_all_of_keyrings_alt_is_refused(
    plaintext: dict[str, str], tmp_path: Path, name: str
) -> None:
    environ = with_backend(tmp_path, f"keyrings.alt.file.{name}") | plaintext
    outcome = ask(environ, ["describe"])
    assert outcome.answer[0] == f"keyrings.alt.file.{name}"
    assert "not recommended" in outcome.answer[1]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_locked_keyring_never_falls_to_plain_text(
    locked: dict[str, str], plaintext: dict[str, str], *, allowed: bool
) -> None:
    outcome = ask(locked | plaintext, ["read", "a", "b"], allow_insecure_keyring=allowed)
    assert outcome.message == "the keyring is locked"


def test_a_missing_entry_is_not_looked_for_in_plain_text(
    unlocked: dict[str, str], plaintext: dict[str, str]
) -> None:
    both = unlocked | plaintext
    chosen = "import keyring; print(type(keyring.get_keyring()).__name__)"
    argv = [sys.executable, "-c", chosen]
    package = subprocess.run(argv, env=both, capture_output=True, encoding="utf-8", check=True)
    assert package.stdout.strip() == "ChainerBackend"  # what the package itself would ask

    outcome = ask(both, ["read", "nothing", "nobody"])
    assert (outcome.answer, outcome.message) == (None, "")


def test_plain_text_that_is_allowed_is_a_link_like_others(
    unlocked: dict[str, str], plaintext: dict[str, str]
) -> None:
    outcome = ask(unlocked | plaintext, ["read", "nothing", "nobody"], allow_insecure_keyring=True)
    assert outcome.answer == "from the plain file"


# --- a chain -------------------------------------------------------------------------------

SERVICE_NAME = "keyring.backends.SecretService.Keyring"


def test_a_back_end_that_keeps_nothing_does_not_hide_the_entry_of_the_next(
    unlocked: dict[str, str], feed: dict[str, str]
) -> None:
    argv = [sys.executable, "-m", "keyring", "set", "chain", "alice"]
    subprocess.run(argv, env=unlocked | feed, input=SECRET, encoding="utf-8", check=True)
    assert ask(unlocked | feed, ["read", "chain", "alice"]).answer == SECRET
    assert ask(unlocked | feed, ["keyring", "chain/alice"]).answer == SECRET


def test_the_first_back_end_that_takes_a_secret_keeps_it(
    unlocked: dict[str, str], feed: dict[str, str]
) -> None:
    both, name = unlocked | feed, ["taken", "alice"]
    assert ask(both, ["store", *name, SECRET]).answer == SERVICE_NAME
    assert ask(unlocked, ["read", *name]).answer == SECRET
    assert ask(both, ["remove", *name], ["read", *name]).answer is None


def test_the_vaults_key_is_kept_by_the_first_that_takes_it(
    unlocked: dict[str, str], feed: dict[str, str]
) -> None:
    made = ask(unlocked | feed, ["vault_key"]).answer
    assert made == ask(unlocked, ["read", "gatepass", "vault-key"]).answer
    assert made == ask(unlocked | feed, ["vault_key"]).answer


def test_a_chain_is_described_in_the_order_of_asking(
    unlocked: dict[str, str], feed: dict[str, str]
) -> None:
    described = ask(unlocked | feed, ["describe"]).answer
    assert described == [f"feeds.keyring.FeedKeyring, {SERVICE_NAME}", None]


def test_a_locked_back_end_of_a_chain_is_known_to_be_locked(
    locked: dict[str, str], feed: dict[str, str]
) -> None:
    assert ask(locked | feed, ["lock_state"]).answer == "locked"
    for call in (["read", "a", "b"], ["store", "a", "b", SECRET], ["remove", "a", "b"]):
        assert ask(locked | feed, call).message == "the keyring is locked"


def test_a_back_end_that_raises_is_passed_over(tmp_path: Path) -> None:
    for name in ("RefusesToKeep", "Panics"):
        environ = with_chain(tmp_path, name, "Vault")
        stored = ["store", "a", "b", SECRET]
        assert ask(environ, stored).answer == BACKENDS + "Vault"
        assert ask(environ, stored, ["read", "a", "b"]).answer == SECRET


def test_a_missing_entry_names_the_back_end_that_raised(tmp_path: Path) -> None:
    outcome = ask(with_chain(tmp_path, "Panics", "Memory"), ["read", "a", "b"])
    assert f"{BACKENDS}Panics: the keyring failed with PanicError" in outcome.message
    assert "hunter2" not in outcome.frames


def test_if_no_back_end_keeps_a_secret_each_is_named(tmp_path: Path) -> None:
    environ = with_chain(tmp_path, "RefusesToKeep", "Forgets", "TakesNothing")
    outcome = ask(environ, ["store", "a", "b", SECRET])
    assert "no back end of the keyring kept the secret" in outcome.message
    for said in (
        "RefusesToKeep: the keyring failed with PasswordSetError",
        f"{BACKENDS}Forgets did not keep the secret",
        "TakesNothing: the keyring failed with NotImplementedError",
    ):
        assert said in outcome.message
    assert "hunter2" not in outcome.traceback


@pytest.mark.parametrize("call", [["read", "a", "b"], ["store", "a", "b", SECRET]])
def test_a_locked_back_end_is_not_passed_over(tmp_path: Path, call: list[str]) -> None:
    """What it holds goes before what the next ones hold."""
    environ = with_chain(tmp_path, "LockedLink", "HoldsOlder", "Memory")
    assert ask(environ, call).message == "the keyring is locked"


def test_an_older_entry_before_the_new_one_is_deleted(tmp_path: Path) -> None:
    environ = with_chain(tmp_path, "HoldsOlder", "Memory")
    assert ask(environ, ["read", "a", "b"]).answer == "older"
    assert ask(environ, ["store", "a", "b", SECRET], ["read", "a", "b"]).answer == SECRET


def test_an_older_entry_that_stays_before_the_new_one_is_an_error(tmp_path: Path) -> None:
    environ = with_chain(tmp_path, "ClingsToOlder", "Memory")
    outcome = ask(environ, ["store", "a", "b", SECRET])
    assert f"{BACKENDS}Memory kept the secret, but {BACKENDS}ClingsToOlder" in outcome.message
    assert "delete that entry" in outcome.hint
    assert "hunter2" not in outcome.traceback


def test_a_removal_removes_from_each_back_end(tmp_path: Path) -> None:
    environ = with_chain(tmp_path, "HoldsOlder", "TakesNothing", "HoldsOlder")
    assert ask(environ, ["remove", "a", "b"], ["read", "a", "b"]).answer is None


# --- deadlines -----------------------------------------------------------------------------


def test_a_person_gets_more_time_than_a_batch_job() -> None:
    assert _deadline_of(context(), None) == 5
    assert _deadline_of(context(terminal=Terminal({}, interactive=True)), None) == 60
    assert _deadline_of(context(), 0.25) == 0.25


@pytest.mark.parametrize(
    "name", ["HangsOnGet", "HangsAtChoice", "tests.support.hanging_keyring.Keyring"]
)
def test_a_back_end_that_hangs_is_given_up(tmp_path: Path, name: str) -> None:
    """Wherever it hangs, and the process ends although the thread never does."""
    outcome = ask(with_backend(tmp_path, name), ["read", "a", "b"], seconds=0.25)
    assert "did not answer within 0.25 s" in outcome.message


@pytest.mark.parametrize("slow_module", ["keyring.core", "keyring.backends.null"])
def test_the_import_of_the_package_does_not_count(tmp_path: Path, slow_module: str) -> None:
    environ = with_backend(tmp_path, "keyring.backends.null.Keyring")
    outcome = ask(environ, ["describe"], seconds=1, slow_module=slow_module)
    assert outcome.answer[0] == "keyring.backends.null.Keyring"


@pytest.mark.parametrize("call", [["store", "a", "b", SECRET], ["remove", "a", "b"]])
def test_every_call_has_the_deadline(tmp_path: Path, call: list[str]) -> None:
    outcome = ask(with_backend(tmp_path, "HangsOnGet"), call, seconds=0.25)
    assert "did not answer" in outcome.message


def test_describing_has_the_deadline(tmp_path: Path) -> None:
    outcome = ask(with_backend(tmp_path, "HangsAtChoice"), ["describe"], seconds=0.25)
    assert "did not answer" in outcome.message


_OF_ANOTHER_SYSTEM = (
    "keyring.backends.SecretService.Keyring"
    if sys.platform == "win32"
    else "keyring.backends.Windows.WinVaultKeyring"
)

# --- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tests.secrets.no_such_module.Keyring", "ModuleNotFoundError"),
        ("NoSuchClass", "AttributeError"),
        (_OF_ANOTHER_SYSTEM, "RuntimeError"),
        ("ExplodesAtChoice", "PanicError"),
    ],
)
def test_a_choice_that_fails_names_the_variable(tmp_path: Path, name: str, kind: str) -> None:
    outcome = ask(with_backend(tmp_path, name), ["read", "a", "b"])
    assert f"cannot choose a back end ({kind})" in outcome.message
    assert "PYTHON_KEYRING_BACKEND" in outcome.hint
    assert "hunter2" not in outcome.traceback


@pytest.mark.parametrize(
    ("name", "call", "kind"),
    [
        ("Panics", ["read", "a", "b"], "PanicError"),
        ("RefusesToKeep", ["store", "a", "b", SECRET], "PasswordSetError"),
        ("AnswersBytes", ["read", "a", "b"], "not text"),
    ],
)
def test_any_error_is_told_by_its_kind_alone(
    tmp_path: Path, name: str, call: list[str], kind: str
) -> None:
    outcome = ask(with_backend(tmp_path, name), call)
    assert kind in outcome.message
    assert "hunter2" not in outcome.traceback


def test_no_frame_of_an_error_holds_what_was_answered(tmp_path: Path) -> None:
    """Reports of errors collect the local variables of every function."""
    outcome = ask(with_backend(tmp_path, "AnswersBytes"), ["read", "a", "b"])
    assert "access = " in outcome.frames
    assert "hunter2" not in outcome.frames


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("SaysNoKeyring", "no keyring", "use env:NAME or file:PATH"),
        ("NotSetUp", "has not been set up", "log in to the desktop"),
        ("WindowsOverSsh", "Windows keeps no credentials", "over SSH or WinRM use env:NAME"),
        ("MacOverSsh", "the keyring is locked", "use env:NAME or file:PATH"),
    ],
)
def test_known_errors_are_explained(tmp_path: Path, name: str, message: str, hint: str) -> None:
    outcome = ask(with_backend(tmp_path, name), ["read", "a", "b"])
    assert message in outcome.message
    assert hint in outcome.hint


# --- writing -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Forgets", "Truncates"])
def test_a_write_is_read_back(tmp_path: Path, name: str) -> None:
    outcome = ask(with_backend(tmp_path, name), ["store", "a", "b", f"{SECRET}\nmore"])
    assert "did not keep the secret" in outcome.message
    assert "hunter2" not in outcome.traceback


def test_a_removal_is_looked_at(tmp_path: Path) -> None:
    environ = with_backend(tmp_path, "Clings")
    outcome = ask(environ, ["store", "a", "b", SECRET], ["remove", "a", "b"])
    assert "still has an entry b" in outcome.message


@pytest.mark.parametrize("character", ["x", "€"])
def test_windows_holds_1280_characters(tmp_path: Path, character: str) -> None:
    environ = with_backend(tmp_path, "Vault")
    longest = character * 1280
    assert ask(environ, ["store", "a", "b", longest], ["read", "a", "b"]).answer == longest
    outcome = ask(environ, ["store", "a", "b", longest + character])
    assert "2562 bytes" in outcome.message
    assert "1280 characters" in outcome.message


def test_windows_counts_characters_beyond_the_basic_plane_twice(tmp_path: Path) -> None:
    outcome = ask(with_backend(tmp_path, "Vault"), ["store", "a", "b", "\U0001f512" * 641])
    assert "2564 bytes" in outcome.message


def test_other_keyrings_hold_more(unlocked: dict[str, str]) -> None:
    long = "x" * 5000
    assert ask(unlocked, ["store", "long", "b", long], ["read", "long", "b"]).answer == long


def test_importing_the_source_does_not_import_the_keyring_package(tmp_path: Path) -> None:
    code = "import sys, gatepass.secrets.keyring; print('keyring' in sys.modules)"
    argv = [sys.executable, "-P", "-c", code]
    environ = clean_environ(tmp_path)
    environ["PYTHONPATH"] = PYTHONPATH
    done = subprocess.run(argv, env=environ, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "False"
