"""Answer what the server knows of this request, as JSON."""

import os
import sys

# Each request starts this program: json and hashlib would more than double what that costs.
from _json import encode_basestring_ascii as quoted

OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def main() -> None:
    """Read the whole body, then answer."""
    body = sys.stdin.buffer.read()
    answer = {
        "user": variable("REMOTE_USER"),
        "auth": variable("AUTH_TYPE"),
        "method": variable("REQUEST_METHOD"),
        "path": variable("REQUEST_URI"),
        "body_sha256": sha256(body),
        # Only the first word: the credentials themselves never come back.
        "authorization": variable("AUTHORIZATION_SCHEME"),
        "proxy_authorization": variable("PROXY_AUTHORIZATION_SCHEME"),
        "client_cn": variable("SSL_CLIENT_S_DN_CN"),
    }
    numbers = f'"body_bytes": {len(body)}, "remote_port": {variable("REMOTE_PORT")}'
    text = f'{members(answer)}, {numbers}, "headers": {{{members(headers())}}}'
    sys.stdout.write(f"Content-Type: application/json\r\n\r\n{{{text}}}\n")


def members(texts: dict[str, str]) -> str:
    """Return the members of a JSON object, without its braces."""
    return ", ".join(f"{quoted(name)}: {quoted(text)}" for name, text in texts.items())


def sha256(body: bytes) -> str:
    """Return the digest in hexadecimal."""
    if not body:
        return OF_NOTHING
    from hashlib import sha256

    return sha256(body).hexdigest()


def variable(name: str) -> str:
    """Return what Apache says in that variable, which may be UTF-8 whatever the locale."""
    return os.fsencode(os.environ.get(name, "")).decode("utf-8", "replace")


def headers() -> dict[str, str]:
    """Return the request's headers, their names in small letters."""
    return {
        name[5:].replace("_", "-").lower(): variable(name)
        for name in os.environ
        if name.startswith("HTTP_")
    }


main()
