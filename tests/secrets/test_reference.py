"""References: how they are read, written and resolved, and that secrets stay secret."""

import contextlib
import copy
import json
import pickle
import re
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass._system.terminal import Terminal
from gatepass.errors import NobodyThere, PluginError, SecretUnavailable
from gatepass.secrets import (
    ReferenceSyntaxError,
    Secret,
    SecretRef,
    constant_time_compare,
    ref,
    reference_json_schema,
)
from tests.support.secret_context import context

SECRET = "hunter2"

WRONG_STRINGS = [
    SECRET,
    "",
    ":",
    f":{SECRET}",
    f"nosuch:{SECRET}",
    f"ENV:{SECRET}",
    f" env:{SECRET}",
    f"env :{SECRET}",
    f"env\n:{SECRET}",
    f"${{env:{SECRET}}}",
    f"https://bob:{SECRET}@example.com",
    "env:",
    "file:",
    f"command:{SECRET}",
    f"env:A={SECRET}",
    f"env: {SECRET}",
    f"file:{SECRET}/",
    f"keyring:{SECRET}",
    f"keyring:{SECRET}/",
    f"keyring:/{SECRET}",
]
WRONG_TABLES: list[Any] = [
    {},
    {"env": SECRET},
    {"command": SECRET},
    {"command": []},
    {"command": ["", SECRET]},
    {"command": [SECRET, 1]},
    {"command": [SECRET], "shell": True},
    {SECRET: [SECRET]},
    {1: SECRET},
]
WRONG_OTHERS: list[Any] = [
    None,
    True,
    7,
    7.5,
    SECRET.encode(),
    [],
    [[f"env:{SECRET}"]],
    [f"env:{SECRET}", SECRET],
    [None],
    {SECRET},
]
WRONG = WRONG_STRINGS + WRONG_TABLES + WRONG_OTHERS

# What TOML can hold; a surrogate is no character.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAME = TEXT.filter(lambda text: re.fullmatch(r"[^\s=$%{}]+", text))
PATH = TEXT.filter(lambda text: text.strip() == text and text[-1:] not in {"", "/", "\\"})
NAMED = st.tuples(st.just("env"), NAME) | st.tuples(st.just("file"), PATH)
ENTRY = st.just("") | st.builds("{}/{}".format, NAME, NAME.filter(lambda text: "/" not in text))
BARE = st.tuples(st.just("keyring"), ENTRY) | st.tuples(st.just("prompt"), TEXT)
COMMAND = st.builds(
    lambda program, arguments: ("command", json.dumps([program, *arguments])),
    TEXT.filter(str.strip),
    st.lists(TEXT, max_size=3),
)
REFERENCES = st.builds(
    lambda alternatives: SecretRef(tuple(alternatives)),
    st.lists(NAMED | BARE | COMMAND, min_size=1, max_size=3),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("command"), inner)
)


# --- parse ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "alternatives"),
    [
        ("env:MI_PASSWORD", [("env", "MI_PASSWORD")]),
        ("keyring:", [("keyring", "")]),
        ("keyring:https://a.example/bob", [("keyring", "https://a.example/bob")]),
        ("prompt:", [("prompt", "")]),
        ("file:~/x:y", [("file", "~/x:y")]),
        (["env:A", "prompt:B"], [("env", "A"), ("prompt", "B")]),
        (("env:A",), [("env", "A")]),
        ({"command": ["op", "read"]}, [("command", '["op", "read"]')]),
        ([{"command": ["op"]}, "env:A"], [("command", '["op"]'), ("env", "A")]),
    ],
)
def test_every_documented_form_is_read(
    written: object, alternatives: list[tuple[str, str]]
) -> None:
    assert SecretRef.parse(written).alternatives == tuple(alternatives)


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:40])
def test_what_is_no_reference_is_refused_and_not_repeated(value: object) -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        SecretRef.parse(value)
    assert SECRET not in str(caught.value)


@settings(deadline=None)
@given(ANYTHING)
def test_parse_raises_nothing_but_its_own_error(value: object) -> None:
    with contextlib.suppress(ReferenceSyntaxError):
        assert SecretRef.parse(value).alternatives


@settings(deadline=None)
@given(st.text(), st.text(), st.sampled_from([str, "list", "command", "key"]))
def test_parse_never_repeats_a_text(before: str, after: str, form: object) -> None:
    text = before + SECRET + after
    forms: dict[object, Any] = {
        "list": ["env:A", text],
        "command": {"command": text},
        "key": {text: ["x"]},
    }
    shown = ""
    try:
        SecretRef.parse(forms.get(form, text))
    except ReferenceSyntaxError as error:
        shown = str(error)
    assert SECRET not in shown


