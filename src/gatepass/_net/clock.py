"""How far this computer's clock is from a server's.

Tokens carry the times from and until which they are good, and Kerberos refuses clocks that differ
by more than five minutes (RFC 4120, section 8.2). Such a refusal rarely says so.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

TOLERATED: Final = 60.0
"""Seconds of difference that hurt nobody."""


def skew(headers: Mapping[str, str], sent: float, received: float) -> float | None:
    """Return by how many seconds this computer's clock is ahead; negative where it is behind.

    The answer was made at some moment between the two times, so a date between them is no
    difference. One that a cache kept is as many seconds older as ``Age`` says (RFC 9111, 5.1).

    Args:
        headers: of the answer, by names in the case of HTTP.
        sent: when the first request was sent, in seconds since 1970 by our clock.
        received: when the answer was there.

    Returns:
        None where the answer holds no date that can be read.
    """
    try:
        date = parsedate_to_datetime(headers.get("Date") or "").timestamp()
        age = int(headers.get("Age") or 0)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = date + max(age, 0)
    if sent - 1 <= moment <= received:  # a date has no parts of seconds
        return 0.0
    return received - moment if moment > received else sent - moment
