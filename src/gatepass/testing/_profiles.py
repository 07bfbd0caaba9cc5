"""The profiles of one test: the names that a script uses, at servers of the sandbox."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from gatepass._system.files import replace
from gatepass.errors import ProfileNotFound

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from gatepass.sandbox import Server

# What belongs to the server that a profile is meant for, and not to the one in its place.
_OF_THE_SERVER: Final = frozenset({"url", "auth", "proxy", "tls", "allow_http", "extends"})
_KEYRING: Final = "gatepass.testing._keyring.PrivateKeyring"


class Profiles:
    """Puts servers of the sandbox in the place of those that a script's profiles name.

    Everything lies in a folder of the test: the file of profiles, the vault of OpenID Connect,
    and the keyring. Of the person's own files, variables and keyring nothing is seen meanwhile.

    Attributes:
        file: the file of profiles; ``GATEPASS_CONFIG_FILE`` points to it.
        folder: the folder of this test; HOME is in it.
        keyring: what the keyring package uses meanwhile, also in subprocesses; it is empty.
    """

    def __init__(self, folder: Path, root: Path, keyring: "KeyringBackend") -> None:
        self.file: Path = folder / "profiles.toml"
        self.folder = folder
        self.keyring = keyring
        self._root = root
        self._tables: dict[str, Any] = {}
        self._servers: dict[str, Server] = {}
        self._default: str | None = None  # of the project
        self._write()

    def __repr__(self) -> str:
        return f"<gatepass.testing.Profiles {sorted(self._tables)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles that this test has replaced."""
        return tuple(sorted(self._tables))

    def replace(
        self,
        name: str,
        server: "Server",
        *,
        auth: Mapping[str, Any] | str | None = None,
        user: str | None = None,
        password: str | None = None,
        file: str | os.PathLike[str] | None = None,
        **keys: Any,
    ) -> None:
        """Let a profile's name mean a server of the sandbox, in this test.

        What the project's ``gatepass.toml`` says about the profile is kept, apart from what
        belongs to its server: ``url``, ``auth``, ``proxy`` and ``tls``. Its default profile stays
        the default, once it is replaced. The person's own files are not looked at, because they
        would decide the test. Writes into the test's folder.

        Args:
            name: the profile, as the script names it.
            server: a running server.
            auth: how to log on. None takes what the server needs, with ``user`` and ``password``;
                ``"kept"`` the profile's own table, whose references the test has to answer; a
                table is taken as it is.
            user: who logs on; the first user of the server by default.
            password: another one than the server knows, to be refused.
            file: where the profile is written, relative to pytest's root folder; by default the
                project's ``gatepass.toml``, and it need not exist.
            keys: other keys of the profile.

        Raises:
            ProfileError: the file is malformed.
            ProfileNotFound: its own ``auth`` should be kept, and it does not define the profile.
        """
        found = self._written(name, file)
        kept = {key: value for key, value in found.items() if key not in _OF_THE_SERVER}
        if auth == "kept":
            if "auth" not in found:
                raise ProfileNotFound(
                    f'there is no profile "{name}" whose auth could be kept',
                    hint="name the file that defines it: replace(..., file=...)",
                )
            auth = found["auth"]
        if auth is None:
            auth = self._auth_for(server, user, password)
        if server.mode == "oidc":
            self._make_vault_key()
        own = {"url": server.url, "proxy": "none", "auth": auth}
        self._tables[name] = {**kept, **own, **keys}
        self._servers[name] = server
        self._write()

    def log_in(self, name: str, user: str | None = None) -> None:
        """Log in with OpenID Connect and store the login, as ``gatepass login NAME`` does.

        After that a run finds it in the vault, without a person.

        Args:
            name: a profile that was replaced by a server of mode ``oidc``.
            user: who logs in; the first user of its identity provider by default.
        """
        from gatepass._session.session import Session
        from gatepass.sandbox._browser import PATIENCE, person_who_logs_in

        provider = self._servers[name].provider
        if provider is None:
            raise ValueError(f"the server of {name} is not of mode oidc")
        person = person_who_logs_in(os.environ, provider, user)
        at_login = {"auth": {"use_stored_token": False, "login_timeout": PATIENCE}}
        with Session.from_profile(name, overrides=at_login, terminal=person) as session:
            session.persist_oidc_token()

    def _auth_for(self, server: "Server", user: str | None, password: str | None) -> dict[str, Any]:
        if server.mode == "open":
            return {"scheme": "anonymous"}
        if server.mode == "oidc":
            return {"scheme": "oidc"}
        name = user or next(iter(server.users))
        secret = server.users.get(name, "") if password is None else password
        file = self.folder / f"password-{len(list(self.folder.glob('password-*')))}"
        _write_private(file, secret)
        return {"scheme": "credentials", "user_name": name, "password": f"file:{file}"}

    def _make_vault_key(self) -> None:
        key = self.folder / "vault.key"
        if not key.exists():
            from gatepass.auth._oidc.status import create_vault_key

            create_vault_key(key)

    def _written(self, name: str, file: str | os.PathLike[str] | None) -> dict[str, Any]:
        """What the project says about a profile, with its parents; empty when nothing."""
        from gatepass._config import files, layer, locations, merge
        from gatepass._config.layers import parse_layer

        path = self._root / (file or locations.PROJECT_FILE)
        content = files.read_file(path)
        if content is None and file is not None:
            raise FileNotFoundError(path)
        if content is None:
            return {}
        source = parse_layer(content, "file")
        self._default = source.tables.get("default_profile", self._default)
        nothing = layer.Layer("variable", "variables", {})
        layers = layer.Layers((source,), nothing, nothing)
        return merge.merge_profile(layers, name).table if name in layers.names else {}

    def _write(self) -> None:
        import tomli_w

        default = {"default_profile": self._default} if self._default in self._tables else {}
        _write_private(self.file, tomli_w.dumps({**default, "profiles": self._tables}))


