"""Where a profile's keys come from: the story that is told is the one that happened."""

import json
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gatepass._config import merge
from gatepass._config.explain import ExplainedKey, Explanation, explain
from gatepass._config.files import read_file
from gatepass._config.layers import read_layers
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import MachineSettings, Profile
from gatepass._config.trust import TrustStore
from gatepass._config.unnamed import unnamed_profile
from gatepass._config.validate import validate_profile
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.errors import GatepassWarning, ProfileError
from gatepass.secrets import Secret, ref

Write = Callable[[Path, str | bytes], Path]

BEARER = """
[profiles.p]
url = "https://a.test/"
auth = { scheme = "bearer", token = "env:T" }
"""


def _key(explained: Explanation, name: str) -> ExplainedKey:
    return next(each for each in explained.keys if each.key == name)


def _lost(explained: Explanation, name: str) -> list[tuple[Any, str, str]]:
    return [(each.value, each.location, each.why) for each in _key(explained, name).overrode]


def _load(locations: Locations, name: str | None = "p", **more: Any) -> Profile:
    more.setdefault("environ", {})
    return load_profile(name, locations=locations, **more)


# ---------------------------------------------------------------- what wins over what


def test_an_argument_wins_over_a_variable_and_a_file(locations: Locations, write: Write) -> None:
    user = write(locations.user, BEARER + "[profiles.p.headers]\nX-A = '1'\n")
    environ = {"GATEPASS_PROFILES__P__RETRIES": "1"}
    overrides = {"retries": 2, "headers": {"X-A": "2"}}

    explained = explain(_load(locations, environ=environ, overrides=overrides))

    assert (_key(explained, "retries").value, _key(explained, "retries").location) == (
        2,
        "overrides",
    )
    assert _lost(explained, "retries") == [
        ("1", "GATEPASS_PROFILES__P__RETRIES", "an argument wins over variables and files")
    ]
    assert _lost(explained, "headers.X-A") == [
        ("1", f"{user}:6:1", "an argument wins over variables and files")
    ]


def test_what_the_replaced_profile_would_have_inherited_has_lost_too(
    locations: Locations, write: Write
) -> None:
    """Whoever looks for the retries of his own parent finds where they stand, and why not here."""
    write(
        locations.user,
        '[profiles.base]\nurl = "https://own.example.com"\nretries = 7\n'
        'auth = { scheme = "basic", user_name = "me", password = "hunter2" }\n'
        '[profiles.prod]\nextends = "base"\nretries = 8\n',
    )
    assert locations.working is not None
    project = write(
        locations.working / "gatepass.toml",
        '[profiles.prod]\nurl = "https://proj.example.com"\nauth = { scheme = "anonymous" }\n',
    )
    found = read_file(project)
    assert found is not None
    TrustStore(locations.state).add(found)
    explained = explain(_load(locations, "prod"))

    lost = {(each.key, each.location) for key in explained.keys for each in key.overrode}
    lost |= {(each.key, each.location) for each in explained.unused}
    own = str(locations.user)
    assert lost >= {
        ("url", f"{own}:2:1"),
        ("retries", f"{own}:3:1"),
        ("retries", f"{own}:7:1"),
        ("auth.password", f"{own}:4:46"),
    }
    (retries,) = (each for each in explained.keys if each.key == "retries")
    assert [each.location for each in retries.overrode] == [f"{own}:7:1", f"{own}:3:1"]
    assert {each.by for each in retries.overrode} == {f"{project}:1:11"}
    assert "what it inherits" in retries.overrode[1].why
    assert "hunter2" not in repr(explained)


@pytest.mark.parametrize("order", [1, -1])
def test_a_variable_of_a_table_wins_over_one_of_its_whole_in_any_order(
    locations: Locations, write: Write, order: int
) -> None:
    """And the one that lost is told, with its name and without a login."""
    write(locations.user, '[profiles.prod]\nurl = "https://a.example.com"\nproxy = "none"\n')
    variables = [
        ("GATEPASS_PROFILES__PROD__AUTH__SCHEME", "anonymous"),
        ("GATEPASS_PROFILES__PROD__PROXY", "http://u:hunter2@one.example.com:1"),
        ("GATEPASS_PROFILES__PROD__PROXY__URL", "http://two.example.com:2"),
    ]
    explained = explain(_load(locations, "prod", environ=dict(variables[::order])))

    (proxy,) = (each for each in explained.keys if each.key == "proxy.url")
    assert proxy.location == "GATEPASS_PROFILES__PROD__PROXY__URL"
    first = proxy.overrode[0]
    assert (first.key, first.location, first.by) == (
        "proxy",
        "GATEPASS_PROFILES__PROD__PROXY",
        "GATEPASS_PROFILES__PROD__PROXY__URL",
    )
    assert first.value == "http://...@one.example.com:1"
    assert "hunter2" not in repr(explained)


