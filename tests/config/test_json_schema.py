"""The JSON Schema for editors: it accepts what is right and marks the common mistakes.

jsonschema is the reference for draft 2020-12. taplo is what editors run (Even Better TOML, and
others by its language server); it knows draft 7 alone.
"""

import json
import tomllib
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import tomli_w

from gatepass._config import fields, json_schema
from gatepass._config.layer import MACHINE_KEYS
from gatepass._config.locations import LOCAL_FILE, PROJECT_FILE
from gatepass._config.profile import ProfileKeys
from gatepass._system import plugins
from tests.stories.test_docs import PAGES, ROOT, Block, _merged, blocks_of, name_of
from tests.support.taplo import marked_by_taplo

OWN: Final = json_schema.document()
PROJECT: Final = json_schema.document(machine=False)
PART: Final = json_schema.document(machine=False, whole=False)


def _marked(text: str, document: dict[str, Any]) -> list[str]:
    checker = jsonschema.Draft202012Validator(document)
    return [error.message for error in checker.iter_errors(tomllib.loads(text))]


def _taplo(folder: Path, texts: dict[str, str], document: dict[str, Any]) -> set[str]:
    """Let taplo judge texts, all at once; return the names of those that it marks."""
    schema = folder / "some.schema.json"
    schema.write_text(json.dumps(document), encoding="utf-8")
    files = {f"{number}.toml": name for number, name in enumerate(texts)}
    for file, name in files.items():
        (folder / file).write_text(texts[name], encoding="utf-8")
    return {files[file] for file in marked_by_taplo(folder, *files, schema=schema)}


# ---------------------------------------------------------------- the document


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


def test_every_installed_scheme_and_key_is_known_and_described() -> None:
    definitions = OWN["$defs"]

    for name in plugins.names(plugins.AUTH):
        keys = dict(definitions[f"auth.{name}"]["properties"])
        assert keys.pop("scheme") == {"const": name}
        assert set(keys) == set(fields.types_of(plugins.load_scheme(name)))
        assert all(key["description"] for key in keys.values())
    keys = definitions["profile"]["properties"]
    assert set(keys) == set(fields.types_of(ProfileKeys))
    assert all(key["description"] for key in keys.values())
    assert keys["retries"]["default"] == 3
    assert definitions["auth.basic"]["properties"]["password"]["description"] == "a reference."
    assert OWN["properties"]["vault"]["description"]


# ---------------------------------------------------------------- what is right

_URL: Final = 'url = "https://x.y/"\n'
_OPEN: Final = f'{_URL}auth = {{ scheme = "anonymous" }}\n'
_LOGIN: Final = f'{_URL}[profiles.a.auth]\nscheme = "basic"\nuser_name = "bob"\n'
_RIGHT: Final = {
    "a url in capitals": 'url = "HTTPS://X.Y:8443/mi"\nauth = { scheme = "anonymous" }',
    "an address of IPv6": 'url = "http://[::1]:8080/"\nauth = { scheme = "anonymous" }',
    "alternatives": f'{_LOGIN}password = ["env:X", {{ command = ["op", "read"] }}, "keyring:"]',
    "a name with a domain": (
        f"{_URL}auth = {{ scheme = 'ntlm', user_name = 'A\\b', password = 'env:X' }}"
    ),
    "one number of seconds": f"{_OPEN}timeout = 0.5",
    "two numbers of seconds": f"{_OPEN}timeout = [1, 60]",
    "no proxy": f'{_OPEN}proxy = "none"',
    "a proxy with a login": (
        f'{_OPEN}proxy = {{ url = "http://p:1", user_name = "me", password = "env:X" }}'
    ),
    "headers": f'{_OPEN}headers = {{ Accept-Language = "de", X = "1" }}',
    "a way to the provider": (
        f'{_URL}auth = {{ scheme = "oidc", proxy = "none", tls = {{ ca_file = "x.pem" }} }}'
    ),
    "a child": f'{_OPEN}[profiles.b]\nextends = "a"\nauth = {{ user_name = "bob" }}',
}


