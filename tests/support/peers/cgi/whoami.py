"""Answer what the server knows of this request, as JSON."""

import hashlib
import json
import os
import sys


def main() -> None:
    """Read the whole body, then answer."""
    body = sys.stdin.buffer.read()
    answer = {
        "user": variable("REMOTE_USER"),
        "auth": variable("AUTH_TYPE"),
        "method": variable("REQUEST_METHOD"),
        "path": variable("REQUEST_URI"),
        "body_bytes": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
        # Only the first word: the credentials themselves never come back.
        "authorization": variable("AUTHORIZATION_SCHEME"),
        "proxy_authorization": variable("PROXY_AUTHORIZATION_SCHEME"),
        "headers": headers(),
        "client_cn": variable("SSL_CLIENT_S_DN_CN"),
        "remote_port": int(variable("REMOTE_PORT")),
    }
    sys.stdout.write("Content-Type: application/json\r\n\r\n" + json.dumps(answer) + "\n")


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
