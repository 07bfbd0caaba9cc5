"""When an access token in memory counts as usable: two clocks, and some time ahead of its end."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from gatepass.auth._oidc.cached_token import CachedToken
from gatepass.secrets import Secret


def _at(now: float) -> Callable[[], float]:
    return lambda: now


@pytest.mark.parametrize(
    ("life", "now", "fresh", "usable"),
    [
        (100, 985, True, True),
        (100, 991, False, True),  # a tenth of its life before the end it is renewed ...
        (100, 1000, False, False),
        (3600, 939, True, True),
        (3600, 941, False, True),  # ... but at most a minute before
    ],
)
def test_a_token_is_renewed_ahead_of_its_end_and_usable_until_then(
    life: float, now: float, fresh: bool, usable: bool
) -> None:
    live = CachedToken.of(Secret("t"), 1000, _at(1000 - life))

    assert live.is_usable(_at(now)) is fresh
    assert live.is_usable(_at(now), ahead=False) is usable


def test_a_wall_clock_that_is_set_back_does_not_keep_a_token_alive() -> None:
    live = CachedToken.of(Secret("t"), 1000, _at(900))

    assert not replace(live, deadline=time.monotonic() - 1).is_usable(_at(900), ahead=False)


def test_a_computer_that_slept_does_not_keep_a_token_alive() -> None:
    """The monotonic clock may stand still meanwhile; the wall clock does not."""
    live = CachedToken.of(Secret("t"), 1000, _at(900))

    assert live.deadline is not None
    assert live.deadline > time.monotonic()
    assert not live.is_usable(_at(1001), ahead=False)


def test_a_token_without_an_end_is_used_until_the_server_refuses_it() -> None:
    assert CachedToken.of(Secret("t"), None, _at(0)).is_usable(_at(1e12))
