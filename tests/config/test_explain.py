"""Where a profile's keys come from: the story that is told is the one that happened."""

import json
import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gatepass._config import merge
from gatepass._config.explain import ExplainedKey, Explanation, explain
from gatepass._config.files import read_file
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import MachineSettings, Profile
from gatepass._config.trust import TrustStore
from gatepass._config.unnamed import unnamed_profile
from gatepass._config.validate import validate_profile
from gatepass.errors import GatepassWarning, ProfileError
from gatepass.secrets import Secret, ref
from tests.support.config_files import OPEN, ConfigFiles, Explained, one, variables

BEARER = """
[profiles.p]
url = "https://a.test/"
auth = { scheme = "bearer", token = "env:T" }
"""

# ---------------------------------------------------------------- what wins over what


def test_an_argument_wins_over_a_variable_and_a_file(config: ConfigFiles) -> None:
    user = config.user(BEARER + "[profiles.p.headers]\nX-A = '1'\n")
    overrides = {"retries": 2, "headers": {"X-A": "2"}}

    explained = config.explain(environ=variables(retries="1"), overrides=overrides)

    why = "an argument wins over variables and files"
    assert explained.value("retries") == (2, "overrides")
    assert explained.lost("retries") == [("1", "GATEPASS_PROFILES__P__RETRIES", why)]
    assert explained.lost("headers.X-A") == [("1", f"{user}:6:1", why)]


def test_what_the_replaced_profile_would_have_inherited_has_lost_too(config: ConfigFiles) -> None:
    """Whoever looks for the retries of his own parent finds where they stand, and why not here."""
    own = config.user(
        '[profiles.base]\nurl = "https://own.example.com"\nretries = 7\n'
        'auth = { scheme = "basic", user_name = "me", password = "hunter2" }\n'
        '[profiles.p]\nextends = "base"\nretries = 8\n',
    )
    project = config.in_project(one(OPEN))

    explained = config.explain().all

    lost = {(each.key, each.location) for key in explained.keys for each in key.overrode}
    lost |= {(each.key, each.location) for each in explained.unused}
    assert lost >= {("url", f"{own}:2:1"), ("auth.password", f"{own}:4:46")}
    (retries,) = (each for each in explained.keys if each.key == "retries")
    assert [each.location for each in retries.overrode] == [f"{own}:7:1", f"{own}:3:1"]
    assert {each.by for each in retries.overrode} == {f"{project}:1:10"}
    assert "what it inherits" in retries.overrode[1].why
    assert "hunter2" not in repr(explained)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("key", "winner", "value", "loser", "lost"),
    [
        ("proxy.url", "PROXY__URL", "http://b.test:2", "PROXY", "http://u:hunter2@a.test:1"),
        ("retries", "RETRIES", "1", "retries", "2"),
    ],
    ids=["a table's key wins over the table", "capitals win"],
)
def test_of_two_variables_the_same_wins_in_any_order_and_the_other_is_told_without_a_login(
    config: ConfigFiles, key: str, winner: str, value: str, loser: str, lost: str, order: int
) -> None:
    config.user(one(OPEN, 'proxy = "none"'))
    above = "GATEPASS_PROFILES__P__"
    pairs = [(above + winner, value), (above + loser, lost)]

    explained = config.explain(environ=dict(pairs[::order]))

    found = explained.key(key)
    assert (str(found.value), found.location) == (value, above + winner)
    first = found.overrode[0]
    assert (first.location, first.by) == (above + loser, above + winner)
    assert first.value == lost.replace("u:hunter2", "...")


def test_a_moved_url_drops_the_login_and_says_so_with_its_references_only(
    config: ConfigFiles,
) -> None:
    """Where the login is voided, its keys may have been meant for anything."""
    user = config.user(
        '[profiles.p]\nurl = "https://a.test/"\n'
        'auth = { scheme = "basic", user_name = "hunter2", password = "env:X" }\n'
    )

    explained = config.explain(environ=variables(url="https://b.test/", auth__scheme="anonymous"))

    why = "another server gets no login that was meant for this one"
    assert explained.lost("auth.scheme") == [("basic", f"{user}:3:10", why)]
    assert dict(explained.unused) == {"auth.user_name": "(not shown)", "auth.password": "env:X"}
    assert {(each.by, each.why) for each in explained.all.unused} == {
        ("GATEPASS_PROFILES__P__URL", why)
    }


def test_a_plain_value_over_a_table_and_a_table_over_a_plain_value(config: ConfigFiles) -> None:
    low = config.system(BEARER + '[profiles.p.proxy]\nurl = "http://one.test"\n')
    config.user('[profiles.p]\nproxy = "none"\n')
    plain = config.explain().key("proxy")
    config.system(BEARER + 'proxy = "none"\n')
    high = config.user('[profiles.p.proxy]\nurl = "http://two.test"\n')
    table = config.explain().key("proxy.url")

    assert [(each.key, each.location) for each in plain.overrode] == [("proxy.url", f"{low}:6:1")]
    assert table.location == f"{high}:2:1"
    assert [(each.key, each.value) for each in table.overrode] == [("proxy", "none")]


