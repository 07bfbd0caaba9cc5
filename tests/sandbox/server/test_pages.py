"""What the server answers, and what it records."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gatepass.sandbox import Request, Server
from gatepass.sandbox._server.pages import Pages


def test_any_other_path_answers_the_request_itself(
    open_server: Server, client: requests.Session
) -> None:
    answer = client.put(open_server.url + "a/b?c=d", data=b"hello")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "method": "PUT",
        "path": "/mi_servicelayer/a/b?c=d",
        "user": None,
        "body_length": 5,
        "body_sha256": sha256(b"hello").hexdigest(),
    }


def test_a_request_is_recorded_as_it_came(open_server: Server, client: requests.Session) -> None:
    client.post(open_server.url + "x?y=1", data=b"abc", headers={"X-Own": "1"})
    (request,) = open_server.requests
    assert request == Request(
        connection=1,
        number=1,
        method="POST",
        path="/mi_servicelayer/x?y=1",
        user=None,
        status=200,
        has_authorization=False,
        scheme=None,
        header_names=request.header_names,
        body_length=3,
        body_sha256=sha256(b"abc").hexdigest(),
    )
    assert type(request.status) is int  # and prints as one
    assert {"host", "x-own", "content-length"} <= request.header_names


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_usual_method_is_answered_on_one_connection(
    open_server: Server, client: requests.Session, method: str
) -> None:
    """... also after HEAD, whose answer has a length and no body."""
    assert client.request(method, open_server.url).status_code == 200
    assert client.get(open_server.url).json()["method"] == "GET"
    assert [(seen.connection, seen.number) for seen in open_server.requests] == [(1, 1), (1, 2)]


def test_connections_and_their_requests_are_numbered(
    open_server: Server, client: requests.Session
) -> None:
    client.get(open_server.url)
    with requests.Session() as other:
        other.trust_env = False
        other.get(open_server.url)
    client.get(open_server.url)
    numbers = [(seen.connection, seen.number) for seen in open_server.requests]
    assert numbers == [(1, 1), (2, 1), (1, 2)]


def test_a_chunked_body_is_read_to_its_end(open_server: Server, client: requests.Session) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    answer = client.post(open_server.url, data=pieces())
    assert answer.json()["body_length"] == 400_000
    assert answer.json()["body_sha256"] == sha256(b"x" * 400_000).hexdigest()
    client.get(open_server.url)
    assert [seen.number for seen in open_server.requests] == [1, 2]


def test_a_body_is_read_to_its_end_also_when_the_login_is_refused(
    server: Server, client: requests.Session
) -> None:
    """... or the connection could not be used for the second try."""
    assert client.post(server.url, data=b"x" * 500_000).status_code == 401
    assert client.post(server.url, data=b"x", auth=("alice", "sesame")).status_code == 200
    assert [(seen.number, seen.body_length) for seen in server.requests] == [(1, 500_000), (2, 1)]


def test_outside_the_prefix_there_is_nothing_and_no_login(
    server: Server, client: requests.Session
) -> None:
    root = server.url.removesuffix("mi_servicelayer/")
    answers = [client.get(root + path) for path in ("", "other", "mi_servicelayerX")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert not any("WWW-Authenticate" in answer.headers for answer in answers)
    assert client.get(root + "mi_servicelayer").status_code == 401


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_sends_elsewhere(open_server: Server, client: requests.Session, code: int) -> None:
    target = "http://127.0.0.1:1/x?a=b%20c"
    query = {"to": target, "code": str(code)}
    answer = client.get(open_server.url + "redirect", params=query, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (code, target)


def test_redirect_is_302_unless_it_says_otherwise(
    open_server: Server, client: requests.Session
) -> None:
    answer = client.get(open_server.url + "redirect?to=whoami", allow_redirects=False)
    assert answer.status_code == 302
    assert client.get(open_server.url + "redirect?to=whoami").json()["path"].endswith("/whoami")


@pytest.mark.parametrize(
    "page",
    [
        "redirect",
        "redirect?to=",
        "redirect?to=x&code=200",
        "redirect?to=x&code=y",
    ],
)
def test_a_query_that_makes_no_sense_is_400(
    open_server: Server, client: requests.Session, page: str
) -> None:
    answer = client.get(open_server.url + page, allow_redirects=False)
    assert (answer.status_code, "takes" in answer.json()["error"]) == (400, True)


def test_a_line_break_in_a_redirect_starts_no_header(
    open_server: Server, client: requests.Session
) -> None:
    page = open_server.url + "redirect?to=x%0d%0aX-Injected:%201%0a%00é"
    answer = client.get(page, allow_redirects=False, timeout=20)
    assert answer.headers["Location"] == "x%0D%0AX-Injected:%201%0A%00%C3%A9"
    assert "X-Injected" not in answer.headers


@given(st.sampled_from(["redirect", "Health/v2.svc", "x"]), st.text())
def test_a_foreign_query_is_never_an_exception(page: str, query: str) -> None:
    path = f"/mi_servicelayer/{page}?{query}"
    asked = Request(1, 1, "GET", path, None, 0, False, None, frozenset(), 0, "")
    answer = Pages().respond(asked)
    assert 200 <= answer.status < 600
    for _, value in answer.headers:
        assert value.isascii()
        assert value.isprintable()


@pytest.mark.parametrize(
    ("content", "text", "kind"),
    [
        ({"a": [1]}, '{"a": [1]}\n', "application/json"),
        (["x"], '["x"]\n', "application/json"),
        ("grüß", "grüß", "text/plain; charset=utf-8"),
        (b"\x00", "\x00", "application/octet-stream"),
    ],
)
def test_an_answer_is_what_it_is_in_python(content: object, text: str, kind: str) -> None:
    with Server(mode="open", answers={"/api/own page/": content}) as server:
        found = requests.get(f"{server.url}api/own%20page?q=1", timeout=9)
        other = requests.get(f"{server.url}api/other", timeout=9)

    assert (found.text, found.headers["Content-Type"]) == (text, kind)
    assert other.json()["path"].endswith("api/other")


def test_an_answer_needs_the_login_like_any_page() -> None:
    with Server(users={"alice": "sesame"}, answers={"x": "hunter2"}) as server:
        assert "hunter2" not in requests.get(f"{server.url}x", timeout=9).text
