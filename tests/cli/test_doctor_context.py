"""What the doctor knows of the profiles decides what is a problem on this machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gatepass.cli._context import Context
from gatepass.cli._doctor_context import DoctorContext
from gatepass.cli._redaction import Redactor
from tests.support.doctor import (
    ANONYMOUS,
    BY_EITHER,
    BY_KEYRING,
    BY_TICKET,
    URL,
    diagnosed,
    one,
    with_backend,
)
from tests.support.home import Home


@pytest.mark.parametrize("text", [ANONYMOUS, BY_EITHER])
def test_the_same_keyring_is_info_where_no_profile_depends_on_it(home: Home, text: str) -> None:
    home.user(text)

    code, found = diagnosed(with_backend(home, "MyFail"))

    assert (code, one(found, "keyring")["verdict"]) == (0, "info")


def test_a_missing_gssapi_is_a_problem_of_autologon_alone(home: Home) -> None:
    broken = home.work.parent / "broken"
    broken.mkdir()
    (broken / "gssapi.py").write_text("raise ImportError\n")
    home.path.append(str(broken))

    quiet, _ = diagnosed(home)
    home.user(BY_TICKET)
    code, found = diagnosed(home)

    assert quiet == 0
    assert code == 1
    assert "pip install 'gatepass[kerberos]'" in one(found, "extra kerberos")["hint"]
    assert "needs GSSAPI" in one(found, "kerberos")["message"]


def test_a_missing_redis_package_is_a_problem_of_a_vault_in_redis_alone(home: Home) -> None:
    broken = home.work.parent / "broken"
    broken.mkdir()
    (broken / "redis.py").write_text("raise ImportError\n")
    home.path.append(str(broken))

    quiet, found = diagnosed(home)
    code, _ = diagnosed(home.having(GATEPASS_VAULT="redis://127.0.0.1:1/0"))

    assert quiet == 0
    assert one(found, "extra redis")["verdict"] == "info"
    assert code == 1


def test_a_profile_that_waits_for_trust_is_not_broken(home: Home) -> None:
    home.user(ANONYMOUS)
    home.project(ANONYMOUS)

    code, found = diagnosed(home)

    assert code == 0
    assert one(found, "profiles")["message"] == "0 can be used"
    assert one(found, "profiles")["hint"] == "", "there are profiles, so none need be made"


def test_a_broken_profile_and_a_broken_setting_are_problems(home: Home) -> None:
    home.user('allow_commands = "yes"\n' + ANONYMOUS + "[profiles.odd]\n")

    code, found = diagnosed(home)

    assert code == 1
    assert "allow_commands" in one(found, "files", "allow_commands")["message"]
    assert one(found, "profiles", "odd")["hint"].strip() == "gatepass validate odd"


NIGHTLY = f'[profiles.nightly]\n{URL}auth = {{ scheme = "oidc", issuer = "https://login.test/" }}\n'


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        (NIGHTLY, "nightly"),
        ('vault_key = "env:KEY"\n' + NIGHTLY, ""),
        ('vault_key = ["env:KEY", "keyring:"]\n' + NIGHTLY, ""),
        (NIGHTLY + BY_KEYRING, "api, nightly"),
    ],
)
def test_a_login_that_is_kept_needs_the_keyring_where_that_alone_holds_the_vaults_key(
    context: Context, user: Callable[[bytes], Path], text: str, needed: str
) -> None:
    user(text.encode())

    named, redacted = (
        DoctorContext.of(context, (), Redactor(redacted=each, home=None)) for each in (False, True)
    )

    assert ", ".join(sorted(named.needed_by("keyring").split(", "))) == needed
    assert ("profile" in redacted.needed_by("keyring")) == bool(needed)
    assert "nightly" not in redacted.needed_by("keyring")


def test_files_that_cannot_be_read_are_the_doctors_trouble_and_not_its_end(
    context: Context, user: Callable[[bytes], Path]
) -> None:
    user(b"this is [ no TOML")

    doctor = DoctorContext.of(context, (), Redactor(redacted=False, home=None))

    assert doctor.layers is None
    assert doctor.trouble is not None
    assert doctor.missing("keyring", "keyring", "none").verdict == "info"
