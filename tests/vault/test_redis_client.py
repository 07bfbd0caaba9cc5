"""The connection to a redis: TLS, credentials, garbage, and what its errors mean."""

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from gatepass._vault.diagnose import diagnose
from gatepass._vault.records import InFlight
from gatepass._vault.redis_client import Server
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.vault import Vault
from gatepass.errors import VaultError
from gatepass.secrets import Secret
from tests.support.peers.ca import Certificate, CertificateAuthority
from tests.support.peers.environ import clean_environ
from tests.support.peers.redis_server import Redis, redis_server
from tests.support.peers.waiting import free_port
from tests.support.secret_context import PYTHONPATH
from tests.support.vaults import (
    IDENTITY,
    NOW,
    PASSWORD,
    RECORD,
    SPENT,
    at,
    below,
    fresh,
    given,
    with_token,
)


@contextmanager
def answering(*lines: bytes) -> Iterator[int]:
    """Listen on a port; answer each command with these lines, or never without any."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done: list[socket.socket] = []

        def serve() -> None:
            connection, _ = listener.accept()
            done.append(connection)
            with connection:
                while connection.recv(65536):
                    connection.sendall(b"".join(lines))

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(30)


def test_a_redis_that_never_answers_is_given_up_after_a_deadline() -> None:
    with answering() as port:
        its = RedisStore(Server("127.0.0.1", port, 0, seconds=0.2))
        with pytest.raises(VaultError, match="did not answer within 0.2 s"):
            its.count()


@contextmanager
def babbling(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """Listen on a port; do something with each connection that has asked something."""
    open_ones: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:

        def serve(connection: socket.socket) -> None:
            open_ones.append(connection)
            with connection, suppress(OSError):
                while connection.recv(65536):
                    talk(connection)

        def listen() -> None:
            with suppress(OSError):  # the listener is shut down
                while True:
                    threads.submit(serve, listener.accept()[0])

        threads.submit(listen)
        try:
            yield listener.getsockname()[1]
        finally:
            for each in (listener, *open_ones):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            listener.close()  # Windows ends no `accept` at a shutdown


NONSENSE = [
    b":abc\r\n",
    b":-1\r\n",
    b"$abc\r\n",
    b"$99999999999999999999\r\nabc",
    b"*1\r\n" * 5000,
    b"*0\r\n",
    b"*2\r\n*0\r\n*0\r\n",
    b"$5\r\nhello\r\n",
    b"-MOVED rubbish\r\n",
    b"-ASK\r\n",
    b"-\r\n",
    b"\xff\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
]


@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: repr(answer[:12]))
def test_nonsense_for_an_answer_is_an_error_of_the_vault(answer: bytes) -> None:
    """Anything else would get past what keeps a token that could not be written."""
    with babbling(lambda connection: connection.sendall(answer)) as port:
        store = RedisStore(Server("127.0.0.1", port, 0, seconds=20.0))
        its = Vault(store, given(), clock=lambda: NOW, lock_timeout=0.0)
        for use in (its.read, its.remove, its.read_in_flight, lambda _: its.list_records()):
            with suppress(VaultError):
                use(IDENTITY)
        with pytest.raises(VaultError):
            its.write_refreshed(IDENTITY, fresh(), spent=SPENT)
        with pytest.raises(VaultError):
            its.write(IDENTITY, RECORD)
        findings = diagnose(store)

    assert {each.verdict for each in findings} <= {"problem", "warning"}


def test_an_answer_that_never_ends_takes_neither_memory_nor_time() -> None:
    """One byte now and then meets any timeout of a socket."""
    with babbling(lambda connection: endless(connection, b"$9999999999\r\n", b"x" * 65536)) as port:
        store = RedisStore(Server("127.0.0.1", port, 0, seconds=60.0))
        with pytest.raises(VaultError, match="answers as no redis does"):
            store.count()
    with babbling(lambda connection: endless(connection, b"+", b"x", 0.02)) as port:
        store = RedisStore(Server("127.0.0.1", port, 0, seconds=0.3))
        with pytest.raises(VaultError, match="did not answer within 0.3 s"):
            store.count()


def endless(connection: socket.socket, begin: bytes, part: bytes, seconds: float = 0.0) -> None:
    """Send an answer without end, until the other side has gone."""
    connection.sendall(begin)
    while True:
        connection.sendall(part)
        time.sleep(seconds)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"MOVED 1234 127.0.0.1:6381", "belongs to a cluster"),
        (b"CROSSSLOT Keys in request don't hash to the same slot", "belongs to a cluster"),
        (b"CLUSTERDOWN Hash slot not served", "belongs to a cluster"),
        (b"DENIED Redis is running in protected mode because", "has no password"),
        (b"MASTERDOWN Link with MASTER is down", "a replica that has lost its primary"),
        (b"LOADING Redis is loading the dataset in memory", "is starting"),
        (b"ERR max number of clients reached", "takes no more connections"),
        (b"ERR unknown command 'EVAL', with args beginning with: 'canary'", "not know a command"),
    ],
)
def test_what_redis_refuses_is_told_in_our_words(answer: bytes, said: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"-%s\r\n" % answer)

    with babbling(talk) as port:
        store = RedisStore(Server("127.0.0.1", port, 0))
        with pytest.raises(VaultError, match=said) as caught:
            store.count()

    assert "canary" not in str(caught.value)
    assert caught.value.hint


def test_a_server_that_repeats_the_password_is_not_quoted() -> None:
    """As a redis without AUTH does. Neither the error nor its traceback holds it."""
    line = f"-ERR unknown command 'AUTH', with args beginning with: '{PASSWORD}'\r\n".encode()
    with answering(line) as port:
        store = RedisStore(
            Server("127.0.0.1", port, 0, credentials=lambda: (None, Secret(PASSWORD)))
        )
        with pytest.raises(VaultError) as caught:
            store.count()

    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in below(caught.value)
    assert caught.value.__context__ is None
    assert PASSWORD not in repr(store)


@pytest.fixture(scope="module")
def guarded(peers_folder: Path) -> Iterator[Redis]:
    """A redis with a password, and a user who may do what the page says."""
    rights = "~gatepass:* +hget +hset +hdel +hlen +hgetall +get +set +del +pexpire +exists +eval"
    settings = [
        f"requirepass {PASSWORD}",
        f"user svc on >{PASSWORD} {rights} +select +ping",
        f"user nobody on >{PASSWORD} +ping",
    ]
    with redis_server(peers_folder / "guarded", settings=settings) as running:
        yield running


def test_the_rights_that_the_message_names_are_enough(guarded: Redis) -> None:
    its = at(guarded, credentials=lambda: ("svc", Secret(PASSWORD)))
    with its.lock(IDENTITY, seconds=5):
        its.keep_lock(IDENTITY)
        its.begin_refresh(IDENTITY)
        its.write(IDENTITY, with_token("spent"))
        assert isinstance(its.read_in_flight(IDENTITY), InFlight)
        its.write_refreshed(IDENTITY, fresh(), spent=SPENT)
        its.end_refresh(IDENTITY)
    assert len(its.list_records().readable) == 1
    assert its.remove(IDENTITY)
    assert its.write_refreshed(IDENTITY, fresh(), spent=SPENT) is None


@pytest.mark.parametrize(
    ("login", "said", "advised"),
    [
        ((None, None), "refuses the login", "GATEPASS_VAULT__PASSWORD"),
        ((None, Secret("wrong")), "refuses the login", "GATEPASS_VAULT__PASSWORD"),
        (("nobody", Secret(PASSWORD)), "does not let this user", "gatepass:*"),
    ],
)
def test_a_refused_login_says_what_to_look_at(
    guarded: Redis, login: tuple[str | None, Secret | None], said: str, advised: str
) -> None:
    its = at(guarded, credentials=lambda: login)
    with pytest.raises(VaultError, match=said) as caught:
        its.read(IDENTITY)

    assert advised in caught.value.hint
    assert PASSWORD not in below(caught.value)


def test_without_the_package_the_install_line_is_told(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['redis'] = None\n"
        "from gatepass._vault.redis_client import Server\n"
        "from gatepass._vault.redis_store import RedisStore\n"
        "try: RedisStore(Server('h', 1, 0)).count()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    environ = clean_environ(tmp_path, PYTHONPATH=PYTHONPATH)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("VaultError the vault is in redis at h:1/0, and the package")
    assert 'pip install "gatepass[redis]"' in done.stdout


Make = Callable[[str | None, Certificate | None], Callable[[], ssl.SSLContext]]


@pytest.fixture(scope="module")
def contexts() -> Make:
    """Return a function that makes what makes a context, as the setting does."""
    from gatepass._net.tls import ClientCertificate, TlsContexts, trust_of

    def make(ca_file: str | None, client: Certificate | None) -> Callable[[], ssl.SSLContext]:
        certificate = ClientCertificate(str(client.chain), str(client.key)) if client else None
        return lambda: TlsContexts(trust_of(ca_file, {})).get(True, certificate)

    return make


def test_tls_with_our_authority_and_a_client_certificate(
    peers_folder: Path, ca: CertificateAuthority, contexts: Make
) -> None:
    with redis_server(peers_folder / "mutual", certificate=ca.server, ca=ca) as redis:
        at(redis, tls=contexts(str(ca.ca_file), ca.client)).write(IDENTITY, RECORD)
        with pytest.raises(VaultError, match="cannot be reached"):
            at(redis, tls=contexts(str(ca.ca_file), None)).read(IDENTITY)
        with pytest.raises(VaultError, match="certificate is not trusted"):
            at(redis, tls=contexts(None, ca.client)).read(IDENTITY)
        with pytest.raises(VaultError, match="cannot be reached"):
            at(redis).read(IDENTITY)


@pytest.mark.parametrize("which", ["wrong_host", "expired"])
def test_a_server_with_a_wrong_certificate_gets_no_password(
    tmp_path: Path, ca: CertificateAuthority, contexts: Make, which: str
) -> None:
    asked: list[int] = []

    def credentials() -> tuple[str | None, Secret | None]:
        asked.append(1)
        return None, Secret(PASSWORD)

    with redis_server(tmp_path / "redis", certificate=getattr(ca, which)) as redis:
        its = at(redis, tls=contexts(str(ca.ca_file), None), credentials=credentials)
        with pytest.raises(VaultError, match="certificate is not trusted"):
            its.read(IDENTITY)

    assert len(asked) == 1  # to see whether there is one; not for a connection


def test_a_peer_that_stops_in_the_handshake_is_given_up(contexts: Make) -> None:
    with answering() as port:
        its = RedisStore(Server("127.0.0.1", port, 0, tls=contexts(None, None), seconds=0.2))
        with pytest.raises(VaultError, match="redis at 127.0.0.1"):
            its.count()


def test_a_socket_of_this_computer_is_as_good_as_a_port(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A path has to be short: the system takes about a hundred bytes."""
    path = str(tmp_path_factory.mktemp("s") / "r.sock")
    settings = (f"unixsocket {path}", "unixsocketperm 700", f'requirepass "{PASSWORD}"')
    with redis_server(tmp_path / "redis", settings=settings) as redis:
        its = RedisStore(Server("", 0, 1, path=path, credentials=lambda: (None, Secret(PASSWORD))))
        vault = Vault(its, given(), clock=lambda: NOW)
        vault.write(IDENTITY, RECORD)
        assert isinstance(vault.read(IDENTITY), type(RECORD))
        with pytest.raises(VaultError, match="refuses the login"):
            RedisStore(Server("", 0, 1, path=path)).count()
        redis.stop()
        with pytest.raises(VaultError, match=f"redis at {path}.db=1 cannot be reached: ") as caught:
            vault.read(IDENTITY)
    assert "nothing was lost" in caught.value.hint


def test_a_sentinel_says_to_name_the_primary(tmp_path: Path) -> None:
    watch = (f"sentinel monitor mymaster 127.0.0.1 {free_port()} 1",)
    with (
        redis_server(tmp_path / "sentinel", settings=watch, sentinel=True) as sentinel,
        pytest.raises(VaultError, match="does not know a command") as caught,
    ):
        at(sentinel).read(IDENTITY)
    assert "name the primary" in caught.value.hint
