"""Origins, and URLs that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._net.urls import origin_of, url_problem


@given(st.text())
def test_the_url_check_never_raises(text: str) -> None:
    url_problem(text)
    url_problem(f"https://{text}")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://A.test/x", "https://a.test"),
        ("https://a.test:443/x", "https://a.test"),
        ("http://a.test:443/x", "http://a.test:443"),
        ("HTTP://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_the_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin
