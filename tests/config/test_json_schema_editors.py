"""Two validators that know nothing of gatepass judge files by its schema: jsonschema and taplo.

jsonschema is the reference for draft 2020-12. taplo is what editors run (Even Better TOML, and
others by its language server); it knows draft 7 alone, and reads the ``#:schema`` line.
"""

import json
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import tomli_w

from gatepass._config import json_schema
from gatepass._config.locations import LOCAL_FILE, PROJECT_FILE, Locations
from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from tests.stories.test_docs import PAGES, ROOT, Block, _merged, blocks_of, name_of
from tests.support.peers.need import absent

Judge = Callable[[str, dict[str, Any]], list[str]]

OWN: Final = json_schema.document()
PROJECT: Final = json_schema.document(machine=False)
PART: Final = json_schema.document(machine=False, whole=False)


def _taplo(file: Path, *options: str) -> list[str]:
    """Let taplo check a file; return its complaints. Offline: it asks for no catalogue."""
    program = shutil.which("taplo", path=sysconfig.get_path("scripts")) or shutil.which("taplo")
    if program is None:
        absent("taplo is not installed (the extra `test` has it)")
    done = subprocess.run(
        [program, "check", "--no-auto-config", "--colors", "never", *options, file.name],
        cwd=file.parent,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    found = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert bool(found) == bool(done.returncode), done.stderr
    return found


def _by_jsonschema(text: str, document: dict[str, Any]) -> list[str]:
    checker = jsonschema.Draft202012Validator(document)
    return [error.message for error in checker.iter_errors(tomllib.loads(text))]


@pytest.fixture(params=["jsonschema", "taplo"])
def judge(request: pytest.FixtureRequest, tmp_path: Path) -> Judge:
    """Return what judges a text by a schema, and returns its complaints."""
    if request.param == "jsonschema":
        return _by_jsonschema

    def by_taplo(text: str, document: dict[str, Any]) -> list[str]:
        schema = tmp_path / "some.schema.json"
        schema.write_text(json.dumps(document), encoding="utf-8")
        file = tmp_path / "some.toml"
        file.write_text(text, encoding="utf-8")
        return _taplo(file, "--schema", schema.as_uri())

    return by_taplo


@pytest.mark.parametrize("document", [OWN, PROJECT, PART], ids=["own", "project", "part"])
def test_the_schema_is_valid_in_both_dialects(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema.Draft7Validator.check_schema(document)


def _words(value: Any, of_names: bool = False) -> set[str]:
    """Every keyword of a schema; the names of properties and definitions are none."""
    if isinstance(value, list):
        return set().union(*(_words(each) for each in value))
    if not isinstance(value, dict):
        return set()
    found = set() if of_names else set(value)
    for name, inner in value.items():
        names = not of_names and name in {"properties", "$defs"}
        if of_names or name not in {"const", "enum", "default"}:
            found |= _words(inner, names)
    return found


def test_only_words_that_both_dialects_know_decide() -> None:
    """PrefixItems alone is of 2020-12; where it is not known the program's name may be empty."""
    known = set(jsonschema.Draft7Validator.META_SCHEMA["properties"])

    assert _words(OWN) - known == {"$defs", "prefixItems"}
    assert not _words(OWN) & {"dependencies", "definitions", "additionalItems"}


# ---------------------------------------------------------------- what is right


def test_the_example_file_is_accepted(judge: Judge) -> None:
    text = (ROOT / "profiles.example.toml").read_text(encoding="utf-8")

    assert judge(text, OWN) == []


def _files(page: Path) -> list[tuple[str, Block]]:
    """The texts of a page that are files of profiles, and right."""
    found = []
    for block in blocks_of(page):
        if block.language != "toml" or {"not", "wrong", "installs"} & set(block.marks):
            continue
        if "in" in block:
            lines = [line for line in block.text.splitlines() if line.strip()]
            found += [(tomli_w.dumps(_merged(line, block.marks["in"])), block) for line in lines]
        else:
            found.append((block.text, block))
    return found


# Schemes and sources of other packages; tests/cli/test_plugins.py has them.
_OF_STRANGERS: Final = ("docs/how-to/write-a-scheme.md", "docs/how-to/write-a-source.md")
_WITH_FILES: Final = [page for page in PAGES if _files(page) and name_of(page) not in _OF_STRANGERS]


@pytest.mark.parametrize("page", _WITH_FILES, ids=name_of)
def test_every_file_of_the_documentation_is_accepted(page: Path, judge: Judge) -> None:
    kinds = {PROJECT_FILE: PROJECT, LOCAL_FILE: PART}
    for text, block in _files(page):
        document = kinds.get(block.marks.get("file", ""), OWN)
        assert judge(text, document) == [], f"{name_of(page)}:{block.line}"


@pytest.mark.parametrize(
    "addition",
    [
        "timeout = 5",
        'auth = { user_name = "bob" }',
        'auth = { password = ["env:X", "keyring:"] }',
        'auth = { scheme = "ntlm", user_name = "bob" }',
        'proxy = { password = "env:X" }',
        'tls = { client_key = "me.key" }',
        "",
    ],
)
def test_a_file_that_adds_to_another_needs_nothing_else(judge: Judge, addition: str) -> None:
    assert judge(f"[profiles.prod]\n{addition}\n", PART) == []


# ---------------------------------------------------------------- what is wrong

_URL: Final = 'url = "https://x.y/"\n'
_OPEN: Final = f'{_URL}auth = {{ scheme = "anonymous" }}\n'
_LOGIN: Final = f'{_URL}[profiles.a.auth]\nscheme = "basic"\nuser_name = "bob"\n'
_MISTAKES: Final = {
    "a misspelt key": f"{_OPEN}retires = 1",
    "a misspelt key of a scheme": f'{_LOGIN}pasword = "env:X"',
    "a misspelt scheme": f'{_URL}auth = {{ scheme = "bsic", user_name = "a" }}',
    "a key of another scheme": (
        f'{_URL}auth = {{ scheme = "bearer", token = "env:X", domain = "A" }}'
    ),
    "a literal secret": f'{_LOGIN}password = "hunter2"',
    "a literal secret in a list": f'{_LOGIN}password = ["env:X", "hunter2"]',
    "an unknown source": f'{_LOGIN}password = "vault:x"',
    "a source that needs a text": f'{_LOGIN}password = "env:"',
    "a command as a text": f'{_LOGIN}password = "command:op read x"',
    "a command that is no list": f'{_LOGIN}password = {{ command = "op read x" }}',
    "a reference in a name that is none": f'{_URL}auth = {{ scheme = "ntlm", user_name = "C:b" }}',
    "no url": 'auth = { scheme = "anonymous" }',
    "no auth": _URL,
    "no scheme": f'{_URL}auth = {{ user_name = "bob", password = "env:X" }}',
    "a key that the scheme needs": _LOGIN,
    "a client without its secret": (
        f'{_URL}auth = {{ scheme = "oidc", flow = "client_credentials", client_id = "x" }}'
    ),
    "a token that may be sent anywhere": (
        f'{_URL}auth = {{ scheme = "oidc", refresh_token = "env:X" }}'
    ),
    "a client's secret that may be sent anywhere": (
        f'{_URL}auth = {{ scheme = "oidc", client_secret = "env:X" }}'
    ),
    "a login that takes no time": f'{_URL}auth = {{ scheme = "oidc", login_timeout = 0 }}',
    "an unknown flow": f'{_URL}auth = {{ scheme = "oidc", flow = "implicit" }}',
    "a wrong type": f'{_OPEN}protected = "yes"',
    "a number in quotes": f'{_OPEN}timeout = "10"',
    "numbers in quotes": f'{_OPEN}timeout = ["10", "60"]',
    "a timeout of nothing": f"{_OPEN}timeout = 0",
    "three timeouts": f"{_OPEN}timeout = [1, 2, 3]",
    "too many retries": f"{_OPEN}retries = 21",
    "half a retry": f"{_OPEN}retries = 0.5",
    "credentials in a header": f'{_OPEN}headers = {{ authorization = "Basic x" }}',
    "a cookie": f'{_OPEN}headers = {{ Cookie = "x" }}',
    "a header's name with a blank": f'{_OPEN}headers = {{ "X Y" = "x" }}',
    "a header that is not ASCII": f'{_OPEN}headers = {{ X = "ä" }}',
    "a control character": f'{_OPEN}description = "CORP\\bob"',
    "a line break at the end": f'{_OPEN}description = "x\\n"',
    "a user in the url": 'url = "https://me:pw@x.y/"\nauth = { scheme = "anonymous" }',
    "a query": 'url = "https://x.y/?q"\nauth = { scheme = "anonymous" }',
    "a fragment": 'url = "https://x.y/#f"\nauth = { scheme = "anonymous" }',
    "another kind of url": 'url = "ftp://x.y/"\nauth = { scheme = "anonymous" }',
    "a port that is none": 'url = "https://x.y:65536/"\nauth = { scheme = "anonymous" }',
    "a login over plain http": 'url = "http://x.y/"\nauth = { scheme = "autologon" }',
    "a path that is a url": f'{_OPEN}check_path = "https://x.y/"',
    "a proxy without http": f'{_OPEN}proxy = "proxy:3128"',
    "a proxy's name alone": f'{_OPEN}proxy = {{ url = "http://p:1", user_name = "me" }}',
    "a proxy without url": f'{_OPEN}proxy = {{ user_name = "me", password = "env:X" }}',
    "a key without certificate": f'{_OPEN}tls = {{ client_key = "me.key" }}',
    "a misspelt key of tls": f'{_OPEN}tls = {{ ca = "x" }}',
    "a literal passphrase": f'{_OPEN}tls = {{ client_key_password = "hunter2" }}',
    "an empty parent": f'{_OPEN}extends = ""',
}
_ELSEWHERE: Final = {
    "a profile's name in capitals": f"[profiles.Prod]\n{_OPEN}",
    "a profile's name with __": f"[profiles.a__b]\n{_OPEN}",
    "a profile at the top": f"[prod]\n{_OPEN}",
    "a misspelt key at the top": 'default_profil = "a"',
    "a default that is no name": "default_profile = true",
    "a literal secret in a child": ('[profiles.b]\nextends = "a"\nauth = { password = "hunter2" }'),
    "a misspelt key in a child": '[profiles.b]\nextends = "a"\nauth = { pasword = "env:X" }',
}


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(f"[profiles.a]\n{text}\n", id=name) for name, text in _MISTAKES.items()),
        *(pytest.param(text, id=name) for name, text in _ELSEWHERE.items()),
    ],
)
def test_a_common_mistake_is_marked(judge: Judge, text: str) -> None:
    tomllib.loads(text)
    assert judge(text, OWN) != []
    assert judge(text, PROJECT) != []


