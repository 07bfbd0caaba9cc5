"""The pages that redirect_server.py sends to the browser at the end of a login.

They are fixed: nothing of a request or of a provider's response ever gets into them. They hold no
script and load nothing (the Content-Security-Policy forbids both).
"""

from functools import cache
from typing import Final, Literal

from gatepass._value import Value

PageKind = Literal["done", "unsaved", "failed", "expired", "again", "nothing"]
"""What a page says: logged in; logged in for this run alone; not logged in; too late; not this
login's answer; no such page."""


class _Words(Value):
    status: int
    mark: str
    title: str
    text: str


_WORDS: Final[dict[PageKind, _Words]] = {
    "done": _Words(
        200, "✓", "You are logged in", "You can close this page and go back to your program."
    ),
    "unsaved": _Words(
        200,
        "✓",
        "You are logged in, for this run alone",
        "Your program could not store the login, and says why. Close this page and go back to it.",
    ),
    "failed": _Words(
        400, "!", "The login failed", "Your program says why. Close this page and go back to it."
    ),
    "expired": _Words(
        410,
        "!",
        "This login is no longer open",
        "It took too long, or it was given up. Start it again in your program.",
    ),
    "again": _Words(
        400,
        "?",
        "This address does not belong to the login",
        "Your program still waits for the right one: go back to the page where you logged in, or "
        "open the address that the program shows.",
    ),
    "nothing": _Words(
        404, "?", "There is no such page", "This address only takes the answer of a login."
    ),
}

# Two colours for the mark, each readable on both backgrounds (contrast at least 4.5 : 1).
_STYLE: Final = """
:root{color-scheme:light dark;--back:#f4f5f7;--card:#fff;--text:#1c1e21;--soft:#50555c;
--good:#0b6b3a;--bad:#a3341f}
@media (prefers-color-scheme:dark){:root{--back:#14161a;--card:#1f2228;--text:#eceef1;
--soft:#b3b9c2;--good:#6fd39b;--bad:#ff9d85}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;
padding:1.5rem;background:var(--back);color:var(--text);
font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:30rem;padding:2.25rem;border-radius:.75rem;background:var(--card);
box-shadow:0 1px 3px rgba(0,0,0,.2)}
p{margin:0}
.mark{width:3rem;height:3rem;margin-bottom:1.25rem;border:.15rem solid;border-radius:50%;
display:flex;align-items:center;justify-content:center;font-size:1.5rem;font-weight:600;
color:var(--bad)}
.done .mark{color:var(--good)}
h1{margin:0 0 .5rem;font-size:1.4rem;line-height:1.3}
.text{color:var(--soft)}
.from{margin-top:1.75rem;font-size:.875rem;color:var(--soft)}
"""

# The empty icon keeps browsers from asking for /favicon.ico.
_HTML: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body class="{kind}">
<main>
<p class="mark" aria-hidden="true">{mark}</p>
<h1>{title}</h1>
<p class="text">{text}</p>
<p class="from">gatepass</p>
</main>
</body>
</html>
"""


class Page(Value):
    """One page.

    Attributes:
        status: the status to send it with.
        body: the page, in UTF-8.
    """

    status: int
    body: bytes


@cache
def page(kind: PageKind) -> Page:
    """Return the page of that kind."""
    words = _WORDS[kind]
    html = _HTML.format(
        kind=kind, mark=words.mark, title=words.title, text=words.text, style=_STYLE
    )
    return Page(words.status, html.encode())


@cache
def headers() -> tuple[tuple[str, str], ...]:
    """Return the headers that go with every page, without its length.

    The policy allows nothing but the page's own style, by its hash (Content Security Policy
    Level 3, section 2.3.1); the code in the page's address must neither be stored nor passed on.
    """
    from base64 import b64encode
    from hashlib import sha256

    style = b64encode(sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; style-src 'sha256-{style}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    )
