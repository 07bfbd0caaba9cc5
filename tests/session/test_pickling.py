"""Pickles of sessions: what they carry, and how they are opened."""

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from gatepass._config.profile import MachineSettings, Profile
from gatepass._config.redis_vault import RedisVault
from gatepass._net.proxy import Proxy
from gatepass._session.pickling import WORKER_HINT, dump_profile, load_profile_of
from gatepass._session.session import Session, _open_pickle
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass._version import __version__
from gatepass.errors import (
    GatepassError,
    NobodyThere,
    PluginError,
    ProfileError,
    SecretUnavailable,
)
from gatepass.secrets import Secret, SecretRef, ref
from tests.support import worker_tasks
from tests.support.echo import echo
from tests.support.sessions import (
    ENVIRON,
    NOWHERE,
    PASSWORD,
    profile_for,
    session_for,
)


def reopened(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own


def travelled(profile: Profile) -> Profile:
    """Return the profile that a process without any variable finds in a pickle."""
    return load_profile_of(dump_profile(profile, ""), {})


@pytest.fixture
def from_file(tmp_path: Path) -> Callable[..., Session]:
    """Return a function that builds a session from the text of a profile's ``auth``."""

    def build(auth: str, *, environ: dict[str, str] | None = None) -> Session:
        profiles = tmp_path / "secret-place" / "p.toml"
        profiles.parent.mkdir(exist_ok=True)
        profiles.write_text(
            '[profiles.prod]\nurl = "https://mi.example.com"\n'
            f'headers = {{ X-Tenant = "t" }}\nauth = {auth}\n'
            '[profiles.other]\nurl = "https://mi.example.com"\n'
            'auth = { scheme = "basic", user_name = "u", password = "canary-literal" }\n'
        )
        profiles.chmod(0o600)
        return Session.from_profile("prod", config_file=profiles, environ=environ or ENVIRON)

    return build


_BASIC = '{ scheme = "basic", user_name = "bob", password = "env:MI_PASSWORD" }'


# ---------------------------------------------------------------- what travels


def test_a_pickle_holds_neither_secret_nor_place(from_file: Callable[..., Session]) -> None:
    mi = from_file(_BASIC)
    mi.cookies.set("c", "canary-cookie")

    content = pickle.dumps(mi)

    assert b"MI_PASSWORD" in content
    for secret in (b"canary", b"secret-place", b"p.toml", PASSWORD.encode()):
        assert secret not in content


def test_a_pickle_of_the_profile_holds_no_text_of_its_file(
    from_file: Callable[..., Session],
) -> None:
    """The file's text is kept for messages; it holds other profiles too."""
    profile = from_file(_BASIC).profile

    content = pickle.dumps(profile)

    assert reopened(content) == profile
    for secret in (b"canary", b"p.toml"):
        assert secret not in content


def test_the_profile_is_the_same_where_it_is_opened(
    from_file: Callable[..., Session], tmp_path: Path
) -> None:
    """With its scheme's tables, and with the folder where each ``file:`` starts."""
    (tmp_path / "secret-place").mkdir()
    (tmp_path / "secret-place" / "pw").write_text("canary-proxy")
    mi = from_file(
        '{ scheme = "oidc", issuer = "https://i", scopes = ["a"], refresh_token = "env:U", '
        "tls = { verify = true }, "
        'proxy = { url = "http://p:1", user_name = "env:U", password = "file:pw" } }',
        environ={"U": "canary-key"},
    )

    content = pickle.dumps(mi)
    again = reopened(content)

    here: Any = mi.profile.auth
    assert again.profile == dataclasses.replace(
        mi.profile,
        auth=dataclasses.replace(
            here,
            refresh_token=ref("env:U").with_place("file", None),
            proxy=dataclasses.replace(here.proxy, user_name=ref("env:U").with_place("file", None)),
        ),
    )
    assert again.headers == mi.headers
    assert b"canary" not in content


def test_a_file_reference_means_the_same_file_after_pickling(
    from_file: Callable[..., Session],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "secret-place").mkdir()
    (tmp_path / "secret-place" / "pw").write_text(PASSWORD)
    auth = '{ scheme = "basic", user_name = "bob", password = ["env:NONE", "file:pw"] }'
    mi = from_file(auth)
    monkeypatch.chdir(tmp_path / "home")

    again = reopened(pickle.dumps(mi))
    again._ensure_open()

    assert again.profile.auth == mi.profile.auth
    assert [each.reveal() for each in again._login.secrets._found.values()] == [PASSWORD]


def test_a_relative_path_of_python_starts_where_the_session_was_pickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pw").write_text(PASSWORD)
    monkeypatch.chdir(tmp_path)
    mi = session_for(NOWHERE, auth={"password": ref("file:pw")})
    mi.verify, mi.cert = "ca.pem", ("client.pem", "key.pem")
    vault = dataclasses.replace(mi.profile, machine=MachineSettings(vault="tokens"))
    other = Session._from_checked(vault, RunContext.of())

    content, elsewhere = pickle.dumps(mi), pickle.dumps(other)
    monkeypatch.chdir(tmp_path / "home")
    again = reopened(content)

    assert again.profile.auth.password.base_dir == str(tmp_path)
    assert again.verify == str(tmp_path / "ca.pem")
    assert again.cert == (str(tmp_path / "client.pem"), str(tmp_path / "key.pem"))
    assert reopened(elsewhere).profile.machine.vault == str(tmp_path / "tokens")


def test_the_folder_of_a_source_of_another_package_travels() -> None:
    """What it reads after the colon may be a relative path."""
    placed = SecretRef((("acme", "pw"),)).with_place("user", Path("/folder"))

    found: Any = travelled(profile_for(NOWHERE, auth={"password": placed})).auth
    assert found.password == placed


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_out_of_the_project_is_refused_there_too(tmp_path: Path) -> None:
    """The reference keeps the folder that it was written in: links are judged by it."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    project.mkdir()
    outside.mkdir()
    (outside / "pw").write_text(PASSWORD)
    (project / "secrets").symlink_to(outside)
    reference = ref(["env:MI_PASSWORD", "file:secrets/pw"]).with_place("project", project)
    mi = session_for(NOWHERE, auth={"password": reference})

    with pytest.raises(SecretUnavailable, match="a link that leads out of the project"):
        reopened(pickle.dumps(mi)).get("x")


def test_a_command_of_a_project_does_not_run_there_either(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    touch = [sys.executable, "-c", f"open({str(ran)!r}, 'w'); print('x')"]
    reference = ref(["env:MI_PASSWORD", {"command": touch}]).with_place("project", tmp_path)
    mi = session_for(NOWHERE, auth={"password": reference})

    with pytest.raises(SecretUnavailable, match="runs only when your own file names it"):
        reopened(pickle.dumps(mi)).get("x")
    assert not ran.exists()


def test_variables_of_the_machine_count_where_the_pickle_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault, its key and what is allowed belong to a machine, not to a profile."""
    carried = MachineSettings(vault="/here", vault_key=ref("env:HERE"), allow_insecure_keyring=True)
    profile = dataclasses.replace(profile_for(NOWHERE, "oidc"), machine=carried)
    content = pickle.dumps(Session._from_checked(profile, RunContext.of()))

    assert reopened(content).profile.machine == carried

    monkeypatch.setenv("GATEPASS_VAULT", str(tmp_path))
    monkeypatch.setenv("GATEPASS_VAULT_KEY", "env:THERE")
    there = reopened(content).profile.machine
    assert (there.vault, str(there.vault_key)) == (str(tmp_path), "env:THERE")
    assert there.allow_insecure_keyring


def test_a_vault_of_many_hosts_travels_with_references_only() -> None:
    password = ref("env:REDIS").with_place("user", Path("/secret-place"))
    vault = RedisVault("rediss://redis.example.com:6379/0", "me", password)
    profile = dataclasses.replace(
        profile_for(NOWHERE, "oidc"), machine=MachineSettings(vault=vault, vault_key=ref("prompt:"))
    )

    found = travelled(profile).machine.vault
    assert isinstance(found, RedisVault)
    assert found.password == ref("env:REDIS").with_place("user", None)


class _Owner:
    """Has a session that calls it back."""

    def __init__(self, url: str) -> None:
        self.answers = 0
        self.mi = session_for(url, "anonymous")
        self.mi.hooks["response"].append(self.count)

    def count(self, _: Any, **__: Any) -> None:
        self.answers += 1


@pytest.mark.parametrize("duplicate", [lambda it: reopened(pickle.dumps(it)), copy.deepcopy])
def test_a_session_whose_hook_leads_back_to_it_can_be_duplicated(
    duplicate: Callable[[Any], Any],
) -> None:
    with echo() as server:
        owner = _Owner(server.url)
        by_owner, by_session = duplicate(owner), duplicate(owner.mi)
        assert by_owner.mi.get("x").ok
        assert by_session.get("x").ok

    assert (owner.answers, by_owner.answers) == (0, 1)
    assert by_session.hooks["response"][0].__self__.mi is by_session


class _Special(Session):
    """A class of the user's own, with one more setting."""

    __attrs__ = [  # noqa: RUF012 - as requests has it
        *requests.Session.__attrs__,
        "tenant",
    ]
    tenant = "none"


def test_a_class_of_the_users_own_keeps_its_class_and_settings() -> None:
    mi = _Special("https://mi.example.com", anonymous=True)
    mi.tenant = "t"

    for again in (reopened(pickle.dumps(mi)), copy.copy(mi), copy.deepcopy(mi)):
        assert (type(again), again.tenant) == (_Special, "t")


# ---------------------------------------------------------------- what stops a pickle


@dataclasses.dataclass(frozen=True)
class _Inner:
    key: Any


@dataclasses.dataclass(frozen=True)
class _Outer:
    """Fields as a scheme of another package may have them."""

    inner: Any


def _foreign(inner: Any) -> Profile:
    return dataclasses.replace(profile_for(NOWHERE), auth=_Outer(inner))  # type: ignore[arg-type]


def _with_vault(password: Any) -> Profile:
    vault = RedisVault("rediss://redis.example.com:6379/0", "me", password)
    return dataclasses.replace(profile_for(NOWHERE), machine=MachineSettings(vault=vault))


_HOLDERS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda it: profile_for(NOWHERE, auth={"password": it}), "password"),
    (
        lambda it: dataclasses.replace(profile_for(NOWHERE), proxy=Proxy("http://p", "p", it)),
        r"proxy\.password",
    ),
    (
        lambda it: profile_for(NOWHERE, "oidc", auth={"proxy": Proxy("http://p", "p", it)}),
        r"auth\.proxy\.password",
    ),
    (lambda it: _foreign([it]), r"inner\[0\]"),
    (lambda it: _foreign({"a": it}), r"inner\.a"),
    (lambda it: _foreign(_Inner(it)), r"inner\.key"),
]


