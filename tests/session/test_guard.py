"""Credentials go to the profile's server, and nowhere else."""

import copy
import dataclasses
import logging
import pickle
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
from requests.structures import CaseInsensitiveDict
from urllib3.util import parse_url

from gatepass._session import request_state
from gatepass._session.session import Session
from gatepass.errors import GatepassError
from gatepass.secrets import ref
from tests.support.echo import Answer, Seen, basic, echo, redirects, refused, wants
from tests.support.sessions import NOWHERE, PASSWORD, USER, session_for

HOME_LOGIN = basic(USER, PASSWORD)


OWN = HTTPBasicAuth("own", "own-password")


OWN_LOGIN = basic("own", "own-password")


def test_the_login_goes_to_the_profiles_server() -> None:
    with echo(wants(HOME_LOGIN)) as home:
        assert session_for(home.url).get("x").ok

    assert home.authorizations == [HOME_LOGIN]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_nothing_of_the_profile_goes_to_another_server(method: str) -> None:
    with echo() as home, echo() as other:
        mi = session_for(home.url, headers={"X-Tenant": "t", "User-Agent": "ours"})
        mi.request(method, other.url)
        mi.request(method, "x")

    assert other.authorizations == [None]
    assert "x-tenant" not in other.seen[0].headers
    assert other.seen[0].headers["user-agent"].startswith("python-requests/")
    assert home.seen[0].headers["x-tenant"] == "t"
    assert home.seen[0].headers["user-agent"] == "ours"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_server_takes_nothing_along(code: int) -> None:
    with echo() as other:
        away = redirects({"/mi/away": f"{other.root}/end"}, wants(HOME_LOGIN), code)
        with echo(away) as home:
            mi = session_for(home.url, headers={"X-Tenant": "t"})
            assert mi.post("away", data=b"body").ok

    assert home.authorizations == [HOME_LOGIN]
    assert other.authorizations == [None]
    assert "x-tenant" not in other.seen[0].headers


def test_a_redirect_at_home_keeps_the_login() -> None:
    with echo(redirects({"/mi/a": "/elsewhere", "/elsewhere": "b"})) as home:
        assert session_for(home.url).get("a").ok

    assert home.paths == ["/mi/a", "/elsewhere", "/b"]
    assert home.authorizations == [HOME_LOGIN] * 3


def test_the_login_does_not_come_back_after_a_chain_has_left_home() -> None:
    routes: dict[str, str] = {}
    with echo(redirects(routes)) as home, echo(redirects(routes)) as other:
        routes |= {"/mi/a": f"{other.root}/b", "/b": f"{home.root}/mi/c", "/mi/c": "/mi/d"}
        assert session_for(home.url).get("a").ok

    assert home.paths == ["/mi/a", "/mi/c", "/mi/d"]
    assert home.authorizations == [HOME_LOGIN, None, None]
    assert other.authorizations == [None]


def test_another_port_or_scheme_is_another_server(ca: Any) -> None:
    """An https profile gives nothing to the http server of the same host."""
    import ssl

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca.server.chain, ca.server.key)
    with echo() as plain, echo(redirects({"/mi/a": f"{plain.root}/b"}), tls) as home:
        assert session_for(home.url, tls={"ca_file": str(ca.ca_file)}).get("a").ok

    assert home.authorizations == [HOME_LOGIN]
    assert plain.authorizations == [None]


@pytest.fixture
def netrc(tmp_path: Path) -> None:
    (tmp_path / "home" / ".netrc").write_text("machine localhost login net password rc\n")


@pytest.mark.usefixtures("netrc")
def test_netrc_is_never_read() -> None:
    with echo() as home, echo() as other:
        plain = requests.get(other.url, timeout=10)
        away = redirects({"/mi/away": other.url}, home.answers)
        home.answers = away
        for scheme in ("basic", "anonymous"):
            mi = session_for(home.url, scheme)
            mi.trust_env = True  # even so
            for url in ("x", "away", other.url):
                assert mi.get(url).ok
        mi.get("x", headers={"Authorization": None})
        mi._http().get(other.url)

    assert plain.request.headers["Authorization"] == basic("net", "rc"), "the trap is set"
    assert set(other.authorizations[1:]) == {None}
    assert set(home.authorizations) == {HOME_LOGIN, None}