@pytest.mark.parametrize("order", [1, -1])
def test_of_variables_that_differ_in_case_one_wins_in_any_order(
    locations: Locations, write: Write, order: int
) -> None:
    write(locations.user, BEARER)
    variables = [("GATEPASS_PROFILES__P__RETRIES", "1"), ("GATEPASS_PROFILES__P__retries", "2")]
    explained = explain(_load(locations, environ=dict(variables[::order])))

    (retries,) = (each for each in explained.keys if each.key == "retries")
    assert retries.value == 1
    assert [(each.location, each.value) for each in retries.overrode] == [
        ("GATEPASS_PROFILES__P__retries", "2")
    ]


def test_a_moved_url_drops_the_login_and_says_so(locations: Locations, write: Write) -> None:
    user = write(locations.user, BEARER)
    environ = {
        "GATEPASS_PROFILES__P__URL": "https://b.test/",
        "GATEPASS_PROFILES__P__AUTH__SCHEME": "anonymous",
    }

    explained = explain(_load(locations, environ=environ))

    why = "another server gets no login that was meant for this one"
    assert _lost(explained, "auth.scheme") == [("bearer", f"{user}:4:10", why)]
    assert [(each.key, each.by, each.why) for each in explained.unused] == [
        ("auth.token", "GATEPASS_PROFILES__P__URL", why)
    ]


def test_a_plain_value_over_a_table_and_a_table_over_a_plain_value(
    locations: Locations, write: Write
) -> None:
    low = write(locations.system[0], BEARER + '[profiles.p.proxy]\nurl = "http://one.test"\n')
    write(locations.user, '[profiles.p]\nproxy = "none"\n')
    plain = explain(_load(locations))
    write(locations.system[0], BEARER + 'proxy = "none"\n')
    high = write(locations.user, '[profiles.p.proxy]\nurl = "http://two.test"\n')
    table = explain(_load(locations))

    assert [(each.key, each.location) for each in _key(plain, "proxy").overrode] == [
        ("proxy.url", f"{low}:6:1")
    ]
    assert _key(table, "proxy.url").location == f"{high}:2:1"
    assert [(each.key, each.value) for each in _key(table, "proxy.url").overrode] == [
        ("proxy", "none")
    ]


def test_the_strongest_loser_comes_first(locations: Locations, write: Write) -> None:
    write(locations.system[0], BEARER + "retries = 1\n")
    write(locations.user, BEARER + "retries = 2\n")

    explained = explain(_load(locations, environ={"GATEPASS_PROFILES__P__RETRIES": "3"}))

    assert [value for value, _, _ in _lost(explained, "retries")] == [2, 1]


def test_an_empty_table_takes_nothing_away_and_is_not_told(
    locations: Locations, write: Write
) -> None:
    system = write(locations.system[0], BEARER + "headers = { X-A = '1' }\n")
    write(locations.user, "[profiles.p]\nheaders = {}\n")

    explained = explain(_load(locations))

    assert (_key(explained, "headers.X-A").location, _lost(explained, "headers.X-A")) == (
        f"{system}:5:13",
        [],
    )


def test_what_named_files_replace_is_told_with_its_keys(
    locations: Locations, write: Write, tmp_path: Path
) -> None:
    write(locations.user, BEARER + "retries = 9\n")
    assert locations.working is not None
    project = write(locations.working / "gatepass.toml", BEARER)
    first, second = (write(tmp_path / f"{name}.toml", BEARER) for name in "ab")

    explained = explain(_load(locations, config_file=[first, second]))
    by_variable = explain(_load(locations, environ={"GATEPASS_CONFIG_FILE": str(first)}))

    assert _key(explained, "url").location == f"{second}:3:1"
    assert _lost(explained, "url") == [
        ("https://a.test/", f"{first}:3:1", "of several named files the last one wins"),
        ("https://a.test/", f"{locations.user}:3:1", "config_file replaces the search for files"),
    ]
    assert (_key(explained, "retries").value, _lost(explained, "retries")[0][0]) == (3, 9)
    states = {file.path: (file.state, file.why) for file in explained.files}
    assert states[project] == ("skipped", "config_file replaces the search")
    assert states[locations.user] == (
        "read",
        "for machine settings alone: config_file replaces the search",
    )
    assert "GATEPASS_CONFIG_FILE replaces the search" in [file.why for file in by_variable.files]