def test_the_example_file_is_accepted(tmp_path: Path) -> None:
    text = (ROOT / "profiles.example.toml").read_text(encoding="utf-8")

    assert _marked(text, OWN) == []
    assert _taplo(tmp_path, {"example": text}, OWN) == set()


def _files(page: Path) -> list[tuple[str, Block]]:
    """The texts of a page that are files of profiles, and right."""
    found = []
    for block in blocks_of(page):
        if block.language != "toml" or {"not", "wrong", "installs"} & set(block.marks):
            continue
        if block.table:
            lines = [line for line in block.text.splitlines() if line.strip()]
            found += [(tomli_w.dumps(_merged(line, block.table)), block) for line in lines]
        else:
            found.append((block.text, block))
    return found


# Schemes and sources of other packages; tests/cli/test_plugins.py has them.
_OF_STRANGERS: Final = ("docs/how-to/write-a-scheme.md", "docs/how-to/write-a-source.md")
_WITH_FILES: Final = [page for page in PAGES if _files(page) and name_of(page) not in _OF_STRANGERS]


@pytest.mark.parametrize("page", _WITH_FILES, ids=name_of)
def test_every_file_of_the_documentation_is_accepted(page: Path, tmp_path: Path) -> None:
    kinds = {PROJECT_FILE: PROJECT, LOCAL_FILE: PART}
    by_kind: dict[str, dict[str, str]] = {}
    for text, block in _files(page):
        kind = block.file
        by_kind.setdefault(kind, {})[f"{block.line}: {text}"] = text
    for kind, texts in by_kind.items():
        document = kinds.get(kind, OWN)
        assert [text for text in texts.values() if _marked(text, document)] == []
        assert _taplo(tmp_path, texts, document) == set()


@pytest.mark.parametrize("name", _RIGHT)
def test_what_is_right_is_not_marked(name: str) -> None:
    assert _marked(f"[profiles.a]\n{_RIGHT[name]}\n", OWN) == []


def test_taplo_does_not_mark_what_is_right(tmp_path: Path) -> None:
    texts = {name: f"[profiles.a]\n{text}\n" for name, text in _RIGHT.items()}

    assert _taplo(tmp_path, texts, OWN) == set()


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
def test_a_file_that_adds_to_another_needs_nothing_else(addition: str) -> None:
    assert _marked(f"[profiles.prod]\n{addition}\n", PART) == []


# ---------------------------------------------------------------- what is wrong

