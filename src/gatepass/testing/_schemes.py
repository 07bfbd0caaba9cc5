"""The contract of an authentication scheme, for packages that bring one.

Each check uses the scheme as a user does: by its name, from a file, through the validator, in a
``Session`` at a server of its own on this machine.
"""

import copy
import datetime as dt
import logging
import pickle
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Barrier
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from urllib.parse import quote

import pytest

from gatepass._config.load import load_profile
from gatepass._system import files, plugins
from gatepass._system.context import RunContext
from gatepass._value import fields
from gatepass.errors import GatepassError, PluginError, ProfileError, SecretUnavailable
from gatepass.secrets import Secret
from gatepass.testing._watch import fail, shows, watching

if TYPE_CHECKING:
    from gatepass._config.profile import Profile
    from gatepass._session.session import Session

_PAGE: Final = "page"
_NOWHERE: Final = "http://127.0.0.1:1/mi/"  # nobody listens on port 1
_WAIT: Final = 60.0  # seconds for what takes a fraction of one
_THREADS: Final = 8
_A_DATE: Final = dt.date(2024, 2, 29)  # TOML has dates, and no key of a scheme is one


class ContractServer(Protocol):
    """A server that a scheme logs on to; :class:`gatepass.sandbox.Server` is one."""

    @property
    def url(self) -> str:
        """Where it is; its page ``redirect?to=URL`` redirects."""

    @property
    def requests(self) -> Sequence[object]:
        """What arrived so far."""


