"""The server as a context manager."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self

from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._running import Certificate, Running
from gatepass.sandbox._server.login import MODES, login_for

if TYPE_CHECKING:
    from gatepass.sandbox._server.http import ServerListener
    from gatepass.sandbox.provider import IdentityProvider

Answers = Mapping[str, object] | str | os.PathLike[str] | None
"""A folder, or path → JSON, text or bytes; None is none."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it arrived and as it was answered.

    Attributes:
        connection: number of the connection, from 1, in the order of their arrival.
        number: number of the request on that connection, from 1.
        method: such as ``GET``.
        path: path and query, as sent.
        user: who was logged on; None for no user.
        status: of the answer.
        has_authorization: whether an ``Authorization`` header came.
        scheme: its first word in lower case when that is a known scheme, ``other`` when not;
            None without the header.
        header_names: names of all headers, in lower case.
        body_length: bytes of the body, after the chunks are taken apart.
        body_sha256: SHA-256 of these bytes, in hexadecimal.
    """

    connection: int
    number: int
    method: str
    path: str
    user: str | None
    status: int
    has_authorization: bool
    scheme: str | None
    header_names: frozenset[str]
    body_length: int
    body_sha256: str


@dataclass(frozen=True, eq=False)
class Server(Running["ServerListener"]):
    r"""A loopback server that stands in for a Granta Service Layer.

    Runs inside ``with``; may be used again afterwards, then with empty records. What was recorded
    stays readable after the end.

    Attributes:
        mode: ``standalone`` (HTTP Basic), ``windows`` (Negotiate and NTLM), ``mixed`` (all three),
            ``oidc`` (access tokens) or ``open`` (no login).
        users: name → password; ``CORP\alice`` and ``alice`` are two names.
        lock_after: so many wrong passwords in a row lock an account; None never locks.
        port: the TCP port on 127.0.0.1; 0 takes a free one.
        certificate: (certificate file, key file) for https; None is plain http.
        provider: of mode ``oidc``: the identity provider whose access tokens are good. It must run
            when the server starts.
        redirect_uri: of mode ``oidc``: where clients are told to listen, such as
            ``http://localhost:8765/``; None names a free port.
        answers: answers of one's own, before the server's: a folder whose files are served, or
            path → what is answered: JSON as lists and dicts, a text, or bytes. Paths begin below
            the service's, such as ``api/parts``; a query is left out.

    Raises:
        ValueError: no such mode, a name that HTTP Basic cannot send, ``lock_after`` below 1, or
            mode ``oidc`` without a provider.
    """

    what: ClassVar[str] = "server"

    mode: str = "standalone"
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    lock_after: int | None = None
    port: int = 0
    certificate: Certificate | None = None
    provider: "IdentityProvider | None" = None
    redirect_uri: str | None = None
    answers: Answers = None
    _listeners: "list[ServerListener]" = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"no mode {self.mode!r}; there are {', '.join(MODES)}")
        if any(":" in name for name in self.users):
            raise ValueError("HTTP Basic cannot send a user name that holds a colon (RFC 7617)")
        if self.lock_after is not None and self.lock_after < 1:
            raise ValueError("lock_after is a number from 1, or None")
        if (self.mode == "oidc") != (self.provider is not None):
            raise ValueError("provider belongs to mode oidc, and mode oidc takes one")
        object.__setattr__(self, "users", MappingProxyType(dict(self.users)))

    def __enter__(self) -> Self:
        """Start to listen.

        Raises:
            OSError: the port is taken, or the certificate cannot be read.
            RuntimeError: it runs already.
        """
        from gatepass.sandbox._server.http import ServerListener

        self._refuse_to_run_twice()
        accounts = Accounts(self.users, self.lock_after)
        login = login_for(self.mode, accounts, self.provider, self.redirect_uri)
        self._begin(ServerListener(self.port, self._tls(), login, accounts, self.answers))
        return self

    @property
    def url(self) -> str:
        """The service's URL, such as ``http://127.0.0.1:PORT/mi_servicelayer/``."""
        from gatepass.sandbox._server.pages import PREFIX

        return f"{self._listener.origin}{PREFIX}"

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests so far, in the order in which they were answered."""
        return tuple(self._listener.records)

    def attempts(self, user: str) -> int:
        """Return how many wrong passwords came for that name, also for an unknown one."""
        return self._listener.accounts.attempts(user)