# --- the written form ----------------------------------------------------------------------


@given(REFERENCES)
def test_the_written_form_reads_back_the_same(reference: SecretRef) -> None:
    assert SecretRef.parse(reference.as_written()) == reference


@given(REFERENCES)
def test_the_written_form_survives_toml_and_json(reference: SecretRef) -> None:
    table = {"password": reference.as_written()}
    assert tomllib.loads(tomli_w.dumps(table)) == table
    assert json.loads(json.dumps(table)) == table


def test_a_reference_prints_its_sources_but_not_a_commands_arguments() -> None:
    reference = ref(["env:A", {"command": ["op", "read", SECRET]}, "prompt:"])
    assert str(reference) == "env:A | command op | prompt:"


def test_a_reference_travels_in_a_pickle_with_its_place() -> None:
    reference = ref("file:x").with_place("project", Path("/somewhere"))
    assert pickle.loads(pickle.dumps(reference)) == reference  # noqa: S301 - our own bytes
    assert (reference.layer, reference.base_dir) == ("project", str(Path("/somewhere")))
    assert reference.with_place("argument", None) == ref("file:x")


# --- resolve -------------------------------------------------------------------------------


def test_the_first_that_answers_wins_and_the_rest_is_not_asked() -> None:
    def refuse(label: str) -> str:
        raise AssertionError(label)

    here = context(
        environ={"B": "second", "C": "third"},
        terminal=Terminal({}, interactive=True, read_hidden=refuse),
    )
    assert ref(["env:A", "env:B", "env:C", "prompt:"]).resolve(here).reveal() == "second"


def test_when_none_answers_each_is_quoted() -> None:
    with pytest.raises(SecretUnavailable) as caught:
        ref(["env:A", "env:B"]).resolve(context(environ={"B": ""}))
    assert caught.value.message.splitlines() == [
        "no alternative answered:",
        "  env:A: the variable A is not set",
        "  env:B: the variable B is empty",
    ]
    assert "set A in" in caught.value.hint
    assert "set B in" in caught.value.hint


@pytest.mark.parametrize("source", ["env", "file", "keyring", "prompt"])
@pytest.mark.parametrize("more", [[], ["env:A"]], ids=["alone", "with another"])
def test_an_error_cannot_steer_a_terminal(source: str, more: list[str]) -> None:
    with pytest.raises(SecretUnavailable) as caught:
        ref([f"{source}:s/\x1b]0;x\x07\u202e", *more]).resolve(context())

    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def test_a_hint_that_two_alternatives_share_is_given_once() -> None:
    with pytest.raises(SecretUnavailable) as caught:
        ref(["prompt:A", "prompt:B"]).resolve(context())
    assert caught.value.hint.count("for a run without a person") == 1


def test_a_single_reference_tells_what_it_was() -> None:
    with pytest.raises(SecretUnavailable) as caught:
        ref("env:A").resolve(context())
    assert caught.value.message == "env:A: the variable A is not set"
    assert "set A" in caught.value.hint


def test_the_error_tells_whether_a_person_was_the_last_hope() -> None:
    with pytest.raises(NobodyThere):
        ref(["env:A", "prompt:"]).resolve(context())
    with pytest.raises(SecretUnavailable) as caught:
        ref(["prompt:", "env:A"]).resolve(context())
    assert not isinstance(caught.value, NobodyThere)


def test_an_empty_secret_is_no_answer() -> None:
    person = Terminal({}, interactive=True, read_hidden=lambda _: "")
    with pytest.raises(SecretUnavailable, match="nothing was typed"):
        ref("prompt:").resolve(context(terminal=person))


def test_a_reference_is_resolved_where_it_was_written(tmp_path: Path) -> None:
    """Its own layer and folder count, not those of the context."""
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    here = context(layer="user", base_dir=tmp_path / "elsewhere")
    assert ref("file:secret").with_place("project", tmp_path).resolve(here).reveal() == SECRET
    with pytest.raises(SecretUnavailable, match="only when your own file"):
        ref({"command": ["x"]}).with_place("project", tmp_path).resolve(here)


# --- sources of other packages -------------------------------------------------------------

