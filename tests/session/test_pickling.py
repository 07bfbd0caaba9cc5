"""Pickles of sessions: what they carry, and how they are opened."""

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass._config.profile import MachineSettings
from gatepass._config.redis_vault import RedisVault
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._session import pickling
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
from tests.support.echo import basic, echo, wants
from tests.support.sessions import (
    ENVIRON,
    NOWHERE,
    PASSWORD,
    USER,
    profile_for,
    session_for,
)

LOGIN = basic(USER, PASSWORD)


def reopened(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own


@pytest.fixture
def from_file(tmp_path: Path) -> Callable[..., Session]:
    """Return a function that builds a session from the text of a profile's ``auth``."""

    def build(auth: str, *, environ: dict[str, str] | None = None, top: str = "") -> Session:
        profiles = tmp_path / "secret-place" / "p.toml"
        profiles.parent.mkdir(exist_ok=True)
        profiles.write_text(
            f'{top}\n[profiles.prod]\nurl = "https://mi.example.com"\n'
            f'headers = {{ X-Tenant = "t" }}\nauth = {auth}\n'
            '[profiles.other]\nurl = "https://mi.example.com"\n'
            'auth = { scheme = "basic", user_name = "u", password = "canary-literal" }\n'
        )
        profiles.chmod(0o600)
        return Session.from_profile("prod", config_file=profiles, environ=environ or ENVIRON)

    return build


_BASIC = '{ scheme = "basic", user_name = "bob", password = "env:MI_PASSWORD" }'


def test_a_pickle_opens_in_another_process_with_secrets_of_its_own() -> None:
    script = (
        "import pickle, sys\n"
        "mi = pickle.load(sys.stdin.buffer)\n"
        "print(mi, mi.get('x').status_code, mi.max_redirects)\n"
    )

    def opened(environ: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        python = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-c", script],
            input=pickle.dumps(mi),
            capture_output=True,
            check=False,
            timeout=60,
            env={**python, **environ},
        )

    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url)
        mi.max_redirects = 7
        good, without = opened(ENVIRON), opened({})

    assert good.stdout.split()[-2:] == [b"200", b"7"], good.stderr
    assert b"password: env:MI_PASSWORD: the variable MI_PASSWORD is not set" in without.stderr
    assert server.authorizations == [LOGIN]


def test_a_pickle_holds_neither_secret_nor_place(from_file: Callable[..., Session]) -> None:
    mi = from_file(_BASIC)
    mi.cookies.set("c", "canary-cookie")

    content = pickle.dumps(mi)

    assert b"MI_PASSWORD" in content
    for secret in (b"canary", b"secret-place", b"p.toml", b"state", PASSWORD.encode()):
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


@pytest.mark.parametrize(
    "auth",
    [
        _BASIC,
        '{ scheme = "credentials", user_name = "env:U", password = "env:U", domain = "D" }',
        '{ scheme = "ntlm", user_name = "b", password = "env:U", channel_binding = false }',
        '{ scheme = "bearer", token = "env:U" }',
        '{ scheme = "anonymous" }',
        '{ scheme = "oidc", issuer = "https://i", scopes = ["a"], refresh_token = "env:U" }',
    ],
)
def test_the_profile_is_the_same_where_it_is_opened(
    auth: str, from_file: Callable[..., Session]
) -> None:
    mi = from_file(auth, environ={"U": "u", **ENVIRON})

    again = reopened(pickle.dumps(mi))

    def placeless(reference: Any) -> Any:
        is_reference = isinstance(reference, SecretRef)
        return dataclasses.replace(reference, base_dir=None) if is_reference else reference

    auth_here: Any = mi.profile.auth
    fields = {name: placeless(value) for name, value in vars(auth_here).items()}
    auth_there = dataclasses.replace(auth_here, **fields)
    assert again.profile == dataclasses.replace(mi.profile, auth=auth_there)
    assert again.headers == mi.headers


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
    assert [each.reveal() for each in again._secrets._found.values()] == [PASSWORD]


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


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_out_of_the_project_is_refused_there_too(tmp_path: Path) -> None:
    """The reference keeps the folder that it was written in: links are judged by it."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    project.mkdir()
    outside.mkdir()
    (outside / "pw").write_text(PASSWORD)
    (project / "secrets").symlink_to(outside)
    reference = ref(["env:MI_PASSWORD", "file:secrets/pw"]).with_place("project", project)
    profile = profile_for(NOWHERE, auth={"password": reference})
    mi = Session._from_checked(profile, RunContext.of(environ=ENVIRON))

    with pytest.raises(SecretUnavailable, match="a link that leads out of the project"):
        reopened(pickle.dumps(mi)).get("x")


def test_a_command_of_a_project_does_not_run_there_either(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    touch = [sys.executable, "-c", f"open({str(ran)!r}, 'w'); print('x')"]
    reference = ref(["env:MI_PASSWORD", {"command": touch}]).with_place("project", tmp_path)
    profile = profile_for(NOWHERE, auth={"password": reference})
    mi = Session._from_checked(profile, RunContext.of(environ=ENVIRON))

    with pytest.raises(SecretUnavailable, match="runs only when your own file names it"):
        reopened(pickle.dumps(mi)).get("x")
    assert not ran.exists()


def test_variables_of_the_machine_count_where_the_pickle_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault, its key and what is allowed belong to a machine, not to a profile."""
    profile = profile_for(NOWHERE, "oidc")
    carried = MachineSettings(vault="/here", vault_key=ref("env:HERE"), allow_insecure_keyring=True)
    content = pickle.dumps(
        Session._from_checked(dataclasses.replace(profile, machine=carried), RunContext.of())
    )

    assert reopened(content).profile.machine == carried

    monkeypatch.setenv("GATEPASS_VAULT", str(tmp_path))
    monkeypatch.setenv("GATEPASS_VAULT_KEY", "env:THERE")
    there = reopened(content).profile.machine
    assert (there.vault, str(there.vault_key)) == (str(tmp_path), "env:THERE")
    assert there.allow_insecure_keyring


