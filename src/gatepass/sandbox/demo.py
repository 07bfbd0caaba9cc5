"""Goes the whole way once for each secret source, against servers of its own; prints nothing.

Then it tries the schemes that take a password at each configuration of a server, and logs in with
OpenID Connect: once, and never again.

``gatepass demo`` renders what comes out of here. All of it lives in a temporary folder, on a
loopback port and in a copy of the environment; nothing is left when the ``with`` block ends, also
after Ctrl-C. ::

    with practice() as steps:
        for step in steps:
            ...  # an Introduction, one Trial for each source, the Pairings, the Rounds
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
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
ROUNDS: Final = ("first login", "warm start", "renewal")

_SECRET_FILE: Final = "password.txt"  # noqa: S105 - a file's name
_PRINT_FILE: Final = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text())"

_HOUR: Final = 3600  # seconds; no access token ends by itself meanwhile
_PATIENCE: Final = 30.0  # seconds for a login that takes a fraction of one
_LOGIN: Final = """\
from gatepass import Session

# Once, in a browser; the same as: gatepass login nightly
once = {"auth": {"use_stored_token": False}}
Session.from_profile("nightly", overrides=once).persist_oidc_token()
"""
_RUN: Final = f"""\
# In each run after that, without a person
mi = Session.from_profile("nightly")
print(mi.get("{PAGE}").json())
"""

# The user's own profiles and variables must not change the exercise; these two say what the
# user allows, and still count.
_KEPT: Final = frozenset({"GATEPASS_NO_INPUT", "GATEPASS_ALLOW_INSECURE_KEYRING"})


@dataclass(frozen=True, slots=True)
class Introduction:
    """What was set up.

    Attributes:
        url: of the server.
        config_file: the file of profiles; gone after the ``with`` block.
        toml: its text.
        python: the lines that a user would write, to run in the same environment.
    """

    url: str
    config_file: Path
    toml: str
    python: str


class _Outcome:
    """What came of a request."""

    __slots__ = ()
    status: int | None
    user: str | None

    @property
    def ok(self) -> bool:
        """Whether the server let the right user in."""
        return self.status == 200 and self.user == USER  # noqa: PLR2004 - HTTP's OK


@dataclass(frozen=True, slots=True)
class Trial(_Outcome):
    """What came of one secret source.

    Attributes:
        source: such as ``env``; also the name of the profile.
        reference: the line of the profile, such as ``password = "env:MI_PASSWORD"``.
        status: HTTP status of the last answer; None when no request arrived.
        user: who the server says was logged on; None for nobody.
        requests: how many requests arrived at the server.
        skipped: why it was not tried; empty when it was.
        problem: what went wrong; empty when nothing did.
        hint: the next step after either; may be empty.
        note: what else is worth knowing; may be empty.
    """

    source: str
    reference: str
    status: int | None = None
    user: str | None = None
    requests: int = 0
    skipped: str = ""
    problem: str = ""
    hint: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pairing(_Outcome):
    """What came of one scheme at one configuration of a server.

    Attributes:
        mode: of the server.
        scheme: of the profile.
        status: HTTP status of the last answer; None when no request arrived.
        user: who the server says was logged on; None for nobody.
        requests: how many requests arrived at the server, for one page.
        not_offered: why the scheme and the server do not fit, and which scheme does; empty
            where they do.
        problem: what went wrong; empty when nothing did.
        hint: the next step after that; may be empty.
    """

    mode: str
    scheme: str
    status: int | None = None
    user: str | None = None
    requests: int = 0
    not_offered: str = ""
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Round(_Outcome):
    """What came of one session with OpenID Connect.

    Attributes:
        name: ``first login``: a person logs in, and the login is stored; ``warm start``: another
            session uses the stored login; ``renewal``: another one, whose access token has ended.
        toml: the profile.
        python: the lines that a user would write, beside that profile; after those of the first.
        status: HTTP status of the last answer; None when no request arrived.
        user: who the server says was logged on; None for nobody.
        requests: how many requests arrived at the server.
        provider_requests: how many the library sent to the identity provider; the person's
            browser is not counted.
        skipped: why it was not tried; empty when it was.
        problem: what went wrong; empty when nothing did.
        hint: the next step after either; may be empty.
    """

    name: str
    toml: str = ""
    python: str = ""
    status: int | None = None
    user: str | None = None
    requests: int = 0
    provider_requests: int = 0
    skipped: str = ""
    problem: str = ""
    hint: str = ""


@contextmanager
def practice(
    *,
    environ: Mapping[str, str] | None = None,
    terminal: Terminal | None = None,
    ask: bool = False,
) -> Iterator[Iterator[Introduction | Trial | Pairing | Round]]:
    """Set up servers and profiles; the steps run as they are taken from the iterator.

    Writes to a temporary folder, listens on 127.0.0.1, starts one harmless program, and keeps an
    entry in the keyring for the length of its step.

    Args:
        environ: the environment variables, copied; ``os.environ`` when not given.
        terminal: the way to a person; made from ``environ`` when not given.
        ask: whether a person may be asked for the password; waits for the answer.
    """
    variables = dict(os.environ if environ is None else environ)
    person = Terminal(variables) if terminal is None else terminal
    with ExitStack() as stack:
        # 0700, as mkdtemp makes it
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gatepass-demo-")))
        servers = {
            mode: stack.enter_context(Server(mode=mode, users={USER: PASSWORD})) for mode in MODES
        }
        clean = _clean(variables)
        room = _Room(folder, servers, clean, person, ask=ask)
        room.write_files()
        yield chain(room.steps(), _oidc_rounds(folder, clean, stack))


def _clean(variables: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in variables.items()
        if not name.upper().startswith("GATEPASS_") or name.upper() in _KEPT
    }
    # The exercise's own file holds a command, and nobody else can have written it.
    return {**kept, VARIABLE: PASSWORD, "GATEPASS_ALLOW_COMMANDS": "1"}


class _Room:
    """The folder, the servers and the world of one exercise."""

    def __init__(
        self,
        folder: Path,
        servers: Mapping[str, Server],
        environ: Mapping[str, str],
        terminal: Terminal,
        *,
        ask: bool,
    ) -> None:
        self._servers = servers
        self._server = servers["standalone"]
        self._environ = environ
        self._terminal = terminal
        self._ask = ask
        self._secret_file = folder / _SECRET_FILE
        self._config_file = folder / "profiles.toml"
        self._references: dict[str, Any] = {
            "env": f"env:{VARIABLE}",
            "file": f"file:{_SECRET_FILE}",
            "keyring": "keyring:",
            "command": {
                "command": [sys.executable or "python", "-c", _PRINT_FILE, str(self._secret_file)]
            },
            "prompt": f"prompt:Password of {USER} at the practice server (it is: {PASSWORD})",
        }

    def write_files(self) -> None:
        _write_private(self._secret_file, f"{PASSWORD}\n")
        _write_private(self._config_file, self._toml())

    def steps(self) -> Iterator[Introduction | Trial | Pairing]:
        yield Introduction(self._server.url, self._config_file, self._toml(), self._python())
        yield self._try("env")
        yield self._try("file")
        yield self._try_keyring()
        yield self._try_command()
        yield self._try_prompt()
        for scheme in SCHEMES:
            for mode in MODES:
                yield self._pair(mode, scheme)

    def _toml(self) -> str:
        import tomli_w

        (first, reference), *others = self._references.items()
        profiles: dict[str, Any] = {
            first: {
                "url": self._server.url,
                "proxy": "none",  # loopback: a proxy of the environment would not find it
                "auth": {"scheme": "basic", "user_name": USER, "password": reference},
            }
        }
        for source, another in others:
            profiles[source] = {"extends": first, "auth": {"password": another}}
        return tomli_w.dumps({"profiles": profiles})

    def _python(self) -> str:
        return (
            "from gatepass import Session\n"
            "\n"
            "mi = Session.from_profile(\n"
            f'    "env", config_file={str(self._config_file)!r}\n'
            ")\n"
            f'print(mi.get("{PAGE}").json())\n'
        )

    def _plan(self, source: str) -> Trial:
        import tomli_w

        reference = self._references[source]
        if not isinstance(reference, dict):
            return Trial(source, tomli_w.dumps({"password": reference}).strip())
        # On one line, as a person would write it; tomli_w makes a table of its own.
        inner = " ".join(line.strip() for line in tomli_w.dumps(reference).splitlines())
        return Trial(source, f"password = {{ {inner} }}")

    def _try(self, source: str) -> Trial:
        """Get the page with the profile of a source."""
        plan, visit = self._plan(source), _Visit(self._server)
        try:
            self._get_page(source)
        except GatepassError as error:
            plan = replace(plan, problem=error.message, hint=error.hint)
        return replace(plan, **visit.outcome())

    def _pair(self, mode: str, scheme: str) -> Pairing:
        """Use the first profile at a server of that mode, with that scheme."""
        from gatepass._session.exceptions import SchemeNotOffered

        pairing, server = Pairing(mode, scheme), self._servers[mode]
        visit = _Visit(server)
        auth = {"scheme": scheme, "user_name": USER, "password": ref(f"env:{VARIABLE}")}
        try:
            self._get_page("env", {"url": server.url, "auth": auth})
        except SchemeNotOffered as error:
            pairing = replace(pairing, not_offered=error.message)
        except GatepassError as error:
            pairing = replace(pairing, problem=error.message, hint=error.hint)
        return replace(pairing, **visit.outcome())

    def _get_page(self, profile: str, overrides: Mapping[str, Any] | None = None) -> None:
        """Open a session and make one request, as a user's script would."""
        from gatepass._session.session import Session

        with Session.from_profile(
            profile,
            config_file=self._config_file,
            overrides=overrides,
            environ=self._environ,
            terminal=self._terminal,
        ) as session:
            session.get(PAGE)

    def _try_command(self) -> Trial:
        if not sys.executable:
            return replace(self._plan("command"), skipped="this Python does not know its own path")
        note = (
            "a command runs only from your own file, or where allow_commands = true; "
            "this exercise allows its own"
        )
        return replace(self._try("command"), note=note)

    def _try_prompt(self) -> Trial:
        if not self._ask:
            return replace(self._plan("prompt"), skipped="gatepass demo --ask tries it")
        reason = self._terminal.why_not_ask()
        if reason is not None:
            return replace(self._plan("prompt"), skipped=f"it needs a person, and {reason}")
        return self._try("prompt")

    def _try_keyring(self) -> Trial:
        """Store an entry, use it, remove it; or say why this machine's keyring is not used."""
        from gatepass.sandbox._temporary_keyring_entry import lent_entry
        from gatepass.secrets import keyring

        plan = self._plan("keyring")
        try:
            context = self._keyring_context()
            service, account = keyring.entry("", context)
            with lent_entry(service, account, PASSWORD, context):
                trial = self._try("keyring")
        except SecretUnavailable as error:
            return replace(plan, skipped=error.message, hint=error.hint)
        except GatepassError as error:
            return replace(plan, problem=error.message, hint=error.hint)
        return replace(trial, note=f"entry {account} of service {service}, removed again")

    def _keyring_context(self) -> SecretContext:
        """What the session will give to the keyring source; reads the profile, no secret."""
        profile = load_profile("keyring", config_file=self._config_file, environ=self._environ)
        return SecretContext(
            origin=profile.origin,
            field="password",
            user_name=USER,
            base_dir=None,
            layer="file",
            environ=self._environ,
            terminal=self._terminal,
            allow_insecure_keyring=profile.machine.allow_insecure_keyring,
        )


