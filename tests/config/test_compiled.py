"""A start that reads what an earlier one has found, finds the same."""

import dataclasses
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import stat
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass._config import compiled, files
from gatepass._config.explain import explain
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._config.trust import TrustStore
from gatepass.errors import GatepassError, GatepassWarning, ProfileError
from tests.support.load_at_once import load_at_once
from tests.support.threads import together

MACHINE = """allow_commands = true
vault_key = "file:key"
"""
PROFILES = """default_profile = "p"
[profiles.p]
url = "https://a.test/x"
extends = "base"
headers = { X-Tenant = "a" }
proxy = { url = "http://proxy.test:3128", user_name = "bob", password = "env:PROXY" }
[profiles.p.auth]
scheme = "oidc"
issuer = "https://login.test"
client_id = "me"
client_secret = ["env:CS", "keyring:", { command = ["op", "read"] }]
scopes = ["openid"]
extra_params = { resource = "x" }
tls = { ca_file = "idp.pem" }
[profiles.base]
url = "https://b.test"
timeout = [5, 30.5]
tls = { ca_file = "~/ca.pem" }
auth = { scheme = "basic", user_name = "alice", password = "env:P" }
[profiles.protected]
url = "https://c.test"
protected = true
auth = { scheme = "anonymous" }
"""
TEXT = MACHINE + PROFILES


