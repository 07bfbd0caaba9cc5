"""The value: a profile holds no secret."""

import dataclasses

import pytest

from tests.support.config_files import CANARY, HEAD, Load


def test_a_profile_does_not_hold_the_secret(
    try_load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", CANARY)

    loaded = try_load(HEAD + "auth = { scheme = 'bearer', token = 'env:TOKEN' }")

    assert CANARY not in repr(loaded)
    assert CANARY not in str(dataclasses.asdict(loaded, dict_factory=dict))
