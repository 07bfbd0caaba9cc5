"""``gatepass validate``: every complaint, and nothing called ok that was not seen."""

from dataclasses import replace

from tests.support.result import BROKEN, DEV, PROD, Cli


def test_validate_counts_what_is_right(cli: Cli) -> None:
    cli.user(DEV + PROD)

    result = cli("validate", "--all")

    assert result.code == 0
    assert result.out == "ok: 2 profiles\n"


def test_a_file_that_is_skipped_is_named_and_nothing_of_it_is_called_ok(cli: Cli) -> None:
    path = cli.project(BROKEN)
    at_home = replace(cli.context, places=replace(cli.context.locations, home=cli.work))

    barred = cli.within(at_home)("validate")
    untrusted = cli("validate", "--all")

    for result, why in ((barred, "the home folder"), (untrusted, "not trusted")):
        assert result.code == 2
        assert "ok:" not in result.out
        assert f"{path} (skipped: {why}" in result.out


def test_validate_of_one_profile_ignores_its_neighbours(cli: Cli) -> None:
    cli.user(DEV + BROKEN)

    assert cli("validate", "dev").code == 0
    assert cli("validate", "broken").code == 2
    assert cli("validate", "nix").code == 2


def test_a_malformed_file_is_a_complaint_like_any_other(cli: Cli) -> None:
    path = cli.user("[profiles.dev\n")

    result = cli("validate", "--all", "--json")

    assert result.code == 2
    assert result.json[0]["place"].startswith(f"{path}:1:")


def test_a_file_that_nobody_trusts_is_only_warned_of(cli: Cli) -> None:
    cli.user(DEV)
    path = cli.project(BROKEN)

    result = cli("validate", "--all")

    assert result.code == 0
    assert f"warning: {path} is not trusted" in result.err