# ---------------------------------------------------------------- the name


@pytest.mark.parametrize(
    ("name", "variable", "chosen"),
    [
        ("p", "q", "named by the argument"),
        (None, "q", "named by GATEPASS_PROFILE"),
        (None, "", "default_profile at "),
    ],
)
def test_the_name_is_explained(
    locations: Locations,
    write: Write,
    name: str | None,
    variable: str,
    chosen: str,
) -> None:
    write(locations.user, "default_profile = 'p'\n" + BEARER + BEARER.replace(".p]", ".q]"))

    explained = explain(_load(locations, name, environ={"GATEPASS_PROFILE": variable}))

    assert explained.chosen.startswith(chosen)


def test_the_projects_default_comes_before_the_own_one(locations: Locations, write: Write) -> None:
    write(locations.user, "default_profile = 'p'\n" + BEARER)
    assert locations.working is not None
    path = write(locations.working / "gatepass.toml", "default_profile = 'q'\n" + BEARER)
    write(path, path.read_text().replace(".p]", ".q]"))
    _trust_it(path, locations)

    explained = explain(_load(locations, None))

    assert (explained.name, explained.chosen) == ("q", f"default_profile at {path}:1:1")


def test_a_profile_that_was_not_chosen_by_these_rules_says_so(
    locations: Locations, write: Write
) -> None:
    write(locations.user, "default_profile = 'q'\n" + BEARER)
    layers = read_layers(environ={}, locations=locations)

    explained = explain(validate_profile(merge.merge_profile(layers, "p"), MachineSettings()))

    assert (explained.name, explained.chosen) == ("p", "taken by the program")


# ---------------------------------------------------------------- without files


def test_a_profile_out_of_a_pickle_says_only_what_it_knows(
    locations: Locations, write: Write
) -> None:
    write(locations.user, "vault = '/v'\n" + BEARER + "headers = { X-A = '1', X-Token = 'x2' }\n")
    profile = _load(locations)

    content = pickle.dumps(profile)
    explained = explain(pickle.loads(content))  # noqa: S301 - our own

    assert "elsewhere" in explained.chosen
    assert {each.location for each in (*explained.keys, *explained.machine)} == {"not known here"}
    assert _key(explained, "auth.token").value == "env:T"
    assert _key(explained, "auth.scheme").value == "bearer"
    assert _key(explained, "headers.X-A").value == "1"
    assert _key(explained, "headers.X-Token").value == "(not shown)"
    assert (explained.files, explained.unused) == ((), ())
    for foreign in (str(locations.user).encode(), b"x2'"):
        assert foreign not in content


def test_a_session_in_another_process_can_be_asked_too(locations: Locations, write: Write) -> None:
    write(locations.user, "[profiles.p]\nurl = 'https://a.test'\nauth = { scheme = 'anonymous' }\n")
    mi = Session._from_checked(_load(locations), RunContext.of(environ={}))

    worker = pickle.loads(pickle.dumps(mi))  # noqa: S301 - our own

    assert _key(explain(mi.profile), "url").location == f"{locations.user}:2:1"
    assert _key(explain(worker.profile), "url").location == "not known here"
    assert _key(explain(worker.profile), "url").value == "https://a.test/"


def test_a_profile_without_a_name_comes_from_arguments() -> None:
    profile = unnamed_profile(
        "https://a.test/",
        {"scheme": "basic", "user_name": "u:v", "password": "hunter2"},
        proxy={"url": "http://b.test", "user_name": "u", "password": Secret("hunter2")},
        tls={"client_cert": "c", "client_key_password": ref(["env:A", {"command": ["b"]}])},
    )

    explained = explain(profile)

    assert (explained.name, explained.files) == ("", ())
    assert _key(explained, "url").location == "arguments"
    assert _key(explained, "auth.user_name").value == "u:v"
    assert _key(explained, "auth.password").value == "Secret(...)"
    assert _key(explained, "proxy.password").value == "Secret(...)"
    assert _key(explained, "tls.client_key_password").value == ["env:A", {"command": ["b"]}]
    assert "hunter2" not in repr(explained) + repr(profile) + repr(profile.merged)