_OF_ALL_OF_IT: Final = {
    "no url",
    "no auth",
    "no scheme",
    "a key that the scheme needs",
    "a client without its secret",
    "a login that takes no time",
    "a token that may be sent anywhere",
    "a client's secret that may be sent anywhere",
    "a login over plain http",
    "a proxy's name alone",
    "a proxy without url",
    "a key without certificate",
}


@pytest.mark.parametrize("name", [*_MISTAKES, *_ELSEWHERE])
def test_a_mistake_in_a_file_that_adds_is_marked_unless_the_other_may_mend_it(
    judge: Judge, name: str
) -> None:
    text = _ELSEWHERE.get(name) or f"[profiles.a]\n{_MISTAKES[name]}\n"

    assert bool(judge(text, PART)) == (name not in _OF_ALL_OF_IT)


@pytest.mark.parametrize("line", ["allow_commands = true", 'vault_key = "env:X"', 'vault = "x"'])
def test_a_machine_setting_is_marked_in_a_project(judge: Judge, line: str) -> None:
    assert judge(line, OWN) == []
    assert judge(line, PROJECT) != []
    assert judge(line, PART) != []


# ---------------------------------------------------------------- the line in the file


@pytest.fixture
def context(locations: Locations) -> Context:
    return Context({}, Terminal({}, interactive=False), locations)


