"""The contracts find what they look for: each broken stranger fails the checks that it breaks."""

import re
from typing import Final

import pytest

from tests.support.distribution import install
from tests.support.pytests import SUPPORT, Project, outcomes

BUILDING: Final = "test_building_a_session_opens_no_connection"
MISSING: Final = "test_all_that_is_missing_is_told_at_once"
REFUSED: Final = "test_a_refused_login_is_tried_once"
LOGIN: Final = "test_the_login_goes_along_with_a_request"
ERRORS: Final = "test_no_error_shows_the_secret"
ABSENT: Final = "test_what_is_not_there_is_unavailable_and_says_what_to_do"
NOBODY: Final = "test_nobody_is_asked_where_nobody_is"
FORESEEN: Final = "test_what_it_predicts_is_a_finding_that_asks_nobody_and_shows_nothing"
ANSWERS: Final = "test_it_answers_with_the_secret_as_text"
ENTRY: Final = "test_the_entry_point_loads_under_its_name"

# Class → the checks that it fails, and words of what the first of them advises.
SCHEMES: Final = {
    "Good": ((), ""),
    "NotFrozen": (("test_it_is_a_frozen_dataclass",), "@dataclass(frozen=True)"),
    "UpperCase": (("test_what_it_answers_is_written_in_lower_case",), "lower case"),
    "AnyType": (
        ("test_keys_that_are_unknown_or_of_a_wrong_type_are_refused",),
        "a date is accepted as header",
    ),
    "TakesLiterals": (
        ("test_a_literal_secret_in_a_file_is_refused_and_not_repeated",),
        "annotate the field with gatepass.SecretField",
    ),
    "Undescribed": (("test_the_schema_describes_every_key",), "key and header"),
    "ConnectsEarly": ((BUILDING,), "authenticator() connects to 127.0.0.1:"),
    "LooksUpEarly": ((BUILDING,), "authenticator() connects to localhost:443"),
    "ResolvesLate": ((MISSING,), "resolve them in authenticator()"),
    "TellsOneByOne": ((MISSING,), "does not tell that more is missing"),
    "SendsNothing": (
        (
            LOGIN,
            "test_it_travels_in_pickles_and_copies_without_the_secret",
            "test_it_works_after_a_fork",
            "test_no_log_shows_the_secret",
            "test_other_servers_get_nothing",
            "test_threads_share_one_session",
            REFUSED,
        ),
        "set the credentials on the request",
    ),
    "DeniesThatItSends": ((LOGIN,), "says that it sends no credentials"),
    "FollowsRedirects": (("test_other_servers_get_nothing",), "do not follow redirects"),
    "TriesAgain": ((REFUSED,), "took 2 requests, not 1"),
    "HidesItsAttempt": ((REFUSED,), "the next request went out again"),
    "BelongsToOneThread": (("test_threads_share_one_session",), "belongs to one thread"),
    "BelongsToOneProcess": (("test_it_works_after_a_fork",), "after a fork the login fails"),
    "Prints": (("test_nothing_that_prints_shows_the_secret",), "_Printing prints the secret"),
    "RepeatsInErrors": ((ERRORS,), "with a secret in its words"),
    "RaisesAnything": ((ERRORS,), "cannot make its login: KeyError at strangers.py"),
    "Logs": (("test_no_log_shows_the_secret",), "log no headers"),
    "Writes": (("test_no_log_shows_the_secret",), "log no headers"),
    "CannotTravel": (
        ("test_it_travels_in_pickles_and_copies_without_the_secret",),
        "cannot be pickled (TypeError",
    ),
    "TravelsWithTheSecret": (
        ("test_it_travels_in_pickles_and_copies_without_the_secret",),
        "a pickle holds the secret",
    ),
    "ForeseesNothing": ((FORESEEN,), "where key is missing its unattended() finds no problem"),
    "ForeseesAHalf": ((FORESEEN,), "where more is missing its unattended() finds no problem"),
    "ForeseesTexts": ((FORESEEN,), "no list of findings"),
    "ForeseesByRaising": ((FORESEEN,), "with GatepassError"),
    "ForeseesByInput": ((FORESEEN,), "(input)"),
    "ForeseesByConnecting": ((FORESEEN,), "(localhost:443)"),
    "ForeseesTheSecret": ((FORESEEN,), "a finding shows the secret"),
    "NotInstalled": ((ENTRY,), '[project.entry-points."gatepass.auth"]'),
}
SOURCES: Final = {
    "good": ((), ""),
    "answers_bytes": ((f"{ANSWERS}[plain]", f"{ANSWERS}[odd]"), "answers with bytes"),
    "strips_odd_characters": ((f"{ANSWERS}[odd]",), "something else than the secret"),
    "raises_os_errors": ((ABSENT,), "ends with FileNotFoundError"),
    "gives_no_advice": ((ABSENT,), 'the next step as hint="..."'),
    "answers_none": ((ABSENT,), "answers with NoneType"),
    "has_a_default": (("test_an_empty_secret_counts_as_none",), "answers all the same"),
    "lists_what_there_is": (("test_no_error_shows_a_secret",), "its error shows a secret"),
    "logs": (("test_no_log_shows_the_secret",), "log what was looked for"),
    "writes": (("test_no_log_shows_the_secret",), "log what was looked for"),
    "asks_by_input": ((f"{NOBODY}[there]", f"{NOBODY}[missing]"), "(input)"),
    "asks_the_terminal": ((f"{NOBODY}[there]", f"{NOBODY}[missing]"), "(/dev/tty)"),
    "asks_past_the_terminal": ((f"{NOBODY}[there]", f"{NOBODY}[missing]"), "(mi)"),
    "predicts_nothing": ((f"{FORESEEN}[missing]",), "finds no problem"),
    "predicts_a_problem": ((f"{FORESEEN}[there]",), "finds a problem"),
    "predicts_texts": ((f"{FORESEEN}[there]", f"{FORESEEN}[missing]"), "no list of findings"),
    "predicts_by_input": ((f"{FORESEEN}[there]", f"{FORESEEN}[missing]"), "(input)"),
    "predicts_the_secret": ((f"{FORESEEN}[there]",), "a finding shows the secret"),
    "answers_only_once": (("test_several_threads_may_ask_at_once",), "keep nothing between calls"),
    "waits_for_ever": ((ABSENT, f"{NOBODY}[missing]"), "did not answer within 2 s"),
    "not_installed": ((ENTRY,), '[project.entry-points."gatepass.secrets"]'),
}

