"""Which back ends are good enough, and which are known to ask nobody."""

from pathlib import Path

import pytest

from gatepass.secrets._keyring_backend import no_keyring
from gatepass.secrets.keyring import _possible_cause
from tests.support.ask_keyring import BACKENDS, SECRET, ask, with_backend, with_chain
from tests.support.peers.environ import clean_environ


@pytest.mark.parametrize(("name", "lock_state"), [("Vault", "unlocked"), ("Memory", "unknown")])
def test_of_other_keyrings_only_some_are_known_to_ask_nobody(
    tmp_path: Path, name: str, lock_state: str
) -> None:
    environ = clean_environ(tmp_path) | {"PYTHON_KEYRING_BACKEND": BACKENDS + name}

    assert ask(environ, ["lock_state"]).answer == lock_state


@pytest.mark.parametrize("name", ["keyring.backends.null.Keyring", "MyNull"])
@pytest.mark.parametrize("allowed", [False, True])
def test_the_null_back_end_is_never_used(tmp_path: Path, name: str, *, allowed: bool) -> None:
    environ = with_backend(tmp_path, name)
    outcome = ask(environ, ["read", "a", "b"], allow_insecure_keyring=allowed)
    assert "keeps nothing" in outcome.message
    assert "PYTHON_KEYRING_BACKEND" in outcome.hint


@pytest.mark.parametrize("name", ["keyring.backends.fail.Keyring", "MyFail", "EmptyChain"])
@pytest.mark.parametrize("allowed", [False, True])
def test_the_failing_back_end_is_never_used(tmp_path: Path, name: str, *, allowed: bool) -> None:
    environ = with_backend(tmp_path, name)
    outcome = ask(environ, ["describe"], allow_insecure_keyring=allowed)
    assert "no keyring" in outcome.answer[1]


def test_plain_text_under_another_name_is_refused(tmp_path: Path) -> None:
    outcome = ask(with_backend(tmp_path, "MyPlaintextKeyring"), ["read", "a", "b"])
    assert BACKENDS + "MyPlaintextKeyring" in outcome.message


@pytest.mark.parametrize("name", ["MyNull", "MyFail", "MyPlaintextKeyring"])
def test_a_refused_back_end_of_a_chain_is_not_asked(tmp_path: Path, name: str) -> None:
    environ = with_chain(tmp_path, name, "Memory")
    outcome = ask(environ, ["store", "a", "b", SECRET])
    assert outcome.answer == BACKENDS + "Memory"
    assert ask(environ, ["describe"]).answer == [BACKENDS + "Memory", None]


def test_dbus_is_named_on_linux_only() -> None:
    for platform, named in (("linux", True), ("win32", False), ("darwin", False)):
        assert ("D-Bus" in _possible_cause(platform)) is named
        hint = no_keyring(platform).hint
        assert ("D-Bus" in hint) is named
        assert "use env:NAME or file:PATH instead" in hint
