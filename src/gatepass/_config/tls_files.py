"""The files that a project's file names for TLS: below its folder, the trust in it covers them.

A certificate decides who may pass for the server, so it must not be replaced after the person has
looked. What is written absolute, or climbs by ``..``, belongs to the machine and is only shown.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gatepass._config.files import MOST_OF_PROJECT, read_file, unreadable
from gatepass.errors import ProfileError

KEYS: Final = ("ca_file", "client_cert", "client_key")
LEADS_OUT: Final = "is a link that leads out of the folder of the file that names it"
_MOST_OF_A_FOLDER: Final = 200  # files


def tls_files(table: object) -> Iterator[str]:
    """Yield the paths of each table ``tls``, as they are written.

    Args:
        table: a parsed file, or a part of it.
    """
    for name, value in table.items() if isinstance(table, Mapping) else ():
        if name == "tls" and isinstance(value, Mapping):
            for key in KEYS:
                found = value.get(key)
                paths = found if isinstance(found, list) else [found]
                yield from (each for each in paths if isinstance(each, str) and each != "system")
        else:
            yield from tls_files(value)


def is_below(path: str) -> bool:
    """Say whether a path, as it is written, stays below the folder of its file."""
    return not (path.startswith("~") or Path(path).anchor or ".." in Path(path).parts)


def leads_out(path: Path, folder: Path) -> bool:
    """Say whether a path below a folder leads out of it by a link."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def digests(tables: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the digest of each file below the folder, by the path as it is written.

    Raises:
        ProfileError: one is a link that leads out, or is unreadable.
    """
    return {path: digest(folder, path) for path in sorted(set(tls_files(tables))) if is_below(path)}


def digest(folder: Path, path: str) -> str:
    """Return the SHA-256 of a file, or of all files of a folder; empty where there is none.

    Raises:
        ProfileError: it is a link that leads out, or is unreadable.
    """
    found = folder / path
    if leads_out(found, folder):
        raise unreadable(found, LEADS_OUT)
    if not os.path.isdir(found):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        file = read_file(found, most=MOST_OF_PROJECT)
        return "" if file is None else file.digest
    inner = []
    with os.scandir(found) as entries:
        for entry in entries:
            if not entry.is_dir():  # OpenSSL looks into none
                inner.append(f"{entry.name}\0{digest(folder, f'{path}/{entry.name}')}")
            if len(inner) > _MOST_OF_A_FOLDER:
                raise unreadable(found, f"holds more than {_MOST_OF_A_FOLDER} files")
    whole = "\0".join(sorted(inner)).encode(errors="surrogateescape")
    return hashlib.sha256(whole).hexdigest()


def changed(folder: Path, recorded: Mapping[str, str]) -> list[str]:
    """Return those of the recorded paths whose content is another one now."""
    return [path for path, known in recorded.items() if _digest_or_why(folder, path) != known]


def _digest_or_why(folder: Path, path: str) -> str:
    try:
        return digest(folder, path)
    except (ProfileError, OSError, ValueError) as error:
        return f"{type(error).__name__}"
