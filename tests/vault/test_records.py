"""The values of the vault print no token."""

import pytest

from gatepass._vault.records import Client, Record, Tokens
from gatepass.secrets import Secret
from tests.support.vaults import ACCESS, RECORD, REFRESH

TOKENS = Tokens(Secret(ACCESS), refresh_token=Secret(REFRESH), id_token=Secret("canary-id-token"))


@pytest.mark.parametrize(
    "value",
    [RECORD, TOKENS, Client("id", Secret("canary-secret"))],
    ids=["record", "tokens", "client"],
)
def test_no_value_prints_a_token(value: Record | Tokens | Client) -> None:
    for shown in (repr(value), str(value), f"{value}"):
        assert "Secret(...)" in shown
        for secret in (ACCESS, REFRESH, "canary-id-token", "canary-secret"):
            assert secret not in shown
