"""The loopback redirect server, against a browser, a port scanner, and whoever wants the code."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.auth._oidc.callback import Callback
from gatepass.auth._oidc.redirect_page import PageKind, page
from gatepass.auth._oidc.redirect_server import RedirectServer, _ExpectedRequest, _Refusal
from gatepass.errors import GatepassError
from tests.support import raw
from tests.support.peers.environ import clean_environ
from tests.support.peers.waiting import free_port
from tests.support.redirects import (
    CODE,
    GOOD,
    STATE,
    code_of,
    host,
    needs_ipv6,
    port_of,
    still_waits,
    threads,
)
from tests.support.redirects import redirect_server as redirect_server  # noqa: PLC0414 - a fixture
from tests.support.secret_context import PYTHONPATH

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


# --- the callback --------------------------------------------------------------------------


def test_the_callback_arrives_and_the_browser_hears_only_after_the_verdict(
    redirect_server: RedirectServer,
) -> None:
    with raw.asked(
        port_of(redirect_server), raw.get(f"/callback?{GOOD}", host(redirect_server))
    ) as browser:
        found = redirect_server.wait(raw.SECONDS)
        assert code_of(found) == CODE
        browser.setblocking(False)
        with pytest.raises(BlockingIOError):
            browser.recv(1)
        browser.settimeout(raw.SECONDS)
        redirect_server.send_page("done")
        answered = raw.answer(browser)
    assert answered.status == 200
    assert answered.body == page("done").body


@pytest.mark.parametrize("kind", ["done", "failed"])
def test_the_page_says_how_it_ended(redirect_server: RedirectServer, kind: PageKind) -> None:
    with raw.asked(
        port_of(redirect_server), raw.get(f"/callback?{GOOD}", host(redirect_server))
    ) as browser:
        assert redirect_server.wait(raw.SECONDS)
        redirect_server.send_page(kind)
        answered = raw.answer(browser)
    assert (answered.status, answered.body) == (page(kind).status, page(kind).body)


def test_every_answer_is_not_stored_not_passed_on_and_runs_nothing(
    redirect_server: RedirectServer,
) -> None:
    for target in ("/callback?state=wrong", "/favicon.ico"):
        sent = raw.ask(port_of(redirect_server), raw.get(target, host(redirect_server))).headers
        assert sent["Cache-Control"] == "no-store"
        assert sent["Referrer-Policy"] == "no-referrer"
        assert sent["X-Content-Type-Options"] == "nosniff"
        assert sent["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert sent["Connection"] == "close"


def test_a_callback_that_comes_again_changes_nothing_and_sees_the_same_page(
    redirect_server: RedirectServer,
) -> None:
    """Also with another code: only the first is ever used."""
    port, again = (
        port_of(redirect_server),
        raw.get(f"/callback?code=other&state={STATE}", host(redirect_server)),
    )
    with raw.asked(port, raw.get(f"/callback?{GOOD}", host(redirect_server))) as browser:
        assert code_of(redirect_server.wait(raw.SECONDS)) == CODE
        with raw.asked(port, again) as reloaded:
            redirect_server.send_page("done")
            assert raw.answer(browser).body == page("done").body
            assert raw.answer(reloaded).body == page("done").body
        assert raw.ask(port, again).body == page("done").body
    assert redirect_server.wait(0) is None


def test_a_browser_that_has_gone_does_not_lose_the_login(redirect_server: RedirectServer) -> None:
    with raw.asked(port_of(redirect_server), raw.get(f"/callback?{GOOD}", host(redirect_server))):
        assert redirect_server.wait(raw.SECONDS)
    redirect_server.send_page("done")
    assert raw.open_address(f"{redirect_server.redirect_uri}?{GOOD}").body == page("done").body


def test_who_comes_when_the_login_was_given_up_hears_that_it_is_over() -> None:
    with RedirectServer(STATE) as redirect_server:
        browser = raw.connect(port_of(redirect_server))
        browser.sendall(raw.get(f"/callback?{GOOD}", host(redirect_server)))
        assert redirect_server.wait(raw.SECONDS)
    with browser:
        answered = raw.answer(browser)
    assert (answered.status, answered.body) == (410, page("expired").body)


def test_an_error_with_the_right_state_ends_the_wait(redirect_server: RedirectServer) -> None:
    query = urlencode(
        {"error": "access_denied", "error_description": "No\x1b[31m <b>\r\n" * 99, "state": STATE}
    )
    with raw.asked(port_of(redirect_server), raw.get(f"/callback?{query}", host(redirect_server))):
        found = redirect_server.wait(raw.SECONDS)
    assert found
    assert (found.code, found.error) == (None, "access_denied")
    assert found.description.isprintable()
    assert len(found.description) <= 200


# --- noise ---------------------------------------------------------------------------------

FORGED = [
    f"code={CODE}",
    f"code={CODE}&state=",
    f"code={CODE}&state=wrong",
    f"code={CODE}&state={STATE}x",
    f"code={CODE}&state=wrong&state={STATE}",
    f"code={CODE}&state={STATE}&state={STATE}",
    f"code={CODE}&code=other&state={STATE}",
    f"code={CODE}&state={STATE}&iss=a&iss=b",
    f"error=a&error=b&state={STATE}",
    f"code={CODE}&error=access_denied&state={STATE}",
    f"code=&state={STATE}",
    f"code=%0d%0a&state={STATE}",
    f"code=%ff&state={STATE}",
    f"state={STATE}",
    "error=access_denied",
    "error=access_denied&state=wrong",
    f"code={CODE}&state={STATE}" + "&x=1" * 60,
    f"Code={CODE}&State={STATE}",
    "",
]


@pytest.mark.parametrize("query", FORGED)
def test_what_is_not_exactly_the_answer_is_refused_and_the_wait_goes_on(
    redirect_server: RedirectServer, query: str
) -> None:
    answered = raw.ask(
        port_of(redirect_server), raw.get(f"/callback?{query}", host(redirect_server))
    )
    assert (answered.status, answered.body) == (400, page("again").body)
    still_waits(redirect_server)


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/favicon.ico", "GET", 404),
        ("/robots.txt", "GET", 404),
        ("/", "GET", 404),
        (f"/callback/?{GOOD}", "GET", 404),
        (f"//callback?{GOOD}", "GET", 404),
        (f"/Callback?{GOOD}", "GET", 404),
        (f"/%63allback?{GOOD}", "GET", 404),
        (f"/callback#?{GOOD}", "GET", 404),
        (f"http://127.0.0.1/callback?{GOOD}", "GET", 404),
        (f"/callback?{GOOD}", "HEAD", 405),
        (f"/callback?{GOOD}", "POST", 405),
        (f"/callback?{GOOD}", "PUT", 405),
        (f"/callback?{GOOD}", "OPTIONS", 405),
        (f"/callback?{GOOD}", "BREW", 405),
        (f"/callback?{GOOD}&x={'x' * 20000}", "GET", 414),
        (f"/callback?{GOOD}&x=\xff", "GET", 400),
    ],
)
def test_another_path_or_method_is_noise(
    redirect_server: RedirectServer, target: str, method: str, status: int
) -> None:
    answered = raw.ask(
        port_of(redirect_server),
        raw.get(target, host(redirect_server), "Content-Length: 0", method=method),
    )
    assert answered.status == status
    assert answered.headers.get("Allow") == ("GET" if status == 405 else None)
    assert (answered.body == b"") == (method == "HEAD")
    still_waits(redirect_server)


def test_a_form_with_the_answer_in_its_body_is_noise_and_sees_its_page(
    redirect_server: RedirectServer,
) -> None:
    """`response_mode=form_post`; the body is read to its end, else the page would be lost."""
    body = GOOD.encode() + b"&x=" + b"x" * 200_000
    head = raw.get(
        "/callback", host(redirect_server), f"Content-Length: {len(body)}", method="POST"
    )
    assert raw.ask(port_of(redirect_server), head + body).status == 405
    still_waits(redirect_server)


@pytest.mark.parametrize(
    "host_line",
    [
        "",
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{port}",
        "localhost.:{port}",
        "[::1]",
        "0.0.0.0:{port}",
        "user@127.0.0.1:{port}",
    ],
)
def test_a_foreign_name_that_leads_here_is_misdirected(
    redirect_server: RedirectServer, host_line: str
) -> None:
    """DNS rebinding: the page of evil.example reads this port as its own origin."""
    request = raw.get(f"/callback?{GOOD}", host_line.format(port=port_of(redirect_server)))
    assert raw.ask(port_of(redirect_server), request).status == 421
    still_waits(redirect_server)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_every_name_of_this_machine_is_ours(redirect_server: RedirectServer, name: str) -> None:
    request = raw.get("/callback?state=wrong", f"{name}:{port_of(redirect_server)}")
    assert raw.ask(port_of(redirect_server), request).status == 400


# --- addresses -----------------------------------------------------------------------------


def test_the_default_address_is_the_literal_one_on_a_free_port(
    redirect_server: RedirectServer,
) -> None:
    """RFC 8252, section 7.3: the literal address cannot be led elsewhere by a hosts file."""
    assert redirect_server.redirect_uri == f"http://127.0.0.1:{port_of(redirect_server)}/callback"


@pytest.mark.parametrize(
    "template",
    [
        "http://localhost:{port}/granta/callback",
        "http://localhost:{port}",
        "http://localhost:{port}/",
        "http://127.0.0.1:{port}/a%20b",
        "http://LocalHost:{port}/x",
        pytest.param("http://[::1]:{port}/callback", marks=needs_ipv6),
    ],
)
def test_a_fixed_address_is_used_exactly_as_registered(template: str) -> None:
    written = template.format(port=free_port())
    with RedirectServer(STATE, written) as redirect_server:
        assert redirect_server.redirect_uri == written
        browser = threading.Thread(target=raw.open_address, args=(f"{written}?{GOOD}",))
        browser.start()
        assert code_of(redirect_server.wait(raw.SECONDS)) == CODE
        redirect_server.send_page("done")
        browser.join()


@pytest.mark.parametrize(
    ("written", "start", "end"),
    [
        ("http://localhost:0/cb", "http://localhost:", "/cb"),
        ("http://[::1]:0/cb", "http://[::1]:", "/cb"),
        ("http://localhost:0", "http://localhost:", ""),
    ],
)
def test_port_0_is_any_free_port_on_the_host_and_path_as_written(
    written: str, start: str, end: str
) -> None:
    with RedirectServer(STATE, written) as redirect_server:
        middle = redirect_server.redirect_uri.removeprefix(start).removesuffix(end)
        assert int(middle) > 0
        assert redirect_server.redirect_uri == f"{start}{middle}{end}"


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("http://evil.example/callback", "host"),
        ("http://127.0.0.1.evil.example:80/", "host"),
        ("http://localhost@evil.example/", "host"),
        ("http://10.0.0.1:8080/", "host"),
        ("https://localhost:8080/", "not http"),
        ("urn:ietf:wg:oauth:2.0:oob", "host"),
        ("http://user@localhost:8080/", "user name"),
        ("http://localhost:8080/?a=b", "query"),
        ("http://localhost:8080/#a", "fragment"),
        ("http://localhost:99999/", "host"),
        ("http://localhost:x/", "host"),
        ("http://localhost:8080/a b", "escaped"),
        ("http://localhost:8080/ä", "escaped"),
        ("http://[::1/", "host"),
    ],
)
def test_an_address_that_is_not_on_loopback_is_refused_before_anything_is_opened(
    written: str, why: str
) -> None:
    with pytest.raises(GatepassError, match=why) as caught:
        RedirectServer(STATE, written)
    assert "device flow" in caught.value.hint


# --- the end -------------------------------------------------------------------------------


def test_the_wait_ends_in_time_and_frees_the_port() -> None:
    with RedirectServer(STATE) as redirect_server:
        assert redirect_server.wait(0.01) is None
        port = port_of(redirect_server)
    with pytest.raises(ConnectionRefusedError):
        raw.connect(port)
    assert threads() == []


def test_an_exception_in_the_block_leaves_nothing() -> None:
    with pytest.raises(ZeroDivisionError), RedirectServer(STATE) as redirect_server:
        _ = 1 // 0
    port = port_of(redirect_server)
    assert threads() == []
    with pytest.raises(ConnectionRefusedError):
        raw.connect(port)


def test_a_listener_is_used_in_its_block_only() -> None:
    with pytest.raises(RuntimeError, match="with block"):
        RedirectServer(STATE).wait(0)


STAGES = """
import sys, threading
from gatepass.auth._oidc.redirect_server import RedirectServer
try:
    with RedirectServer("state") as redirect_server:
        print(redirect_server.redirect_uri, flush=True)
        found = redirect_server.wait(60)
        print("found", found is not None, flush=True)
        redirect_server.wait(60)