@pytest.mark.parametrize("name", [PROJECT_FILE, LOCAL_FILE, "profiles.toml"])
def test_taplo_follows_the_line_that_the_command_writes(
    context: Context, locations: Locations, name: str
) -> None:
    """Without --schema: as in an editor, where nobody names it."""
    folder = locations.user.parent if name == "profiles.toml" else locations.working
    assert folder is not None
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"[profiles.a]\n{_OPEN}")
    file.chmod(0o600)
    assert run(["schema", str(file)], context) == 0

    assert _taplo(file) == []
    file.write_text(file.read_text() + "retires = 1\n")
    assert "retires" in str(_taplo(file))
    line, _, _ = file.read_text().partition("\n")
    file.write_text(f"{line}\nallow_commands = true\n")
    assert bool(_taplo(file)) == (name != "profiles.toml")


def test_a_local_file_beside_the_projects_has_a_schema_of_its_own(
    context: Context, locations: Locations
) -> None:
    assert locations.working is not None
    project, local = locations.working / PROJECT_FILE, locations.working / LOCAL_FILE
    project.write_text(f"[profiles.a]\n{_OPEN}")
    local.write_text("[profiles.a]\ntimeout = 5\n")
    for file in (project, local):
        assert run(["schema", str(file)], context) == 0

    assert _taplo(project) == []
    assert _taplo(local) == []
    project.write_text("#:schema ./gatepass.schema.json\n[profiles.a]\ntimeout = 5\n")
    assert "url" in str(_taplo(project))


