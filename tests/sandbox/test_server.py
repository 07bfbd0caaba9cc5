"""The practice server as a value: what it refuses before it starts."""

from typing import Any

import pytest

from gatepass.sandbox import Server


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mode": "kerberos"}, "no mode 'kerberos'; there are open, standalone"),
        ({"users": {"a:b": "c"}}, "colon"),
        ({"lock_after": 0}, "lock_after"),
    ],
)
def test_what_cannot_work_is_refused_at_once(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Server(**keys)


def test_the_configuration_is_frozen() -> None:
    users = {"alice": "sesame"}
    server = Server(users=users)
    with pytest.raises(AttributeError):
        server.mode = "open"  # type: ignore[misc] # the claim
    with pytest.raises(TypeError):
        server.users["bob"] = "b"  # type: ignore[index] # the claim
    users["bob"] = "b"
    assert "bob" not in server.users