except KeyboardInterrupt:
    left = [each.name for each in threading.enumerate() if each.name.startswith("gatepass")]
    print("stopped", left, flush=True)
"""


@posix
@pytest.mark.parametrize("stage", ["waiting", "exchanging"])
def test_ctrl_c_frees_port_and_thread_at_once(tmp_path: Path, stage: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", STAGES],
        env=clean_environ(tmp_path, PYTHONPATH=PYTHONPATH),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        address = process.stdout.readline().strip()
        port = int(address.split(":")[2].split("/")[0])
        with raw.connect(port) as browser:
            if stage == "exchanging":
                browser.sendall(raw.get(f"/callback?code={CODE}&state=state", f"127.0.0.1:{port}"))
                assert process.stdout.readline() == "found True\n"
            os.kill(process.pid, signal.SIGINT)
            assert process.stdout.readline() == "stopped []\n"
            if stage == "exchanging":
                assert raw.answer(browser).status == 410
        assert process.stderr.read() == ""
    assert process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        raw.connect(port)


# --- anything ------------------------------------------------------------------------------

EXPECTED = _ExpectedRequest(4711, "/callback", STATE)
pieces = st.sampled_from(
    ["code", "state", "iss", "error", "=", "&", ";", STATE, CODE, "%00", "%ff", "+", "#", "?", "[]"]
)
queries = st.lists(pieces | st.text(max_size=5), max_size=12).map("".join)


heads = st.lists(
    st.sampled_from(
        [b"GET ", b"HEAD ", b"/callback", b"?" + GOOD.encode(), b" HTTP/1.1", b"\r\n", b"\n", b"\r",
         b"Host: 127.0.0.1:4711", b"Host: evil.example", b":", b" ", b"\0"]
    )
    | st.binary(max_size=6),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(heads)
def test_no_head_is_judged_ours_without_method_path_host_and_state(head: bytes) -> None:
    judged = EXPECTED.check(head)
    if isinstance(judged, _Refusal):
        assert judged.kind in {"again", "nothing"}
    else:
        assert head.startswith(b"GET /callback?")
        assert STATE.encode() in head
        assert head.lower().count(b"\r\nhost:") == 1


@given(st.text(min_size=1, max_size=40), queries)
def test_nothing_of_a_request_ever_appears_in_a_page(path: str, query: str) -> None:
    """Pages are constants: what a request can choose is which of them."""
    target = f"/{quote(path)}?{quote(query, safe='=&')}"
    judged = EXPECTED.check(raw.get(target, "127.0.0.1:4711").removesuffix(b"\r\n\r\n"))
    assert isinstance(judged, _Refusal | Callback)
    if isinstance(judged, _Refusal):
        assert judged == _Refusal(judged.kind, judged.status)


def test_nothing_that_is_sent_comes_back(redirect_server: RedirectServer) -> None:
    canary = "<script>c4nary</script>"
    spots = (
        raw.get(f"/{canary}?{canary}", host(redirect_server)),
        raw.get(
            f"/callback?error={canary}&error_description={canary}&state=x", host(redirect_server)
        ),
        raw.get("/callback", canary),
        raw.get("/callback", host(redirect_server), f"X: {canary}", f"Referer: {canary}"),
        f"{canary} / HTTP/1.1\r\n\r\n".encode(),
        f"GET / {canary}\r\n\r\n".encode(),
    )
    for request in spots:
        with raw.asked(port_of(redirect_server), request) as connection:
            assert b"c4nary" not in raw.everything(connection)
    query = f"error={canary}&error_description={canary}&state={STATE}"
    with raw.asked(
        port_of(redirect_server), raw.get(f"/callback?{query}", host(redirect_server))
    ) as browser:
        assert redirect_server.wait(raw.SECONDS)
        redirect_server.send_page("failed")
        assert b"c4nary" not in raw.everything(browser)


def test_a_redirect_address_without_a_port_takes_any_free_one() -> None:
    """Providers ignore the port on loopback (RFC 8252, 7.3); port 80 needs an administrator."""
    with RedirectServer("state", "http://127.0.0.1/callback") as redirect_server:
        port = urlsplit(redirect_server.redirect_uri).port

        assert port not in {None, 0, 80}
        assert redirect_server.redirect_uri == f"http://127.0.0.1:{port}/callback"
