"""A server that demands channel binding (Extended Protection), as Windows may; Apache cannot.

It offers Negotiate and NTLM over https. Kerberos is judged by GSSAPI itself, NTLM by pyspnego;
login and handshake belong to the connection. It shares no code with the sandbox of gatepass.

MIT's acceptor refuses a wrong binding by itself. A ticket without any passes it, but lacks the
flag "channel bound" (MIT Kerberos 1.19); this server refuses that too, as Windows does.

This file is also the program that runs as that server, in an environment of its own, since the
Kerberos and NTLM libraries read their keys from variables.
"""

import base64
import hashlib
import json
import ssl
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

# What NTLM knows; Kerberos knows the users of the realm.
USERS = {r"CORP\alice": "pw-alice", r"CORP\zoë": "pässwörd"}

_CHANNEL_BOUND = 0x800  # GSS_C_CHANNEL_BOUND_FLAG
_SPNEGO, _KERBEROS = "1.3.6.1.5.5.2", "1.2.840.113554.1.2.2"


# ---------------------------------------------------------------- for the tests


@dataclass(frozen=True)
class EpaServer:
    """A running server, as seen by one test.

    `url` ends in a slash. Every path answers ``{"user": ..., "protocol": ..., "body_bytes": ...,
    "body_sha256": ...}``.
    """

    url: str
    _log: Path
    _start: int = 0

    def from_now_on(self) -> "EpaServer":
        """Return the same server with counters that begin at zero."""
        return EpaServer(self.url, self._log, len(self._lines()))

    @property
    def accepted(self) -> Counter[str]:
        """How many logins were accepted, by `kerberos` and `ntlm`."""
        return self._count("accepted")

    @property
    def refused(self) -> Counter[str]:
        """How many were refused, for whatever reason, by `kerberos` and `ntlm`."""
        return self._count("refused")

    @property
    def unbound(self) -> Counter[str]:
        """How many of these came with a wrong channel binding, or with none."""
        return self._count("refused", "BadBindingsError", "BadChannelBindingsError")

    def _count(self, what: str, *why: str) -> Counter[str]:
        words = [line.split() for line in self._lines()[self._start :]]
        return Counter(
            protocol
            for word, protocol, reason in words
            if word == what and (not why or reason in why)
        )

    def _lines(self) -> list[str]:
        return self._log.read_text(encoding="utf-8").splitlines()


@contextmanager
def epa(
    folder: Path, *, chain: Path, key: Path, krb5_conf: Path, service_keytab: Path
) -> Iterator[EpaServer]:
    """Serve on `localhost` with that certificate and that key of Kerberos."""
    from tests.support.peers.daemon import running
    from tests.support.peers.environ import clean_environ
    from tests.support.peers.waiting import accepts, free_port

    folder.mkdir()
    port, log, users = free_port(), folder / "output.log", folder / "ntlm.users"
    users.touch(mode=0o600)
    lines = [f"{name.replace(chr(92), ':')}:{password}\n" for name, password in USERS.items()]
    users.write_text("".join(lines), encoding="utf-8")
    environ = clean_environ(
        folder,
        KRB5_CONFIG=str(krb5_conf),
        KRB5_KTNAME=f"FILE:{service_keytab}",
        KRB5RCACHENAME="none:",
        NTLM_USER_FILE=str(users),
        PYTHONDONTWRITEBYTECODE="1",
    )
    argv = [sys.executable, __file__, str(port), str(chain), str(key)]
    with running(argv, environ=environ, log=log, ready=lambda: accepts(port)):
        yield EpaServer(f"https://localhost:{port}/", log)


# ---------------------------------------------------------------- the server


class BadBindingsError(Exception):
    """No channel binding, or one that cannot be checked."""


