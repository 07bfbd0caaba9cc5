"""Answers of the user's own come before those of the practice server."""

import pytest
import requests

from gatepass.sandbox import Server


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
