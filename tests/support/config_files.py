"""Files of profiles for tests of how they are read, merged and checked."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from gatepass._config import files
from gatepass._config.explain import ExplainedKey, Explanation, explain
from gatepass._config.layer import Layers
from gatepass._config.layers import read_layers
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._config.trust import TrustStore
from gatepass.errors import ProfileError
from gatepass.secrets import Secret, SecretRef

Write = Callable[[Path, str | bytes], Path]
Load = Callable[[str | bytes], Profile]

CANARY = "hunter2"
HEAD = '[profiles.p]\nurl = "https://a.test/x"\n'
BEARER = HEAD + 'auth = { scheme = "bearer", token = "env:T" }\n'
PROD = """
[profiles.prod]
url = "https://mine.example.com/"
auth = { scheme = "bearer", token = "env:TOKEN" }
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
ANONYMOUS = HEAD + 'auth = { scheme = "anonymous" }\n'


URL = 'url = "https://a.test/"'
OPEN = f'{URL}, auth.scheme = "anonymous"'


def one(*keys: str, name: str = "p") -> str:
    """Return one profile in one line, of the keys as TOML."""
    return f"profiles.{name} = {{ {', '.join(keys)} }}\n"


def variables(name: str = "p", **keys: str) -> dict[str, str]:
    """Return the variables that set keys of a profile: ``auth__scheme`` and the like."""
    return {f"GATEPASS_PROFILES__{name}__{key}".upper(): value for key, value in keys.items()}


def profile_table(url: str = "https://a.test/", **keys: Any) -> dict[str, Any]:
    return {"url": url, "auth": {"scheme": "anonymous"}, **keys}


class Explained:
    """What ``explain`` says of a profile, by the names of its keys."""

    def __init__(self, profile: Profile) -> None:
        self.all: Explanation = explain(profile)
        self.unused = [(each.key, each.value) for each in self.all.unused]

    def key(self, name: str) -> ExplainedKey:
        return next(each for each in self.all.keys if each.key == name)

    def value(self, name: str) -> tuple[Any, str]:
        return self.key(name).value, self.key(name).location

    def lost(self, name: str) -> list[tuple[Any, str, str]]:
        return [(each.value, each.location, each.why) for each in self.key(name).overrode]


@dataclass(frozen=True)
class Case:
    """What is written in files and variables, and what the profile p is then.

    Attributes:
        has: attributes of the profile, with dots, and their values; references as they are written.
        error: a pattern that the complaint matches, where there is no profile.
    """

    user: str = ""
    system: str = ""
    project: str = ""
    local: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Any] | None = None
    name: str | None = "p"
    has: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


class ConfigFiles:
    """Writes the files of a test and loads from them."""

    def __init__(self, locations: Locations, write: Write) -> None:
        self.locations = locations
        self.write = write
        assert locations.working is not None
        self.project = locations.working / "gatepass.toml"
        self.local = locations.working / "gatepass.local.toml"

    def system(self, text: str | dict[str, Any]) -> Path:
        return self._file(self.locations.system[0], text)

    def user(self, text: str | dict[str, Any]) -> Path:
        return self._file(self.locations.user, text)

    def in_project(
        self, text: str | dict[str, Any], *, local: bool = False, trusted: bool = True
    ) -> Path:
        path = self._file(self.local if local else self.project, text)
        return self.trust(path) if trusted else path

    def trust(self, path: Path) -> Path:
        file = files.read_file(path)
        assert file is not None
        TrustStore(self.locations.state).add(file)
        return path

    def _file(self, path: Path, text: str | dict[str, Any]) -> Path:
        return self.write(path, text if isinstance(text, str) else tomli_w.dumps(text))

    def load(self, name: str | None = None, **more: Any) -> Profile:
        given: dict[str, Any] = {"environ": {}, "locations": self.locations} | more
        return load_profile(name, **given)

    def explain(self, name: str | None = "p", **more: Any) -> Explained:
        return Explained(self.load(name, **more))

    def refusal(self, name: str | None = "p", **more: Any) -> str:
        """Return why the profile is refused; no secret of the test stands in it."""
        with pytest.raises(ProfileError) as caught:
            self.load(name, **more)
        assert CANARY not in str(caught.value)
        return str(caught.value)

    def check(self, case: Case) -> None:
        """Write the files of a case, and compare what comes of them."""
        for text, write in ((case.user, self.user), (case.system, self.system)):
            if text:
                write(text)
        for text in filter(None, (case.project, case.local)):
            self.in_project(text, local=text is case.local)
        more = {"environ": case.environ, "overrides": case.overrides}
        if case.error:
            message = self.refusal(case.name, **more)
            assert re.search(case.error, message), message
            return
        profile = self.load(case.name, **more)
        assert {path: _attribute(profile, path) for path in case.has} == case.has

    def layers(self, **environ: str) -> Layers:
        return read_layers(environ=environ, locations=self.locations)


def _attribute(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = getattr(value, name)
    if isinstance(value, Secret):
        return value.reveal()
    return str(value) if isinstance(value, SecretRef) else value


def problem_of(try_load: Load, text: str | bytes) -> str:
    with pytest.raises(ProfileError) as caught:
        try_load(text)
    message = str(caught.value)
    assert CANARY not in message
    return message
