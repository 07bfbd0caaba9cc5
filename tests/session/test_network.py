"""The networks of a profile: proxy, TLS and timeouts."""

import pytest

from gatepass._session.session import Session
from gatepass.errors import (
    GatepassWarning,
    SecretUnavailable,
)
from gatepass.secrets import ref
from tests.support.echo import basic, echo
from tests.support.sessions import (
    ENVIRON,
    NOWHERE,
    PASSWORD,
    session_for,
)


def test_tls_without_verification_warns_each_time() -> None:
    for _ in range(2):
        with pytest.warns(GatepassWarning, match=r"tls\.verify = false") as warned:
            Session("https://mi.example.com", anonymous=True, tls={"verify": False})
        assert warned[0].filename == __file__


def test_the_profiles_proxy_login_goes_to_that_proxy_only() -> None:
    with echo() as proxy, echo() as other:
        own = {"url": proxy.root, "user_name": "p", "password": ref("env:MI_PASSWORD")}
        mi = session_for(
            "http://mi.invalid", "anonymous", proxy=own, allow_http=True, environ=ENVIRON
        )
        mi.get("x")
        mi.get("x", proxies={"http": other.root})

    assert proxy.seen[0].headers["proxy-authorization"] == basic("p", PASSWORD)
    assert "proxy-authorization" not in other.seen[0].headers


def test_a_missing_password_of_the_proxy_shows_when_the_session_is_built() -> None:
    own = {"url": "http://proxy:3128", "user_name": "p", "password": ref("env:PROXY")}
    for scheme in ("basic", "anonymous"):
        with pytest.raises(SecretUnavailable, match=r"proxy\.password: env:PROXY"):
            session_for(NOWHERE, scheme, proxy=own)