@pytest.mark.parametrize(
    ("build", "named"), [*_HOLDERS, (_with_vault, r"machine\.vault\.password")]
)
def test_a_secret_given_as_a_value_stops_the_pickle_by_its_name(
    build: Callable[[Any], Profile], named: str
) -> None:
    with pytest.raises(TypeError, match=f" {named} was given as a value") as caught:
        dump_profile(build(Secret("canary")), "")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("build", "named"), _HOLDERS)
def test_a_secret_that_only_a_person_knows_stops_the_pickle_by_its_name(
    build: Callable[[Any], Profile], named: str
) -> None:
    for reference in ("prompt:MI password", ["prompt:", "prompt:again"]):
        with pytest.raises(TypeError, match=f"only a person can answer {named} "):
            dump_profile(build(ref(reference)), "")


def test_a_reference_deep_in_a_scheme_of_another_package_loses_its_place() -> None:
    placed = ref("env:X").with_place("user", Path("/secret-place"))
    found: Any = travelled(_foreign([{"a": _Inner(placed)}])).auth

    assert found == _Outer([{"a": _Inner(ref("env:X").with_place("user", None))}])


# ---------------------------------------------------------------- opening


def test_nobody_is_asked_where_a_pickle_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the parent was told that somebody is there."""
    monkeypatch.setenv("MI_PASSWORD", PASSWORD)
    auth = {"password": ref(["env:MI_PASSWORD", "prompt:"])}
    terminal = Terminal({}, interactive=True, read_hidden=lambda _: "x")
    profile = profile_for(NOWHERE, auth=auth)
    mi = Session._from_checked(profile, RunContext.of({}, terminal=terminal))
    content = pickle.dumps(mi)
    assert reopened(content).profile.auth == mi.profile.auth
    monkeypatch.delenv("MI_PASSWORD")

    with pytest.raises(NobodyThere, match="interactive=False forbids asking"):
        reopened(content).get("x")


def test_opening_a_pickle_reads_nothing_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool opens it outside of the task; an error there would end the worker."""
    content = pickle.dumps(session_for(NOWHERE, tls={"verify": False}, retries=0))

    again = reopened(content)  # neither the variable is set, nor is there a warning

    assert repr(again) == f"<gatepass.Session {NOWHERE} (basic)>"
    with again:
        pass
    monkeypatch.setenv("MI_PASSWORD", "x")
    with pytest.warns(UserWarning, match=r"tls\.verify = false"), pytest.raises(GatepassError):
        again.get("x")