def test_the_callers_own_auth_replaces_the_login_and_goes_where_it_is_sent() -> None:
    with echo() as home, echo() as other:
        mi = session_for(home.url)
        for url in ("x", other.url):
            mi.get(url, auth=OWN)
            mi.get(url, auth=("own", "own-password"))
            mi.get(url, headers={"Authorization": "Token own"})
            mi.get(url, headers={b"authorization": b"Token own"})  # type: ignore[dict-item]
            mi.get(url, headers={"Authorization": None})

    expected = [OWN_LOGIN, OWN_LOGIN, "Token own", "Token own", None]
    assert home.authorizations == expected
    assert other.authorizations == expected


def test_a_name_and_password_in_a_url_are_the_callers_own() -> None:
    with echo() as home:
        session_for(home.url).get(home.url.replace("//", "//own:own-password@"))

    assert home.authorizations == [OWN_LOGIN]


def test_what_stands_on_the_session_is_the_callers_own_and_goes_home_only() -> None:
    with echo() as home, echo() as other:
        with_header, with_auth = session_for(home.url), session_for(home.url)
        with_header.headers["Authorization"] = "Token own"
        with_auth.auth = OWN
        for mi in (with_header, with_auth):
            mi.get("x")
            mi.get(other.url)

    assert home.authorizations == ["Token own", OWN_LOGIN]
    assert other.authorizations == [None, None]


def test_the_callers_own_login_follows_redirects_on_its_server_only() -> None:
    routes: dict[str, str] = {}
    with echo(redirects(routes)) as home, echo(redirects(routes)) as other:
        routes |= {"/mi/a": "/mi/b", "/mi/b": "/mi/c", "/mi/c": f"{other.root}/d"}
        mi = session_for(home.url)
        assert mi.get("a", auth=OWN).ok
        assert mi.get("a", headers={"Authorization": OWN_LOGIN}).ok

    assert home.authorizations == [OWN_LOGIN] * 6
    assert other.authorizations == [None, None]


def test_the_callers_digest_does_not_answer_another_server_after_a_redirect() -> None:
    digest = refused('Digest realm="x", nonce="n", qop="auth"')

    def other_answers(seen: Seen) -> Answer:
        return digest if seen.authorization is None else Answer()

    with echo(other_answers) as other, echo(redirects({"/mi/a": f"{other.root}/b"})) as home:
        hooked: list[str] = []
        response = session_for(home.url).get(
            "a",
            auth=HTTPDigestAuth("own", "own-password"),
            hooks={"response": lambda response, **_: hooked.append(response.url)},
        )

    assert response.status_code == 401
    assert other.authorizations == [None]
    assert hooked == [f"{home.root}/mi/a", f"{other.root}/b"], "the caller's hooks stay"


def test_the_callers_digest_works_at_home() -> None:
    def answers(seen: Seen) -> Answer:
        return Answer() if seen.authorization else refused('Digest realm="x", nonce="n"')

    with echo(answers) as home:
        response = session_for(home.url).get("a", auth=HTTPDigestAuth("own", "own-password"))

    assert response.status_code == 200
    assert b"own-password" not in pickle.dumps(response)
    assert response.request.hooks["response"] == []


def test_a_refused_login_of_the_caller_is_returned_as_in_requests() -> None:
    with echo(wants(HOME_LOGIN)) as home:
        mi = session_for(home.url)
        assert mi.get("x", auth=OWN).status_code == 401
        assert mi.get("x").ok, "and it does not stop the profile's login"


def test_the_caller_and_the_profile_use_different_connections() -> None:
    with echo() as home:
        mi = session_for(home.url)
        for _ in range(2):
            mi.get("x")
            mi.get("x", auth=OWN)

    connections = [seen.connection for seen in home.seen]
    assert connections == [connections[0], connections[1]] * 2
    assert connections[0] != connections[1]


def test_a_request_prepared_elsewhere_gets_no_login() -> None:
    with echo() as home:
        mi = session_for(home.url)
        mi.send(requests.Request("GET", home.url).prepare())
        mi.send(mi.prepare_request(requests.Request("GET", "x")))

    assert home.authorizations == [None, HOME_LOGIN]


@pytest.mark.parametrize("copied", [False, True])
def test_a_prepared_request_that_is_turned_to_another_server_takes_nothing_along(
    copied: bool,
) -> None:
    with echo() as home, echo() as other:
        mi = session_for(home.url, headers={"X-Tenant": "t", "User-Agent": "ours"})
        mi.cookies.set("sid", "abc", domain="localhost.local", path="/mi/")
        prepared = mi.prepare_request(requests.Request("GET", "x"))
        prepared = prepared.copy() if copied else prepared
        prepared.url = f"{other.root}/end"
        mi.send(prepared)
        mi.get(other.url, headers={"X-Tenant": "t"})

    assert other.authorizations == [None, None]
    late, given = (seen.headers for seen in other.seen)
    assert "x-tenant" not in late
    assert "cookie" not in late
    assert late["user-agent"].startswith("python-requests/")
    assert given["x-tenant"] == "t", "what the caller gives to another server goes there"


