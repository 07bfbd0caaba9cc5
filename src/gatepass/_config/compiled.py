"""Checked profiles, kept for the next start as Python keeps compiled modules.

An entry holds values, references and their places as JSON, never a secret. It is believed only if
it was made from the same input, which its key tells, and if nobody but this user and root could
have written it. Any other is ignored and logged, and the profile is merged and checked anew.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from gatepass._config.layer import MACHINE_KEYS, KeyLocation, Layer
from gatepass._config.profile import MachineSettings, Profile
from gatepass._config.redis_vault import RedisVault
from gatepass._config.search import Found
from gatepass._config.toml import Key
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._system import files, log, plugins
from gatepass._value import Value, fields
from gatepass._version import __version__
from gatepass.errors import GatepassError
from gatepass.secrets import SecretRef

if TYPE_CHECKING:
    from gatepass._config.merge import MergedProfile

_MOST_ENTRIES: Final = 64
_MOST_BYTES: Final = 1024 * 1024
_CLASSES: Final[Mapping[str, Any]] = {
    kind.__name__: kind for kind in (MachineSettings, Proxy, RedisVault, TlsSettings)
}
# What a file that holds anything else, or was cut off, raises while it is read.
_DAMAGE: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError, GatepassError)


class Entry(Value):
    """The place of one checked profile in the cache.

    Attributes:
        path: its file.
        key: the digest of all input.
        found: the files that the profile is made from.
    """

    path: Path
    key: str
    found: Found

    @classmethod
    def of(cls, found: Found, name: object, environ: Mapping[str, str]) -> "Entry | None":
        """Return the entry for a profile; None where none is kept.

        Variables that give keys of profiles may hold a secret by mistake, so nothing is kept then.

        Args:
            found: the files, as they were read just now.
            name: the name that the caller asked for; None where it has to be selected.
            environ: the environment variables.
        """
        folder = environ.get("GATEPASS_CACHE") or found.locations.cache
        by_variables = any(
            each.startswith("GATEPASS_PROFILES__") and environ[each] for each in environ
        )
        if not folder or by_variables or not isinstance(name, str | None):
            return None
        key = _digest(_input(found, name, environ))
        folder = Path(os.path.expanduser(folder))  # noqa: PTH111 - Path.expanduser raises
        return cls(folder / "profiles" / f"{key[:40]}.json", key, found)

    def read(self, merge: Callable[[], "MergedProfile"]) -> tuple[Profile, list[str]] | None:
        """Return the profile and the warnings about its files; None where no entry can be believed.

        Args:
            merge: merges the profile's layers; called only where somebody asks where its keys
                come from.
        """
        try:
            data = _read_own_file(self.path)
            found = self._decode(data, merge) if data is not None else None
        except OSError as error:
            log.debug("compiled profile %s: ignored: %s", self.path, error.strerror)
            return None
        except _DAMAGE as error:
            log.debug("compiled profile %s: ignored: %s", self.path, type(error).__name__)
            return None
        if found is not None:
            log.debug("profile %s: compiled, from %s", found[0].name, self.path)
        return found

    def _decode(
        self, data: bytes, merge: Callable[[], "MergedProfile"]
    ) -> tuple[Profile, list[str]]:
        checksum, _, body = data.partition(b"\n")
        if checksum.decode() != hashlib.sha256(body).hexdigest():
            raise ValueError
        entry = json.loads(body)
        if entry["key"] != self.key or entry["scheme"] not in plugins.BUILT_IN[plugins.AUTH]:
            raise ValueError
        layers = [
            Layer(each.kind, str(each.file.path), {}, each.file.path.parent, each.file.data)
            for each in self.found.candidates
            if each.file
        ]
        places = {
            tuple(key): KeyLocation(layers[number], tuple(written), tuple(written[:above]))
            for key, number, written, above in entry["places"]
        }
        scheme = plugins.load_scheme(entry["scheme"])
        profile = Profile(
            scheme=entry["scheme"],
            auth=scheme(**_decode(entry["auth"])),
            merged=cast("MergedProfile", _MergedLater(places, merge)),
            **_decode(entry["keys"]),
        )
        return profile, [str(each) for each in entry["warnings"]]

    def write(self, profile: Profile, warnings: tuple[str, ...]) -> None:
        """Keep a profile, if it may be kept and the folder can be written. Writes to disk."""
        try:
            body = json.dumps(self._encode(profile, warnings), allow_nan=False).encode()
        except (TypeError, ValueError, LookupError):
            return  # a scheme or source of another package, or a place that is no file
        data = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
        try:
            files.make_private_folder(self.path.parent)
            _refuse_others(self.path.parent.stat())
            files.replace(self.path, data)
            _remove_oldest(self.path.parent)
        except OSError as error:
            log.debug("compiled profile %s: not kept: %s", self.path, error.strerror)

    def _encode(self, profile: Profile, warnings: tuple[str, ...]) -> dict[str, Any]:
        if profile.scheme not in plugins.BUILT_IN[plugins.AUTH]:
            raise TypeError
        labels = [str(each.file.path) for each in self.found.candidates if each.file]
        keys = _fields(profile)
        for name in ("scheme", "auth", "merged"):
            del keys[name]
        return {
            "key": self.key,
            "scheme": profile.scheme,
            "auth": _encode(_fields(profile.auth)),
            "keys": _encode(keys),
            "places": [
                [key, labels.index(place.layer.label), place.key, len(place.above)]
                for key, place in profile.key_locations.items()
            ],
            "warnings": list(warnings),
        }


class _MergedLater:
    """Where a compiled profile was written: the places at once, the rest when it is asked for."""

    def __init__(
        self, locations: Mapping[Key, KeyLocation], merge: Callable[[], "MergedProfile"]
    ) -> None:
        self.locations = locations
        self._merge: Callable[[], MergedProfile] = merge
        self._merged: MergedProfile | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._merged = self._merged or self._merge()
        return getattr(self._merged, name)


# ---------------------------------------------------------------- the key


def _digest(parts: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _input(found: Found, name: str | None, environ: Mapping[str, str]) -> Iterator[bytes]:
    """Yield all that decides about a profile, in an order that leaves no two readings."""
    yield from (__version__.encode(), sys.implementation.cache_tag.encode(), sys.platform.encode())
    wanted = name if name is not None else environ.get("GATEPASS_PROFILE") or None
    yield b"" if wanted is None else b"=" + os.fsencode(wanted)
    yield os.fsencode(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises without one
    machine = {f"GATEPASS_{key.upper()}" for key in MACHINE_KEYS}
    names = sorted(each for each in environ if each.startswith("GATEPASS_"))
    yield str(len(names)).encode()
    for each in names:
        is_machine = each in machine or each.startswith("GATEPASS_VAULT__")
        yield os.fsencode(each)
        yield os.fsencode(environ[each]) if is_machine else b""
        yield _working_folder() if is_machine else b""  # a path in it may start there
    yield found.replaced_by.encode()
    for candidate in found.candidates:
        yield os.fsencode(candidate.path)
        yield candidate.kind.encode()
        yield f"{candidate.verdict} {candidate.unread or ''}".encode(errors="surrogateescape")
        yield candidate.file.data if candidate.file else b""


def _working_folder() -> bytes:
    try:
        return os.fsencode(Path.cwd())
    except OSError:
        return b""


# ---------------------------------------------------------------- values as JSON


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value) if each.init}


def _encode(value: Any) -> Any:
    """Return a value as JSON holds it; raise TypeError for what must not be kept."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, SecretRef):
        if not {source for source, _ in value.alternatives} <= set(
            plugins.BUILT_IN[plugins.SECRETS]
        ):
            raise TypeError
        return {"reference": [list(value.alternatives), value.layer, value.base_dir]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(each) for each in value]}
    if isinstance(value, Mapping):
        return {"table": {key: _encode(each) for key, each in value.items()}}
    name = type(value).__name__
    if _CLASSES.get(name) is not type(value):
        raise TypeError
    return {name: _encode(_fields(value))}


