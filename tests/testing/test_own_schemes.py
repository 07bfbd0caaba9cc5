"""Our own schemes keep the contract that strangers are held to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from gatepass._system import plugins
from gatepass.sandbox import IdentityProvider, Server
from gatepass.sandbox.provider import SERVICE_ID, SERVICE_SECRET
from gatepass.testing import Home, SchemeContract

PASSWORD = "canary-password"
LOGIN = {"user_name": "alice", "domain": "CORP"}


class TestAnonymous(SchemeContract):
    scheme = "anonymous"


class TestBasic(SchemeContract):
    scheme = "basic"
    keys = LOGIN
    secrets: ClassVar = {"password": PASSWORD}


class TestBearer(SchemeContract):
    scheme = "bearer"
    secrets: ClassVar = {"token": "canary-token"}


class TestCredentialsByBasic(SchemeContract):
    scheme = "credentials"
    keys: ClassVar = {**LOGIN, "channel_binding": True}
    secrets: ClassVar = {"password": PASSWORD}
    challenges = ('Basic realm="contract"',)
    messages = 2


class _AtWindows(SchemeContract):
    keys: ClassVar = {**LOGIN, "channel_binding": True}
    secrets: ClassVar = {"password": PASSWORD}
    messages = 3

    @contextmanager
    def home(self, *, accepts: bool) -> Iterator[Home]:
        known = PASSWORD if accepts else "another-password"
        with Server(mode="windows", users={"CORP\\alice": known}) as server:
            yield server


class TestCredentialsByNtlm(_AtWindows):
    scheme = "credentials"


class TestNtlm(_AtWindows):
    scheme = "ntlm"


class TestAutologon(SchemeContract):
    """A login needs a realm: ``tests/auth/test_handshake.py``."""

    scheme = "autologon"
    keys: ClassVar = {"delegate": False, "channel_binding": True}

    @pytest.fixture(autouse=True)
    def _without_a_realm(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ in _OF_A_LOGIN:
            pytest.skip("a login needs a realm: tests/auth/test_handshake.py")


_OF_A_LOGIN = {
    "test_a_refused_login_is_tried_once",
    "test_it_travels_in_pickles_and_copies_without_the_secret",
    "test_it_works_after_a_fork",
    "test_other_servers_get_nothing",
    "test_the_login_goes_along_with_a_request",
    "test_threads_share_one_session",
}


class TestOidc(SchemeContract):
    """A program that logs in by its own secret; logins of people have tests of their own."""

    scheme = "oidc"
    secrets: ClassVar = {"client_secret": SERVICE_SECRET}
    messages = 2

    @pytest.fixture(autouse=True)
    def _at_a_provider(self) -> Iterator[None]:
        with IdentityProvider() as self.provider:
            type(self).keys = {
                "issuer": self.provider.issuer,
                "client_id": SERVICE_ID,
                "flow": "client_credentials",
                "audience": self.provider.audience,
            }
            yield

    @contextmanager
    def home(self, *, accepts: bool) -> Iterator[Home]:
        """A server that refuses wants tokens of another provider."""
        with IdentityProvider() as stranger:
            known = self.provider if accepts else stranger
            with Server(mode="oidc", provider=known) as server:
                yield server


def test_every_scheme_of_ours_is_held_to_the_contract() -> None:
    held = {each.scheme for each in _contracts(SchemeContract) if hasattr(each, "scheme")}

    assert held >= set(plugins.BUILT_IN[plugins.AUTH])


def _contracts(kind: type[SchemeContract]) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _contracts(each)