@pytest.mark.parametrize("way", ["session", "environment", "request", "prepared", "mounted"])
@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_a_login_over_plain_http_to_this_computer_leaves_by_no_proxy(
    scheme: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no ``allow_http``, so no proxy may get to see it, whoever names that."""
    with echo(wants(HOME_LOGIN)) as home, echo() as proxy:
        mi = session_for(home.url, scheme)
        more: Any = {"proxies": {"http": proxy.root}} if way in {"request", "prepared"} else {}
        if way == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy.root)
            mi.trust_env = True
        elif way in {"session", "mounted"}:
            mi.proxies = {"http": proxy.root}
        if way == "mounted":
            mi.mount("http://", HTTPAdapter())
        if way == "prepared":
            assert mi.send(mi.prepare_request(requests.Request("GET", "x")), **more).ok
        assert mi.get("x", **more).ok
        assert proxy.seen == []
        mi.get("x", auth=OWN, **more)
        assert len(proxy.seen) == 1, "the caller's own login goes as the caller says"


def test_a_header_that_is_added_to_a_prepared_request_is_the_callers_own() -> None:
    with echo() as home:
        mi = session_for(home.url)
        prepared = mi.prepare_request(requests.Request("GET", "x"))
        prepared.headers["Authorization"] = "Token own"
        mi.send(prepared)

    assert home.authorizations == ["Token own"]


def test_an_adapter_of_the_caller_still_gets_the_login_for_home_only() -> None:
    with echo() as home, echo() as other:
        mi = session_for(home.url)
        mi.mount("http://", HTTPAdapter(max_retries=1))
        mi.get("x")
        mi.get(other.url)

    assert home.authorizations == [HOME_LOGIN]
    assert other.authorizations == [None]


def _spoken(caplog: pytest.LogCaptureFixture, *objects: object) -> str:
    texts = [caplog.text]
    for each in objects:
        texts += [repr(each), str(each)]
        if isinstance(each, BaseException):
            texts.append(repr(vars(each)))
            texts.append("".join(traceback.format_exception(each)))
            texts.append(repr(pickle.dumps(each)))
    return "\n".join(texts)


def test_the_password_is_nowhere_to_be_read(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in texts, pickles, copies, logs or warnings, neither plain nor in base64."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned, echo(wants(HOME_LOGIN)) as home:
        warnings.simplefilter("always")
        mi = session_for(home.url)
        good = mi.get("x")
        errors: list[BaseException] = []
        wrong = session_for(home.url, environ={"MI_PASSWORD": f"x{PASSWORD}"})
        for attempt in (wrong, wrong, session_for("http://localhost:1/", retries=0)):
            with pytest.raises(requests.RequestException) as caught:
                attempt.get("x")
            errors.append(caught.value)
        inside = [
            mi._network,
            mi._guard,
            mi._login.secrets,
            mi._login.authenticator,
            vars(good.request),
        ]
        text = _spoken(caplog, mi, wrong, mi.profile, good, *inside, *errors, *warned)
        text += repr([pickle.dumps(each) for each in (mi, good, copy.copy(good))])
    text += "".join(capsys.readouterr())

    assert "localhost" in text
    for secret in (PASSWORD, "canary", HOME_LOGIN.split()[1]):
        assert secret not in text


_TALKATIVE = """
import http.client, logging
logging.basicConfig(level=logging.DEBUG)
http.client.HTTPConnection.debuglevel = 1
from gatepass import Session
from gatepass.sandbox import Server
for mode, keys in (("standalone", {}), ("windows", {}), ("standalone", {"proxy": True})):
    with Server(mode, {"bob": "canary"}) as server, Server("open") as proxy:
        if keys:
            keys = {"proxy": {"url": proxy.url, "user_name": "p", "password": "canary"}}
        Session(server.url, user_name="bob", password="canary", **keys).get("Health/v2.svc")
"""


def test_debug_output_of_libraries_below_tells_no_login() -> None:
    """http.client prints requests, and pyspnego logs tokens on which passwords can be tried."""
    run = subprocess.run([sys.executable, "-c", _TALKATIVE], capture_output=True, check=True)

    assert b"reply: 'HTTP/1.1 200" in run.stdout
    for secret in (basic("bob", "canary"), basic("p", "canary"), "Basic ", "TlRMTVNTUAAD"):
        assert secret.encode() not in (run.stdout + run.stderr).replace(b"Basic realm", b"")


def _raise_value_error() -> Iterator[bytes]:
    yield b"body"
    raise ValueError("of the caller")


def _press_control_c() -> Iterator[bytes]:
    yield b"body"
    raise KeyboardInterrupt


def _frames(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """Yield the file of each frame that a test runner may show, and all that it holds."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                yield frame.f_code.co_filename, repr(frame.f_locals)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("scheme", ["basic", "credentials", "ntlm"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda mi: mi.post("x", data=_raise_value_error()),
        lambda mi: mi.post("x", data=_press_control_c()),
        lambda mi: mi.get("hang-up"),
        lambda mi: mi.get("refused"),
        lambda mi: mi.get("x", proxies={"http": NOWHERE}),
        lambda mi: mi.get("http://localhost:1/"),
    ],
)
def test_no_frame_of_a_traceback_holds_the_password(scheme: str, ask: Any) -> None:
    def answers(seen: Seen) -> Answer:
        if seen.path == "/mi/hang-up":
            raise ConnectionResetError
        return refused("Basic") if seen.path == "/mi/refused" else wants(HOME_LOGIN)(seen)

    auth = {"user_name": USER, "password": ref("env:MI_PASSWORD")}
    with echo(answers) as home:
        mi = session_for(home.url, scheme, auth=auth, retries=0)
        caught = None
        try:
            ask(mi)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C too
            caught = error

    for _, held in _frames(caught):
        for secret in (PASSWORD, HOME_LOGIN, HOME_LOGIN.split()[1]):
            assert secret not in held
    if isinstance(caught, ValueError) and str(caught) == "of the caller":
        names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.__traceback__)]
        assert "_raise_value_error" in names, "the caller's own frames stay"


