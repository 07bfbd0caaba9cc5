"""``gatepass profiles`` and ``show``."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass._config.locations import Locations
from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from gatepass.cli._explain_text import inline
from tests.support.result import BROKEN, DEV, PROD, Cli

# ---------------------------------------------------------------- profiles


def test_without_any_file_it_tells_where_it_looked_and_how_to_begin(cli: Cli) -> None:
    result = cli("profiles")

    assert result.code == 0
    assert result.out == ""
    assert f"{cli.context.locations.user} (absent)" in result.err
    assert "gatepass init" in result.err


def test_without_any_file_json_is_an_empty_list(cli: Cli) -> None:
    assert cli("profiles", "--json").json == []


def test_each_profile_is_one_line_also_the_broken_ones(cli: Cli) -> None:
    cli.user(DEV + PROD + BROKEN)

    result = cli("profiles", "--check")

    header, broken, dev, prod = result.out.splitlines()
    assert result.code == 0
    assert header.split()[:3] == ["NAME", "URL", "SCHEME"]
    assert "broken" in broken
    assert "broken is broken; see why: gatepass validate broken" in result.err
    assert "https://dev.example.com/mi" in dev
    assert "protected" in prod
    assert "the real one" in prod
    assert all(line == line.rstrip() for line in result.out.splitlines())


@pytest.mark.parametrize(
    ("text", "environ", "why"),
    [
        (PROD + DEV, {}, "the only profile that is not protected"),
        (PROD + DEV, {"GATEPASS_PROFILE": "prod"}, "named by GATEPASS_PROFILE"),
        ('default_profile = "dev"\n' + DEV + BROKEN, {}, "default_profile at "),
    ],
)
def test_the_default_is_marked_and_explained(
    cli: Cli,
    text: str,
    environ: dict[str, str],
    why: str,
) -> None:
    cli.user(text)
    cli = cli.having(environ)

    result = cli("profiles")
    entries = cli("profiles", "--json").json

    chosen = environ.get("GATEPASS_PROFILE", "dev")
    assert why in result.err
    assert [line.split()[1] for line in result.out.splitlines() if line[0] == "*"] == [chosen]
    assert [each["name"] for each in entries if each["default"]] == [chosen]


def test_where_no_default_can_be_chosen_it_says_so(cli: Cli) -> None:
    cli.user(PROD)

    result = cli("profiles")

    assert result.code == 0
    assert "no default: no profile was named" in result.err


def test_a_file_that_nobody_trusts_is_listed_as_such(cli: Cli) -> None:
    cli.user(DEV)
    path = cli.project(DEV.replace("dev", "theirs") + DEV)

    result = cli("profiles")
    entries = cli("profiles", "--json").json

    assert [each["name"] for each in entries] == ["dev", "theirs"]
    assert [each["trusted"] for each in entries] == [False, False]
    assert entries[1]["defined_in"] == [{"layer": "project", "place": str(path)}]
    assert result.out.count("not trusted") == 2


def test_two_names_that_are_one_to_variables_are_marked(cli: Cli) -> None:
    cli.user(DEV.replace(".dev", ".a-b") + DEV.replace(".dev", ".a_b"))

    entries = cli("profiles", "--json").json

    assert ["differs from a_b" in entries[0]["problem"], "a-b" in entries[1]["problem"]] == [
        True
    ] * 2


def test_a_list_that_checked_nothing_calls_nothing_sound(cli: Cli) -> None:
    """It tells what is written, through ``extends`` and variables, with or without ``--check``."""
    child = '[profiles.child]\nextends = "prod"\nprotected = false\n'
    cli.user(DEV + PROD + BROKEN + child)
    environ = {"GATEPASS_PROFILES__PROD__PROTECTED": "off", "GATEPASS_PROFILES__DEV__URL": "http:"}
    cli = cli.having(environ)

    written = cli("profiles", "--json").json
    checked = cli("profiles", "--json", "--check").json

    assert [each.pop("problem", "unknown") for each in written] == ["unknown"] * 4
    assert [bool(each.pop("problem")) for each in checked] == [True, False, True, False]
    assert written == checked
    assert [each["protected"] for each in written] == [False, False, False, False]


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_url_that_holds_a_password_is_not_listed(cli: Cli, check: tuple[str, ...]) -> None:
    cli.user(DEV.replace("https://", "https://bob:hunter2@"))
    cli.project(DEV.replace("https://", "https://bob:hunter2@").replace(".dev", ".theirs"))

    result = cli("profiles", *check)

    assert "hunter2" not in result.out + result.err
    assert ("dev is broken" in result.err) is bool(check)


# ---------------------------------------------------------------- show


def test_show_prints_toml_that_means_the_merged_profile(cli: Cli) -> None:
    cli.user(PROD)

    result = cli("show", "prod")

    assert result.code == 0
    assert tomllib.loads(result.out) == tomllib.loads(PROD)


def test_show_without_a_name_takes_the_default(cli: Cli) -> None:
    cli.user(PROD + DEV)

    assert "[profiles.dev]" in cli("show").out


def test_what_variables_say_has_its_right_type(cli: Cli) -> None:
    cli.user(DEV)
    environ = {
        "GATEPASS_PROFILES__DEV__PROTECTED": "true",
        "GATEPASS_PROFILES__DEV__RETRIES": "7",
        "GATEPASS_PROFILES__DEV__DESCRIPTION": "7",
    }

    result = cli.having(environ)("show", "dev", "--json")

    profile = result.json["profile"]
    assert profile["protected"] is True
    assert profile["retries"] == 7
    assert profile["description"] == "7"


def test_a_header_whose_name_speaks_of_a_secret_is_not_shown(cli: Cli) -> None:
    cli.user(DEV + 'headers = { X-Api-Key = "hunter2", Accept-Language = "de" }\n')

    shown = cli("show", "dev").out
    origin = cli("show", "dev", "--origin").out

    assert "hunter2" not in shown + origin
    assert 'Accept-Language = "de"' in shown


@given(text=st.text())
@settings(max_examples=200)
def test_a_value_on_one_line_reads_back_as_itself(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    value = {"a b": [text, True, 1], "c": {"command": [text]}}

    assert tomllib.loads(f"x = {inline(value)}")["x"] == value


@given(description=st.text(st.characters(exclude_categories=["Cc", "Cs"])))
@settings(max_examples=50, deadline=None)
def test_any_description_is_shown_in_one_piece_and_reads_back(description: str) -> None:
    import contextlib
    import io
    import tempfile

    import tomli_w

    profile = {"url": "https://x.y/", "auth": {"scheme": "anonymous"}, "description": description}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "profiles.toml")
        file.write_bytes(tomli_w.dumps({"profiles": {"dev": profile}}).encode())
        locations = Locations((), Path(name, "user"), Path(name, "state"), None, None)
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            context = Context({}, Terminal({}, interactive=False), locations)
            assert run(["show", "dev", "--config-file", str(file)], context) == 0

    assert all(c.isprintable() or c == "\n" for c in stream.getvalue())
    assert tomllib.loads(stream.getvalue())["profiles"]["dev"] == profile
