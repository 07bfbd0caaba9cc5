"""The logged-on user of Windows by SSPI: errors with the next step."""

import pytest
from spnego.exceptions import NativeError, SpnegoError

from gatepass.auth import _sspi
from gatepass.errors import LoginRequired


def _code(error: int) -> SpnegoError:
    return SpnegoError(base_error=NativeError("ein Text von Windows", winerror=error))


@pytest.mark.parametrize("error", [-2146893043, -2146893042, 0x8009030E, 1312, -2147023584])
def test_no_logon_for_the_network_on_windows_is_a_login_that_is_missing(error: int) -> None:
    """Whatever language Windows speaks, and whichever sign the code has."""
    translated = _sspi.translate_error(_code(error), "HTTP/mi.test")

    assert isinstance(translated, LoginRequired)
    assert "ein Text von Windows" in translated.message
    assert "Do not store password" in translated.hint


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (-2146893053, "use the name under which the server is known to Kerberos"),
        (-2146893022, "use the name under which the server is known to Kerberos"),
        (-2146893044, "lock the screen and unlock it"),  # SEC_E_LOGON_DENIED
    ],
)
def test_other_errors_of_windows_name_the_server_and_what_to_look_at(error: int, hint: str) -> None:
    translated = _sspi.translate_error(_code(error), "HTTP/mi.test")

    assert not isinstance(translated, LoginRequired)
    assert translated.message.startswith("Windows cannot log on at HTTP/mi.test: ")
    assert hint in translated.hint


def test_a_domain_that_does_not_answer_is_unreachable() -> None:
    translated = _sspi.translate_error(_code(-2146893039), "HTTP/mi.test")

    assert translated.exit_code == 5
    assert translated.message.startswith("no domain controller answers (")
