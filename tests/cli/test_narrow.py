"""Every verb on a terminal of 80 columns: nothing is wider but what is to be copied."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.cli import _VERBS
from tests.support.echo import Answer, echo
from tests.support.home import Home, ended, screen
from tests.support.logins import Office
from tests.support.peers.terminal import terminal

LONG = "a-profile-with-a-name-that-somebody-made-far-longer-than-any-table-has-room-for"
PATH = (
    "a/path/with/so/many/parts/that/it/does/not/fit/on/any/line/of/eighty/columns/mi_servicelayer"
)
DESCRIPTION = "said in many words " * 8
FILES = (
    '[profiles.{long}]\nurl = "{url}/{path}"\ndescription = "{words}"\nproxy = "none"\n'
    "timeout = [1, 1]\nretries = 0\n"
    '[profiles.{long}.auth]\nscheme = "anonymous"\n'
    '[profiles.nightly-{long}]\nurl = "https://mi.example.com/{path}"\n'
    '[profiles.nightly-{long}.auth]\nscheme = "oidc"\nissuer = "https://login.example.com/{path}"\n'
    'client_id = "x"\n'
    '[profiles.desk]\nurl = "https://mi.example.com/{path}"\nauth = {{ scheme = "basic", '
    'user_name = "env:A_LONG_NAME_OF_A_VARIABLE_FOR_A_USER", password = ["env:A_LONG_NAME_OF_A_'
    'VARIABLE_FOR_A_PASSWORD", "file:{path}", "keyring:a-service-with-a-long-name/somebody"] }}\n'
    '[profiles.broken-{long}]\nurl = "https://mi.example.com/{path}"\npasword = 1\n'
    'auth = {{ scheme = "basc" }}\n'
)

# What is to be copied or fed to another program is wide where it must be.
_TOML = re.compile(r"(?:#|\[|[a-z_.\"-]+ = ).*|\]|\}")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def place(home: Home, tmp_path: Path) -> Iterator[Home]:
    with echo(lambda _: Answer()) as server:
        text = FILES.format(long=LONG, url=server.root, path=PATH, words=DESCRIPTION)
        deep = home.work / PATH
        deep.mkdir(parents=True)
        home.user(text)
        home.write(deep / "gatepass.toml", text)
        office = Office.furnished(home, tmp_path)
        yield Home(office.home.environ | {"GATEPASS_NO_INPUT": "1"}, deep, home.path)


def lines_of(home: Home, words: tuple[str, ...]) -> list[str]:
    with home.sit(*words, columns=80) as child:
        ended(child)
        shown = screen(child)
    assert "this is a bug" not in shown
    return [_ESCAPES.sub("", line) for line in shown.replace("\r", "").split("\n")]


def too_wide(lines: list[str]) -> list[str]:
    return [line for line in lines if len(line) > 80 and not line.startswith("    ")]


VERBS: tuple[tuple[str, ...], ...] = (
    ("profiles",),
    ("show", LONG),
    ("show", LONG, "--origin"),
    ("show", "desk", "--origin", "--resolve"),
    ("show", "missing"),
    ("validate", "--all"),
    ("check", "desk", "--unattended", "--offline"),
    ("validate", f"broken-{LONG}"),
    ("check", LONG),
    ("request", "-p", LONG, PATH),
    ("run", "-p", LONG, "--", "echo", PATH),
    ("check", "desk"),
    ("doctor",),
    ("login", LONG),
    ("login", f"nightly-{LONG}"),
    ("logout", LONG),
    ("logout", f"nightly-{LONG}"),
    ("status",),
    ("status", LONG),
    ("token", f"nightly-{LONG}"),
    ("secret", "list"),
    ("secret", "set", LONG),
    ("secret", "delete", "desk"),
    ("secret", "new-key", f"../{'x' * 90}/key"),
    ("init", LONG, "--offline"),
    ("init", f"new-{LONG}", "--url", f"https://x.y/{PATH}", "--scheme", "anonymous", "--project"),
    ("init", f"new-{LONG}", "--url", f"http://localhost:1/{PATH}"),
    ("trust", "--yes"),
    ("trust", "--list"),
    ("trust", "--revoke", "gatepass.toml"),
    ("trust",),
    ("schema", "gatepass.toml"),
    ("demo",),
    ("sandbox", "--mode", "odd"),
    ("completion", "bosh"),
    (),
    ("shwo", LONG),
    ("--version",),
)  # fmt: skip


def test_each_verb_is_looked_at() -> None:
    assert {words[0] for words in VERBS if words} >= set(_VERBS)


_ALL = """\
import json, sys
from gatepass.cli import run
for words in json.loads(sys.argv[1]):
    print("\\n$", *words, flush=True)
    run(words)
