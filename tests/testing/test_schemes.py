"""The contract of a scheme: our own keep it, and each check finds what breaks it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from gatepass._system import plugins
from gatepass.sandbox import IdentityProvider, Server
from gatepass.sandbox.provider import SERVICE_ID, SERVICE_SECRET
from gatepass.testing import ContractServer, SchemeContract
from tests.support.contracts import Checker, checks_of, entry_point_name, installed
from tests.support.peers.need import need_gssapi

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
    def server(self, *, accepts: bool) -> Iterator[ContractServer]:
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
        if request.function.__name__ == "test_building_a_session_opens_no_connection":
            need_gssapi()


_OF_A_LOGIN = {
    "test_a_refused_login_is_tried_once",
    "test_it_travels_in_pickles_and_copies_without_the_secret",
    "test_other_servers_get_nothing",
    "test_the_login_goes_along_with_requests_of_all_threads",
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
    def server(self, *, accepts: bool) -> Iterator[ContractServer]:
        """A server that refuses wants tokens of another provider."""
        with IdentityProvider() as another:
            known = self.provider if accepts else another
            with Server(mode="oidc", provider=known) as server:
                yield server


def test_every_scheme_of_ours_is_held_to_the_contract() -> None:
    held = {each.scheme for each in _contracts(SchemeContract) if hasattr(each, "scheme")}

    assert held >= set(plugins.BUILT_IN[plugins.AUTH])


def _contracts(kind: type[SchemeContract]) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _contracts(each)


ENTRY: Final = "test_the_entry_point_loads_under_its_name"
CLASS: Final = "test_it_is_a_frozen_dataclass_that_answers_in_lower_case"
KEYS: Final = "test_every_key_has_a_type_and_a_description"
LITERAL: Final = "test_a_literal_secret_in_a_file_is_refused_and_not_repeated"
BUILDING: Final = "test_building_a_session_opens_no_connection"
MISSING: Final = "test_all_that_is_missing_is_told_at_once"
REQUESTS: Final = "test_the_login_goes_along_with_requests_of_all_threads"
OTHERS: Final = "test_other_servers_get_nothing"
REFUSED: Final = "test_a_refused_login_is_tried_once"
SHOWN: Final = "test_no_repr_and_no_log_shows_the_secret"
ERRORS: Final = "test_no_error_shows_the_secret"
PICKLES: Final = "test_it_travels_in_pickles_and_copies_without_the_secret"

# Class of tests/support/broken_plugins.py, the check that it fails, and words of the advice.
BROKEN: Final = [
    ("NotInstalled", ENTRY, '[project.entry-points."gatepass.auth"]'),
    ("NotFrozen", CLASS, "@dataclass(frozen=True)"),
    ("UpperCase", CLASS, "lower case"),
    ("AnyType", KEYS, "a date is accepted as header"),
    ("Undescribed", KEYS, "key and header"),
    ("TakesLiterals", LITERAL, "annotate the field with gatepass.SecretField"),
    ("ConnectsEarly", BUILDING, "authenticator() connects to 127.0.0.1:"),
    ("LooksUpEarly", BUILDING, "authenticator() connects to localhost:443"),
    ("ResolvesLate", MISSING, "resolve them in authenticator()"),
    ("TellsOneByOne", MISSING, "does not tell that more is missing"),
    ("SendsNothing", REQUESTS, "set the credentials on the request"),
    ("DeniesThatItSends", REQUESTS, "says that it sends no credentials"),
    ("BelongsToOneThread", REQUESTS, "belongs to one thread"),
    ("FollowsRedirects", OTHERS, "do not follow redirects"),
    ("TriesAgain", REFUSED, "took 2 requests, not 1"),
    ("HidesItsAttempt", REFUSED, "the next request went out again"),
    ("Prints", SHOWN, "_Printing prints the secret"),
    ("Logs", SHOWN, "log no headers"),
    ("RepeatsInErrors", ERRORS, "with a secret in its words"),
    ("RaisesAnything", ERRORS, "cannot make its login: KeyError at broken_plugins.py"),
    ("CannotTravel", PICKLES, "cannot be pickled (TypeError"),
    ("TravelsWithTheSecret", PICKLES, "a pickle holds the secret"),
]


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("plugins")
    names = ["Good", *(name for name, _, _ in BROKEN if name != "NotInstalled")]
    with installed(folder, plugins.AUTH, names):
        yield


def _contract(name: str) -> type[SchemeContract]:
    """The contract as the author of that class would write it."""
    secrets = {"key": "canary-k-123-456"}
    if name == "TellsOneByOne":
        secrets["more"] = "canary-m-123-456"
    keys = {"header": "X-Api-Key"} if name == "AnyType" else {}
    written = {"scheme": entry_point_name(name), "keys": keys, "secrets": secrets}
    return type(name, (SchemeContract,), written)


@pytest.mark.parametrize("check", checks_of(SchemeContract))
def test_a_good_scheme_passes(checker: Checker, check: str) -> None:
    assert checker.failures(_contract("Good"), check) == []


@pytest.mark.parametrize(("name", "check", "advice"), BROKEN)
def test_a_broken_scheme_is_told_what_to_do(
    checker: Checker, name: str, check: str, advice: str
) -> None:
    assert any(advice in failure for failure in checker.failures(_contract(name), check))


def test_every_check_of_the_contract_can_fail() -> None:
    assert {check for _, check, _ in BROKEN} == set(checks_of(SchemeContract))
