"""The callback of a login: only with the right state, and printing no code."""

from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st

from gatepass.auth._oidc.callback import parse_callback
from tests.support.redirects import CODE, GOOD, STATE, code_of


def test_a_callback_does_not_print_its_code() -> None:
    assert CODE not in repr(parse_callback(GOOD, STATE))


pieces = st.sampled_from(
    ["code", "state", "iss", "error", "=", "&", ";", STATE, CODE, "%00", "%ff", "+", "#", "?", "[]"]
)

queries = st.lists(pieces | st.text(max_size=5), max_size=12).map("".join)


@given(queries)
def test_no_query_reaches_the_code_without_the_right_state(query: str) -> None:
    found = parse_callback(query, STATE)
    if found is not None:
        assert query.count("state=") >= 1
        assert STATE in query
        assert (found.code is None) != (found.error is None)


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_state_is_right_only_as_a_whole(state: str, code: str) -> None:
    found = parse_callback(urlencode({"code": code, "state": state}), STATE)
    assert found is None or state == STATE


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_every_code_that_the_standard_allows_arrives_as_it_was(code: str) -> None:
    assert code_of(parse_callback(f"code={quote(code)}&state={STATE}", STATE)) == code