def _decode(value: Any) -> Any:
    """Return the value that :func:`_encode` was given."""
    if not isinstance(value, dict):
        return value
    ((name, inner),) = value.items()
    if name == "table":
        return {key: _decode(each) for key, each in inner.items()}
    if name in {"list", "tuple"}:
        items = [_decode(each) for each in inner]
        return tuple(items) if name == "tuple" else items
    if name == "reference":
        alternatives, layer, base_dir = inner
        return SecretRef(tuple((source, text) for source, text in alternatives), layer, base_dir)
    return _CLASSES[name](**_decode(inner))


# ---------------------------------------------------------------- files


def _refuse_others(status: os.stat_result) -> None:
    """Raise OSError where somebody other than this user and root may have written."""
    if sys.platform == "win32":
        return
    if status.st_uid not in {0, os.geteuid()}:
        raise OSError(0, "belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(0, "can be written by others")


def _read_own_file(path: Path) -> bytes | None:
    """Read an entry by its descriptor; None where there is none."""
    descriptor = files.open_for_reading(path, follow=False)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise OSError(0, "is no entry")
        _refuse_others(status)
        _refuse_others(path.parent.stat())
        return stream.read(_MOST_BYTES)


def _remove_oldest(folder: Path) -> None:
    entries = []
    with os.scandir(folder) as found:
        for each in found:
            with suppress(FileNotFoundError):  # another process has just replaced it
                entries.append((each.stat().st_mtime, each.path))
    for _, path in sorted(entries)[:-_MOST_ENTRIES]:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108