@contextmanager
def isolated(folder: Path, root: Path) -> Iterator[Profiles]:
    """Give the process a home, variables and a keyring of the test's own, until the block ends.

    Args:
        folder: an empty folder; everything is kept in it.
        root: the project's folder.
    """
    from keyring import core

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("GATEPASS_")]:
            patch.delenv(name)
        for name, value in _environ(folder).items():
            patch.setenv(name, value)
        (folder / "home").mkdir()
        backend = core.load_keyring(_KEYRING)
        # set_keyring could not be undone: asking for the one before may open the person's own.
        patch.setattr(core, "_keyring_backend", backend)
        yield Profiles(folder, root, backend)


def _environ(folder: Path) -> dict[str, str]:
    home = folder / "home"
    config, state = str(home / ".config"), str(home / ".local" / "state")
    found = {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CONFIG_HOME": config,
        "XDG_CONFIG_DIRS": str(home / "etc"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_STATE_HOME": state,
        "GATEPASS_CONFIG_FILE": str(folder / "profiles.toml"),
        "GATEPASS_VAULT": str(folder / "vault"),
        "GATEPASS_VAULT_KEY": f"file:{folder / 'vault.key'}",
        "GATEPASS_NO_INPUT": "1",
        "PYTHON_KEYRING_BACKEND": _KEYRING,
        "KEYRING_PROPERTY_FILE": str(folder / "keyring.json"),
    }
    if sys.platform == "win32":
        # Windows itself does not look at variables; platformdirs looks at its own.
        for name in ("APPDATA", "LOCAL_APPDATA", "COMMON_APPDATA"):
            found[f"WIN_PD_OVERRIDE_{name}"] = str(home / "AppData")
        found |= {"APPDATA": str(home / "AppData"), "LOCALAPPDATA": str(home / "AppData")}
    return found


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    replace(path, text.encode())