def test_an_empty_table_takes_nothing_away_and_is_not_told(config: ConfigFiles) -> None:
    system = config.system(BEARER + "headers = { X-A = '1' }\n")
    config.user("[profiles.p]\nheaders = {}\n")

    explained = config.explain()

    assert explained.value("headers.X-A") == ("1", f"{system}:5:13")
    assert explained.lost("headers.X-A") == []


def test_what_named_files_replace_is_told_with_its_keys(
    config: ConfigFiles, tmp_path: Path
) -> None:
    user = config.user(BEARER + "retries = 9\n")
    project = config.in_project(BEARER, trusted=False)
    first, second = (config.write(tmp_path / f"{name}.toml", BEARER) for name in "ab")

    explained = config.explain(config_file=[first, second])
    by_variable = config.explain(environ={"GATEPASS_CONFIG_FILE": str(first)})

    assert explained.key("url").location == f"{second}:3:1"
    assert explained.lost("url") == [
        ("https://a.test/", f"{first}:3:1", "of several named files the last one wins"),
        ("https://a.test/", f"{user}:3:1", "config_file replaces the search for files"),
    ]
    assert (explained.key("retries").value, explained.lost("retries")[0][0]) == (3, 9)
    states = {file.path: (file.state, file.why) for file in explained.all.files}
    assert states[project] == ("skipped", "config_file replaces the search")
    why = "for machine settings alone: config_file replaces the search"
    assert states[user] == ("read", why)
    assert "GATEPASS_CONFIG_FILE replaces the search" in [
        file.why for file in by_variable.all.files
    ]


# ---------------------------------------------------------------- the name


def test_the_projects_default_comes_before_the_own_one(config: ConfigFiles) -> None:
    config.user("default_profile = 'p'\n" + BEARER)
    path = config.in_project("default_profile = 'q'\n" + BEARER.replace(".p]", ".q]"))

    explained = config.explain(None).all

    assert (explained.name, explained.chosen) == ("q", f"default_profile at {path}:1:1")


def test_a_profile_that_was_not_chosen_by_these_rules_says_so(config: ConfigFiles) -> None:
    config.user("default_profile = 'q'\n" + BEARER)

    merged = merge.merge_profile(config.layers(), "p")
    explained = explain(validate_profile(merged, MachineSettings()))

    assert (explained.name, explained.chosen) == ("p", "taken by the program")


# ---------------------------------------------------------------- without files


def test_a_profile_out_of_a_pickle_says_only_what_it_knows(config: ConfigFiles) -> None:
    user = config.user("vault = '/v'\n" + BEARER + "headers = { X-A = '1', X-Token = 'x2' }\n")

    content = pickle.dumps(config.load("p"))
    explained = Explained(pickle.loads(content))  # noqa: S301 - our own

    assert "elsewhere" in explained.all.chosen
    told = (*explained.all.keys, *explained.all.machine)
    assert {each.location for each in told} == {"not known here"}
    assert {each.key: each.value for each in told}.items() >= {
        ("auth.token", "env:T"),
        ("auth.scheme", "bearer"),
        ("headers.X-A", "1"),
        ("headers.X-Token", "(not shown)"),
    }
    assert (explained.all.files, explained.unused) == ((), [])
    assert str(user).encode() not in content
    assert b"x2'" not in content


def test_a_profile_without_a_name_comes_from_arguments() -> None:
    profile = unnamed_profile(
        "https://a.test/",
        {"scheme": "basic", "user_name": "u:v", "password": "hunter2"},
        proxy={"url": "http://b.test", "user_name": "u", "password": Secret("hunter2")},
        tls={"client_cert": "c", "client_key_password": ref(["env:A", {"command": ["b"]}])},
    )

    explained = Explained(profile)

    assert (explained.all.name, explained.all.files) == ("", ())
    assert explained.value("url") == ("https://a.test/", "arguments")
    assert explained.key("auth.user_name").value == "u:v"
    assert explained.key("auth.password").value == "Secret(...)"
    assert explained.key("proxy.password").value == "Secret(...)"
    assert explained.key("tls.client_key_password").value == ["env:A", {"command": ["b"]}]
    assert "hunter2" not in repr(explained.all) + repr(profile) + repr(profile.merged)


def test_a_part_of_the_vault_that_a_variable_gave_is_told_with_its_place(
    config: ConfigFiles,
) -> None:
    path = config.user("vault = { url = 'rediss://b.test' }\n" + BEARER)

    machine = config.explain(environ={"GATEPASS_VAULT__PASSWORD": "env:P"}).all.machine

    assert {each.key: (each.value, each.location) for each in machine[:2]} == {
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
        "" if value is None else f"profiles.{name}.{key} = {json.dumps(value)}"
        for (name, key), value in entries.items()
    ]
    return "\r\n".join(lines)


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
