"""The JSON Schema and the gate agree: what one accepts, the other accepts.

Two ways lead to a file: a good one, spoilt here and there; and the schema itself, read backwards.
What JSON Schema cannot say stands in ``CANNOT_SAY``: there the schema accepts more than the gate.
Nowhere does it accept less, for an editor that complains wrongly is worse than one that is silent.
"""

import copy
import datetime as dt
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass._config import json_schema, variables
from gatepass._config.files import FileBytes
from gatepass._config.layer import MACHINE_KEYS, Layer, Layers
from gatepass._config.layers import parse_layer
from gatepass._system import plugins
from gatepass.cli._problems import all_complaints
from gatepass.errors import ProfileError
from gatepass.secrets import LayerKind

Tables = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parents[2]
WHOLE: Final = json_schema.document()
CHECKER: Final = jsonschema.Draft202012Validator(WHOLE)


def _passes_the_gate(*files: tuple[LayerKind, Tables]) -> bool:
    """Whether ``validate`` has nothing to say about files of one group."""
    status = os.stat_result((0,) * 10)
    try:
        sources = tuple(
            parse_layer(
                FileBytes(Path(f"/{layer}.toml"), tomli_w.dumps(tables).encode(), status), layer
            )
            for layer, tables in files
        )
    except ProfileError:
        return False
    own = [source for source in sources if source.is_own]
    layers = Layers(
        sources,
        Layer("variable", "variables", {}),
        Layer("argument", "overrides", {}),
        machine=variables.machine_settings(own, {}),
    )
    _, complaints = all_complaints(lambda: layers, None)
    return complaints == []


# ---------------------------------------------------------------- what it cannot say


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no table or list, with the last key above it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value


def _profiles_of(tables: Tables) -> list[Tables]:
    return [each for each in tables.get("profiles", {}).values() if isinstance(each, dict)]


def _has_twins(tables: Tables) -> bool:
    flat = [name.replace("-", "_") for name in tables.get("profiles", {})]
    return len(set(flat)) < len(flat)


def _in_urls(tables: Tables, odd: Callable[[str], bool]) -> bool:
    return any(
        isinstance(value, str) and odd(value)
        for key, value in _leaves(tables)
        if key in {"url", "proxy", "vault"}
    )


# A sentence of docs/how-to/editor.md, and in which files it matters.
CANNOT_SAY: Final[dict[str, Callable[[Tables], bool]]] = {
    "whether the profile that `default_profile` names exists and may be a default": (
        lambda tables: (
            "default_profile" in tables
            and tables.get("profiles", {})
            .get(tables["default_profile"], {"protected": True})
            .get("protected", False)
        )
    ),
    "what a profile with `extends` inherits, and so whether it lacks something": (
        lambda tables: any("extends" in each for each in _profiles_of(tables))
    ),
    "that two names differ only in `-` and `_`": _has_twins,
    "that `3.0` is not an integer": (
        lambda tables: any(
            type(value) is float and value.is_integer() for _, value in _leaves(tables)
        )
    ),
    "that `nan` is no number of seconds": (
        lambda tables: any(
            type(value) is float and math.isnan(value) for _, value in _leaves(tables)
        )
    ),
    "whether what stands in brackets is an IPv6 address, or this computer": (
        lambda tables: _in_urls(tables, lambda url: "[" in url)
    ),
    "which characters beyond ASCII a URL may hold": (
        lambda tables: _in_urls(tables, lambda url: not url.isascii())
    ),
}


def test_what_the_schema_cannot_say_is_told_to_users() -> None:
    page = " ".join((ROOT / "docs/how-to/editor.md").read_text(encoding="utf-8").split())

    assert [sentence for sentence in CANNOT_SAY if sentence not in page] == []


def _agree(tables: Tables) -> None:
    complaints = [error.message for error in CHECKER.iter_errors(tables)]
    if _passes_the_gate(("user", tables)):
        assert complaints == [], "the schema marks what the gate accepts"
    elif not complaints:
        silent = [sentence for sentence, matters in CANNOT_SAY.items() if matters(tables)]
        assert silent, "the schema accepts what the gate refuses"