_MISTAKES: Final = {
    "a misspelt key": f"{_OPEN}retires = 1",
    "a misspelt key of a scheme": f'{_LOGIN}password = "env:X"\npasword = "env:X"',
    "a misspelt key of tls": f'{_OPEN}tls = {{ ca = "x" }}',
    "a misspelt key of a proxy": f'{_OPEN}proxy = {{ url = "http://p:1", user = "x" }}',
    "a misspelt scheme": f'{_URL}auth = {{ scheme = "bsic", user_name = "a" }}',
    "a key of another scheme": (
        f'{_URL}auth = {{ scheme = "bearer", token = "env:X", domain = "A" }}'
    ),
    "a literal secret": f'{_LOGIN}password = "hunter2"',
    "a literal secret in a list": f'{_LOGIN}password = ["env:X", "hunter2"]',
    "a literal passphrase": f'{_OPEN}tls = {{ client_key_password = "hunter2" }}',
    "a literal secret of a proxy": f'{_OPEN}proxy = {{ url = "http://p:1", password = "x" }}',
    "an unknown source": f'{_LOGIN}password = "vault:x"',
    "a source that needs a text": f'{_LOGIN}password = "env:"',
    "a command as a text": f'{_LOGIN}password = "command:op read x"',
    "a command that is no list": f'{_LOGIN}password = {{ command = "op read x" }}',
    "a reference in a name that is none": (
        f'{_URL}auth = {{ scheme = "ntlm", user_name = "C:b", password = "env:X" }}'
    ),
    "an unknown flow": f'{_URL}auth = {{ scheme = "oidc", flow = "implicit" }}',
    "a wrong type": f'{_OPEN}protected = "yes"',
    "a number in quotes": f'{_OPEN}timeout = "10"',
    "numbers in quotes": f'{_OPEN}timeout = ["10", "60"]',
    "a timeout of nothing": f"{_OPEN}timeout = 0",
    "three timeouts": f"{_OPEN}timeout = [1, 2, 3]",
    "too many retries": f"{_OPEN}retries = 21",
    "half a retry": f"{_OPEN}retries = 0.5",
    "a header that is no text": f"{_OPEN}headers = {{ X = 1 }}",
    "a control character": f'{_OPEN}description = "CORP\\bob"',
    "a line break at the end": f'{_OPEN}description = "x\\n"',
    "another kind of url": 'url = "ftp://x.y/"\nauth = { scheme = "anonymous" }',
    "an empty parent": f'{_OPEN}extends = ""',
    "a literal secret in a child": (
        f'{_OPEN}[profiles.b]\nextends = "a"\nauth = {{ password = "hunter2" }}'
    ),
    "a misspelt key in a child": (
        f'{_OPEN}[profiles.b]\nextends = "a"\nauth = {{ pasword = "env:X" }}'
    ),
}
_LACKING: Final = {
    "no url": 'auth = { scheme = "anonymous" }',
    "no auth": _URL,
    "no scheme": f'{_URL}auth = {{ user_name = "bob", password = "env:X" }}',
    "no key that the scheme needs": _LOGIN,
}
_AT_THE_TOP: Final = {
    "a profile's name in capitals": f"[profiles.Prod]\n{_OPEN}",
    "a profile's name with __": f"[profiles.a__b]\n{_OPEN}",
    "a profile at the top": f"[prod]\n{_OPEN}",
    "a misspelt key at the top": 'default_profil = "a"',
    "a default that is no name": "default_profile = true",
}
_WRONG: Final = _AT_THE_TOP | {
    name: f"[profiles.a]\n{text}\n" for name, text in (_MISTAKES | _LACKING).items()
}


@pytest.mark.parametrize("name", _WRONG)
def test_a_common_mistake_is_marked(name: str) -> None:
    assert _marked(_WRONG[name], OWN) != []
    assert _marked(_WRONG[name], PROJECT) != []
    assert (_marked(_WRONG[name], PART) != []) == (name not in _LACKING)


def test_taplo_marks_the_same_mistakes(tmp_path: Path) -> None:
    assert _taplo(tmp_path, _WRONG, PROJECT) == set(_WRONG)
    assert _taplo(tmp_path, _WRONG, PART) == set(_WRONG) - set(_LACKING)


def test_a_machine_setting_is_marked_in_a_project(tmp_path: Path) -> None:
    lines = {key: f"{key} = true" for key in MACHINE_KEYS}
    lines |= {"vault": 'vault = "x"', "vault_key": 'vault_key = "env:X"'}

    assert _taplo(tmp_path, lines, OWN) == set()
    for document in (PROJECT, PART):
        assert _taplo(tmp_path, lines, document) == set(lines)
    for line in lines.values():
        assert _marked(line, OWN) == []
        assert _marked(line, PROJECT) != []
        assert _marked(line, PART) != []


@pytest.mark.parametrize(
    ("vault", "is_right"),
    [
        ("~/vault", True),
        ("rediss://h:1/0", True),
        ({"url": "rediss://h", "password": "env:P"}, True),
        ({"password": "env:P"}, False),
        ({"url": "rediss://h", "pasword": "env:P"}, False),
        ({"url": "rediss://h", "password": "hunter2"}, False),
        (True, False),
    ],
)
def test_the_vault_is_a_folder_a_url_or_a_table(vault: Any, is_right: bool) -> None:
    assert (_marked(tomli_w.dumps({"vault": vault}), OWN) == []) == is_right
