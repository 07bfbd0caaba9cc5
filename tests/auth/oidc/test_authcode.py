"""The browser login, against a provider that checks PKCE, and with people of every kind."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from traceback import format_exception
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from gatepass._system.terminal import Terminal
from gatepass._vault.records import Client, Provider, Tokens
from gatepass.auth._oidc import authcode
from gatepass.auth._oidc.redirect_page import page
from gatepass.auth._oidc.token_response import Denied
from gatepass.errors import GatepassError, LoginRequired
from gatepass.secrets import Secret
from tests.support import raw
from tests.support.peers.environ import clean_environ
from tests.support.peers.terminal import terminal
from tests.support.peers.waiting import free_port, wait_for
from tests.support.secret_context import PYTHONPATH
from tests.support.small_provider import (
    SmallProvider,
    browse,
    in_json,
    last_address,
    small_provider,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
CLIENT = Client("app")


@dataclass
class Person:
    """Somebody before a screen. What a browser showed them, and what they were told."""

    browser: Callable[[str], object] = browse
    seen: "SimpleQueue[object]" = field(default_factory=SimpleQueue)
    written: list[str] = field(default_factory=list)

    def open_url(self, url: str) -> None:
        try:
            self.seen.put(self.browser(url))
        except BaseException as error:  # noqa: BLE001 - shown to the test
            self.seen.put(error)

    def terminal(self, console: "Keyboard | None" = None, **more: bool) -> Terminal:
        return Terminal(
            {},
            interactive=more.get("interactive", True),
            write=self.written.append,
            open_url=self.open_url,
            open_console=lambda typing: console if typing else None,
        )

    def page(self) -> requests.Response:
        seen = self.seen.get(timeout=raw.SECONDS)
        assert isinstance(seen, requests.Response), seen
        return seen

    @property
    def address(self) -> str:
        found = re.search(r"^  (http\S+)$", "".join(self.written), re.MULTILINE)
        assert found
        return found[1]


@dataclass
class Keyboard:
    """A console on which somebody types, at each look the next line."""

    lines: "SimpleQueue[str]" = field(default_factory=SimpleQueue)
    drawn: list[str] = field(default_factory=list)
    closed: bool = False
    reads = True

    def draw(self, text: str) -> None:
        self.drawn.append(text)

    def typed(self) -> str:
        return "" if self.lines.empty() else self.lines.get()

    def close(self) -> None:
        self.closed = True


def log_in(
    provider: SmallProvider,
    person: Person,
    client: Client = CLIENT,
    console: Keyboard | None = None,
    timeout: float = raw.SECONDS,
) -> tuple[Tokens, str]:
    return authcode.log_in(
        provider.metadata,
        client,
        send=provider.send(client),
        terminal=person.terminal(console),
        timeout=timeout,
        hint="gatepass login prod",
    )


def never(fields: Mapping[str, str]) -> Tokens:
    raise AssertionError(fields)


# --- the way it should go ------------------------------------------------------------------


def test_a_login_in_the_browser_gives_tokens_and_the_nonce() -> None:
    person = Person()
    with small_provider() as provider:
        tokens, nonce = log_in(provider, person)
    assert tokens.access_token.reveal() == "at"
    assert provider.asked[0]["nonce"] == nonce
    assert person.page().content == page("done").body


def test_the_request_is_what_the_standards_ask_for() -> None:
    client = Client(
        "app", scopes=("openid", "mi api"), audience="granta", extra_params={"p": "x y"}
    )
    with small_provider() as provider:
        log_in(provider, Person(), client)
        (asked,), (posted,) = provider.asked, provider.posted
    assert asked["response_type"] == "code"
    assert asked["client_id"] == "app"
    assert asked["scope"] == "openid mi api"
    assert asked["audience"] == posted["audience"] == "granta"
    assert asked["p"] == "x y"
    assert asked["tenant"] == "a b", "what the endpoint's own query holds stays"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == posted["redirect_uri"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback", asked["redirect_uri"])
    assert posted["grant_type"] == "authorization_code"
    assert (posted["client_id"], posted["code"]) == ("app", "c0de")
    assert len(posted["code_verifier"]) >= 43, "RFC 7636, section 4.1"
    assert posted["code_verifier"] not in str(asked)


def test_state_nonce_and_verifier_are_new_each_time_and_never_the_same() -> None:
    with small_provider() as provider:
        for _ in range(3):
            log_in(provider, Person())
        values = [each[name] for each in provider.asked for name in ("state", "nonce")]
        values += [each["code_verifier"] for each in provider.posted]
    assert len(set(values)) == 9
    assert all(len(value) >= 43 for value in values)


def test_a_confidential_client_proves_itself_in_one_way_only() -> None:
    client = Client("app", secret=Secret("hush"))
    with small_provider() as provider:
        log_in(provider, Person(), client)
    assert provider.headers[0]["authorization"].startswith("Basic ")
    assert "client_id" not in provider.posted[0]
    assert "client_secret" not in provider.posted[0]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_registered_address_is_sent_exactly(host: str) -> None:
    written = f"http://{host}:{free_port()}/granta/callback"
    with small_provider() as provider:
        log_in(provider, Person(), Client("app", redirect_uri=written))
    assert provider.asked[0]["redirect_uri"] == written


def test_the_address_is_always_told() -> None:
    """Also when a browser was opened: whether one appeared cannot be known."""
    person = Person()
    with small_provider() as provider:
        log_in(provider, person)
    assert dict(parse_qsl(urlsplit(person.address).query)) == provider.asked[0]
    assert "at most 20 s; Ctrl-C gives up" in person.written[0]


def test_the_page_comes_only_after_tokens_were_accepted() -> None:
    person, held = Person(), Event()

    def accept(tokens: Tokens, nonce: str) -> NoReturn:
        assert tokens.access_token.reveal() == "at"
        assert nonce == provider.asked[0]["nonce"]
        assert person.seen.empty()
        held.set()
        raise GatepassError("not these")

    with small_provider() as provider, pytest.raises(GatepassError, match="not these"):
        authcode.log_in(
            provider.metadata,
            CLIENT,
            send=provider.send(CLIENT),
            terminal=person.terminal(),
            accept=accept,
        )
    assert held.is_set()
    assert person.page().content == page("failed").body


# --- providers that say no, or lie ---------------------------------------------------------


def test_a_refusal_is_told_in_the_providers_words_without_its_tricks() -> None:
    says = {"code": None, "error": "access_denied", "error_description": "\x1b[2JNo\n" + "x" * 999}
    person = Person()
    with small_provider(says=says) as provider, pytest.raises(LoginRequired) as caught:
        log_in(provider, person)
    assert "(access_denied: [2JNo xxx" in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    assert caught.value.hint.endswith("\ngatepass login prod")
    assert person.page().content == page("failed").body
    assert provider.posted == []


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("invalid_scope", "check scopes"),
        ("unauthorized_client", "flow"),
        ("unsupported_response_type", "flow"),
        ("invalid_request", "redirect_uri"),
    ],
)
def test_a_refusal_of_the_client_does_not_send_a_person_in_a_circle(error: str, hint: str) -> None:
    says = {"code": None, "error": error}
    with small_provider(says=says) as provider, pytest.raises(Denied, match=error) as caught:
        log_in(provider, Person())
    assert hint in caught.value.hint
    assert "gatepass login" not in caught.value.hint


@pytest.mark.parametrize(
    ("says", "carries_iss", "why"),
    [
        ({"iss": "https://evil.example"}, True, "another provider"),
        ({"iss": "https://evil.example"}, False, "another provider"),
        ({"iss": ""}, False, "another provider"),
        ({"iss": None}, True, "RFC 9207"),
        ({"iss": "https://evil.example", "code": None, "error": "access_denied"}, True, "another"),
    ],
)
def test_an_answer_from_another_provider_is_not_used(
    says: dict[str, str | None], carries_iss: bool, why: str
) -> None:
    person = Person()
    with (
        small_provider(says=says, carries_iss=carries_iss) as provider,
        pytest.raises(GatepassError, match=why) as caught,
    ):
        log_in(provider, person)
    assert provider.posted == []
    assert "evil" not in str(caught.value)
    assert person.page().content == page("failed").body


def test_a_provider_that_does_not_promise_iss_need_not_send_it() -> None:
    with small_provider(says={"iss": None}, carries_iss=False) as provider:
        log_in(provider, Person())


def test_a_code_for_another_verifier_is_refused_and_the_page_says_so() -> None:
    person = Person()
    with (
        small_provider(says={"code": "stolen"}) as provider,
        pytest.raises(LoginRequired, match="code of this login .*invalid_grant") as caught,
    ):
        log_in(provider, person)
    assert "gatepass login prod\nif this comes again" in caught.value.hint
    assert person.page().content == page("failed").body
    printed = "".join(format_exception(caught.value))
    for secret in (provider.posted[0]["code_verifier"], "stolen"):
        assert secret not in printed


def test_a_token_endpoint_that_breaks_shows_no_success() -> None:
    person = Person()
    with (
        small_provider(token=lambda _: in_json({"access_token": 5})) as provider,
        pytest.raises(GatepassError, match="the identity provider's answer"),
    ):
        log_in(provider, person)
    assert person.page().content == page("failed").body


def test_a_forged_callback_does_not_end_the_login() -> None:
    """The wrong one comes first; the person's own one still counts."""

    def forge_first(url: str) -> requests.Response:
        target = dict(parse_qsl(urlsplit(url).query))["redirect_uri"]
        for query in ("code=evil&state=guess", "error=access_denied&state=guess", "error=x"):
            assert raw.open_address(f"{target}?{query}").status == 400
        return browse(url)

    with small_provider() as provider:
        tokens, _ = log_in(provider, Person(forge_first))
    assert [each["code"] for each in provider.posted] == ["c0de"]
    assert tokens.access_token.reveal() == "at"


