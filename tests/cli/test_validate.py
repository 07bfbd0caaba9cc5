"""``gatepass validate``: every complaint, and nothing called ok that was not seen."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatepass._config.locations import Locations
from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from tests.support.home import Home

DEV = '[profiles.dev]\nurl = "https://dev.example.com/mi"\nauth = { scheme = "anonymous" }\n'
PROD = """\
[profiles.prod]
url = "https://mi.example.com/mi"
protected = true
description = "the real one"
timeout = [1, 5]
[profiles.prod.auth]
scheme = "basic"
user_name = "env:MI_USER"
password = ["env:MI_PASSWORD", { command = ["op", "read", "op://x"] }, "keyring:"]
"""
BROKEN = '[profiles.broken]\nurl = "https://mi.example.com"\nauth = { scheme = "bsic" }\n'


@pytest.fixture
def context(locations: Locations) -> Context:
    environ: dict[str, str] = {}
    return Context(environ, Terminal(environ, interactive=False), locations)


class Told:
    """What one run in this process told."""

    def __init__(
        self, context: Context, capsys: pytest.CaptureFixture[str], *arguments: str
    ) -> None:
        self.code = run(arguments, context)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def _user(context: Context, text: str) -> Path:
    path = context.locations.user
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def _project(context: Context, text: str) -> Path:
    assert context.locations.working is not None
    path = context.locations.working / "gatepass.toml"
    path.write_text(text)
    return path


def test_validate_counts_what_is_right(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    _user(context, DEV + PROD)

    told = Told(context, capsys, "validate")

    assert told.code == 0
    assert told.out == "ok: 2 profiles\n"


def test_no_profile_is_a_problem_that_tells_where_it_looked_and_how_to_begin(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    """``ok: 0 profiles`` would be taken for a passed check in a wrong folder."""
    told = Told(context, capsys, "validate")
    as_json = Told(context, capsys, "validate", "--json")
    unattended = Told(context, capsys, "validate", "--unattended", "--json")
    _user(context, DEV)
    one = Told(context, capsys, "validate")

    assert (told.code, as_json.code, unattended.code) == (2, 2, 2)
    assert told.out.startswith("no profile was found")
    assert f"    {context.locations.user} (absent)\n" in told.out
    assert "gatepass init" in told.out
    assert told.out.endswith("\n1 problem\n")
    assert [each["message"] for each in as_json.json] == ["no profile was found"]
    assert [each["verdict"] for each in unattended.json] == ["problem"]
    assert (one.code, one.out, one.err) == (0, "ok: 1 profile\n", "")


@pytest.mark.parametrize("options", [(), ("--unattended",)], ids=str)
def test_a_file_that_is_skipped_is_named_and_nothing_of_it_is_called_ok(
    context: Context, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    path = _project(context, BROKEN)
    at_home = replace(context, places=replace(context.locations, home=context.locations.working))

    barred = Told(at_home, capsys, "validate", *options)
    untrusted = Told(context, capsys, "validate", *options)

    for told, why in ((barred, "the home folder"), (untrusted, "not trusted")):
        assert told.code == 2
        assert "ok:" not in told.out
        assert f"{path} (skipped: {why}" in told.out


def test_validate_tells_every_complaint_of_every_kind(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    _user(
        context,
        'default_profile = "nix"\nvault_key = "literal"\n'
        + BROKEN
        + DEV.replace("dev", "Bad")
        + DEV.replace(".dev", ".a-b")
        + DEV.replace(".dev", ".a_b")
        + '[profiles.child]\nextends = "nobody"\n'
        + DEV
        + "retires = 1\ntimeout = 0\n",
    )

    told = Told(context, capsys, "validate", "--json")

    found = {(each["profile"], each["key"]) for each in told.json}
    assert told.code == 2
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
    assert set(told.json[0]) == {"place", "key", "message", "hint", "profile"}


def test_the_complaints_are_text_with_file_line_and_caret(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _user(context, DEV + "retires = 1\n")

    told = Told(context, capsys, "validate")

    first, excerpt, caret, last = told.out.splitlines()
    assert first.startswith(
        f'{path}:4:1: profiles.dev.retires: unknown key; did you mean "retries"?'
    )
    assert (excerpt, caret) == ("    retires =", "    ^")
    assert last == "1 problem in 1 profile"


def test_validate_of_one_profile_ignores_its_neighbours(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    _user(context, DEV + BROKEN)

    assert Told(context, capsys, "validate", "dev").code == 0
    assert Told(context, capsys, "validate", "broken").code == 2
    assert Told(context, capsys, "validate", "nix").code == 2


def test_a_profile_that_a_project_hides_is_validated_too(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _user(context, DEV + "retires = 1\n")
    _project(context, DEV)
    assert run(["trust", "--yes"], context) == 0
    capsys.readouterr()

    told = Told(context, capsys, "validate", "--json")

    assert [each["place"] for each in told.json] == [f"{path}:4:1"]


def test_a_malformed_file_is_a_complaint_like_any_other(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _user(context, "[profiles.dev\n")

    told = Told(context, capsys, "validate", "--json")

    assert told.code == 2
    assert told.json[0]["place"].startswith(f"{path}:1:")


def test_a_protected_default_is_a_complaint(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    _user(context, 'default_profile = "prod"\n' + PROD)

    told = Told(context, capsys, "validate", "--json")

    assert [each["key"] for each in told.json] == ["default_profile"]


def test_a_file_that_nobody_trusts_is_only_warned_of(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    _user(context, DEV)
    path = _project(context, BROKEN)

    told = Told(context, capsys, "validate")

    assert told.code == 0
    assert f"warning: {path} is not trusted" in told.err


def test_two_packages_that_claim_a_name_are_a_complaint(home: Home, tmp_path: Path) -> None:
    for package in ("one", "two"):
        info = tmp_path / "packages" / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[gatepass.auth]\nsaml = {package}:Saml\n")
    home.path.append(str(tmp_path / "packages"))

    done = home.run("validate", "--json")

    assert done.returncode == 2
    assert "claimed by more than one package: one, two" in json.loads(done.stdout)[0]["message"]
