"""How far a server's clock is from ours, by the date of its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._net import clock

_DATE = "Tue, 15 Nov 1994 08:12:31 GMT"
_THEN = 784887151.0


@pytest.mark.parametrize(
    ("sent", "received", "skew"),
    [
        (0, 0, 0),
        (0.9, 0.9, 0),  # a date has no parts of seconds
        (-50, 50, 0),  # a long login, and the date is anywhere within
        (100, 150, 100),
        (-150, -100, -100),
    ],
)
def test_a_difference_is_what_the_time_on_the_way_cannot_explain(
    sent: float, received: float, skew: float
) -> None:
    assert clock.skew({"Date": _DATE}, _THEN + sent, _THEN + received) == pytest.approx(skew)


def test_an_answer_out_of_a_cache_is_as_old_as_it_says() -> None:
    headers = {"Date": _DATE, "Age": "3600"}

    assert clock.skew(headers, _THEN + 3600, _THEN + 3601) == 0


@given(st.dictionaries(st.sampled_from(["Date", "Age"]), st.text()))
def test_no_date_breaks_it(headers: dict[str, str]) -> None:
    skew = clock.skew(headers, _THEN, _THEN)

    assert skew is None or isinstance(skew, float)
