"""Logs on to practice servers in each way that there is, for ``gatepass demo``; prints nothing.

All of it lives in a temporary folder, on loopback ports and in a copy of the environment; nothing
is left when the ``with`` block ends, also after Ctrl-C. ::

    with practice() as run:
        for attempt in chain(run.attempts(), run.oidc_attempts()):
            ...
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import enumerate as all_threads
from typing import TYPE_CHECKING, Any, Final

from gatepass._config.load import load_profile
from gatepass._system import files
from gatepass._system.terminal import Terminal
from gatepass.errors import GatepassError, SecretUnavailable
from gatepass.sandbox.server import Server
from gatepass.secrets import SecretContext, ref

if TYPE_CHECKING:
    from gatepass._session.session import Session
    from gatepass.sandbox.provider import IdentityProvider

USER: Final = "alice"
PASSWORD: Final = "sesame"  # noqa: S105 - of a server that lives for seconds and holds nothing
VARIABLE: Final = "MI_PASSWORD"
PAGE: Final = "Health/v2.svc"
MODES: Final = ("standalone", "mixed", "windows")
SCHEMES: Final = ("basic", "ntlm", "credentials")
OIDC_SESSIONS: Final = ("first login", "warm start", "renewal")

_SECRET_FILE: Final = "password.txt"  # noqa: S105 - a file's name
_PRINT_FILE: Final = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text())"
_HOUR: Final = 3600  # seconds; no access token expires by itself meanwhile
# The user's own profiles and variables must not change the demo; these two say what the user
# allows, and still count.
_KEPT: Final = frozenset({"GATEPASS_NO_INPUT", "GATEPASS_ALLOW_INSECURE_KEYRING"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one login.

    Attributes:
        name: the line that the profile changes, such as ``scheme = "ntlm"``; with OpenID Connect
            the session.
        mode: of the server.
        status: HTTP status of the last response; None when no request arrived.
        user: who the server says was logged on; None for no user.
        requests: how many requests arrived at the server, for one page.
        provider_requests: how many the library sent to the identity provider; the person's
            browser is not counted.
        skipped: why it was not tried; empty when it was.
        not_offered: why scheme and server do not fit; empty where they do.
        problem: what went wrong; empty when nothing did.
        hint: the next step after a problem or a skip; may be empty.
    """

    name: str
    mode: str
    status: int | None = None
    user: str | None = None
    requests: int = 0
    provider_requests: int = 0
    skipped: str = ""
    not_offered: str = ""
    problem: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether the server let the right user in."""
        return self.status == 200 and self.user == USER  # noqa: PLR2004 - HTTP's OK

    @property
    def failed(self) -> bool:
        """Whether it should have got in and did not."""
        return not (self.ok or self.skipped or self.not_offered)


@contextmanager
def practice(
    *,
    environ: Mapping[str, str] | None = None,
    terminal: Terminal | None = None,
    ask: bool = False,
) -> Iterator["Practice"]:
    """Start the servers and write the profiles; the logins happen as they are iterated.

    Writes to a temporary folder, listens on 127.0.0.1, starts one harmless program, and keeps an
    entry in the keyring for the length of one login.

    Args:
        environ: the environment variables, copied; ``os.environ`` when not given.
        terminal: the way to a person; made from ``environ`` when not given.
        ask: whether a person may be asked for the password; waits for the response.
    """
    variables = dict(os.environ if environ is None else environ)
    person = Terminal(variables) if terminal is None else terminal
    with ExitStack() as stack:
        # 0700, as mkdtemp makes it
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gatepass-demo-")))
        servers = {
            mode: stack.enter_context(Server(mode=mode, users={USER: PASSWORD})) for mode in MODES
        }
        run = Practice(folder, servers, _environ_of_demo(variables), person, stack, ask=ask)
        run.write_profiles()
        yield run


def _environ_of_demo(variables: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in variables.items()
        if not name.upper().startswith("GATEPASS_") or name.upper() in _KEPT
    }
    # The demo's own file holds a command, and no other user can have written it.
    return {**kept, VARIABLE: PASSWORD, "GATEPASS_ALLOW_COMMANDS": "1"}


@dataclass
class Practice:
    """One run of the demo: its folder, servers, variables and the person.

    Attributes:
        config_file: the file of profiles; gone after the ``with`` block.
    """

    folder: Path
    servers: Mapping[str, Server]
    environ: Mapping[str, str]
    terminal: Terminal
    stack: ExitStack
    ask: bool = field(kw_only=True)

    @property
    def config_file(self) -> Path:
        """The file of profiles, one for each secret source."""
        return self.folder / "profiles.toml"

    @property
    def base_profile(self) -> dict[str, Any]:
        """The first profile; the others change one line of it."""
        return {
            "url": self.servers["standalone"].url,
            "proxy": "none",  # loopback: a proxy of the environment would not find it
            "auth": {"scheme": "basic", "user_name": USER, "password": f"env:{VARIABLE}"},
        }

    def write_profiles(self) -> None:
        """Write the file of profiles, and the file that holds the password."""
        import tomli_w

        profiles = {
            source: {"extends": "env", "auth": {"password": reference}}
            for source, reference in self._references().items()
        }
        profiles["env"] = self.base_profile
        files.create(self.folder / _SECRET_FILE, f"{PASSWORD}\n".encode())
        files.create(self.config_file, tomli_w.dumps({"profiles": profiles}).encode())

    def attempts(self) -> Iterator[Attempt]:
        """Log on with each secret source, then with each scheme at each kind of server."""
        for source, reference in self._references().items():
            planned = Attempt(f"password = {_inline(reference)}", "standalone")
            match source:
                case "keyring":
                    yield self._log_on_by_keyring(planned)
                case "command" if not sys.executable:
                    yield replace(planned, skipped="this Python does not know its own path")
                case "prompt" if reason := self._why_not_ask():
                    yield replace(planned, skipped=reason)
                case _:
                    yield self._log_on(planned, source)
        for scheme in SCHEMES:
            for mode in MODES:
                yield self._log_on_by_scheme(scheme, mode)

    def oidc_attempts(self) -> Iterator[Attempt]:
        """Log in with OpenID Connect and use the login, up to the first session that fails."""
        try:
            oidc = self._start_oidc()
            for name in OIDC_SESSIONS:
                attempt = oidc.log_on(name)
                yield attempt
                if not attempt.ok:
                    return  # the next one would only fail because of this one
        except ImportError as error:
            missing = error.name or str(error)
            reason = f"it needs {missing}, which cannot be imported here"
            yield Attempt(OIDC_SESSIONS[0], "oidc", skipped=reason)

    def _references(self) -> dict[str, Any]:
        program = [sys.executable or "python", "-c", _PRINT_FILE, str(self.folder / _SECRET_FILE)]
        return {
            "env": f"env:{VARIABLE}",
            "file": f"file:{_SECRET_FILE}",
            "keyring": "keyring:",
            "command": {"command": program},
            "prompt": f"prompt:Password (it is: {PASSWORD})",
        }

    def _log_on(
        self, planned: Attempt, profile: str, overrides: Mapping[str, Any] | None = None
    ) -> Attempt:
        from gatepass._session.session import Session

        def get_page() -> None:
            with Session.from_profile(
                profile,
                config_file=self.config_file,
                overrides=overrides,
                environ=self.environ,
                terminal=self.terminal,
            ) as session:
                session.get(PAGE)

        return _attempt(planned, self.servers[planned.mode], get_page)

    def _log_on_by_scheme(self, scheme: str, mode: str) -> Attempt:
        auth = {"scheme": scheme, "user_name": USER, "password": ref(f"env:{VARIABLE}")}
        overrides = {"url": self.servers[mode].url, "auth": auth}
        return self._log_on(Attempt(f'scheme = "{scheme}"', mode), "env", overrides)

    def _why_not_ask(self) -> str:
        if not self.ask:
            return "gatepass demo --ask tries it"
        reason = self.terminal.why_not_ask()
        return "" if reason is None else f"it needs a person, and {reason}"

    def _log_on_by_keyring(self, planned: Attempt) -> Attempt:
        """Store an entry, use it, remove it; or say why this machine's keyring is not used."""
        from gatepass.sandbox._temporary_keyring_entry import lent_entry
        from gatepass.secrets import keyring

        try:
            context = self._keyring_context()
            service, account = keyring.entry("", context)
            with lent_entry(service, account, PASSWORD, context):
                return self._log_on(planned, "keyring")
        except SecretUnavailable as error:
            return replace(planned, skipped=error.message, hint=error.hint)
        except GatepassError as error:
            return replace(planned, problem=error.message, hint=error.hint)

    def _keyring_context(self) -> SecretContext:
        """Return what the session will give to the keyring source; reads no secret."""
        profile = load_profile("keyring", config_file=self.config_file, environ=self.environ)
        return SecretContext(
            origin=profile.origin,
            field="password",
            user_name=USER,
            base_dir=None,
            layer="file",
            environ=self.environ,
            terminal=self.terminal,
            allow_insecure_keyring=profile.machine.allow_insecure_keyring,
        )

    def _start_oidc(self) -> "_OidcPractice":
        import joserfc.jwk  # noqa: F401 - before a port is taken by a provider that needs it

        from gatepass.auth._oidc.status import create_vault_key
        from gatepass.sandbox.provider import IdentityProvider

        vault, key = self.folder / "vault", self.folder / "vault.key"
        idp = IdentityProvider(users={USER: PASSWORD}, access_token_seconds=_HOUR)
        self.stack.enter_context(idp)
        server = self.stack.enter_context(Server(mode="oidc", provider=idp))
        self.stack.callback(_wait_for_renewals)
        create_vault_key(key)
        environ = {**self.environ, "GATEPASS_VAULT": str(vault)}
        environ["GATEPASS_VAULT_KEY"] = f"file:{key}"
        oidc = _OidcPractice(self.folder / "oidc.toml", environ, server, idp)
        files.create(oidc.config_file, oidc.toml().encode())
        return oidc


