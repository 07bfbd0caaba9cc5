"""Which fields hold secrets."""

import re
from typing import Final

_SECRET_NAME: Final = re.compile(
    r"auth(?!ors?\b)|cookie|credential|keys?(?![a-z])|(?<![a-z])pass(?![a-z])|"
    r"pass(?:w|code|phrase)|pwd|secret|session|sid\b|signature|token",
    re.IGNORECASE,
)


def may_be_secret(name: str) -> bool:
    """Say whether a header, parameter or the like is named as if it held a secret."""
    return _SECRET_NAME.search(name) is not None