@dataclass
class World:
    """The files and variables of a user, with a cache and without one."""

    folder: Path
    environ: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def locations(self) -> Locations:
        return Locations(
            system=(self.folder / "etc.toml",),
            user=self.folder / "user.toml",
            state=self.folder / "state",
            working=self.folder / "work",
            home=None,
            cache=self.folder / "cache",
        )

    def write(self, name: str, text: str, *, trusted: bool = True) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        file = files.read_file(path)
        if trusted and file and "gatepass" in name:
            TrustStore(self.locations.state).add(file)
        return path

    def load(self, name: str | None = "p", *, cache: bool = True, **more: Any) -> Profile:
        places = self.locations if cache else dataclasses.replace(self.locations, cache=None)
        more = {"environ": self.environ, "locations": places, **more}
        return load_profile(name, **more)

    @property
    def entries(self) -> list[Path]:
        return sorted((self.folder / "cache" / "profiles").glob("*"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.write("user.toml", TEXT)
    (tmp_path / "work").mkdir()
    return world


def is_compiled(profile: Profile) -> bool:
    return type(profile.merged).__name__ == "_MergedLater"


def outcome(load: Callable[[], Profile]) -> Any:
    """Return all that a caller can see of one start: the profile or the error, and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GatepassWarning)
        try:
            profile = load()
        except GatepassError as error:
            return type(error), str(error), [str(each.message) for each in caught]
    places = {key: place.where for key, place in profile.key_locations.items()}
    told = [str(each.message) for each in caught]
    return profile, repr(profile), places, explain(profile), told


# ---------------------------------------------------------------- the same, and everything noticed

_urls = st.sampled_from(["https://a.test/", "https://b.test/x", "http://c.test", "nonsense"])
_auths = st.sampled_from(
    [
        '{ scheme = "anonymous" }',
        '{ scheme = "basic", user_name = "alice", password = ["env:P", "keyring:"] }',
        '{ scheme = "basic", user_name = "env:U", pasword = "env:P" }',
        '{ scheme = "oidc", issuer = "https://login.test", scopes = ["a", "b"] }',
        '{ password = "keyring:" }',
        '{ scheme = "autologon", delegate = true }',
    ]
)
_lines = st.sampled_from(
    [
        "protected = true",
        'extends = "q"',
        "timeout = 3",
        "retries = 99",
        "headers = { X-A = 'a' }",
        'tls = { ca_file = "ca.pem" }',
        'tls = { ca_file = "~/ca.pem" }',
        'proxy = "none"',
        'proxy = { url = "http://p.test:1", user_name = "u", password = "file:~/p" }',
        'description = "é"',
    ]
)


@st.composite
def _files(draw: st.DrawFn) -> str:
    text = draw(
        st.sampled_from(["", "default_profile = 'p'\n", "default_profile = 'q'\n", "\n#\n"])
    )
    for name in draw(st.lists(st.sampled_from(["p", "q", "r"]), unique=True)):
        text += f"[profiles.{name}]\n"
        text += f"url = '{draw(_urls)}'\n" if draw(st.booleans()) else ""
        text += f"auth = {draw(_auths)}\n" if draw(st.booleans()) else ""
        lines = draw(st.lists(_lines, max_size=2, unique_by=lambda line: line.split()[0]))
        text += "".join(f"{line}\n" for line in lines)
    return text


_variables = st.dictionaries(
    st.sampled_from(
        [
            "GATEPASS_PROFILE",
            "GATEPASS_VAULT",
            "GATEPASS_VAULT_KEY",
            "GATEPASS_ALLOW_COMMANDS",
            "GATEPASS_NONSENSE",
            "GATEPASS_PROFILES__P__URL",
            "GATEPASS_PROFILES__R__PROTECTED",
        ]
    ),
    st.sampled_from(["p", "q", "1", "https://d.test", "env:GATEPASS_NONSENSE", ""]),
    max_size=2,
)
_steps = st.fixed_dictionaries(
    {},
    optional={
        "etc.toml": st.none() | _files(),
        "user.toml": st.none() | _files(),
        "work/gatepass.toml": st.none() | _files(),
        "work/gatepass.local.toml": st.none() | _files(),
        "trusted": st.booleans(),
        "environ": _variables,
        "name": st.sampled_from([None, "p", "q", ""]),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(_steps, min_size=1, max_size=4))
def test_a_start_with_a_cache_finds_what_one_without_would_find(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, Any]]
) -> None:
    """Whatever has changed since the entries were made, and what the same input gave before."""
    folder = tmp_path_factory.mktemp("world")
    world = World(folder)
    (folder / "work").mkdir()
    name: str | None = "p"
    for step in steps:
        name = step.get("name", name)
        world.environ = step.get("environ", world.environ)
        for file, text in step.items():
            if file.endswith(".toml") and text is None:
                (folder / file).unlink(missing_ok=True)
            elif file.endswith(".toml"):
                world.write(file, text, trusted=step.get("trusted", True))

        def load(*, cache: bool, name: str | None = name) -> Callable[[], Profile]:
            return lambda: world.load(name, cache=cache)

        expected = outcome(load(cache=False))
        assert outcome(load(cache=True)) == expected
        assert outcome(load(cache=True)) == expected
        if isinstance(expected[0], Profile) and not any("PROFILES__" in v for v in world.environ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", GatepassWarning)
                assert is_compiled(world.load(name))
    shutil.rmtree(folder)


def test_every_value_place_and_reference_comes_back_as_it_was(world: World) -> None:
    cold = world.load()
    warm = world.load()

    assert not is_compiled(cold)
    assert is_compiled(warm)
    assert warm == cold
    assert repr(warm) == repr(cold)
    assert warm.auth.client_secret.base_dir == str(world.folder)  # type: ignore[attr-defined]
    assert warm.place_of("auth", "client_secret") == f"{world.folder}/user.toml:13:1"


def test_a_bom_and_windows_line_ends_move_no_place(world: World) -> None:
    world.folder.joinpath("user.toml").write_bytes(
        b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    )

    cold, warm = world.load(), world.load()

    assert is_compiled(warm)
    assert warm.place_of("auth", "client_secret") == cold.place_of("auth", "client_secret")
    assert warm.place_of("auth", "client_secret").endswith(":13:1")


Change = Callable[[World, pytest.MonkeyPatch], object]


def _environ(**more: str) -> Change:
    return lambda world, _: world.environ.update(more)


def _working_folder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.environ["GATEPASS_VAULT"] = "tokens"
    world.load()
    monkeypatch.chdir(world.folder / "work")


_CHANGES: dict[str, Change] = {
    "version": lambda _, monkeypatch: monkeypatch.setattr(compiled, "__version__", "0.0.1"),
    "home": lambda world, monkeypatch: monkeypatch.setenv(
        "USERPROFILE" if sys.platform == "win32" else "HOME", str(world.folder / "other")
    ),
    "working folder": _working_folder,
    "comment": lambda world, _: world.write("user.toml", TEXT + "# nothing\n"),
    "system file": lambda world, _: world.write("etc.toml", ""),
    "keyring": _environ(GATEPASS_ALLOW_INSECURE_KEYRING="1"),
    "vault": _environ(GATEPASS_VAULT="/v"),
    "redis": _environ(GATEPASS_VAULT__ALLOW_PLAIN="1", GATEPASS_VAULT__URL="redis://r.test"),
    "unknown variable": _environ(GATEPASS_SOMETHING="x"),
    "variable of the profile": _environ(GATEPASS_PROFILES__P__RETRIES="1"),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
def test_each_input_counts(world: World, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    world.load()
    change(world, monkeypatch)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GatepassWarning)
        found, expected = world.load(), world.load(cache=False)
    assert not is_compiled(found)
    assert found == expected


def test_two_clones_with_the_same_bytes_have_entries_of_their_own(world: World) -> None:
    """The paths in a profile start at its file, and trust is given to a path."""
    for clone in ("one", "two"):
        world.write(f"{clone}/gatepass.toml", PROFILES)
    places = [
        dataclasses.replace(world.locations, working=world.folder / clone)
        for clone in ("one", "two")
    ]

    first = world.load(locations=places[0])
    second = world.load(locations=places[1])

    assert not is_compiled(second)
    assert first.auth.tls.ca_file == str(world.folder / "one" / "idp.pem")  # type: ignore[attr-defined]
    assert second.auth.tls.ca_file == str(world.folder / "two" / "idp.pem")  # type: ignore[attr-defined]
    as_named = world.load(config_file=world.folder / "one" / "gatepass.toml")
    assert not is_compiled(as_named), "the same file in another role"
    assert is_compiled(world.load(locations=places[1]))
    TrustStore(world.locations.state).revoke(world.folder / "two" / "gatepass.toml")
    with pytest.raises(ProfileError, match="not trusted"):
        world.load(locations=places[1])


def test_a_file_that_others_may_write_is_refused_before_its_entry_is_read(world: World) -> None:
    world.load()
    world.folder.joinpath("user.toml").chmod(0o666)

    with pytest.raises(ProfileError, match="can be written by anybody"):
        world.load()


def test_overrides_take_the_whole_way(world: World) -> None:
    world.load()

    found = world.load(overrides={"retries": 1})

    assert (found.retries, is_compiled(found)) == (1, False)
    assert len(world.entries) == 1


def test_an_entry_holds_no_secret_and_no_value_of_a_variable_for_a_profile(world: World) -> None:
    world.environ = {"GATEPASS_PROFILES__P__AUTH__CLIENT_ID": "hunter2", "CS": "hunter2"}
    world.load()
    assert world.entries == []
    world.environ = {"CS": "hunter2", "PROXY": "hunter2"}
    world.load(overrides={"auth": {"client_secret": "hunter2"}})
    world.load()
    assert [b"hunter2" in each.read_bytes() for each in world.entries] == [False]


# ---------------------------------------------------------------- entries that are not believed


def _sign(entry: Path, body: bytes) -> None:
    entry.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _changed(key: str, **values: Any) -> Callable[[Path, World], object]:
    def change(entry: Path, _: World) -> None:
        content = json.loads(entry.read_bytes().partition(b"\n")[2])
        content[key]["table"].update(values)
        _sign(entry, json.dumps(content).encode())

    return change


def _is_of_another_profile(entry: Path, world: World) -> None:
    world.load("base")
    (other,) = set(world.entries) - {entry}
    shutil.copy(other, entry)


def _is_a_link(entry: Path, world: World) -> None:
    entry.rename(world.folder / "elsewhere")
    entry.symlink_to(world.folder / "elsewhere")


def _replaced(entry: Path) -> Path:
    entry.unlink()
    return entry


_DAMAGES: dict[str, Callable[[Path, World], object]] = {
    "truncated": lambda entry, _: entry.write_bytes(entry.read_bytes()[:-20]),
    "empty": lambda entry, _: entry.write_bytes(b""),
    "has another url": lambda entry, _: entry.write_bytes(
        entry.read_bytes().replace(b"https://a.test", b"https://e.test")
    ),
    "no json": lambda entry, _: entry.write_bytes(b"\xff" * 200),
    "signed nonsense": lambda entry, _: _sign(entry, b"[" * 100_000),
    "lacks its auth": lambda entry, _: _sign(entry, b'{"auth": {"table": {}}}'),
    "names a class of ours": _changed("auth", tls={"Profile": {"table": {}}}),
    "breaks a rule": _changed("keys", url="http://a.test/"),
    "breaks a rule of the scheme": _changed("auth", issuer=None),
    "of another profile": _is_of_another_profile,
    "a link": _is_a_link,
    "a folder": lambda entry, _: _replaced(entry).mkdir(),
    "a pipe": lambda entry, _: os.mkfifo(_replaced(entry), 0o600),
    "may be written by the group": lambda entry, _: entry.chmod(0o660),
    "lies in a folder of everybody": lambda entry, _: entry.parent.chmod(0o777),
    "foreign": lambda entry, _: os.chown(entry, 12345, -1),
    "lies in a foreign folder": lambda entry, _: os.chown(entry.parent, 12345, -1),
}


@pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and pipes of POSIX")
@pytest.mark.parametrize("damage", _DAMAGES)
def test_an_entry_that_is_odd_is_ignored_and_logged(
    world: World, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    expected = world.load()
    (entry,) = world.entries
    if "foreign" in damage and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    _DAMAGES[damage](entry, world)

    with caplog.at_level(logging.DEBUG, "gatepass"):
        found = world.load()

    assert found == expected
    assert not is_compiled(found)
    assert f"compiled profile {entry}: ignored" in caplog.text


@pytest.mark.parametrize("obstacle", ["a file", "read-only", "no home"])
def test_where_nothing_can_be_kept_the_profile_is_loaded_each_time(
    world: World, obstacle: str
) -> None:
    cache = world.folder / "cache"
    if obstacle == "a file":
        cache.write_text("in the way")
    elif obstacle == "read-only":
        cache.mkdir(mode=0o500)
        if os.access(cache, os.W_OK):
            cache = Path("/proc/nowhere")
    places = dataclasses.replace(world.locations, cache=None if obstacle == "no home" else cache)

    assert world.load(locations=places) == world.load(locations=places)
    assert not is_compiled(world.load(locations=places))


def test_a_variable_names_another_folder_and_what_is_made_is_private(world: World) -> None:
    folder = world.folder / "elsewhere"
    world.environ = {"GATEPASS_CACHE": str(folder)}
    before = os.umask(0)
    try:
        world.load()
    finally:
        os.umask(before)

    assert is_compiled(world.load())
    assert world.entries == []
    made = [folder, folder / "profiles", *(folder / "profiles").iterdir()]
    if sys.platform != "win32":
        assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o700, 0o700, 0o600]


def test_no_more_than_64_entries_are_kept(world: World) -> None:
    for number in range(70):
        world.write("etc.toml", f"# {number}\n")
        world.load()
        newest = max(world.entries, key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (number, number))

    assert len(world.entries) == 64
    assert is_compiled(world.load())


def test_many_writers_at_once_leave_one_good_entry(world: World) -> None:
    together(8, lambda _: world.load())

    assert len(world.entries) == 1
    assert is_compiled(world.load())


def test_four_processes_that_write_at_once_leave_one_good_entry(world: World) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4)
    given = (start, world.environ, world.locations)
    several = [context.Process(target=load_at_once, args=given) for _ in range(4)]
    for process in several:
        process.start()
    for process in several:
        process.join()

    assert [process.exitcode for process in several] == [0] * 4
    assert len(world.entries) == 1
    assert outcome(world.load) == outcome(partial(world.load, cache=False))
    assert is_compiled(world.load())