class SchemeContract:
    """Checks that a scheme keeps what sessions promise; derive a class ``Test...`` from it.

    The package must be installed (``pip install -e .``), because profiles find a scheme by its
    entry point. ::

        class TestApiKey(SchemeContract):
            scheme = "api-key"
            keys = {"header": "X-Api-Key"}
            secrets = {"key": "k-123-456"}

    Attributes:
        scheme: the entry point's name, the word in ``auth.scheme``.
        keys: the other keys of the table ``auth``, as a file would hold them.
        secrets: the keys that hold a secret, each with a value that the scheme could send, of 8
            characters or more. The contract puts each into a variable of its own and writes the
            reference.
        challenges: what the server's 401 says in ``WWW-Authenticate``, for a scheme that waits to
            be asked.
        messages: how many requests one login takes at most: 1 where the credentials go along at
            once, 2 where the server asks first, more for a handshake.
    """

    scheme: ClassVar[str]
    keys: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    secrets: ClassVar[Mapping[str, str]] = MappingProxyType({})
    challenges: ClassVar[Sequence[str]] = ()
    messages: ClassVar[int] = 1

    def server(self, *, accepts: bool) -> AbstractContextManager[ContractServer]:
        """Return a server to log on to, for a ``with`` block.

        By default it accepts every request that holds more than an anonymous one would: a header,
        or a part of the query. Override it where a login takes more than that.

        Args:
            accepts: whether ``secrets`` are right there; otherwise each login is refused.
        """
        from gatepass.testing._loopback import Loopback

        sends = getattr(self._kind(), "sends_credentials", True)
        return Loopback(self.challenges, demands=sends, refuses=not accepts).running()

    # ------------------------------------------------------------ the class

    def test_the_entry_point_loads_under_its_name(self) -> None:
        try:
            self._kind()
        except PluginError as error:
            fail(
                f"{error}\nwrite it into pyproject.toml and install the package again "
                "(pip install -e .):\n"
                f'[project.entry-points."gatepass.auth"]\n{self.scheme} = "module:Class"'
            )

    def test_it_is_a_frozen_dataclass_that_answers_in_lower_case(self) -> None:
        kind = self._kind()
        parameters = getattr(kind, "__dataclass_params__", None)
        if not (parameters and parameters.frozen):
            fail(
                f"{_name(kind)} is not frozen: write @dataclass(frozen=True) above it, and keep "
                "what changes in the object that authenticator() returns; sessions share a scheme"
            )
        answers: object = getattr(kind, "answers", frozenset())
        if not isinstance(answers, frozenset) or any(each != each.lower() for each in answers):
            fail(
                f"{_name(kind)}.answers should be a frozenset of names in lower case, since they "
                "are compared with those of WWW-Authenticate in lower case: answers: "
                'ClassVar[frozenset[str]] = frozenset({"apikey"})'
            )

    # ------------------------------------------------------------ the keys

    def test_every_key_has_a_type_and_a_description(self) -> None:
        accepted = [
            name
            for name in (*self.keys, *self.secrets, "no_such_key")
            if not self._is_refused({name: _A_DATE})
        ]
        if accepted:
            fail(
                f"a date is accepted as {' and '.join(accepted)}: annotate each field with the "
                "type that it takes, not with Any or object; what the validator accepts is sent"
            )
        bare = self._undescribed()
        if bare:
            fail(
                f"editors show nothing about {' and '.join(bare)}: describe each field in the "
                "section Attributes: of the docstring of the class"
            )

    def test_a_literal_secret_in_a_file_is_refused_and_not_repeated(self) -> None:
        for name, secret in self.secrets.items():
            try:
                self._profile(_NOWHERE, {name: secret})
            except ProfileError as error:
                if shows(str(error), [secret]):
                    fail(
                        f"the complaint about a literal secret in {name} repeats it: do not put "
                        "the value into what __post_init__ or a validator raises"
                    )
                continue
            fail(
                f"a file may hold the secret {name} itself: annotate the field with "
                "gatepass.SecretField, so that files take references only"
            )

    # ------------------------------------------------------------ building

    def test_building_a_session_opens_no_connection(self) -> None:
        with (
            self.server(accepts=True) as server,
            watching() as watch,
            self._session(server.url),
        ):
            pass
        if watch.connections:
            where = ", ".join(dict.fromkeys(watch.connections))
            fail(
                f"authenticator() connects to {where}: do that in the object that it returns, at "
                "the first request; sessions are built where the network may be down"
            )

    def test_all_that_is_missing_is_told_at_once(self) -> None:
        self._need_secrets()
        try:
            self._session(_NOWHERE, environ={}).close()
        except SecretUnavailable as error:
            message = str(error)
        else:
            fail(
                "a session is built although its secrets are missing: resolve them in "
                "authenticator(), not at the first request"
            )
        silent = [name for name in self.secrets if _variable(name) not in message]
        if silent:
            fail(
                f"the error does not tell that {' and '.join(silent)} is missing too: give all "
                "fields to context.resolve() in one call"
            )

    # ------------------------------------------------------------ requests

    def test_the_login_goes_along_with_requests_of_all_threads(self) -> None:
        from gatepass.testing._loopback import Arrival

        with self.server(accepts=True) as server, self._session(server.url) as session:
            self._get(session)
            arrived = list(server.requests)
            failures = self._get_in_threads(session)
        came = any(isinstance(each, Arrival) and each.carries for each in arrived)
        if came and not getattr(self._kind(), "sends_credentials", True):
            fail(
                "it sends something and says that it sends no credentials: remove "
                "sends_credentials = False, which permits plain http to other machines"
            )
        if failures:
            fail(
                f"requests of several threads failed with {', '.join(sorted(failures))}: keep "
                "nothing in the auth that belongs to one thread or one request"
            )

    def test_other_servers_get_nothing(self) -> None:
        from gatepass.testing._loopback import Loopback

        with Loopback().running() as other, self.server(accepts=True) as server:
            with self._session(server.url) as session:
                self._get(session, f"redirect?to={quote(other.url, safe='')}")
                self._get(session, other.url)
            given = [each for each in other.requests if each.carries]
        if given:
            fail(
                "another server got more than an anonymous request: set headers in the auth only, "
                "and do not follow redirects or call other servers with the secret; the session "
                "keeps the login at its own server as long as the scheme leaves that to it"
            )

    def test_a_refused_login_is_tried_once(self) -> None:
        from gatepass._session.exceptions import LoginRefused

        if not getattr(self._kind(), "sends_credentials", True):
            pytest.skip("it sends no credentials")
        counts = []
        with self.server(accepts=False) as server, self._session(server.url) as session:
            for _ in range(2):
                with pytest.raises(LoginRefused):
                    session.get(_PAGE)
                counts.append(len(server.requests))
        if counts[0] > self.messages:
            fail(
                f"a refused login took {counts[0]} requests, not {self.messages}: send the "
                "credentials once and return the 401; each attempt counts where accounts are "
                "locked (a login of several messages says so by `messages`)"
            )
        if counts[1] != counts[0]:
            fail(
                "after a refusal the next request went out again: the answer that the auth "
                "returns must be the server's own, with the request that it answers"
            )

    # ------------------------------------------------------------ the secret

    def test_no_repr_and_no_log_shows_the_secret(self, caplog: pytest.LogCaptureFixture) -> None:
        self._need_secrets()
        with self._session(_NOWHERE) as session:
            authenticator = session._login.authenticator  # noqa: SLF001 - what the scheme made
            for thing in (session.profile.auth, authenticator, self._with_values(), session):
                for text in (repr(thing), str(thing), f"{thing}"):
                    if shows(text, self.secrets.values()):
                        fail(
                            f"{_name(type(thing))} prints the secret: hold it in gatepass.Secret "
                            "and call reveal() where it is sent, or set repr=False"
                        )
        with (
            caplog.at_level(logging.DEBUG),
            self.server(accepts=True) as server,
            self._session(server.url) as session,
        ):
            self._get(session)
        if shows(caplog.text, self.secrets.values()):
            fail(
                "a log of level DEBUG shows the secret: log no headers, and put it into a header, "
                "not into the URL, which urllib3 logs"
            )

    def test_no_error_shows_the_secret(self) -> None:
        self._need_secrets()
        for error in self._errors():
            if isinstance(error, PluginError):  # what another package raised
                fail(
                    f"a secret that cannot be sent makes the scheme fail: {error.message}\nraise "
                    "gatepass.GatepassError with a hint, without the value; raise it from None "
                    "where a cause may hold it"
                )
            if isinstance(error, GatepassError | OSError):  # requests' errors are OSErrors
                shown = "".join(traceback.format_exception(error))
                if shows(shown, self.secrets.values()) or shows(str(error), self.secrets.values()):
                    fail(
                        f"a {type(error).__name__} shows the secret: say what is wrong without "
                        "its value, raise from None where a cause may hold it, and put it into a "
                        "header, not into the URL"
                    )
                continue
            fail(
                f"a secret that cannot be sent ends with {type(error).__name__}: raise "
                "gatepass.GatepassError with a hint, without the value"
            )

    def test_it_travels_in_pickles_and_copies_without_the_secret(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in self._environ().items():
            monkeypatch.setenv(name, value)
        with self.server(accepts=True) as server, self._session(server.url) as session:
            content = _pickled(session)
            with pickle.loads(content) as opened:  # noqa: S301 - our own
                self._get(opened)
            with copy.deepcopy(session) as copied:
                self._get(copied)
        if shows(content + self._pickled_values(), self.secrets.values()):
            fail("a pickle holds the secret: keep it in gatepass.Secret, which refuses to travel")

    # ------------------------------------------------------------ what the checks share

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        self._folder = tmp_path
        if "entry_point" in request.function.__name__:
            return
        try:
            self._kind()
        except PluginError:
            pytest.skip("its entry point does not load; see that check")

    def _kind(self) -> Any:
        return plugins.load(plugins.AUTH, self.scheme)

    def _need_secrets(self) -> None:
        if not self.secrets:
            pytest.skip("it has no secret")

    def _environ(self) -> dict[str, str]:
        return {_variable(name): value for name, value in self.secrets.items()}

    def _profile(self, url: str, changes: Mapping[str, Any] | None = None) -> "Profile":
        """Write a file and load the profile in it."""
        import tomli_w

        from gatepass._config.locations import Locations

        references = {name: f"env:{_variable(name)}" for name in self.secrets}
        auth = {"scheme": self.scheme, **self.keys, **references, **(changes or {})}
        table = {"url": url, "proxy": "none", "retries": 0, "timeout": _WAIT, "auth": auth}
        file = self._folder / "contract.toml"
        files.replace(file, tomli_w.dumps({"profiles": {"contract": table}}).encode())
        nowhere = self._folder / "nowhere"
        return load_profile(
            "contract",
            config_file=file,
            environ={
                "GATEPASS_VAULT": str(self._folder / "vault"),
                "GATEPASS_VAULT_KEY": "env:CONTRACT_VAULT_KEY",
            },
            locations=Locations((), nowhere, nowhere, None, None),
        )

    def _session(self, url: str, environ: Mapping[str, str] | None = None) -> "Session":
        from gatepass._session.session import Session

        key = {"CONTRACT_VAULT_KEY": urlsafe_b64encode(bytes(range(32))).decode()}
        return Session._from_checked(  # noqa: SLF001 - as from_profile does, without a search
            self._profile(url),
            RunContext.of(
                environ={**key, **(self._environ() if environ is None else environ)},
                interactive=False,
            ),
        )

    def _undescribed(self) -> list[str]:
        from gatepass._config.json_schema import document

        described = document()["$defs"][f"auth.{self.scheme}"]["properties"]
        return [
            each.name
            for each in fields(self._kind())
            if not described.get(each.name, {}).get("description")
        ]

    def _is_refused(self, changes: Mapping[str, Any]) -> bool:
        try:
            self._profile(_NOWHERE, changes)
        except ProfileError:
            return True
        return False

    def _get(self, session: "Session", url: str = _PAGE) -> None:
        """Make a request, which must be answered with success."""
        from gatepass._session.exceptions import LoginRefused

        try:
            status = session.get(url).status_code
        except LoginRefused as error:
            fail(
                f"the server did not let it in: {error.message}\nset the credentials on the "
                "request in the auth that authenticator() returns, or set `challenges`, or "
                "override server() with one that the scheme is for"
            )
        if status != 200:  # noqa: PLR2004 - HTTP's OK
            fail(f"the server answered {status} instead of 200 to a request with the login")

    def _get_in_threads(self, session: "Session") -> set[str]:
        """Make requests of several threads at once; return the types of their errors."""
        barrier = Barrier(_THREADS)

        def get() -> None:
            barrier.wait(_WAIT)
            self._get(session)

        with ThreadPoolExecutor(_THREADS) as pool:
            running = [pool.submit(get) for _ in range(_THREADS)]
            errors = [each.exception() for each in running]
        return {type(each).__name__ for each in errors if each is not None}

    def _with_values(self) -> Any:
        """Return the scheme with secrets that were given in Python as values."""
        from gatepass._config.unnamed import unnamed_profile

        values = {name: Secret(value) for name, value in self.secrets.items()}
        return unnamed_profile(_NOWHERE, {"scheme": self.scheme, **self.keys, **values}).auth

    def _pickled_values(self) -> bytes:
        if not self.secrets:
            return b""
        try:
            return pickle.dumps(self._with_values())
        except (TypeError, pickle.PicklingError):
            return b""  # gatepass.Secret refuses

    def _errors(self) -> Iterator[BaseException]:
        """Go wrong in every way that a server and a secret allow."""
        with self.server(accepts=False) as server:
            yield from self._error(server.url, {})
        yield from self._error(_NOWHERE, {})
        with self.server(accepts=True) as server:
            for name, value in self.secrets.items():
                yield from self._error(server.url, {_variable(name): f"{value}\r\nX-Injected: 1"})

    def _error(self, url: str, environ: Mapping[str, str]) -> Iterator[BaseException]:
        try:
            with self._session(url, {**self._environ(), **environ}) as session:
                session.get(_PAGE)
        except Exception as error:  # noqa: BLE001 - which kind it is, is the question
            yield error


def _variable(name: str) -> str:
    return f"CONTRACT_{name.upper()}"


def _name(kind: Any) -> str:
    return str(getattr(kind, "__qualname__", kind))


def _pickled(session: "Session") -> bytes:
    try:
        return pickle.dumps(session)
    except Exception as error:  # noqa: BLE001 - a scheme may hold anything
        fail(
            f"a session with it cannot be pickled ({type(error).__name__}: {error}): keep locks, "
            "connections and functions in the object that authenticator() returns, not in the "
            "scheme; pools send sessions to their workers"
        )
