"""What a server said, shown in a message."""

from hypothesis import given
from hypothesis import strategies as st

from gatepass.auth._oidc.foreign_text import printable
from gatepass.secrets import Secret


@given(st.text() | st.none() | st.integers(), st.text(min_size=8, max_size=30))
def test_a_shown_text_is_short_and_prints_and_holds_no_secret(text: object, secret: str) -> None:
    mixed = f"{text}{secret}{text}"
    for each in (text, mixed):
        shown = printable(each, hidden=[Secret(secret)])
        assert shown.isprintable()
        assert len(shown) <= 200
        assert secret not in shown or secret in str(text)
