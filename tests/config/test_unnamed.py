"""Profiles that are made of arguments."""

import pytest

from gatepass._config.unnamed import unnamed_profile
from gatepass.errors import ProfileError
from gatepass.secrets import Secret, ref


def test_an_unnamed_profile_goes_through_the_same_validation() -> None:
    built = unnamed_profile(
        "https://a.test",
        {"scheme": "basic", "user_name": "a:b", "password": "env:literal"},
        retries=1,
    )

    assert isinstance(built.auth.password, Secret)  # type: ignore[attr-defined]  # a Basic
    assert built.auth.user_name == "a:b"  # type: ignore[attr-defined]
    assert built.name == ""
    with pytest.raises(ProfileError, match="arguments: retrys: unknown key"):
        unnamed_profile("https://a.test", {"scheme": "anonymous"}, retrys=1)


def test_a_reference_in_python_stays_a_reference() -> None:
    built = unnamed_profile("https://a.test", {"scheme": "bearer", "token": ref("env:T")})

    assert built.auth.token == ref("env:T")  # type: ignore[attr-defined]  # a Bearer