OTHER_PACKAGE = f"""
from gatepass.errors import SecretUnavailable

def fails(text, context):
    try:
        raise KeyError("{SECRET}")
    except KeyError:
        raise ValueError("{SECRET}")

def refuses(text, context):
    raise SecretUnavailable("the safe is closed", hint="open it")

def answers(text, context):
    return text + context.field

def silent(text, context):
    return None

def odd(text, context):
    return b"{SECRET}"

def stops(text, context):
    raise KeyboardInterrupt
"""


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package that brings sources."""
    (tmp_path / "gatepass_other.py").write_text(OTHER_PACKAGE, encoding="utf-8")
    info = tmp_path / "gatepass_other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: gatepass-other\nVersion: 1\n", encoding="utf-8")
    names = ["fails", "refuses", "answers", "silent", "odd", "stops", "missing"]
    lines = "\n".join(f"{name} = gatepass_other:{name}" for name in names)
    lines += "\nOdd(name = gatepass_other:answers"
    (info / "entry_points.txt").write_text(f"[gatepass.secrets]\n{lines}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("other_package")
def test_a_source_of_another_package_is_asked_like_ours() -> None:
    assert ref("answers:the ").resolve(context()).reveal() == "the password"


@pytest.mark.usefixtures("other_package")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("fails", "package gatepass-other .* failed: ValueError at"),
        ("refuses", "the safe is closed"),
        ("silent", "not text"),
        ("odd", "not text"),
    ],
)
def test_a_source_of_another_package_may_fail_in_any_way(source: str, message: str) -> None:
    with pytest.raises(SecretUnavailable, match=message) as caught:
        ref(f"{source}:x").resolve(context())
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.usefixtures("other_package")
def test_a_source_of_another_package_with_an_odd_name_is_none() -> None:
    """Also not in the schema, where its name would break the pattern."""
    with pytest.raises(ReferenceSyntaxError):
        ref("Odd(name:x")
    jsonschema.validate("answers:x", reference_json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate("Odd(name:x", reference_json_schema())


@pytest.mark.usefixtures("other_package")
def test_ctrl_c_in_a_source_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        ref("stops:x").resolve(context())


@pytest.mark.usefixtures("other_package")
def test_a_source_of_another_package_that_cannot_be_loaded_is_a_plugin_error() -> None:
    with pytest.raises(PluginError, match="gatepass-other"):
        ref("missing:x").resolve(context())


# --- secrets -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        repr,
        str,
        ascii,
        "{}".format,
        "{:>30}".format,
        "{!r}".format,
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - one of the ways to print
        lambda secret: str([secret]),
        lambda secret: str({"password": secret}),
        lambda secret: str(ValueError(secret)),
    ],
)
def test_a_secret_does_not_print(write: Callable[[Secret], str]) -> None:
    text = write(Secret(SECRET))
    assert SECRET not in text
    assert "Secret(...)" in text


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_secret_is_as_silent(copied: Callable[[Any], Any]) -> None:
    """A copy stays in the process, where copies of sessions need it."""
    again = copied([Secret("sesame")])[0]
    assert type(again) is Secret
    assert "sesame" not in f"{again!r} {again} {[again]}"


@pytest.mark.parametrize(
    "copy_out",
    [pickle.dumps, json.dumps, vars, bytes, iter, len],
)
def test_a_secret_does_not_travel(copy_out: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as caught:
        copy_out(Secret(SECRET))
    assert SECRET not in str(caught.value)


def test_a_copy_of_a_secret_is_the_secret_itself() -> None:
    secret = Secret(SECRET)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_a_secret_compares_by_identity_only() -> None:
    secret = Secret(SECRET)
    assert secret == secret  # noqa: PLR0124 - the claim
    assert secret != Secret(SECRET)
    assert secret != SECRET  # type: ignore[comparison-overlap] # the claim


def test_only_reveal_gives_the_secret() -> None:
    assert Secret(SECRET).reveal() == SECRET


# --- fields of a scheme --------------------------------------------------------------------


@pytest.mark.parametrize("as_secret", [True, False])
def test_two_secrets_or_strings_are_equal_only_when_every_character_is(as_secret: bool) -> None:
    """Also where UTF-8 knows no such character: JSON may bring half of a surrogate pair."""
    for text in (SECRET, "", "\ud800", "ß"):
        given = Secret(text) if as_secret else text
        assert constant_time_compare(given, Secret(text))
        assert constant_time_compare(text, given)
        for other in (text + "x", "\ud801", None, 5, b"bytes"):
            assert not constant_time_compare(given, other)
            assert not constant_time_compare(other, given)
    assert not constant_time_compare(None, None)