def test_a_vault_of_many_hosts_travels_with_references_only() -> None:
    password = ref("env:REDIS").with_place("user", Path("/secret-place"))
    shared = RedisVault("rediss://redis.example.com:6379/0", "me", password)

    def pickled(vault: RedisVault) -> bytes:
        profile = dataclasses.replace(
            profile_for(NOWHERE, "oidc"), machine=MachineSettings(vault=vault)
        )
        return pickle.dumps(Session._from_checked(profile, RunContext.of()))

    content = pickled(shared)
    assert b"secret-place" not in content
    assert str(reopened(content).profile.machine.vault.password) == "env:REDIS"
    with pytest.raises(TypeError, match=r"vault\.password was given as a value"):
        pickled(dataclasses.replace(shared, password=Secret("canary")))


def test_a_secret_given_as_a_value_stops_the_pickle() -> None:
    mi = Session("https://mi.example.com", user_name=USER, password=PASSWORD)

    with pytest.raises(TypeError, match="password was given as a value") as caught:
        pickle.dumps(mi)
    assert PASSWORD not in str(caught.value)


def test_a_proxys_password_given_as_a_value_stops_the_pickle() -> None:
    proxy = {"url": "http://proxy:3128", "user_name": "p", "password": Secret("canary")}
    mi = Session("https://mi.example.com", anonymous=True, proxy=proxy)

    with pytest.raises(TypeError, match=r"proxy\.password was given as a value") as caught:
        pickle.dumps(mi)
    assert "canary" not in str(caught.value)


def test_the_way_to_the_provider_travels_as_plain_fields(
    from_file: Callable[..., Session], tmp_path: Path
) -> None:
    """No class of ours: what opens it may keep it elsewhere."""
    auth = (
        '{ scheme = "oidc", issuer = "https://i", '
        'tls = { client_key_password = "env:U" }, '
        'proxy = { url = "http://p:1", user_name = "u", password = "file:pw" } }'
    )
    (tmp_path / "secret-place").mkdir()
    (tmp_path / "secret-place" / "pw").write_text("canary-proxy")
    mi = from_file(auth, environ={"U": "canary-key"})

    content = pickle.dumps(mi)
    again: Any = reopened(content).profile.auth

    here: Any = mi.profile.auth
    assert (type(again.tls), type(again.proxy)) == (TlsSettings, Proxy)
    assert again.proxy == here.proxy  # where its file: starts came along
    assert str(again.tls.client_key_password) == "env:U"
    assert b"canary" not in content
    assert b"_tls" not in content
    assert b"_proxy" not in content


def test_the_password_of_the_providers_proxy_stops_the_pickle_by_its_own_name() -> None:
    proxy = {"url": "http://proxy:3128", "user_name": "p", "password": Secret("canary")}
    mi = session_for("https://mi.example.com", "oidc", auth={"proxy": proxy})

    with pytest.raises(TypeError, match=r" auth\.proxy\.password was given as a value") as caught:
        pickle.dumps(mi)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("reference", ["prompt:MI password", ["prompt:", "prompt:again"]])
