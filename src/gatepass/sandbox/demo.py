"""Logs on to practice servers in each way that there is, for ``gatepass demo``; prints nothing.

All of it lives in a temporary folder, on loopback ports and in a copy of the environment; nothing
is left when the ``with`` block ends, also after Ctrl-C. The user's keyring is left alone. ::

    with practice() as run:
        for attempt in chain(run.attempts(), run.oidc_attempts()):
            ...
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import enumerate as all_threads
from typing import TYPE_CHECKING, Any, Final

from gatepass._system import files
from gatepass._system.terminal import Terminal
from gatepass.errors import GatepassError
from gatepass.sandbox.server import Server
from gatepass.secrets import ref

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
        hint: the next step after a problem; may be empty.
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

    Writes to a temporary folder, listens on 127.0.0.1 and starts one harmless program.

    Args:
        environ: the environment variables, copied; ``os.environ`` when not given.
        terminal: the way to a person; made from ``environ`` when not given.
        ask: whether a person may be asked for the password; waits for the response.
    """
    variables = dict(os.environ if environ is None else environ)
    person = Terminal(variables) if terminal is None else terminal
    # The user's own profiles and settings must not change the demo. Its file holds a command, and
    # no other user can have written it.
    own = {
        name: each for name, each in variables.items() if not name.upper().startswith("GATEPASS_")
    }
    own |= {VARIABLE: PASSWORD, "GATEPASS_ALLOW_COMMANDS": "1"}
    with ExitStack() as stack:
        # 0700, as mkdtemp makes it
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gatepass-demo-")))
        servers = {
            mode: stack.enter_context(Server(mode=mode, users={USER: PASSWORD})) for mode in MODES
        }
        own["GATEPASS_CACHE"] = str(folder / "cache")
        run = Practice(folder, servers, own, person, stack, ask=ask)
        run.write_profiles()
        yield run


@dataclass
class Practice:
    """One run of the demo: its folder, servers, variables and the person."""

    folder: Path
    servers: dict[str, Server]
    environ: dict[str, str]
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

    def _references(self) -> dict[str, Any]:
        program = [sys.executable or "python", "-c", _PRINT_FILE, str(self.folder / _SECRET_FILE)]
        return {
            "env": f"env:{VARIABLE}",
            "file": f"file:{_SECRET_FILE}",
            "command": {"command": program},
            "prompt": f"prompt:Password (it is: {PASSWORD})",
        }

    def attempts(self) -> Iterator[Attempt]:
        """Log on with each secret source, then with each scheme at each kind of server."""
        for source, reference in self._references().items():
            planned = Attempt(f"password = {_inline(reference)}", "standalone")
            reason = self._why_skipped(source)
            yield replace(planned, skipped=reason) if reason else self._log_on(planned, source)
        for scheme in SCHEMES:
            for mode in MODES:
                auth = {"scheme": scheme, "user_name": USER, "password": ref(f"env:{VARIABLE}")}
                yield self._log_on(Attempt(f'scheme = "{scheme}"', mode), "env", auth)

    def oidc_attempts(self) -> Iterator[Attempt]:
        """Log in with OpenID Connect and use the login, up to the first session that fails."""
        try:
            idp = self._start_oidc()
            for name in OIDC_SESSIONS:
                attempt = self._log_on_by_oidc(Attempt(name, "oidc"), idp)
                yield attempt
                if not attempt.ok:
                    return  # the next one would only fail because of this one
        except ImportError as error:
            missing = error.name or str(error)
            reason = f"it needs {missing}, which cannot be imported here"
            yield Attempt(OIDC_SESSIONS[0], "oidc", skipped=reason)

    def _why_skipped(self, source: str) -> str:
        if source == "command" and not sys.executable:
            return "this Python does not know its own path"
        if source != "prompt":
            return ""
        if not self.ask:
            return "gatepass demo --ask tries it"
        reason = self.terminal.why_not_ask()
        return "" if reason is None else f"it needs a person, and {reason}"

    def _log_on(
        self,
        planned: Attempt,
        profile: str,
        auth: Mapping[str, Any] | None = None,
        terminal: Terminal | None = None,
        work: Callable[["Session"], object] | None = None,
    ) -> Attempt:
        """Log on and ask for a page; tell what arrived at the server, and what went wrong."""
        from gatepass._net.challenge import challenges_of
        from gatepass._session.exceptions import SchemeNotOffered
        from gatepass._session.session import Session
        from gatepass.auth import answers_of

        server = self.servers[planned.mode]
        before = len(server.requests)
        try:
            with Session.from_profile(
                profile,
                config_file=self.config_file,
                overrides={"url": server.url, "auth": auth} if auth else None,
                environ=self.environ,
                terminal=terminal or self.terminal,
            ) as session:
                (work or _get_page)(session)
        except SchemeNotOffered as error:
            answer = error.response
            offered = {each.scheme for each in challenges_of(answer)} if answer is not None else ()
            if answers_of(session.profile.auth).isdisjoint(offered):
                planned = replace(planned, not_offered=error.message)
            else:  # it is offered, and the handshake failed
                planned = replace(planned, problem=error.message, hint=error.hint)
        except GatepassError as error:
            planned = replace(planned, problem=error.message, hint=error.hint)
        arrived = server.requests[before:]
        if not arrived:
            return planned
        last = arrived[-1]
        return replace(planned, status=last.status, user=last.user, requests=len(arrived))

    def _start_oidc(self) -> "IdentityProvider":
        import joserfc.jwk  # noqa: F401 - before a port is taken by a provider that needs it

        from gatepass.auth._oidc.status import create_vault_key
        from gatepass.sandbox.provider import IdentityProvider

        idp = IdentityProvider(users={USER: PASSWORD}, access_token_seconds=_HOUR)
        self.stack.enter_context(idp)
        self.servers["oidc"] = self.stack.enter_context(Server(mode="oidc", provider=idp))
        self.stack.callback(_wait_for_renewals)
        vault, key = self.folder / "vault", self.folder / "vault.key"
        create_vault_key(key)
        self.environ |= {"GATEPASS_VAULT": str(vault), "GATEPASS_VAULT_KEY": f"file:{key}"}
        return idp

    def _log_on_by_oidc(self, planned: Attempt, idp: "IdentityProvider") -> Attempt:
        """Make a request in a session of its own, as another process would."""
        from gatepass.sandbox._browser import PATIENCE, person_who_logs_in

        person = person_who_logs_in(self.environ, idp, USER)
        login = {"scheme": "oidc", "login_timeout": PATIENCE}
        if planned.name == "renewal":  # of a token that has expired when it comes
            idp.set_access_token_seconds(0)
            expired = self._log_on(planned, "env", login, person, _log_in)
            idp.set_access_token_seconds(_HOUR)
            if expired.problem:
                return expired
        before = len(idp.requests)
        if planned.name == OIDC_SESSIONS[0]:
            done = self._log_on(planned, "env", login, person, _persist)
        else:
            stored = {"scheme": "oidc", "use_stored_token": True}
            done = self._log_on(planned, "env", stored, Terminal(self.environ, interactive=False))
        return replace(done, provider_requests=len(idp.requests) - before)


def _get_page(session: "Session") -> None:
    session.get(PAGE)


def _persist(session: "Session") -> None:
    session.persist_oidc_token()
    session.get(PAGE)


def _log_in(session: "Session") -> None:
    session.login()


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
