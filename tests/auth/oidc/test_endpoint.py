"""Which addresses of an identity provider a secret may be sent to."""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from gatepass._session.adapter import Network
from gatepass._vault.records import Provider
from gatepass.auth._oidc.endpoint import EndpointRefused, check_endpoint, endpoint_of
from gatepass.auth._oidc.http import (
    get_json,
    post_form,
)

CANARY = "canary-refresh-token"

FORM = {"grant_type": "refresh_token", "refresh_token": CANARY}


def ours() -> requests.Session:
    """A session whose errors are those of gatepass."""
    return Network({}, retries=0).plain_session()


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example.com",
        "HTTPS://idp.example.com:8443/a/b?c=d",
        "https://xn--bcher-kva.example/",
        "https://[2001:db8::1]:443/token",
        "http://localhost:8080/x",
        "http://LOCALHOST/x",
        "http://127.0.0.1/",
        "http://127.8.9.10:1/",
        "http://[::1]:80/",
        "https://idp.example.com/" + "a" * 2023,
    ],
)
def test_https_and_this_computer_are_allowed(url: str) -> None:
    check_endpoint(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "idp.example.com",
        "//idp.example.com/",
        "http://idp.example.com/",
        "http://10.0.0.1/",
        "http://[::2]/",
        "http://[::ffff:127.0.0.1]/",
        "http://127.1/",
        "http://localhost.evil/",
        "http://127.0.0.1.evil/",
        "http://localhost./",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ftp://localhost/",
        "https://",
        "https:///token",
        "https://:443/",
        "https://user:canary@idp.example.com/",
        "http://localhost:80@evil/",
        "http://localhost:80\\@evil/",
        "http://localhost#@evil/",
        "https://idp.example.com/#x",
        "https://idp.example.com#",
        "https://idp.example.com/a b",
        "https://idp.example.com/\n",
        "\thttps://idp.example.com/",
        "https://idp.example.com/\x7f",
        "https://bücher.example/",
        "https://xn--a\u200b.example/",
        "https://idp%2eexample.com/",
        "https://[::1]evil.com/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://idp.example.com:0/",
        "https://idp.example.com:99999/",
        "https://idp.example.com:x/",
        "https://-idp/",
        "https://idp.example.com/" + "a" * 2024,
    ],
)
def test_other_addresses_are_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(EndpointRefused, match="^the thing.* is refused: ") as caught:
        check_endpoint(url, "the thing")

    assert "canary" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 350
    with pytest.raises(EndpointRefused):
        get_json(ours(), url)
    with pytest.raises(EndpointRefused):
        post_form(ours(), url, FORM)


_PIECES = st.sampled_from(
    "http|https|://|:|/|//|\\|@|#|?|localhost|127.0.0.1|[::1]|evil.com|.|%|%00|user|80|0|[|]| |\t|"
    "\n|\x00|ü|。".split("|")
)


@given(st.lists(_PIECES, max_size=9).map("".join) | st.text(max_size=40))
def test_an_allowed_address_leads_where_it_seems_to(url: str) -> None:
    for text in (url, f"http://{url}", f"https://{url}"):
        try:
            check_endpoint(text)
        except EndpointRefused:
            continue
        prepared = requests.Request("POST", text).prepare().url or ""
        host = (urlsplit(text).hostname or "").lower()
        assert (parse_url(prepared).host or "").strip("[]") == host
        here = host in {"localhost", "::1"} or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host)
        assert urlsplit(prepared).scheme == "https" or here
        assert "@" not in urlsplit(prepared).netloc


@pytest.mark.parametrize(
    "name",
    ["authorization_endpoint", "device_authorization_endpoint", "revocation_endpoint", "jwks_uri"],
)
def test_a_provider_elsewhere_has_no_endpoint_on_this_computer(name: str) -> None:
    named: dict[str, Any] = {name: "https://127.1:8443/x"}
    provider = Provider("https://idp.example.com", "https://idp.example.com/token", **named)

    with pytest.raises(EndpointRefused, match=f"{name}.*this very computer"):
        endpoint_of(provider, name)

    here = replace(provider, issuer="https://localhost")
    assert endpoint_of(here, name) == "https://127.1:8443/x"
