"""A browser for a provider that knows its user already: opens an address and follows it home."""

import sys
from urllib.request import urlopen

with urlopen(sys.argv[1], timeout=60) as answer:  # noqa: S310 - addresses of this machine
    answer.read()
