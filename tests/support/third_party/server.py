"""ACME's server: it checks each signature by a program of its own."""

import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.echo import Answer, Echo, Seen, echo, refused


@contextmanager
def acme_server(key_id: str, key: str) -> Iterator[Echo]:
    """Run a server that knows one key and answers 200 to what is signed with it."""

    def answers(seen: Seen) -> Answer:
        kind, _, rest = (seen.authorization or "").partition(" ")
        said_id, expires, signed = [*rest.split(":"), "", ""][:3]
        good = (
            kind == "ACME-HMAC"
            and said_id == key_id
            and expires.isdecimal()
            and 0 < int(expires) - time.time() <= 3600
            and hmac.compare_digest(signed, _signature(key, seen, expires))
        )
        return Answer() if good else refused("ACME-HMAC")

    with echo(answers) as running:
        yield running


def _signature(key: str, seen: Seen, expires: str) -> str:
    body = hashlib.sha256(seen.body).hexdigest()
    lines = f"{seen.method}\n{seen.path}\n{body}\n{expires}"
    return hmac.digest(key.encode(), lines.encode(), "sha256").hex()
