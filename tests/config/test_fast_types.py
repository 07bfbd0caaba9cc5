"""What is accepted without pydantic is what pydantic would have accepted."""

import os
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gatepass._config import fields
from gatepass._config.fast_types import UNDECIDED, check_simply, merge_simply
from gatepass._config.profile import MachineSettings, ProfileKeys, Retries, Timeout
from gatepass._config.settings import Layered
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._system import plugins
from gatepass.secrets import SecretField, SecretRef, TextField

_HOLDERS = (
    ProfileKeys,
    Proxy,
    TlsSettings,
    MachineSettings,
    *(plugins.load(plugins.AUTH, name) for name in plugins.BUILT_IN[plugins.AUTH]),
)
KINDS = tuple(
    {
        repr(kind): kind
        for kind in (
            *(kind for holder in _HOLDERS for kind in fields.types_of(holder).values()),
            *(str, bool, int, float, list[str], list[list[int]], dict[str, int], dict[int, str]),
            *(SecretRef, SecretField, TextField, Timeout, Retries, Timeout | None, str | int),
            *(Literal["a", "b"], Literal[1, 2], tuple[str, ...], bytes, Any),
            *(typing.Annotated[str, "a note"], list[SecretField], dict[str, str | None]),
        )
    }.values()
)

_texts = st.one_of(
    st.text(st.characters()),
    st.text(st.characters(codec=None, categories=["Cs", "L"])),
    st.sampled_from(["a", "env:X", "keyring:", "prompt:Who", "browser", "true", "1", "http://x/"]),
)
_plain = st.one_of(
    _texts,
    st.booleans(),
    st.integers(),
    st.integers(-1, 30),
    st.floats(),
    st.none(),
    st.dates(),
    st.binary(max_size=3),
)
VALUES = st.recursive(
    _plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(_texts, st.integers()), inner, max_size=3),
        st.lists(_texts, min_size=1, max_size=3).map(lambda argv: {"command": argv}),
    ),
    max_leaves=6,
)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)  # nan is not equal to itself


@given(st.sampled_from(KINDS), VALUES)
@example(str, "\ud800")
@example(dict[str, str], {"\ud800": "x"})
@example(bool, 1)
@example(int, True)
@example(Timeout, [1, 2.5])
@example(Timeout, 5)
@example(Timeout, float("nan"))
@example(float, 2**53 + 1)
@example(float, 10**400)
@example(Retries, True)
@example(str | int, True)
def test_what_is_accepted_pydantic_accepts_too_with_the_same_result(kind: Any, value: Any) -> None:
    found = check_simply(kind, value)
    if found is UNDECIDED:
        return
    assert _same(found, TypeAdapter(kind).validate_python(value, strict=True))


@given(st.sampled_from(KINDS), _texts)
def test_a_string_of_a_variable_that_is_accepted_pydantic_accepts_too(kind: Any, text: str) -> None:
    """Variables are checked leniently, as texts: "true" may be a boolean there, never a text."""
    found = check_simply(kind, text)
    if found is UNDECIDED:
        return
    try:
        checked = TypeAdapter(kind).validate_strings(text)
    except ValidationError:
        pytest.fail(f"pydantic refuses {text!r} for {kind}")
    assert _same(found, checked)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, "x"),
        (str, "Zürich"),
        (str | None, "x"),
        (bool, True),
        (Timeout, [10, 60.5]),
        (Retries, 0),
        (SecretField, "env:X"),
        (TextField | None, "alice"),
        (list[str] | None, ["openid"]),
        (dict[str, str], {"X-Team": "a"}),
        (Literal["browser", "device"], "device"),
    ],
)
def test_what_profiles_usually_hold_is_decided(kind: Any, value: Any) -> None:
    assert check_simply(kind, value) is not UNDECIDED


_TABLES = st.dictionaries(st.one_of(st.sampled_from("abc"), _texts), VALUES, max_size=4)


@given(_TABLES, _TABLES)
@example({"a": {"b": 1}}, {"a": {"c": 2}})
@example({"a": 1}, {"a": {}})
@example({"a": {}}, {"a": None})
@example({"a": None}, {"a": {"b": 1}})
@example({"a": 1}, {"\ud800": 1})
@example({"a": 1}, {1: 1})
def test_what_is_merged_simply_pydantic_settings_merges_alike(
    lower: dict[str, Any], upper: dict[str, Any]
) -> None:
    """Also in the same order, in which people see the keys."""
    before = repr((lower, upper))
    found = merge_simply(lower, upper)
    assert repr((lower, upper)) == before, "the tables that came in stay as they are"
    if found is UNDECIDED:
        return
    assert _same(found, Layered.over(lower, upper))


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ({"url": "a"}, {"url": "b", "retries": 1}),
        ({"auth": {"scheme": "basic", "user_name": "a"}}, {"auth": {"password": "env:P"}}),
        ({"tls": {}}, {"auth": {"scheme": "basic"}, "tls": {"ca_file": "x"}}),
    ],
)
def test_what_layers_usually_hold_is_merged_simply(
    lower: dict[str, Any], upper: dict[str, Any]
) -> None:
    assert merge_simply(lower, upper) is not UNDECIDED


def test_a_profile_of_files_parents_and_variables_is_loaded_without_pydantic(
    tmp_path: Path,
) -> None:
    """The price of pydantic is paid for complaints and for what is odd."""
    file, above = tmp_path / "profiles.toml", tmp_path / "local.toml"
    file.write_text(
        '[profiles.prod]\nurl = "https://127.0.0.1:1/mi"\ntimeout = [5, 30]\nretries = 1\n'
        'headers = { X-Team = "a" }\n[profiles.prod.tls]\nca_file = "ca.pem"\n'
        '[profiles.prod.auth]\nscheme = "credentials"\nuser_name = "alice"\n'
        'password = ["env:MI_PASSWORD", "keyring:"]\n'
        '[profiles.night]\nurl = "https://127.0.0.1:1/mi"\n'
        'auth = { scheme = "oidc", scopes = ["openid"], flow = "device", login_timeout = 60 }\n'
        '[profiles.child]\nextends = "prod"\nauth.user_name = "bob"\n'
    )
    above.write_text('[profiles.prod]\nretries = 2\nauth.password = "env:OTHER"\n')
    for each in (file, above):
        each.chmod(0o600)
    code = (
        "import sys, gatepass\n"
        "for name in ('prod', 'night', 'child'):\n"
        f"    gatepass.load_profile(name, config_file={[str(file), str(above)]!r})\n"
        "print(sorted(name for name in sys.modules if name.startswith('pydantic')))"
    )
    environ = {**os.environ, "GATEPASS_PROFILES__CHILD__AUTH__USER_NAME": "carol"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environ,
    )
    assert done.stdout == "[]\n"
