"""Logins of SSPI and GSSAPI raise our errors, shown by pyspnego's own messages."""

from typing import Any

import pytest
import spnego

from gatepass.auth._negotiate import TranslatedContext
from gatepass.errors import GatepassError, LoginRequired

HOSTILE = b"NTLMSSP\0\3\0\0\0" + bytes(60)  # the message of a client, not of a server


def _begun() -> Any:
    """Return a login whose first message has been sent."""
    ntlm = spnego.NegotiateOptions.use_ntlm
    context = spnego.client("alice", "pw", hostname="mi.test", protocol="ntlm", options=ntlm)
    context.step()
    return context


def _translated(kind: type[Exception]) -> TranslatedContext:
    return TranslatedContext(
        _begun(), kind, "mi.test", lambda error, host: LoginRequired(f"{type(error)} at {host}")
    )


def test_an_error_of_the_library_is_told_with_the_host() -> None:
    with pytest.raises(LoginRequired, match="ValueError.* at mi.test"):
        _translated(ValueError).step(HOSTILE)


def test_any_other_error_is_ours_without_the_words_of_a_hostile_server() -> None:
    with pytest.raises(
        GatepassError, match=r"mi.test cannot be understood \(ValueError\)"
    ) as caught:
        _translated(KeyError).step(HOSTILE)

    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_whether_the_login_is_complete_is_asked_of_the_library() -> None:
    assert not _translated(KeyError).complete
