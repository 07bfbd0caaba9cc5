"""The console: what its keyboard says, on Windows too, and where texts go without one."""

import contextlib

import pytest

from gatepass._system.console import _keys_of, write_to_stderr


class Keyboard:
    """What msvcrt tells of a console of Windows.

    Args:
        codes: those that wait to be read.
    """

    def __init__(self, codes: str) -> None:
        self.codes = list(codes)

    def kbhit(self) -> bool:
        return bool(self.codes)

    def getwche(self) -> str:
        return self.codes.pop(0)

    def getwch(self) -> str:
        return self.codes.pop(0)


@pytest.mark.parametrize(
    ("codes", "typed"),
    [
        ("caf\xe0", "caf\xe0"),  # the letter, alone
        ("a\xe0Hb", "ab"),  # arrow up
        ("\x00;\r", "\r"),  # F1
        ("a\x00", "a"),
        ("", ""),
    ],
)
def test_a_key_of_windows_that_is_two_codes_is_no_text(codes: str, typed: str) -> None:
    assert _keys_of(Keyboard(codes)) == typed


def test_ctrl_c_between_two_looks_at_the_keyboard_of_windows_is_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt):
        _keys_of(Keyboard("a\x03"))


def test_where_there_is_no_stderr_a_text_goes_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    write_to_stderr("seen")
    with contextlib.redirect_stderr(None):
        write_to_stderr("not seen")

    assert capsys.readouterr().err == "seen"