@pytest.mark.parametrize(
    "use",
    [
        lambda mi: mi.get("x"),
        lambda mi: mi.prepare_request(requests.Request("GET", "x")),
        lambda mi: mi.send(requests.Request("GET", "http://localhost:1/mi/x").prepare()),
        lambda mi: mi.get_adapter("http://localhost:1/"),
        lambda mi: mi.login(),
        copy.copy,
    ],
)
def test_whatever_is_used_first_opens_the_session_and_names_the_process(
    use: Callable[[Session], object],
) -> None:
    again = reopened(pickle.dumps(session_for(NOWHERE)))

    with pytest.raises(SecretUnavailable) as caught:
        use(again)

    lines = str(caught.value).splitlines()
    assert lines == [
        f"{worker_tasks.where()}: password: env:MI_PASSWORD: the variable MI_PASSWORD is not set",
        "set MI_PASSWORD in the environment of this run",
        WORKER_HINT,
    ]


def test_a_session_can_be_passed_on_without_being_opened() -> None:
    content = pickle.dumps(session_for(NOWHERE))

    assert reopened(pickle.dumps(reopened(content))).profile == reopened(content).profile


@pytest.mark.parametrize(
    "change",
    [
        {"version": "9.9.9"},
        {"version": None},
        {"profile": b"cut off"},
        {"profile": pickle.dumps(SecretRef).replace(b"SecretRef", b"SecretRof")},
    ],
)
def test_a_pickle_of_another_version_says_so_at_the_first_use(change: dict[str, Any]) -> None:
    state = dump_profile(profile_for(NOWHERE), "") | change
    again = _open_pickle(Session, state)

    assert repr(again) == "<gatepass.Session that cannot be opened here>"
    for use in (lambda: again.get("x"), lambda: again.profile, lambda: pickle.dumps(again)):
        with pytest.raises(ProfileError) as caught:
            use()
        versions = f"by gatepass {state['version']}, and gatepass {__version__} cannot open it"
        assert versions in str(caught.value)
        assert "install the same versions" in caught.value.hint
        assert str(caught.value).startswith(worker_tasks.where())


def test_a_scheme_that_is_not_installed_there_is_named() -> None:
    state = dump_profile(profile_for(NOWHERE), "") | {"scheme": "foreg"}

    with pytest.raises(PluginError, match="no installed package provides 'foreg'"):
        _open_pickle(Session, state).get("x")