def test_the_callback_of_one_login_is_nothing_to_another() -> None:
    """Two profiles that log in at once."""
    with small_provider() as one, small_provider() as other:
        first = Person(lambda _: None)
        login = Thread(target=log_in, args=(one, first))
        login.start()

        def cross(url: str) -> requests.Response:
            mine = last_address(url)
            theirs = urlsplit(dict(parse_qsl(urlsplit(first.address).query))["redirect_uri"])
            crossed = urlsplit(mine)._replace(netloc=theirs.netloc).geturl()
            assert raw.open_address(crossed).status == 400
            return browse(url)

        first.seen.get(timeout=raw.SECONDS)
        log_in(other, Person(cross))
        browse(first.address)
        login.join()
    assert len(one.posted) == len(other.posted) == 1


@pytest.mark.parametrize(
    ("more", "why", "hint"),
    [
        ({}, "no login in a browser", "device"),
        ({"authorization_endpoint": "http://idp.example/a"}, "is refused", "ends TLS"),
        (
            {"authorization_endpoint": "https://idp/a", "challenge_methods": ("plain",)},
            "does not know S256 .* it offers plain",
            "administrator",
        ),
    ],
)
def test_a_provider_without_a_login_page_is_told(more: dict[str, Any], why: str, hint: str) -> None:
    metadata = Provider("https://idp.example", "https://idp.example/token", **more)
    with pytest.raises(GatepassError, match=why) as caught:
        authcode.log_in(metadata, CLIENT, send=never, terminal=Person().terminal())
    assert hint in caught.value.hint