"""


def test_no_verb_is_wider_than_the_terminal(place: Home) -> None:
    place.run("trust", "--yes")
    argv = (sys.executable, "-c", _ALL, json.dumps(VERBS))
    with terminal(argv, place._environ(), cwd=place.work, columns=80, timeout=120) as child:
        assert ended(child) == 0
        shown = _ESCAPES.sub("", screen(child)).replace("\r", "")
    parts = re.split(r"^\$ ?", shown, flags=re.MULTILINE)[1:]

    assert len(parts) == len(VERBS)
    assert "this is a bug" not in shown
    for words, part in zip(VERBS, parts, strict=True):
        wide = too_wide(part.split("\n")[1:])
        if words[0:1] == ("show",):
            wide = [line for line in wide if not _TOML.fullmatch(line)]
        assert wide == [], words


def test_the_next_step_of_a_finding_is_folded_below_it_and_a_command_is_not(home: Home) -> None:
    home.user(
        '[profiles.p]\nurl = "https://mi.example.com/"\n'
        'auth = { scheme = "bearer", token = "keyring:" }\n'
    )
    here = home.having(PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring")

    lines = lines_of(here, ("check", "--unattended"))

    assert [line for line in lines if len(line) > 80 and "profiles.toml" not in line] == []
    assert any("`keyring --list-backends`" in line for line in lines)


# ---------------------------------------------------------------- the forms of a table

SHORT = '[profiles.{0}]\nurl = "https://mi.example.com/"\nauth = {{ scheme = "anonymous" }}\n'


def test_a_table_that_is_too_wide_becomes_a_block_of_lines_for_each_row(place: Home) -> None:
    lines = lines_of(place, ("profiles",))

    assert "desk" in lines
    assert "  SCHEME  basic" in lines
    assert "  URL     https://mi.example.com/..." in lines


def test_a_url_that_is_none_is_listed_as_it_is_written(home: Home) -> None:
    home.user(f'[profiles.p]\nurl = "https://h:99999/{PATH}"\nauth.scheme = "anonymous"\n')

    assert "https://h:99999/" in "".join(lines_of(home, ("profiles",)))


def test_a_table_that_fits_stays_one(home: Home) -> None:
    home.user(SHORT.format("dev") + SHORT.format("prod"))

    lines = lines_of(home.having(GATEPASS_PROFILE="dev"), ("secret", "list"))
    wide = lines_of(home.having(COLUMNS="300"), ("profiles",))

    assert "no references" in lines
    assert sum("https://mi.example.com/" in line for line in wide) == 2


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
@pytest.mark.parametrize("columns", [80, 200])
def test_nothing_but_text_is_shown_where_that_is_asked_for(
    home: Home, variables: dict[str, str], columns: int
) -> None:
    home.user(SHORT.format("dev"))

    with home.having(**variables).sit("profiles", columns=columns) as child:
        assert ended(child) == 0
        assert "\x1b" not in screen(child)


def test_into_a_pipe_goes_one_line_for_each_row(place: Home) -> None:
    place.run("trust", "--yes")
    done = place.run("profiles")

    assert len(done.stdout.splitlines()) == 5
    assert done.stdout.startswith("  ")


def test_a_finding_is_folded_behind_its_verdict(home: Home) -> None:
    lines = lines_of(home.having(REQUESTS_CA_BUNDLE=f"/{PATH}", DISPLAY=""), ("doctor",))

    long = [line for line in lines if len(line) > 80]
    assert any(PATH in line for line in long)
    assert all(len(line.split()) == 1 for line in long), "only a path is longer"
    assert all(re.match(r"(ok|info|warning|problem) +[^ ]| {8}[^ ]", line) for line in lines[1:-2])


# ---------------------------------------------------------------- waits


def test_a_keyring_that_hangs_is_named_while_it_is_waited_for(home: Home) -> None:
    home.path.append(str(Path(__file__).resolve().parents[2]))
    home.user(
        '[profiles.api]\nurl = "https://mi.example.com/"\n'
        'auth = { scheme = "bearer", token = "keyring:" }\n'
    )
    hangs = home.having(
        PYTHON_KEYRING_BACKEND="tests.support.keyring_backends.HangsAtChoice", GATEPASS_NO_INPUT="1"
    )

    for words in (("secret", "list"), ("show", "api", "--origin", "--resolve")):
        with hangs.sit(*words, columns=80) as child:
            child.expect("asking each reference")  # after a second; what follows is not waited for


def test_what_answers_at_once_is_not_announced(home: Home) -> None:
    home.user(SHORT.format("dev"))

    assert "asking" not in "".join(lines_of(home, ("secret", "list")))