class _Kerberos:
    """Kerberos within SPNEGO, by GSSAPI."""

    protocol = "kerberos"

    def __init__(self, binding: bytes) -> None:
        gssapi: Any = import_module("gssapi")  # no types where it is not installed
        spnego, kerberos = map(gssapi.OID.from_int_seq, (_SPNEGO, _KERBEROS))
        own = gssapi.Credentials(usage="accept", mechs=[spnego])
        gssapi.raw.set_neg_mechs(own, [kerberos])  # not the NTLM of gss-ntlmssp
        bindings = gssapi.raw.ChannelBindings(application_data=binding)
        self._context: Any = gssapi.SecurityContext(
            creds=own, usage="accept", channel_bindings=bindings
        )

    @property
    def complete(self) -> bool:
        return bool(self._context.complete)

    @property
    def user(self) -> str:
        return str(self._context.initiator_name)

    def step(self, token: bytes) -> bytes | None:
        answer: bytes | None = self._context.step(token)
        if self.complete and not int(self._context.actual_flags) & _CHANNEL_BOUND:
            raise BadBindingsError
        return answer


class _Ntlm:
    """NTLM by pyspnego, as it is or within SPNEGO."""

    protocol = "ntlm"

    def __init__(self, binding: bytes, word: str) -> None:
        import spnego
        from spnego.channel_bindings import GssChannelBindings

        options = spnego.NegotiateOptions
        self._context = spnego.server(
            protocol=word.lower(),
            options=options.use_ntlm if word == "NTLM" else options.use_negotiate,
            channel_bindings=GssChannelBindings(application_data=binding),
        )

    @property
    def complete(self) -> bool:
        return self._context.complete

    @property
    def user(self) -> str:
        return str(self._context.client_principal)

    def step(self, token: bytes) -> bytes | None:
        return self._context.step(token)


class _Connection(BaseHTTPRequestHandler):
    """HTTP/1.1 on one connection, with its login."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    binding = b""
    login: "_Kerberos | _Ntlm | None" = None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Write nothing: the log holds the logins."""

    def do_GET(self) -> None:
        body = self._body()
        word, _, text = self.headers.get("Authorization", "").partition(" ")
        if word in {"Negotiate", "NTLM"}:
            self._shake(word, base64.b64decode(text), body)
        elif self.login is not None and self.login.complete:
            self._welcome(self.login, body, ())
        else:
            self._answer(401, ("Negotiate", "NTLM"))

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the names of http.server

    def _shake(self, word: str, token: bytes, body: bytes) -> None:
        if self.login is None or self.login.complete:
            ntlm = word == "NTLM" or b"NTLMSSP\0" in token
            self.login = _Ntlm(self.binding, word) if ntlm else _Kerberos(self.binding)
        login = self.login
        try:
            answer = login.step(token)
        except Exception as error:  # noqa: BLE001 - whatever a client's message brings about
            self.login = None
            _tell("refused", login.protocol, type(error).__name__)
            self._answer(401, ("Negotiate", "NTLM"))
            return
        tokens = (f"{word} {base64.b64encode(answer).decode()}",) if answer else ()
        if login.complete:
            _tell("accepted", login.protocol, "-")
            self._welcome(login, body, tokens)
        else:
            self._answer(401, tokens)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _welcome(self, login: "_Kerberos | _Ntlm", body: bytes, tokens: tuple[str, ...]) -> None:
        details = {
            "user": login.user,
            "protocol": login.protocol,
            "body_bytes": len(body),
            "body_sha256": hashlib.sha256(body).hexdigest(),
        }
        self._answer(200, tokens, json.dumps(details).encode())

    def _answer(self, status: int, challenges: tuple[str, ...], content: bytes = b"") -> None:
        self.send_response(status)
        for challenge in challenges:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Listener(ThreadingHTTPServer):
    """Accepts TLS connections; the handshake waits for the thread of the connection."""

    daemon_threads = True

    def __init__(self, port: int, chain: str, key: str) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(chain, key)
        super().__init__(("127.0.0.1", port), _Connection)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        connection, address = super().get_request()
        secured = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return secured, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that go away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _tell(*words: str) -> None:
    """Write a line to the log, before the client has its answer."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def _serve(port: int, chain: str, key: str) -> None:
    text = Path(chain).read_text(encoding="ascii")
    first = text.partition("-----END CERTIFICATE-----")
    own = ssl.PEM_cert_to_DER_cert(first[0] + first[1])
    # The certificates of trustme are signed with SHA-256 (RFC 5929, section 4.1).
    _Connection.binding = b"tls-server-end-point:" + hashlib.sha256(own).digest()
    _Listener(port, chain, key).serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