def test_a_secret_that_only_a_person_knows_stops_the_pickle(reference: Any) -> None:
    terminal = Terminal({}, interactive=True, read_hidden=lambda _: "x")
    profile = profile_for(NOWHERE, auth={"password": ref(reference)})
    mi = Session._from_checked(profile, RunContext.of(environ={}, terminal=terminal))

    with pytest.raises(TypeError, match="only a person can answer password"):
        pickle.dumps(mi)


@dataclasses.dataclass(frozen=True)
class _Inner:
    key: Any


@dataclasses.dataclass(frozen=True)
class _Outer:
    """Fields as a scheme of another package may have them."""

    inner: Any


@pytest.mark.parametrize("wrapped", [lambda it: [it], lambda it: {"a": it}, _Inner])
def test_a_secret_deep_in_a_scheme_of_another_package_is_found(
    wrapped: Callable[[Any], Any],
) -> None:
    def dump_profile(secret: Any) -> Any:
        profile = dataclasses.replace(profile_for(NOWHERE), auth=_Outer(wrapped(secret)))  # type: ignore[arg-type]
        return pickling.dump_profile(profile, "")["profile"]["auth"]["inner"]

    for secret in (Secret("canary"), ref("prompt:")):
        with pytest.raises(TypeError, match="cannot be pickled"):
            dump_profile(secret)
    placed = ref("env:X").with_place("user", Path("/secret-place"))
    assert dump_profile(placed) == wrapped(dataclasses.replace(placed, base_dir=None))


def test_nobody_is_asked_where_a_pickle_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the parent was told that somebody is there."""
    monkeypatch.setenv("MI_PASSWORD", PASSWORD)
    auth = {"password": ref(["env:MI_PASSWORD", "prompt:"])}
    mi = session_for(NOWHERE, auth=auth, interactive=True)
    content = pickle.dumps(mi)
    assert reopened(content).profile.auth == mi.profile.auth
    assert reopened(content)._run.terminal.why_not_ask() == "interactive=False forbids asking"
    monkeypatch.delenv("MI_PASSWORD")

    with pytest.raises(NobodyThere, match="interactive=False forbids asking"):
        reopened(content).get("x")


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


def test_opening_a_pickle_reads_nothing_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool opens it outside of the task; an error there would end the worker."""
    content = pickle.dumps(session_for(NOWHERE, tls={"verify": False}))

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
        lambda mi: mi.check(),
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
        pickling.WORKER_HINT,
    ]


def test_a_session_can_be_passed_on_without_being_opened() -> None:
    content = pickle.dumps(session_for(NOWHERE))

    assert reopened(pickle.dumps(reopened(content))).profile == reopened(content).profile


def _sent_by(content: bytes, old: bytes, new: bytes) -> Session:
    assert content.count(old) == 1
    again: Session = reopened(content.replace(old, new))
    return again


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x8c\x04form\x94K\x01", b"\x8c\x04form\x94K\x02"),  # another form
        (b"\x8c\x04form\x94K\x01", b"\x8c\x04from\x94K\x01"),  # none
        (b"user_name", b"user_nome"),  # a key that this version's scheme does not know
        (b"check_path", b"chick_path"),
    ],
)
def test_a_pickle_of_another_version_says_so_at_the_first_use(old: bytes, new: bytes) -> None:
    made = __version__.encode()
    content = pickle.dumps(session_for(NOWHERE)).replace(made, b"9" * len(made), 1)

    again = _sent_by(content, old, new)

    assert repr(again) == "<gatepass.Session that cannot be opened here>"
    for use in (lambda: again.get("x"), lambda: again.profile, lambda: pickle.dumps(again)):
        with pytest.raises(ProfileError) as caught:
            use()
        assert f"was pickled by gatepass {'9' * len(made)}, and gatepass" in str(caught.value)
        assert "install the same versions" in caught.value.hint
        assert str(caught.value).startswith(worker_tasks.where())


def test_a_scheme_that_is_not_installed_there_is_named() -> None:
    again = _sent_by(pickle.dumps(session_for(NOWHERE)), b"\x8c\x05basic", b"\x8c\x05foreg")

    with pytest.raises(PluginError, match="no installed package provides 'foreg'"):
        again.get("x")


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(state=st.dictionaries(st.sampled_from(["form", "made_by", "mark", "profile"]), _plain))
def test_any_pickled_state_opens_as_a_session_that_says_what_is_wrong(
    state: dict[str, Any],
) -> None:
    again = _open_pickle(Session, state)

    with pytest.raises(GatepassError):
        again.get("x")