# --- openers that block, lie and break -----------------------------------------------------


def test_an_opener_that_opens_nothing_is_told_by_the_time() -> None:
    person = Person(lambda _: True)
    with small_provider() as provider, pytest.raises(LoginRequired) as caught:
        log_in(provider, person, timeout=0.05)
    assert caught.value.message == "nobody logged in within 0 s"
    assert caught.value.hint == "gatepass login prod"
    assert [each for each in threading.enumerate() if each.name == "gatepass-login"] == []


def test_an_opener_that_blocks_or_breaks_holds_up_nobody() -> None:
    """The person opens the told address by hand."""
    release = Event()

    def hang(url: str) -> None:
        Thread(target=browse, args=(url,)).start()
        release.wait(raw.SECONDS)
        raise OSError("no browser after all")

    with small_provider() as provider:
        tokens, _ = log_in(provider, Person(hang))
        release.set()
    assert tokens.access_token.reveal() == "at"


def test_without_anybody_nothing_is_opened_and_nothing_waits() -> None:
    person = Person()
    with small_provider() as provider, pytest.raises(LoginRequired) as caught:
        authcode.log_in(
            provider.metadata,
            CLIENT,
            send=provider.send(CLIENT),
            terminal=person.terminal(interactive=False),
            hint="gatepass login prod",
        )
    assert "a person must log in, and interactive=False forbids asking" in caught.value.message
    assert person.seen.empty()
    assert person.written == []


# --- the browser is elsewhere --------------------------------------------------------------


def pasting(keyboard: Keyboard, text: Callable[[str], str]) -> Callable[[str], object]:
    """Return a browser on another machine, whose person pastes something into the terminal."""
    return lambda url: keyboard.lines.put(text(last_address(url)) + "\n")


