"""Files of profiles for tests of how they are read, merged and checked."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from gatepass._config import files
from gatepass._config.layer import Layers
from gatepass._config.layers import read_layers
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._config.trust import TrustStore
from gatepass.errors import ProfileError

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


def profile_table(url: str = "https://a.test/", **keys: Any) -> dict[str, Any]:
    return {"url": url, "auth": {"scheme": "anonymous"}, **keys}


class ConfigFiles:
    """Writes the files of a test and loads from them."""

    def __init__(self, locations: Locations, write: Write) -> None:
        self.locations = locations
        self._write = write
        assert locations.working is not None
        self.project = locations.working / "gatepass.toml"
        self.local = locations.working / "gatepass.local.toml"

    def system(self, text: str | dict[str, Any]) -> Path:
        return self._file(self.locations.system[0], text)

    def user(self, text: str | dict[str, Any]) -> Path:
        return self._file(self.locations.user, text)

    def in_project(self, text: str | dict[str, Any], *, local: bool = False) -> Path:
        path = self._file(self.local if local else self.project, text)
        file = files.read_file(path)
        assert file is not None
        TrustStore(self.locations.state).add(file)
        return path

    def _file(self, path: Path, text: str | dict[str, Any]) -> Path:
        return self._write(path, text if isinstance(text, str) else tomli_w.dumps(text))

    def load(self, name: str | None = None, **more: Any) -> Profile:
        more.setdefault("environ", {})
        return load_profile(name, locations=self.locations, **more)

    def layers(self, **environ: str) -> Layers:
        return read_layers(
            config_file=None, overrides=None, environ=environ, locations=self.locations
        )


def problem_of(try_load: Load, text: str | bytes) -> str:
    with pytest.raises(ProfileError) as caught:
        try_load(text)
    message = str(caught.value)
    assert CANARY not in message
    return message