def test_a_machine_setting_refuses_a_login_in_its_url_and_repeats_none(
    locations: Locations, write: Write
) -> None:
    write(locations.user, "vault = '/v'\n" + BEARER)
    with pytest.raises(ProfileError) as caught:
        _load(locations, environ={"GATEPASS_VAULT": "rediss://:hunter2@b.test/0"})
    assert "hunter2" not in str(caught.value)

    explained = explain(_load(locations, environ={"GATEPASS_VAULT": "rediss://b.test/0"}))

    assert explained.machine[0].value == "rediss://b.test/0"
    assert [(each.value, each.by) for each in explained.machine[0].overrode] == [
        ("/v", "GATEPASS_VAULT")
    ]


def test_a_part_of_the_vault_that_a_variable_gave_is_told_with_its_place(
    locations: Locations, write: Write
) -> None:
    path = write(locations.user, "vault = { url = 'rediss://b.test' }\n" + BEARER)

    explained = explain(_load(locations, environ={"GATEPASS_VAULT__PASSWORD": "env:P"}))

    found = {each.key: (each.value, each.location) for each in explained.machine[:2]}
    assert found == {
        "vault.url": ("rediss://b.test", f"{path}:1:11"),
        "vault.password": ("env:P", "GATEPASS_VAULT__PASSWORD"),
    }


# ---------------------------------------------------------------- any layering

Entry = tuple[str, str]  # a profile and a dotted key
LITERAL = "hunter2"


@dataclass
class Layering:
    """What is written where, one key a line; each value says its place."""

    files: dict[str, dict[Entry, Any]]
    variables: dict[str, str]
    overrides: dict[str, Any] = field(default_factory=dict)

    def without(self, place: str, entry: Entry) -> "Layering":
        files = {name: dict(entries) for name, entries in self.files.items()}
        files[place][entry] = None  # the line stays empty, so that the others keep their places
        return replace(self, files=files)


def _text(entries: dict[Entry, Any]) -> str:
    lines = [
        "" if value is None else f"profiles.{name}.{key} = {_toml(value)}"
        for (name, key), value in entries.items()
    ]
    return "\r\n".join(lines)


def _toml(value: Any) -> str:
    return json.dumps(value)


def _settings_for(place: str, *, full: bool) -> st.SearchStrategy[dict[str, Any]]:
    """What one file may say about one profile. A literal secret is a mistake that may be hidden."""
    number = sum(map(ord, place))
    free: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {},
        optional={
            "retries": st.integers(0, 20),
            "description": st.just(f"of {place}"),
            "headers.X-A": st.just(place),
            "headers.X-B": st.just(place),
            "tls.verify": st.booleans(),
            "timeout": st.just([1, number]),
            "protected": st.just(True),
            "check_path": st.just(place),
        },
    )
    auth: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {},
            {"auth.user_name": place},
            {"auth.scheme": "basic", "auth.user_name": place, "auth.password": f"env:{place}"},
            {"auth.scheme": "basic", "auth.user_name": place, "auth.password": LITERAL},
            {"auth.scheme": "bearer", "auth.token": [f"env:{place}", "prompt:"]},
            {"auth.scheme": "anonymous"},
        ][2 * full :]
    )
    proxy: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {},
            {"proxy": f"http://{place}.test"},
            {"proxy.url": f"http://{place}.test"},
            {
                "proxy.url": f"http://{place}.test",
                "proxy.user_name": place,
                "proxy.password": f"env:{place}",
            },
        ]
    )
    url: dict[str, Any] = {"url": f"https://{place}.test/"}
    urls = st.just(url) if full else st.sampled_from([{}, url])
    return st.tuples(urls, free, auth, proxy).map(
        lambda parts: {k: v for p in parts for k, v in p.items()}
    )


@st.composite
def _layerings(draw: st.DrawFn) -> Layering:
    files: dict[str, dict[Entry, Any]] = {}
    used = draw(st.sampled_from([("system", "user"), ("system", "user", "project", "local")]))
    for place in used:
        entries: dict[Entry, Any] = {}
        for name in ("base", "p"):
            full = name == "base" and place in {"system", "project"}
            if full or draw(st.booleans()):
                said = draw(_settings_for(f"{place}-{name}", full=full))
                entries |= {(name, key): value for key, value in said.items()}
        if place in {"system", "project"} or draw(st.booleans()):
            entries["p", "extends"] = "base"
        files[place] = entries
    names = st.sampled_from(["RETRIES", "PROXY", "PROXY__URL", "HEADERS__X_A", "DESCRIPTION"])
    variables = {
        f"GATEPASS_PROFILES__P__{name}": "7" if name == "RETRIES" else f"http://v-{name[0]}.test"
        for name in draw(st.sets(names, max_size=3))
    }
    return Layering(files, variables, draw(st.sampled_from(_OVERRIDES)))


