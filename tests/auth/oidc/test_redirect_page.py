"""The page at the end of a login."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import get_args

import pytest

from gatepass.auth._oidc.redirect_page import PageKind, headers, page

KINDS: tuple[PageKind, ...] = get_args(PageKind)
every_page = pytest.mark.parametrize("kind", KINDS)


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def html_of(kind: PageKind) -> str:
    return page(kind).body.decode()


@every_page
def test_a_page_runs_nothing_and_loads_nothing(kind: PageKind) -> None:
    for tag, attributes in _Tags(html_of(kind)).found:
        assert tag not in {"script", "img", "iframe", "form", "a", "object", "embed", "base"}
        assert not any(name.startswith("on") or name in {"src", "style"} for name in attributes)
        assert attributes.get("href") in {None, "data:,"}
    assert "url(" not in html_of(kind)
    assert "@import" not in html_of(kind)


@every_page
def test_the_style_is_the_one_that_the_policy_allows(kind: PageKind) -> None:
    """A browser drops a style whose hash the policy does not name, to the letter."""
    (style,) = re.findall(r"<style>(.*?)</style>", html_of(kind), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(headers())["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy


@every_page
def test_a_page_is_readable_in_light_and_dark_on_any_screen(kind: PageKind) -> None:
    html = html_of(kind)
    assert "color-scheme:light dark" in html
    assert "@media (prefers-color-scheme:dark)" in html
    assert ("meta", {"name": "viewport", "content": "width=device-width,initial-scale=1"}) in (
        _Tags(html).found
    )
    assert ("html", {"lang": "en"}) in _Tags(html).found
    (title,) = re.findall("<title>(.*?)</title>", html)
    assert f"<h1>{title}</h1>" in html


@every_page
def test_a_page_is_small(kind: PageKind) -> None:
    assert len(page(kind).body) < 4096


def test_only_success_looks_and_counts_as_success() -> None:
    assert [kind for kind in KINDS if page(kind).status == 200] == ["done", "unsaved"]
    assert [kind for kind in KINDS if "✓" in html_of(kind)] == ["done", "unsaved"]


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_stands_out_from_its_background() -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1, in both colour schemes."""
    schemes = re.findall(r":root\{(.*?)\}", html_of("done"), re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+):#([0-9a-f]+)", scheme))
        back = _luminance(colours["card"])
        for name in ("text", "soft", "good", "bad"):
            high, low = sorted((_luminance(colours[name]), back), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, name
