"""HTTP of the server: broken requests, what it records, and what it does not import."""

import subprocess
import sys

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatepass.sandbox import Server
from gatepass.sandbox._accounts import basic_pair
from gatepass.sandbox._server.http import scheme_name
from tests.sandbox.conftest import basic
from tests.support.server_wire import is_well, talk


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"\x00\xff garbage\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"BREW / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"400"),
    ],
)
def test_a_malformed_request_is_refused_and_not_recorded(
    open_server: Server, capfd: pytest.CaptureFixture[str], wire: bytes, status: bytes
) -> None:
    """... and the connection ends, the server lives on, and nothing is printed."""
    assert b"Error code: " + status in talk(open_server, wire, end=False)
    assert open_server.requests == ()
    assert is_well(open_server)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost:",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
def test_a_request_that_breaks_off_or_is_too_long_leaves_the_server_well(
    open_server: Server, capfd: pytest.CaptureFixture[str], wire: bytes
) -> None:
    talk(open_server, wire)
    assert open_server.requests == ()
    assert is_well(open_server)
    assert capfd.readouterr() == ("", "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=100).map(lambda tail: b"POST /mi_servicelayer/ HTTP/1.1\r\n" + tail),
        st.binary(max_size=100).map(lambda path: b"GET " + path + b" HTTP/1.1\r\n\r\n"),
    )
)
@example(b"GET http://[ HTTP/1.1\r\n\r\n")
def test_no_bytes_whatever_are_too_much(server: Server, wire: bytes) -> None:
    """... the fixture's end raises what the server's threads would otherwise have hidden."""
    talk(server, wire)


def test_importing_the_package_loads_no_server() -> None:
    """... so that a program which only names a mode does not pay for http.server."""
    program = "import sys, gatepass.sandbox; print(sorted({'http.server', 'ssl'} & {*sys.modules}))"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "[]\n"


def test_no_secret_value_is_kept_or_shown(server: Server, client: requests.Session) -> None:
    header = basic("alice", "hunter2secret")
    client.get(server.url, headers={**header, "Cookie": "id=cookiesecret"})
    client.get(server.url, headers={"Authorization": "baresecret"})
    client.get(server.url, headers={"Authorization": "wordsecret more"})
    shown = repr(server) + repr(server.requests)
    encoded = header["Authorization"].removeprefix("Basic ")
    for secret in ("hunter2secret", encoded, "cookiesecret", "baresecret", "wordsecret", "sesame"):
        assert secret not in shown
    assert [request.scheme for request in server.requests] == ["basic", "other", "other"]
    assert "cookie" in server.requests[0].header_names


def test_a_request_without_the_header_has_no_scheme(
    server: Server, client: requests.Session
) -> None:
    client.get(server.url)
    assert (server.requests[0].has_authorization, server.requests[0].scheme) == (False, None)


@given(st.text())
def test_a_foreign_header_is_never_an_exception(header: str) -> None:
    basic_pair(header)
    basic_pair("Basic " + header)
    assert scheme_name(header) in {"basic", "bearer", "digest", "negotiate", "ntlm", "other"}