def test_a_line_of_the_other_kind_is_replaced(context: Context, locations: Locations) -> None:
    """As of a file that was renamed, or came to have another one below it."""
    assert locations.working is not None
    local = locations.working / LOCAL_FILE
    local.write_text("# mine\n#:schema ./gatepass.schema.json\n[profiles.a]\ntimeout = 5\n")

    assert run(["schema", str(local)], context) == 0

    lines = local.read_text().splitlines()
    assert lines[:3] == ["# mine", "#:schema ./gatepass.part.schema.json", "[profiles.a]"]
    assert _taplo(local) == []


def test_the_own_file_may_lack_what_the_systems_file_has(
    context: Context, locations: Locations
) -> None:
    locations.user.parent.mkdir()
    locations.user.write_text('[profiles.a]\nauth = { user_name = "bob" }\n')
    locations.user.chmod(0o600)
    assert run(["schema"], context) == 0
    assert _taplo(locations.user) != []
    (system,) = locations.system
    system.parent.mkdir()
    system.write_text(f"[profiles.a]\n{_OPEN}")

    assert run(["schema"], context) == 0

    assert _taplo(locations.user) == []


def test_part_lets_any_file_lack_something(context: Context, locations: Locations) -> None:
    """A project may leave the user's name to each one's gatepass.local.toml."""
    assert locations.working is not None
    project = locations.working / PROJECT_FILE
    project.write_text(f'[profiles.a]\n{_URL}auth = {{ scheme = "basic", password = "env:X" }}\n')
    assert run(["schema", str(project)], context) == 0
    assert _taplo(project) != []

    assert run(["schema", str(project), "--part"], context) == 0

    assert _taplo(project) == []
