"""``gatepass validate``: every complaint, and nothing called ok that was not seen."""

from dataclasses import replace

import pytest

from gatepass.cli._context import Context
from tests.support.result import BROKEN, DEV, PROD, Result, write_project_file, write_user_file


def test_validate_counts_what_is_right(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    write_user_file(context, DEV + PROD)

    result = Result(context, capsys, "validate", "--all")

    assert result.code == 0
    assert result.out == "ok: 2 profiles\n"


def test_a_file_that_is_skipped_is_named_and_nothing_of_it_is_called_ok(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_project_file(context, BROKEN)
    at_home = replace(context, places=replace(context.locations, home=context.locations.working))

    barred = Result(at_home, capsys, "validate")
    untrusted = Result(context, capsys, "validate", "--all")

    for result, why in ((barred, "the home folder"), (untrusted, "not trusted")):
        assert result.code == 2
        assert "ok:" not in result.out
        assert f"{path} (skipped: {why}" in result.out


def test_validate_of_one_profile_ignores_its_neighbours(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    write_user_file(context, DEV + BROKEN)

    assert Result(context, capsys, "validate", "dev").code == 0
    assert Result(context, capsys, "validate", "broken").code == 2
    assert Result(context, capsys, "validate", "nix").code == 2


def test_a_malformed_file_is_a_complaint_like_any_other(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_user_file(context, "[profiles.dev\n")

    result = Result(context, capsys, "validate", "--all", "--json")

    assert result.code == 2
    assert result.json[0]["place"].startswith(f"{path}:1:")


def test_a_file_that_nobody_trusts_is_only_warned_of(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    write_user_file(context, DEV)
    path = write_project_file(context, BROKEN)

    result = Result(context, capsys, "validate", "--all")

    assert result.code == 0
    assert f"warning: {path} is not trusted" in result.err