_OVERRIDES: list[dict[str, Any]] = [
    {},
    {"retries": 13},
    {"auth": {"scheme": "basic", "user_name": "arg", "password": LITERAL}},
    {"url": "https://arg.test", "auth": {"scheme": "bearer", "token": LITERAL}},
]


class Folder:
    """Files of a layering, and what they load to."""

    def __init__(self, folder: Path) -> None:
        work = folder / "work"
        (work / ".git").mkdir(parents=True)
        self._paths = {
            "system": folder / "system.toml",
            "user": folder / "user.toml",
            "project": work / "gatepass.toml",
            "local": work / "gatepass.local.toml",
        }
        self._locations = Locations(
            (self._paths["system"],), self._paths["user"], folder / "state", work, None
        )

    def load(self, layering: Layering) -> Profile:
        for place, entries in layering.files.items():
            path = self._paths[place]
            path.write_bytes(_text(entries).encode())
            path.chmod(0o600)
            if place in {"project", "local"}:
                _trust_it(path, self._locations)
        return load_profile(
            "p",
            environ=layering.variables,
            overrides=layering.overrides or None,
            locations=self._locations,
        )

    def entry(self, layering: Layering, location: str) -> tuple[str, Entry, int] | None:
        """Which line of which file a location means, and its column."""
        path, _, position = location.partition(".toml:")
        if not position:
            return None
        place = next(p for p, each in self._paths.items() if str(each) == f"{path}.toml")
        line, column = map(int, position.split(":"))
        return place, list(layering.files[place])[line - 1], column


def _trust_it(path: Path, locations: Locations) -> None:
    file = read_file(path)
    assert file is not None
    TrustStore(locations.state).add(file)


def _without(
    layering: Layering, key: ExplainedKey, line: tuple[str, Entry, int] | None
) -> Layering:
    if line is not None:
        return layering.without(*line[:2])
    if key.layer == "variable":
        rest = {name: value for name, value in layering.variables.items() if name != key.location}
        return replace(layering, variables=rest)
    first, *below = key.key.split(".")
    overrides = dict(layering.overrides)
    if below:
        overrides[first] = {k: v for k, v in overrides[first].items() if k != below[0]}
    else:
        del overrides[first]
    return replace(layering, overrides=overrides)


def _in_effect(folder: Folder, layering: Layering, key: str) -> Any:
    try:
        explained = explain(folder.load(layering))
    except (ProfileError, GatepassWarning):  # such as of a variable that matches nothing then
        return "not usable"
    return next(((each.value, each.location) for each in explained.keys if each.key == key), None)


@settings(max_examples=60, deadline=None)
@given(_layerings(), st.sets(st.integers(0, 20), max_size=4))
def test_the_place_that_is_named_is_the_one_whose_value_holds(
    layering: Layering, picked: set[int]
) -> None:
    """Removing the key there changes the value, or its place; and no secret is ever told."""
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        try:
            profile = folder.load(layering)
        except ProfileError:
            assume(False)
        explained = explain(profile)

        assert LITERAL not in repr(explained) + json.dumps(asdict(explained), default=str)
        assert {each.key for each in explained.keys if each.layer} == {
            ".".join(key) for key in profile.key_locations
        }
        for number, each in enumerate(each for each in explained.keys if each.layer):
            line = folder.entry(layering, each.location)
            if line is not None:
                place, (member, key), column = line
                assert each.value == layering.files[place][member, key]
                assert column == len(f"profiles.{member}.{key}") - len(key.rpartition(".")[2]) + 1
            if number in picked:  # each costs a second loading
                lesser = _without(layering, each, line)
                assert _in_effect(folder, lesser, each.key) != (each.value, each.location)


@settings(max_examples=60, deadline=None)
@given(_layerings())
def test_each_line_that_is_written_wins_or_loses_once(layering: Layering) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        try:
            explained = explain(folder.load(layering))
        except ProfileError:
            assume(False)

        found = list(_all_locations(explained))
        named = [line[:2] for location in found if (line := folder.entry(layering, location))]
        written = [(place, entry) for place, entries in layering.files.items() for entry in entries]
        assert sorted(named) == sorted(written)


def _all_locations(explained: Explanation) -> Iterator[str]:
    yield from (each.location for each in explained.unused)
    for key in explained.keys:
        yield key.location
        yield from (each.location for each in key.overrode)