@pytest.mark.parametrize(
    "text",
    [
        lambda address: address,
        lambda address: f"  {address}  ",
        lambda address: f'"{address}"',
        lambda address: f"<{address}>",
        lambda address: f" \u201c{address}\u201d ",
        lambda address: address + "#_=_",
        lambda address: address.removeprefix("http://"),
        lambda address: address.partition("?")[2],
    ],
)
def test_the_address_on_which_a_browser_ended_can_be_pasted(text: Callable[[str], str]) -> None:
    keyboard = Keyboard()
    with small_provider() as provider:
        tokens, _ = log_in(provider, Person(pasting(keyboard, text)), console=keyboard)
    assert tokens.access_token.reveal() == "at"
    assert keyboard.closed


def test_what_is_pasted_is_checked_like_what_arrives() -> None:
    keyboard = Keyboard()

    def other_state(address: str) -> str:
        parts = urlsplit(address)
        query = {**dict(parse_qsl(parts.query)), "state": "guess"}
        return f"rubbish\n{parts._replace(query=urlencode(query)).geturl()}\n{address}"

    def one_by_one(url: str) -> None:
        for line in other_state(last_address(url)).split("\n"):
            keyboard.lines.put(line + "\n")

    person = Person(one_by_one)
    with small_provider() as provider:
        log_in(provider, person, console=keyboard)
    complaints = [each for each in person.written if "not the address" in each]
    assert len(complaints) == 2
    assert provider.asked[0]["redirect_uri"] in complaints[0]
    assert len(provider.posted) == 1


def test_a_pasted_answer_from_another_provider_is_not_used() -> None:
    keyboard = Keyboard()
    with (
        small_provider(says={"iss": "https://evil.example"}) as provider,
        pytest.raises(GatepassError, match="another provider"),
    ):
        log_in(provider, Person(pasting(keyboard, str)), console=keyboard)


def test_who_types_nothing_sees_the_time_run_out() -> None:
    keyboard = Keyboard()
    with small_provider() as provider, pytest.raises(LoginRequired):
        log_in(provider, Person(lambda _: None), console=keyboard, timeout=0.1)
    assert keyboard.drawn[0] == "\r0:01 left, or paste the address here: "
    assert keyboard.drawn[-1].strip() == ""


def test_where_nothing_can_be_opened_or_typed_the_told_address_is_enough() -> None:
    written: list[str] = []

    def by_hand(text: str) -> None:
        written.append(text)
        found = re.search(r"^  (http\S+)$", text, re.MULTILINE)
        if found:
            Thread(target=browse, args=(found[1],)).start()

    blind = Terminal({}, interactive=True, write=by_hand, open_console=lambda _: None)
    with small_provider() as provider:
        authcode.log_in(provider.metadata, CLIENT, send=provider.send(CLIENT), terminal=blind)
    if sys.platform == "linux":
        assert "Open this address in a browser:" in written[0]
    assert "paste" not in written[0]


LOGIN = """
import sys
from gatepass.auth._oidc import authcode
from gatepass._vault.records import Client, Provider, Tokens
from gatepass._system.terminal import Terminal
from gatepass.errors import GatepassError
from gatepass.secrets import Secret
def send(fields):
    print("SENT", sorted(fields), fields["code"][-12:], flush=True)
    return Tokens(Secret("at"))
provider = Provider("https://idp.example", "https://idp.example/token",
                    "https://idp.example/authorize")
try:
    authcode.log_in(provider, Client("app"), send=send, terminal=Terminal(), timeout=60)
    print("DONE", flush=True)
except GatepassError as error:
    print("FAILED", error.message, flush=True)
except KeyboardInterrupt:
    print("STOPPED", flush=True)
print("THEN", input("Your name? "), flush=True)
"""


@posix
def test_in_a_real_terminal_a_long_address_can_be_pasted(tmp_path: Path) -> None:
    """Longer than a terminal that edits lines itself would take. Afterwards it edits them again."""
    environ = clean_environ(tmp_path, PYTHONPATH=PYTHONPATH, COLUMNS="100")
    with terminal([sys.executable, "-c", LOGIN], environ) as child:
        child.expect(r"Open this address in a browser:\s+(https://\S+)\s")
        query = dict(parse_qsl(urlsplit(child.match[1]).query))
        child.expect_exact("paste it here.")
        assert max(map(len, child.before.split("\n"))) < 80
        child.expect_exact("left, or paste the address here: ")
        code = "c" * 6000 + "the-end-of-it"
        address = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        for start in range(0, len(address), 1000):
            child.send(address[start : start + 1000])
            child.expect_exact(address[start : start + 1000][-20:].replace("\n", ""))
        child.send("\r")
        child.expect_exact("SENT")
        child.expect_exact("e-end-of-it")
        child.expect_exact("DONE")
        child.expect_exact("Your name? ")
        child.sendline("Mary")
        child.expect_exact("THEN Mary")