_SCHEME: Final = """
class Test{name}(SchemeContract):
    scheme = "{entry}"
    keys = {keys}
    secrets = {secrets}
"""
_SOURCE: Final = """
class Test{name}(SourceContract):
    source = "{entry}"
    text = "mi"
    seconds = {seconds}

    def world(self, secret, folder):
        if secret is not None:
            (folder / "mi").write_text(secret, encoding="utf-8")
        return self.context(environ={{strangers.WHERE: str(folder)}})
"""


def _suite() -> str:
    parts = ["import strangers\nfrom gatepass.testing import SchemeContract, SourceContract\n"]
    for name in SCHEMES:
        secrets = {"key": "canary-k-123-456"}
        if name in {"TellsOneByOne", "ForeseesAHalf"}:
            secrets["more"] = "canary-m-123-456"
        keys = {"header": "X-Api-Key"} if name == "AnyType" else {}
        parts.append(_SCHEME.format(name=name, entry=_entry(name), keys=keys, secrets=secrets))
    for name in SOURCES:
        seconds = 2.0 if name == "waits_for_ever" else 60.0
        parts.append(_SOURCE.format(name=name, entry=_entry(name), seconds=seconds))
    return "".join(parts)


def _entry(name: str) -> str:
    """The entry point's name of a class or function: small letters, with dashes between words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", name).lower()


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints about all strangers, in one run."""
    project = Project.new(tmp_path_factory.mktemp("broken"))
    groups = {
        "gatepass.auth": {
            _entry(name): f"strangers:{name}" for name in SCHEMES if name != "NotInstalled"
        },
        "gatepass.secrets": {
            _entry(name): f"strangers:{name}" for name in SOURCES if name != "not_installed"
        },
    }
    install(project.folder, "strangers", groups)
    project.write("strangers.py", (SUPPORT / "plugins.py").read_text())
    project.write("test_strangers.py", _suite())
    done = project.pytest("-rA", "--tb=short", "--strict-markers", seconds=300)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("stranger", "expected"), [*SCHEMES.items(), *SOURCES.items()])
def test_a_stranger_fails_exactly_the_checks_that_it_breaks(
    printed: str, stranger: str, expected: tuple[tuple[str, ...], str]
) -> None:
    checks, advice = expected
    ran = {
        test.partition("::")[2]: outcome
        for test, outcome in outcomes(printed).items()
        if test.startswith(f"Test{stranger}::")
    }

    assert len(ran) >= 1
    assert {test for test, outcome in ran.items() if outcome != "PASSED"} == set(checks)
    for check in checks[:1]:
        told = printed.partition(f"_ Test{stranger}.{check} _")[2].partition("\n___")[0]
        assert advice in told


def test_the_good_strangers_pass_every_check(printed: str) -> None:
    tested = outcomes(printed)

    assert sum(test.startswith("TestGood::") for test in tested) == 18
    assert sum(test.startswith("Testgood::") for test in tested) == 12


def test_the_advice_is_all_that_a_failed_check_prints(printed: str) -> None:
    """No traceback through gatepass, which is not what the author has to read."""
    assert not re.search(r"gatepass/testing/_s\w+\.py:\d+: in test_", printed)


def test_every_check_of_a_contract_can_fail() -> None:
    from gatepass.testing import SchemeContract, SourceContract

    broken = {each.partition("[")[0] for table in (SCHEMES, SOURCES) for each in _all(table)}
    for contract in (SchemeContract, SourceContract):
        assert {name for name in vars(contract) if name.startswith("test_")} <= broken


def _all(table: dict[str, tuple[tuple[str, ...], str]]) -> list[str]:
    return [check for checks, _ in table.values() for check in checks]