# ---------------------------------------------------------------- good files, spoilt

_URLS: Final = (
    "https://mi.example.com/mi_servicelayer",
    "HTTPS://MI.example.com:08443",
    "http://localhost:8080/x",
    "http://127.0.0.1/@x",
    "http://mi.example.com",
    "https://[::1]:1/",
    "https://mi.example.com:/",
)
_SECRETS: Final = (
    "env:X",
    "keyring:",
    "keyring:svc/me",
    "prompt:",
    "file:~/x",
    ["env:X", {"command": ["op", "read", ""]}],
    {"command": ["op"]},
)
_VAULTS: Final = (
    "~/tokens",
    "rediss://h_1:06379/2",
    "redis://localhost",
    {"url": "REDISS://h/", "user_name": "me", "password": "env:X", "client_cert": "x"},
    {"url": "redis://h", "allow_plain": True},
)
_NAMES: Final = ("bob", "", r"CORP\bob", "env:USER", ["env:USER", "keyring:"])
_TEXTS: Final = ("", "some words: ä€𝄞", "Health/v2.svc", r"C:\ca.pem")


def _some(**keys: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return keys


_name = st.sampled_from(_NAMES)
_secret = st.sampled_from(_SECRETS).map(copy.deepcopy)
_text = st.sampled_from(_TEXTS)
_seconds = st.sampled_from([1, 0.5, 999_999_999, 3.0])
_password = _some(user_name=_name, password=_secret)
_proxy = st.sampled_from(
    [
        "none",
        "http://proxy:3128",
        {"url": "none", "user_name": "me"},
        {"url": "http://proxy:3128", "user_name": "me", "password": "env:P"},
    ]
)
_tls = st.fixed_dictionaries(
    {},
    optional=_some(
        ca_file=_text,
        verify=st.booleans(),
        client_cert=_text,
        client_key=_text,
        client_key_password=_secret,
    ),
)
_AUTH: Final = {
    "anonymous": ({}, {}),
    "autologon": (
        {},
        _some(principal=_text, delegate=st.booleans(), channel_binding=st.booleans()),
    ),
    "basic": (_password, _some(domain=_name)),
    "bearer": (_some(token=_secret), {}),
    "credentials": (_password, _some(domain=_name, channel_binding=st.booleans())),
    "ntlm": (_password, _some(domain=_name, channel_binding=st.booleans())),
    "oidc": (
        _some(client_id=_text, client_secret=_secret),
        _some(
            issuer=_text,
            scopes=st.lists(_text, max_size=2),
            flow=st.sampled_from(["browser", "device", "client_credentials"]),
            account=_text,
            refresh_token=_secret,
            use_stored_token=st.booleans(),
            login_timeout=_seconds,
            extra_params=st.dictionaries(_text, _text, max_size=2),
            tls=_tls,
            proxy=_proxy,
        ),
    ),
}
_auth = st.sampled_from(sorted(_AUTH)).flatmap(
    lambda scheme: st.fixed_dictionaries(
        {"scheme": st.just(scheme), **_AUTH[scheme][0]}, optional=_AUTH[scheme][1]
    )
)
_profile = st.fixed_dictionaries(
    {"url": st.sampled_from(_URLS), "auth": _auth},
    optional=_some(
        protected=st.booleans(),
        description=_text,
        check_path=_text,
        timeout=_seconds | st.tuples(_seconds, _seconds).map(list),
        retries=st.integers(0, 20),
        headers=st.dictionaries(st.sampled_from(["X-A", "Accept"]), st.just("de")),
        proxy=_proxy,
        tls=_tls,
        allow_http=st.booleans(),
    ),
)
_child = st.fixed_dictionaries(
    {"extends": st.just("base")},
    optional=_some(
        auth=st.fixed_dictionaries(
            {}, optional=_some(user_name=_name, password=_secret, scheme=st.just("basic"))
        ),
        proxy=st.fixed_dictionaries({}, optional=_some(user_name=_name, password=_secret)),
        tls=_tls,
        url=st.sampled_from(_URLS),
    ),
)
_good = st.fixed_dictionaries(
    {
        "profiles": st.one_of(
            st.fixed_dictionaries({"base": _profile}),
            st.fixed_dictionaries({"a-b": _profile}, optional={"a_b": _profile, "0": _profile}),
            st.fixed_dictionaries({"base": _profile, "child": _child}),
        )
    },
    optional=_some(
        default_profile=st.sampled_from(["base", "other"]),
        root=st.booleans(),
        vault=st.sampled_from(_VAULTS).map(copy.deepcopy),
        vault_key=_secret,
        allow_commands=st.booleans(),
        allow_insecure_keyring=st.booleans(),
    ),
)

_ODD_VALUES: Final[tuple[Any, ...]] = (
    *(
        "",
        "none",
        "bsic",
        "hunter2",
        "env:",
        "command:x",
        "nosuch:x",
        "CORP:bob",
        "a\tb",
        "x\n",
    ),
    *(
        "keyring:\n",
        "Bad Name",
        "a__b",
        "//x",
        "a://b",
        "browser",
        "true",
        "5",
        "\u00a0",
        "\x7f",
        "~nobody-is-called-so/x",
    ),
    *("ftp://x", "https://", "https://me:pw@x/", "https://x/?q", "https://x#f", "https://x:0"),
    *("https://x:65536", "https://x y/", "https://x/\\", "http://127.1/", "https://x:y"),
    *("https://[::1", "https://x[::1]", "https://[::1]x/", "https://a%20b/", "https:x"),
    *("http://localhost.evil/", "http://127.0.0.1.evil/", "http://127.0.0.256/", "https://x/ä"),
    *("redis://h", "redis:", "rediss://h:99999", "rediss://h:000001", "rediss://u:p@h"),
    *("rediss://h/x", "rediss://h/123456", "REDIS://localhost.evil/1", {"url": "rediss://h"}),
    *({"url": "redis://127.0.0.1"}, {"url": "redis://h"}, {"url": "rediss://h", "db": 1}),
    *(True, False, 0, 1, -1, 3, 21, 0.0, 1.5, 1e9, 86_400, math.inf, math.nan),
    *([], [1, 2], [1, 2, 3], [0, 1], ["env:X", "no"], [["env:X"]], ["de"], [True, True]),
    *({}, {"command": []}, {"command": [""]}, {"command": ["a", 1]}, {"command": ["a\tb"]}),
    *([{"command": ["a\tb"]}], {"command": ["a"], "x": 1}, {"url": "none"}, {"X": 1}),
    *({"Authorization": "x"}, {"COOKIE": "x"}, {"X Y": "x"}, {"X": "ä"}, {"": "x"}),
    dt.date(2026, 1, 1),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
)
_ODD: Final = st.sampled_from(_ODD_VALUES).map(copy.deepcopy)  # they are changed
_KEYS: Final = st.sampled_from(
    "url auth extends protected description check_path timeout retries headers proxy tls "
    "allow_http scheme user_name password domain token issuer flow login_timeout client_key "
    "client_cert verify vault vault_key root profiles default_profile usr_name x".split()
)


def _places(table: Tables) -> list[tuple[Tables, str]]:
    """Every key of a file, with the table that holds it."""
    found = []
    for name, value in table.items():
        found.append((table, name))
        if isinstance(value, dict):
            found += _places(value)
    return found


def _tables_in(table: Tables) -> list[Tables]:
    inner = [
        each for value in table.values() if isinstance(value, dict) for each in _tables_in(value)
    ]
    return [table, *inner]


@st.composite
def _spoilt(draw: st.DrawFn) -> Tables:
    """A good file in which a few keys are gone, other, misspelt or too many."""
    file: Tables = copy.deepcopy(draw(_good))
    for _ in range(draw(st.integers(0, 2))):
        places = _places(file)
        what = draw(st.sampled_from(["gone", "other", "misspelt", "more"]))
        if what == "more" or not places:
            draw(st.sampled_from(_tables_in(file)))[draw(_KEYS)] = draw(_ODD | _secret)
            continue
        table, key = draw(st.sampled_from(places))
        value = table.pop(key)
        if what == "other":
            table[key] = draw(_ODD)
        elif what == "misspelt":
            table[key[:-1]] = value
    return file


@given(tables=_spoilt())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_schema_and_the_gate_agree_about_good_and_spoilt_files(tables: Tables) -> None:
    _agree(tables)


def _plain(scheme: str) -> Tables:
    """A small good file, whose one profile is called after its scheme."""
    must, _ = _AUTH[scheme]
    login = dict.fromkeys({"user_name", "password", "token"} & {*must}, "env:X")
    profile = {"url": "https://x.y/", "auth": {"scheme": scheme, **login}}
    tables = {"proxy": {"url": "http://p:1"}, "tls": {}}
    return {"vault": {"url": "rediss://h"}, "profiles": {scheme: profile | tables}}


_TABLES: Final[dict[str, Iterable[str]]] = {
    "": ("default_profile", "root", "profiles", *MACHINE_KEYS),
    "vault": WHOLE["properties"]["vault"]["anyOf"][-1]["properties"],
    "profiles.anonymous": WHOLE["$defs"]["profile"]["properties"],
    "profiles.anonymous.proxy": ("url", "user_name", "password"),
    "profiles.anonymous.tls": WHOLE["$defs"]["tls"]["properties"],
    "profiles.anonymous.auth": ("scheme",),
    **{
        f"profiles.{scheme}.auth": WHOLE["$defs"][f"auth.{scheme}"]["properties"]
        for scheme in ("autologon", "basic", "bearer", "oidc")  # the others have no other keys
    },
}


@pytest.mark.parametrize(
    ("place", "key"), [(place, key) for place, keys in _TABLES.items() for key in keys]
)
def test_they_agree_about_every_odd_value_in_every_key(place: str, key: str) -> None:
    path = place.split(".") if place else []
    for value in _ODD_VALUES:
        file = _plain(path[1] if path[1:] else "anonymous")
        table: Tables = file
        for name in path:
            table = table[name]
        table[key] = copy.deepcopy(value)
        _agree(file)


# ---------------------------------------------------------------- the schema, read backwards


def _from_schema(node: Any) -> st.SearchStrategy[Any]:
    """Values that a part of the schema describes; its conditions are left to chance."""
    if "$ref" in node:
        return _from_schema(WHOLE["$defs"][node["$ref"].rpartition("/")[2]])
    if "allOf" in node and "type" not in node:
        return _from_schema(node["allOf"][0])
    if "anyOf" in node:
        return st.one_of([_from_schema(each) for each in node["anyOf"]])
    if "const" in node or "enum" in node:
        return st.sampled_from(node.get("enum", [node.get("const")]))
    return _OF_TYPE[node.get("type", "string")](node)


def _strings(node: Any) -> st.SearchStrategy[str]:
    pattern = re.compile(node.get("pattern", ""))
    # Half a surrogate pair is no character of TOML.
    alphabets = st.characters(codec="utf-8"), st.characters(codec="ascii")
    return st.one_of([st.from_regex(pattern, alphabet=each) for each in alphabets])


def _numbers(node: Any) -> st.SearchStrategy[float]:
    low, high = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    exclude: dict[str, Any] = {"exclude_min": low is not None, "exclude_max": high is not None}
    return st.floats(low, high, **exclude) | st.integers(1, 100)


def _objects(node: Any) -> st.SearchStrategy[Tables]:
    if isinstance(node.get("additionalProperties"), dict):
        names = _strings(node.get("propertyNames", {}))
        return st.dictionaries(names, _from_schema(node["additionalProperties"]), max_size=2)
    keys = {name: _from_schema(each) for name, each in node["properties"].items()}
    must = {name: keys.pop(name) for name in node.get("required", ())}
    return st.fixed_dictionaries(must, optional=keys)


_OF_TYPE: Final[dict[str, Callable[[Any], st.SearchStrategy[Any]]]] = {
    "string": _strings,
    "boolean": lambda _: st.booleans(),
    "integer": lambda node: st.integers(node.get("minimum"), node.get("maximum")),
    "number": _numbers,
    "array": lambda node: st.lists(
        _from_schema(node["items"]), min_size=node.get("minItems", 0), max_size=2
    ),
    "object": _objects,
}


def _required_of(scheme: str) -> list[str]:
    for each in WHOLE["$defs"]["whole_auth"]["allOf"]:
        if each["if"]["properties"]["scheme"]["const"] == scheme:
            first, *_ = each["then"]["allOf"]
            return list(first["required"])
    return []


def _auth_from_schema(scheme: str) -> st.SearchStrategy[Tables]:
    table = WHOLE["$defs"][f"auth.{scheme}"]
    return _objects({**table, "required": ["scheme", *_required_of(scheme)]})


_profile_from_schema = _objects(
    {
        **WHOLE["$defs"]["profile"],
        "properties": {
            name: each
            for name, each in WHOLE["$defs"]["profile"]["properties"].items()
            if name not in {"auth", "extends"}
        },
        "required": ["url"],
    }
)


@given(
    profile=_profile_from_schema,
    auth=st.sampled_from(plugins.names(plugins.AUTH)).flatmap(_auth_from_schema),
    name=_strings(WHOLE["properties"]["profiles"]["propertyNames"]),
    machine=_objects(
        {"properties": json_schema.document()["properties"] | {"profiles": {"const": {}}}}
    ),
)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_they_agree_about_what_the_schema_itself_describes(
    profile: Tables, auth: Tables, name: str, machine: Tables
) -> None:
    tables = {**machine, "profiles": {name: {**profile, "auth": auth}}}
    _agree(tables)


# ---------------------------------------------------------------- files that add to others

PART: Final = jsonschema.Draft202012Validator(json_schema.document(machine=False, whole=False))
PROJECT: Final = jsonschema.Draft202012Validator(json_schema.document(machine=False))


def _dealt(table: Tables, keys: set[str]) -> tuple[Tables, Tables]:
    """A table without some of its keys, and these."""
    below = {key: value for key, value in table.items() if key not in keys}
    return below, {key: value for key, value in table.items() if key in keys}


@given(
    profile=_profile,
    keys=st.sets(_KEYS, max_size=8),
    odd=st.dictionaries(_KEYS, _ODD, max_size=1),
)
@settings(max_examples=300, deadline=None)
def test_a_local_file_that_completes_a_profile_is_never_marked(
    profile: Tables, keys: set[str], odd: Tables
) -> None:
    """However the keys of a good profile are dealt to gatepass.toml and gatepass.local.toml."""
    below, above = _dealt(profile, keys - {"auth"})
    below["auth"], above["auth"] = _dealt(profile["auth"], keys)
    files: list[tuple[LayerKind, Tables]] = [
        ("project", {"profiles": {"base": below}}),
        ("local", {"profiles": {"base": above | odd}}),
    ]

    if _passes_the_gate(*files):
        assert [error.message for error in PART.iter_errors(files[1][1])] == []


@pytest.mark.parametrize("key", MACHINE_KEYS)
def test_machine_settings_belong_into_the_own_file_only(key: str) -> None:
    """A project's file that holds one is an error."""
    tables = {key: {"vault": "x", "vault_key": "env:X"}.get(key, True)}

    assert CHECKER.is_valid(tables)
    assert _passes_the_gate(("user", tables))
    for checker in (PROJECT, PART):
        assert not checker.is_valid(tables)
    assert not _passes_the_gate(("project", tables))
    assert not _passes_the_gate(("local", tables))
