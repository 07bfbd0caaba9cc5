"""A person whose browser logs in by itself."""

import threading
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from gatepass.sandbox._browser import PATIENCE, person_who_logs_in
from gatepass.sandbox.provider import IdentityProvider
from tests.support.echo import echo
from tests.support.provider_requests import USERS, claims, login_url, redeem


@pytest.mark.parametrize(("user", "expected"), [(None, "alice"), ("bob", "bob")])
def test_the_browser_logs_in_and_brings_the_code_back_past_any_proxy(
    client: requests.Session,
    idp: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
    user: str | None,
    expected: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert set(USERS) >= {expected}
    with echo() as page:
        person = person_who_logs_in({}, idp, user)
        assert person.open_browser(login_url(idp, redirect_uri=page.url)) is None
        for thread in threading.enumerate():
            if thread.name == "gatepass-browser":
                thread.join(PATIENCE)

        (seen,) = page.seen
        (code,) = parse_qs(urlsplit(seen.path).query)["code"]
        tokens = redeem(client, idp, code=code, redirect_uri=page.url).json()
    assert claims(client, idp, tokens["access_token"])["sub"] == expected


def test_the_person_is_there_and_sees_nothing(
    idp: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a variable says that nobody is: the demo runs in a job too."""
    person = person_who_logs_in({"GATEPASS_NO_INPUT": "1"}, idp)

    person.tell("a code, and an address")

    assert person.why_not_ask() is None
    assert capsys.readouterr() == ("", "")
