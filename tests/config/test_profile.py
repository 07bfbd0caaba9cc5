"""The value: a profile holds no secret."""

import dataclasses
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gatepass import Session, _value, ref
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import references
from gatepass._config.unnamed import unnamed_profile
from gatepass.secrets import Secret
from tests.support.config_files import BEARER, CANARY, HEAD, Load, Write


def test_a_profile_does_not_hold_the_secret(
    try_load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", CANARY)

    loaded = try_load(HEAD + "auth = { scheme = 'bearer', token = 'env:TOKEN' }")

    assert CANARY not in repr(loaded)
    assert CANARY not in str(dataclasses.asdict(loaded, dict_factory=dict))


_OIDC = {"scheme": "oidc", "issuer": "https://id.test/", "client_id": "c"}
_BASIC = {"scheme": "basic", "user_name": "u"}
_PEM = {"client_cert": "/c.pem", "client_key": "/k.pem"}
SECRETS_GIVEN: dict[str, dict[str, Any]] = {
    "password": {"auth": {**_BASIC, "password": CANARY}},
    "token": {"auth": {"scheme": "bearer", "token": CANARY}},
    "client_secret": {
        "auth": {**_OIDC, "flow": "client_credentials", "client_secret": CANARY},
    },
    "refresh_token": {"auth": {**_OIDC, "refresh_token": CANARY}},
    "password of the proxy to the provider": {
        "auth": {
            **_OIDC,
            "proxy": {"url": "http://proxy.test:3128", "user_name": "u", "password": CANARY},
        },
    },
    "proxy": {
        "auth": {"scheme": "bearer", "token": ref("env:T")},
        "proxy": {"url": "http://proxy.test:3128", "user_name": "u", "password": CANARY},
    },
    "tls": {
        "auth": {"scheme": "bearer", "token": ref("env:T")},
        "tls": {**_PEM, "client_key_password": CANARY},
    },
}


def _reachable(value: object, seen: set[int]) -> Iterator[str | bytes]:
    """Yield the texts that attributes and items lead to, except what a ``Secret`` keeps."""
    if id(value) in seen or isinstance(value, Secret | type):
        return
    seen.add(id(value))
    if isinstance(value, str | bytes):
        yield value
    slots = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
    inner = [*getattr(value, "__dict__", {}).values(), *slots]
    if isinstance(value, Mapping):
        inner += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inner += value
    for each in inner:
        yield from _reachable(each, seen)


@pytest.mark.parametrize("way", ["keyword", "overrides"])
@pytest.mark.parametrize("keys", SECRETS_GIVEN.values(), ids=SECRETS_GIVEN)
def test_a_secret_given_as_text_is_nowhere_in_the_profile(
    locations: Locations, write: Write, keys: dict[str, Any], way: str
) -> None:
    """Neither in what it was merged from: reports and debuggers show attributes and tables."""
    if way == "overrides":
        write(locations.user, HEAD + 'auth = { scheme = "anonymous" }\n')
        profile = load_profile("p", environ={}, locations=locations, overrides=keys)
    else:
        profile = unnamed_profile("https://a.test/", **keys)

    shown = (profile, vars(profile), dataclasses.asdict(profile), _value.asdict(profile))
    texts = [*map(repr, shown), *map(str, shown), *_reachable(shown, set())]
    assert [each for each in texts if CANARY in str(each)] == []
    assert [each.reveal() for _, each in references(profile) if isinstance(each, Secret)] == [
        CANARY
    ]
    for each in shown:
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(each)
    assert keys in SECRETS_GIVEN.values()  # what the caller has given is left as it was
    assert CANARY in str(keys)


def test_the_attributes_of_a_session_show_no_secret_and_no_variable() -> None:
    with Session(
        "https://a.test/", user_name="u", password=CANARY, environ={"MINE": CANARY}
    ) as session:
        assert [
            each.reveal() for _, each in references(session.profile) if isinstance(each, Secret)
        ]
        assert CANARY not in repr(vars(session)) + str(_value.asdict(session.profile))


def test_a_table_of_a_profile_holds_nothing_else_of_its_files(try_load: Load) -> None:
    loaded = try_load(BEARER + f"# {CANARY}\n[profiles.q.auth]\npassword = '{CANARY}'\n")

    for table in (dataclasses.asdict(loaded), _value.asdict(loaded)):
        assert CANARY not in repr(table)
        assert table["auth"]["token"] is not None
