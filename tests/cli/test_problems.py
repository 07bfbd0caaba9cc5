"""Everything that is wrong with profiles is found at once, and each with its place."""

import json
from pathlib import Path

import pytest

from tests.support.home import Home
from tests.support.result import BROKEN, DEV, PROD, Cli


def test_no_profile_is_a_problem_that_tells_where_it_looked_and_how_to_begin(cli: Cli) -> None:
    """``ok: 0 profiles`` would be taken for a passed check in a wrong folder."""
    result = cli("validate", "--all")
    as_json = cli("validate", "--all", "--json")
    cli.user(DEV)
    one = cli("validate", "--all")

    assert (result.code, as_json.code) == (2, 2)
    assert result.out.startswith("no profile was found")
    assert f"    {cli.context.locations.user} (absent)\n" in result.out
    assert "gatepass init" in result.out
    assert result.out.endswith("\n1 problem\n")
    assert [each["message"] for each in as_json.json] == ["no profile was found"]
    assert (one.code, one.out, one.err) == (0, "ok: 1 profile\n", "")


def test_validate_tells_every_complaint_of_every_kind(cli: Cli) -> None:
    cli.user(
        'default_profile = "nix"\nvault_key = "literal"\n'
        + BROKEN
        + DEV.replace("dev", "Bad")
        + DEV.replace(".dev", ".a-b")
        + DEV.replace(".dev", ".a_b")
        + '[profiles.child]\nextends = "nobody"\n'
        + DEV
        + "retires = 1\ntimeout = 0\n",
    )

    result = cli("validate", "--all", "--json")

    found = {(each["profile"], each["key"]) for each in result.json}
    assert result.code == 2
    assert found == {
        ("", "default_profile"),
        ("", "vault_key"),
        ("broken", "profiles.broken.auth.scheme"),
        ("Bad", "profiles.Bad"),
        ("a-b", "profiles.a-b"),
        ("a_b", "profiles.a_b"),
        ("child", "profiles.child.extends"),
        ("dev", "profiles.dev.retires"),
        ("dev", "profiles.dev.timeout"),
    }
    assert set(result.json[0]) == {"place", "key", "message", "hint", "profile"}


def test_the_complaints_are_text_with_file_line_and_caret(cli: Cli) -> None:
    path = cli.user(DEV + "retires = 1\n")

    result = cli("validate", "--all")

    first, excerpt, caret, last = result.out.splitlines()
    assert first.startswith(
        f'{path}:4:1: profiles.dev.retires: unknown key; did you mean "retries"?'
    )
    assert (excerpt, caret) == ("    retires =", "    ^")
    assert last == "1 problem in 1 profile"


def test_a_profile_that_a_project_hides_is_validated_too(cli: Cli) -> None:
    path = cli.user(DEV + "retires = 1\n")
    cli.project(DEV)
    assert cli("trust", "--yes").code == 0

    result = cli("validate", "--all", "--json")

    assert [each["place"] for each in result.json] == [f"{path}:4:1"]


def test_a_protected_default_is_a_complaint(cli: Cli) -> None:
    cli.user('default_profile = "prod"\n' + PROD)

    result = cli("validate", "--all", "--json")

    assert [each["key"] for each in result.json] == ["default_profile"]


def test_two_packages_that_claim_a_name_are_a_complaint(home: Home, tmp_path: Path) -> None:
    for package in ("one", "two"):
        info = tmp_path / "packages" / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[gatepass.auth]\nsaml = {package}:Saml\n")
    home.path.append(str(tmp_path / "packages"))

    done = home.run("validate", "--all", "--json")

    assert done.returncode == 2
    assert "claimed by more than one package: one, two" in json.loads(done.stdout)[0]["message"]


@pytest.mark.parametrize("table", ["tls", "auth.tls"])
@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        ('ca_file = "absent.pem"', "ca_file", "cannot read "),
        ('ca_file = ["system", "text.pem"]', "ca_file", "holds no certificate in PEM form"),
        ('client_cert = "absent.pem"', "client_cert", "cannot read "),
        ('client_cert = "text.pem"\nclient_key = "absent.pem"', "client_key", "cannot read "),
    ],
)
def test_a_file_for_tls_that_cannot_be_used_is_a_problem_before_the_first_request(
    cli: Cli, table: str, keys: str, key: str, message: str
) -> None:
    file = cli.user(
        '[profiles.p]\nurl = "https://mi.example.com"\n[profiles.p.auth]\nscheme = "oidc"\n'
        f"[profiles.p.{table}]\n{keys}\n",
    )
    file.with_name("text.pem").write_text("a text")

    (found,) = cli("validate", "p", "--json").json

    assert found["key"] == f"profiles.p.{table}.{key}"
    assert message in found["message"]
    assert found["place"].startswith(str(file))