@pytest.mark.parametrize("how", ["basic", "proxy", "keyword", "variable of a proxy"])
def test_no_frame_holds_a_password_that_cannot_be_sent(how: str) -> None:
    """A variable with a line end is the everyday case."""
    wrong = f"{PASSWORD}\n"
    login = {"url": NOWHERE, "user_name": "petra", "password": ref("env:MI_PASSWORD")}
    environ = {"MI_PASSWORD": wrong}
    ways: dict[str, Any] = {
        "basic": lambda: session_for(HOME, environ=environ),
        "proxy": lambda: session_for(HOME, "anonymous", proxy=login, environ=environ),
        "keyword": lambda: Session("http://mi.example.com", user_name="bob", password=wrong),
        "variable of a proxy": lambda: session_for(
            HOME, "anonymous", environ={"HTTPS_PROXY": f"http://petra:{PASSWORD}%0A@localhost:1"}
        ).get("x"),
    }
    with pytest.raises(GatepassError) as caught:
        ways[how]()

    for file, held in _frames(caught.value):
        if "environ" not in held:  # that is whoever calls
            assert PASSWORD not in held, file


HOME = "https://mi.example.com/mi_servicelayer/"


PIECES = (
    "http:", "https:", "HTTPS:", "ftp:", "//", "/", "\\", "\\\\", "@", ":", ":443", ":80", ":8443",
    "?", "#", ";", "..", ".", "%2f", "%5c", "%2e", "%40", "%", "[", "]", "::1", "\t", "\n", "\r",
    "\x00", " ", "\u3002", "\uff0f", "\u2100", "\u200b", "mi.example.com", "MI.EXAMPLE.COM",
    "mi.example.com.", "evil.example", "mi_servicelayer", "user:pw", "127.0.0.1", "xn--", "é", "a",
)  # fmt: skip


urls = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=20)


def _mi() -> Session:
    return session_for(HOME)


@given(urls)
def test_the_login_belongs_to_connections_to_home_only(url: str) -> None:
    mi = _mi()
    try:
        prepared = mi.prepare_request(requests.Request("GET", url))
        adapter = HTTPAdapter()
        pool = adapter.get_connection_with_tls_context(prepared, verify=True)
    except (requests.RequestException, UnicodeError):
        return
    connects_home = (pool.scheme, pool.host, pool.port) == ("https", "mi.example.com", 443)
    login = request_state.is_login_allowed(prepared)

    assert login <= connects_home
    if login:
        # A proxy for http would read the URL itself.
        seen_by_proxy = parse_url(prepared.url or "")
        assert (seen_by_proxy.host, seen_by_proxy.port or 443) == ("mi.example.com", 443)