class _Visit:
    """What arrives at a server from now on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = len(server.requests)

    def outcome(self) -> dict[str, Any]:
        """Return the last status and user, and the number of requests."""
        arrived = self._server.requests[self._before :]
        last = arrived[-1] if arrived else None
        return {
            "status": last and last.status,
            "user": last and last.user,
            "requests": len(arrived),
        }


# ---------------------------------------------------------------- OpenID Connect


def _oidc_rounds(folder: Path, environ: Mapping[str, str], stack: ExitStack) -> Iterator[Round]:
    """Go the rounds, up to the first that fails; says so where a part of gatepass is missing.

    Args:
        folder: for the profile, the vault and its key.
        environ: without settings of the user's own vault.
        stack: of the exercise; the servers of this part end with it.
    """
    try:
        place = _start_oidc(folder, environ, stack)
        for name in ROUNDS:
            gone = place.go(name)
            yield gone
            if not gone.ok:
                return  # the next one would only fail for want of this one
    except ImportError as error:
        missing = error.name or str(error)
        yield Round(ROUNDS[0], skipped=f"it needs {missing}, which cannot be imported here")


def _start_oidc(folder: Path, environ: Mapping[str, str], stack: ExitStack) -> "_SignOn":
    import joserfc.jwk  # noqa: F401 - before a port is taken by a provider that cannot do without

    from gatepass.auth._oidc.status import create_vault_key
    from gatepass.sandbox.provider import IdentityProvider

    vault, key = folder / "vault", folder / "vault.key"
    idp = stack.enter_context(IdentityProvider(users={USER: PASSWORD}, access_token_seconds=_HOUR))
    server = stack.enter_context(Server(mode="oidc", provider=idp))
    stack.callback(_let_renewals_end)
    create_vault_key(key)
    place = _SignOn(
        folder / "oidc.toml",
        {
            **{name: environ[name] for name in environ if not name.startswith("GATEPASS_VAULT")},
            "GATEPASS_VAULT": str(vault),
            "GATEPASS_VAULT_KEY": f"file:{key}",
        },
        server,
        idp,
    )
    _write_private(place.config_file, place.toml())
    return place


def _let_renewals_end() -> None:
    """Wait for a renewal that outlives Ctrl-C: it writes to the folder that goes next."""
    for thread in all_threads():
        if thread.name == "gatepass-refresh":
            thread.join()


@dataclass(frozen=True, slots=True)
class _SignOn:
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

    def go(self, name: str) -> Round:
        """Go one round; each has a session of its own, as another process would."""
        planned = Round(name, self.toml(), _LOGIN if name == ROUNDS[0] else _RUN)
        visit, before = _Visit(self.server), len(self.idp.requests)
        try:
            if name == "renewal":
                self._end_access_token()
                visit, before = _Visit(self.server), len(self.idp.requests)
            with self._session(person=name == ROUNDS[0]) as session:
                if name == ROUNDS[0]:
                    session.persist_oidc_token()
                session.get(PAGE)
        except GatepassError as error:
            planned = replace(planned, problem=error.message, hint=error.hint)
        asked = len(self.idp.requests) - before
        return replace(planned, **visit.outcome(), provider_requests=asked)

    def _end_access_token(self) -> None:
        """Log in once more, at a provider that says that the access token has ended already."""
        self.idp.set_access_token_seconds(0)
        try:
            with self._session(person=True) as session:
                session.login()
        finally:
            self.idp.set_access_token_seconds(_HOUR)

    def _session(self, *, person: bool) -> "Session":
        from gatepass._session.session import Session

        overrides = {"use_stored_token": False, "login_timeout": _PATIENCE} if person else {}
        return Session.from_profile(
            "nightly",
            config_file=self.config_file,
            overrides={"auth": overrides},
            environ=self.environ,
            terminal=self._stand_in() if person else Terminal(self.environ, interactive=False),
        )

    def _stand_in(self) -> Terminal:
        """A person who sees nothing and has a browser that logs in by itself."""
        return Terminal(
            self.environ,
            interactive=True,
            write=lambda _: None,
            open_url=self._browse,
            open_console=lambda _: None,
        )

    def _browse(self, url: str) -> None:
        import requests

        with requests.Session() as browser:
            browser.trust_env = False  # a proxy of the environment would not find this machine
            browser.get(self.idp.sign_in(url, USER), timeout=_PATIENCE)


def _write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    files.create(path, text.encode())