def _attempt(planned: Attempt, server: Server, log_on: Callable[[], None]) -> Attempt:
    """Log on; add what arrived at the server, and what went wrong."""
    from gatepass._session.exceptions import SchemeNotOffered

    before = len(server.requests)
    try:
        log_on()
    except SchemeNotOffered as error:
        planned = replace(planned, not_offered=error.message)
    except GatepassError as error:
        planned = replace(planned, problem=error.message, hint=error.hint)
    arrived = server.requests[before:]
    if not arrived:
        return planned
    last = arrived[-1]
    return replace(planned, status=last.status, user=last.user, requests=len(arrived))


def _inline(reference: object) -> str:
    """Write a reference on one line, as a person would; tomli_w makes a table of its own."""
    import tomli_w

    if isinstance(reference, dict):
        lines = tomli_w.dumps(reference).splitlines()
        return f"{{ {' '.join(line.strip() for line in lines)} }}"
    return tomli_w.dumps({"x": reference}).strip().removeprefix("x = ")


def _wait_for_renewals() -> None:
    """Wait for a renewal that outlives Ctrl-C: it writes to the folder that is deleted next."""
    for thread in all_threads():
        if thread.name == "gatepass-refresh":
            thread.join()


@dataclass(frozen=True, slots=True)
class _OidcPractice:
    """A server, its identity provider, and the profile for them."""

    config_file: Path
    environ: Mapping[str, str]
    server: Server
    idp: "IdentityProvider"

    def toml(self) -> str:
        return (
            "[profiles.nightly]\n"
            f'url = "{self.server.url}"\n'
            'proxy = "none"\n'
            'auth = { scheme = "oidc", use_stored_token = true }\n'
        )

    def log_on(self, name: str) -> Attempt:
        """Make a request in a session of its own, as another process would."""
        planned = Attempt(name, "oidc")
        try:
            if name == "renewal":
                self._store_expired_login()
        except GatepassError as error:
            return replace(planned, problem=error.message, hint=error.hint)
        before = len(self.idp.requests)
        attempt = _attempt(planned, self.server, partial(self._get_page, name == "first login"))
        return replace(attempt, provider_requests=len(self.idp.requests) - before)

    def _get_page(self, is_first: bool) -> None:
        with self._session(with_person=is_first) as session:
            if is_first:
                session.persist_oidc_token()
            session.get(PAGE)

    def _store_expired_login(self) -> None:
        """Log in once more; the access token has expired when it comes."""
        self.idp.set_access_token_seconds(0)
        try:
            with self._session(with_person=True) as session:
                session.login()
        finally:
            self.idp.set_access_token_seconds(_HOUR)

    def _session(self, *, with_person: bool) -> "Session":
        from gatepass._session.session import Session
        from gatepass.sandbox._browser import PATIENCE, person_who_logs_in

        if with_person:
            login = {"use_stored_token": False, "login_timeout": PATIENCE}
            terminal = person_who_logs_in(self.environ, self.idp, USER)
        else:
            login, terminal = {}, Terminal(self.environ, interactive=False)
        return Session.from_profile(
            "nightly",
            config_file=self.config_file,
            overrides={"auth": login},
            environ=self.environ,
            terminal=terminal,
        )
