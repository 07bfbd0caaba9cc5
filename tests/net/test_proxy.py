"""Proxies: whom NO_PROXY excepts, and which URL of one can be used."""

import pytest
from requests.utils import should_bypass_proxies

from gatepass._net.proxy import is_direct, proxy_problem

# what NO_PROXY says, the URL, whether the host is reached directly, whether requests says so too
CASES = [
    ("mi.corp.test", "https://mi.corp.test/x", True, True),
    ("corp.test", "https://mi.corp.test/x", True, True),
    (".corp.test", "https://mi.corp.test/x", True, True),
    (".corp.test", "https://corp.test/x", True, True),
    ("*.corp.test", "https://mi.corp.test/x", True, False),
    ("CORP.test", "https://MI.corp.TEST/x", True, True),
    ("corp.test", "https://mi.corp.test./x", True, False),
    ("corp.test", "https://notcorp.test/x", False, True),
    ("corp.test:8443", "https://mi.corp.test:8443/x", True, True),
    ("corp.test:443", "https://mi.corp.test/x", True, False),
    ("corp.test:8443", "https://mi.corp.test/x", False, True),
    ("a.test, corp.test", "https://mi.corp.test/x", True, True),
    ("a.test corp.test", "https://mi.corp.test/x", True, False),
    ("*", "https://mi.corp.test/x", True, True),
    ("a.test,*", "https://mi.corp.test/x", True, False),
    ("10.0.0.0/8", "http://10.1.2.3/x", True, True),
    ("10.0.0.0/8", "http://11.1.2.3/x", False, True),
    ("10.1.2.3", "http://10.1.2.3:8080/x", True, True),
    ("10.0.0.0/8", "http://10.corp.test/x", False, True),
    ("::1", "http://[::1]/x", True, True),
    ("[::1]:8080", "http://[::1]:8080/x", True, False),
    ("[::1]:8080", "http://[::1]/x", False, True),
    ("fd00::/8", "http://[fd00::1]:8080/x", True, False),
    ("[fd00::]/8", "http://[fd00::1]/x", True, False),
    ("fd00::/8", "http://[fe00::1]/x", False, True),
    ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/x", True, False),
    ("", "https://mi.corp.test/x", False, True),
    (",", "https://mi.corp.test/x", False, True),
    ("10.0.0.0/99, x:y:z, [", "http://10.1.2.3/x", False, True),
]


@pytest.mark.parametrize(("no_proxy", "url", "direct", "as_requests"), CASES)
def test_no_proxy_excepts_what_requests_does_and_more(
    no_proxy: str, url: str, direct: bool, as_requests: bool
) -> None:
    assert is_direct(url, no_proxy) == direct
    assert (should_bypass_proxies(url, no_proxy or "nowhere.test") == direct) == as_requests


@pytest.mark.parametrize(
    "value", ["http://p:3128", "https://p", "socks5h://p:1080", "http://[fd00::1]:3128/", "p:3128"]
)
def test_usable_proxies_are_taken_a_bare_one_from_variables_alone(value: str) -> None:
    assert proxy_problem(value) == ""
    assert bool(proxy_problem(value, login_allowed=False)) == ("://" not in value)


@pytest.mark.parametrize(
    "value", ["p", "p:3128", "ftp://p", "http://p:x", "http://", "http://a:b@p", "http://p/?x"]
)
def test_a_wrong_proxy_of_a_profile_is_not_answered_with_the_url_of_a_server(value: str) -> None:
    problem = proxy_problem(value, login_allowed=False)

    assert problem
    assert "mi.example.com" not in problem