@given(urls)
def test_a_relative_url_never_leaves_home(url: str) -> None:
    mi = _mi()
    try:
        prepared = mi.prepare_request(requests.Request("GET", url))
    except (requests.RequestException, UnicodeError):
        return
    if not url.lstrip().lower().startswith(("http://", "https://")):
        assert mi._guard.is_profile_origin(prepared.url)


@pytest.mark.parametrize(
    ("url", "is_profile_origin"),
    [
        ("https://mi.example.com", True),
        ("https://mi.example.com:443/x", True),
        ("HTTPS://MI.EXAMPLE.COM/x", True),
        (" https://mi.example.com/x", True),
        ("https://mi.example.com\\@evil.example/x", True),
        ("https://mi.example.com/../../x", True),
        ("http://mi.example.com/x", False),
        ("http://mi.example.com:443/x", False),
        ("https://mi.example.com:8443/x", False),
        ("https://mi.example.com./x", False),
        ("https://mi.example.com.evil.example/x", False),
        ("https://mi.example.com@evil.example/x", False),
        ("https://evil.example\\@mi.example.com/x", False),
        ("https://evil.example/https://mi.example.com/", False),
        ("https://evil.example#@mi.example.com/", False),
        ("https://evil.example?@mi.example.com/", False),
    ],
)
def test_absolute_urls_are_told_apart(url: str, is_profile_origin: bool) -> None:
    prepared = _mi().prepare_request(requests.Request("GET", url))

    assert request_state.is_login_allowed(prepared) is is_profile_origin


def _log_on_by(mi: Session, authenticator: Any) -> None:
    """Let a session log on as by a scheme of another package."""
    mi._guard.login = dataclasses.replace(mi._guard.login, authenticator=authenticator)
    mi._guard._is_built_in = False


@pytest.mark.parametrize("kind", [CaseInsensitiveDict, dict])
def test_a_stranger_of_the_same_kind_is_told_at_once_what_is_wrong_with_its_header(
    kind: Any,
) -> None:
    """A header that cannot be sent is named, not shown."""

    def broken(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers = kind({**request.headers, "X-Api-Key": "canary\n€"})
        return request

    with echo() as home:
        mi = session_for(home.url, "anonymous")
        _log_on_by(mi, broken)
        with pytest.raises(Exception, match="made a header X-Api-Key that cannot") as caught:
            mi.get("x")

    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert home.seen == []


def test_a_proxys_407_does_not_reach_the_hooks_of_a_scheme() -> None:
    asked: list[int] = []

    def note(response: requests.Response, **_: object) -> None:
        asked.append(response.status_code)

    def handshake(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", note)  # type: ignore[no-untyped-call]
        return request

    def answers(seen: Seen) -> Answer:
        return Answer(407 if seen.path.endswith("proxy") else 200)

    with echo(answers) as home:
        mi = session_for(home.url)
        _log_on_by(mi, handshake)
        assert mi.get("proxy").status_code == 407
        assert mi.get("x").ok

    assert asked == [200]


@pytest.mark.parametrize(
    ("headers", "url", "body", "counts"),
    [
        ({"Accept": "a", "Authorization": "x"}, "", None, True),
        ({"Accept": "a", "X-Api-Key": "x"}, "", None, True),
        ({"Accept": "b"}, "", None, True),
        ({}, "", None, True),
        ({"Accept": "a"}, "?key=x", None, True),
        ({"Accept": "a"}, "", b"key=x", True),
        ({"ACCEPT": "a"}, "", None, False),
        ({"Accept": "a", "cookie": "c", "Content-Length": "1"}, "", None, False),
    ],
)
def test_whatever_a_scheme_changes_counts_as_a_login_but_not_what_requests_changes(
    headers: dict[str, str], url: str, body: bytes | None, counts: bool
) -> None:
    """A scheme of another package may log on by a header of its own, the URL or the body."""
    request, sent = requests.PreparedRequest(), requests.PreparedRequest()
    request.headers = CaseInsensitiveDict({"Accept": "a"})
    sent.headers = CaseInsensitiveDict(headers)
    request.url, sent.url, sent.body = "http://localhost/", f"http://localhost/{url}", body

    assert request_state.has_credentials(sent, request) is counts
