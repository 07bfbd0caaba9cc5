"""The response that a browser brings back from the authorization endpoint (RFC 6749, 4.1.2)."""

import re
from typing import Final
from urllib.parse import parse_qsl

from gatepass._value import Value
from gatepass.auth._oidc.foreign_text import one_line
from gatepass.secrets import Secret, constant_time_compare

_MAX_PARAMETERS: Final = 50
_CODE: Final = re.compile(r"[\x20-\x7e]+")  # RFC 6749, appendix A.11
_ONCE: Final = ("code", "state", "iss", "error", "error_description")


class Callback(Value):
    """What came back from the browser, with the right state. Prints no code.

    Attributes:
        code: the authorization code; None when it is an error.
        error: the provider's error code, such as ``access_denied``; None when there is none.
        description: what the provider says about the error, fit for a terminal; may be empty.
        iss: which provider says it answers (RFC 9207); None when the answer does not say.
    """

    code: Secret | None
    error: str | None = None
    description: str = ""
    iss: str | None = None


def parse_callback(query: str, state: str) -> Callback | None:
    """Read the query of an address on which the browser ended.

    Args:
        query: what stands after the question mark.
        state: what this login sent.

    Returns:
        the callback; None where it is not one of this login: a wrong, missing or repeated state,
        any other parameter that counts twice, neither or both of code and error, not UTF-8.
    """
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:  # too many, or not UTF-8
        return None
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in _ONCE):  # RFC 6749, section 3.1
        return None
    values = dict(pairs)
    if not constant_time_compare(values.get("state"), state):
        return None
    code, error = values.get("code"), values.get("error")
    if (code is None) == (error is None):
        return None
    if code is not None and not _CODE.fullmatch(code):
        return None
    return Callback(
        code=None if code is None else Secret(code),
        error=None if error is None else one_line(error),
        description=one_line(values.get("error_description", "")),
        iss=values.get("iss"),
    )