@posix
def test_in_a_real_terminal_ctrl_c_gives_up_and_gives_the_terminal_back(tmp_path: Path) -> None:
    environ = clean_environ(tmp_path, PYTHONPATH=PYTHONPATH)
    with terminal([sys.executable, "-c", LOGIN], environ) as child:
        child.expect_exact("left, or paste the address here: ")
        child.sendintr()
        child.expect_exact("STOPPED")
        child.expect_exact("Your name? ")
        child.sendline("Mary")
        child.expect_exact("THEN Mary")


def _without_terminal(login: str, environ: dict[str, str]) -> "subprocess.Popen[str]":
    """Run a login where nothing can be typed; it says what it does on stderr."""
    code = login.replace('input("Your name? ")', "1")
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _shown_query(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Wait for the address that a login shows; return what stands behind its question mark."""
    assert process.stderr
    lines = iter(process.stderr.readline, "")
    url = next(line.strip() for line in lines if line.startswith("  https://"))
    return dict(parse_qsl(urlsplit(url).query))


@posix
def test_without_a_terminal_but_before_a_screen_the_browser_alone_does_it(tmp_path: Path) -> None:
    """As in the console of a development environment, or a notebook's kernel."""
    address = tmp_path / "address"
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho noise; echo noise >&2\nprintf %s "$1" >{address}.new\n'
        f"mv {address}.new {address}\nwhile [ -e {address} ]; do sleep 0.1; done\n",
        encoding="utf-8",
    )
    browser.chmod(0o755)
    environ = clean_environ(
        tmp_path, PYTHONPATH=PYTHONPATH, PYCHARM_HOSTED="1", BROWSER=str(browser)
    )
    with _without_terminal(LOGIN, environ) as process:
        query = _shown_query(process)
        callback = urlencode({"code": "c0de", "state": query["state"]})
        wait_for(address.exists, raw.SECONDS, "the browser")
        address.unlink()  # closes it
        opened = raw.open_address(f"{query['redirect_uri']}?{callback}")
        out, err = process.communicate(timeout=raw.SECONDS)
    assert opened.body == page("done").body
    assert out.splitlines()[1:] == ["DONE", "THEN 1"]
    assert "noise" not in out + err
    assert "Error" not in err


@posix
def test_ctrl_c_while_the_token_is_asked_for_ends_it_and_the_page_says_so(tmp_path: Path) -> None:
    code = LOGIN.replace('    return Tokens(Secret("at"))', "    import time; time.sleep(600)")
    environ = clean_environ(tmp_path, PYTHONPATH=PYTHONPATH, PYCHARM_HOSTED="1")
    with _without_terminal(code, environ) as process:
        assert process.stdout
        query = _shown_query(process)
        parts = urlsplit(query["redirect_uri"])
        target = f"{parts.path}?{urlencode({'code': 'c0de', 'state': query['state']})}"
        with raw.asked(parts.port or 0, raw.get(target, parts.netloc)) as browser:
            assert process.stdout.readline().startswith("SENT")
            os.kill(process.pid, signal.SIGINT)
            assert raw.answer(browser).body == page("failed").body
        out, err = process.communicate(timeout=raw.SECONDS)
    assert out.splitlines() == ["STOPPED", "THEN 1"]
    assert "Error" not in err


@posix
def test_a_notebook_that_cannot_open_a_browser_asks_for_the_address(tmp_path: Path) -> None:
    """The modules of a kernel are written here; a wrong answer is asked for again."""
    (tmp_path / "ipykernel.py").touch()
    (tmp_path / "IPython.py").write_text(
        "from types import SimpleNamespace as N\n"
        "def get_ipython(): return N(kernel=N(_allow_stdin=True))\n",
        encoding="utf-8",
    )
    environ = clean_environ(tmp_path, PYTHONPATH=str(tmp_path) + os.pathsep + PYTHONPATH)
    code = "import ipykernel\n" + LOGIN.replace('input("Your name? ")', "1")
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        query = _shown_query(process)
        answer = urlencode({"code": "c0de", "state": query["state"]})
        out, err = process.communicate(
            f"rubbish\n{query['redirect_uri']}?{answer}\n", timeout=raw.SECONDS
        )
    assert "The address on which the browser ended" in out
    assert "DONE" in out
    assert "That is not the address" in err
