"""Profiles that are made of arguments."""

import os
import subprocess
import sys
from typing import Any

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


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"allow_http": "false"}, "allow_http: should be a boolean"),
        ({"tls": {"verify": "no"}}, "tls.verify: should be a boolean"),
        ({"tls": {"client_key": "k.pem"}}, "tls.client_key: needs client_cert too"),
        ({"timeout": True}, "timeout: should be seconds"),
        ({"timeout": float("nan")}, "timeout: should be seconds"),
        ({"retries": 2.0}, "retries: should be an integer"),
        ({"headers": {"X-A": 1}}, "headers.X-A: takes a string, env:NAME or file:PATH, not 1"),
        ({"headers": {"Cookie": "a"}}, "headers.Cookie: not here"),
        ({"proxy": "proxy:3128"}, "proxy.url: should be a URL"),
        ({"proxy": {"url": "http://p.test", "user_name": "u"}}, "proxy: user_name and password"),
        ({"check_path": "https://b.test/"}, "check_path: should be a path"),
        ({"description": b"x"}, "description: should be a string"),
    ],
)
def test_an_argument_of_another_type_or_against_a_rule_is_refused(
    keys: dict[str, Any], problem: str
) -> None:
    """A text such as "false" is true in Python: it must not permit what it forbids."""
    with pytest.raises(ProfileError, match=f"arguments: {problem}"):
        unnamed_profile("https://a.test", {"scheme": "anonymous"}, **keys)


def test_plain_http_to_another_machine_is_refused_in_python_too() -> None:
    auth = {"scheme": "basic", "user_name": "alice", "password": "x"}

    with pytest.raises(ProfileError, match="arguments: url: plain http would send"):
        unnamed_profile("http://a.test", auth)
    assert unnamed_profile("http://a.test", auth, allow_http=True).url == "http://a.test/"


def test_keywords_and_pickles_import_no_pydantic() -> None:
    """What arguments hold has its type; the constructors judge the rest."""
    code = """
import pickle, sys
from gatepass import Session, ref
mi = Session(
    "https://127.0.0.1:1/mi", user_name="alice", password=ref("env:MI_PASSWORD"), timeout=(5, 30),
    retries=1, headers={"X-Team": "a"}, proxy="http://127.0.0.1:3128", check_path="x",
    tls={"verify": True}, environ={
        "MI_PASSWORD": "x", "GATEPASS_VAULT_KEY": "file:/k", "GATEPASS_VAULT": "/v",
    },
)
assert mi.profile.timeout == (5, 30)
pickle.loads(pickle.dumps(mi)).profile
print(sorted(name for name in sys.modules if name.startswith("pydantic")))
"""
    environ = {**os.environ, "GATEPASS_VAULT_KEY": "file:/k"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout == "[]\n"
