"""``file:PATH``: the first line of a file, such as a mounted container or systemd secret."""

import codecs
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from gatepass.errors import SecretUnavailable
from gatepass.secrets import SecretContext

_MOST_BYTES: Final = 65536  # a secret is short; a device or a log file is not a secret
_PEM: Final = b"-----BEGIN "
_OF_PROJECTS: Final = ("project", "local")  # files that came with a repository
_CREDENTIALS: Final = "$CREDENTIALS_DIRECTORY"


def file(text: str, context: SecretContext) -> str:
    """Return the first line of the file, without its line end; of a key in PEM the whole file.

    A relative path starts at the folder of the file that holds the reference. Only a leading
    ``~`` and ``$CREDENTIALS_DIRECTORY`` (systemd's LoadCredential) are expanded.

    Raises:
        SecretUnavailable: the file is missing, unreadable, not a file, not UTF-8 or too long.
    """
    path = path_of(text, context)
    if context.layer in _OF_PROJECTS and path == (context.base_dir or path) / text:
        _refuse_a_way_out(path, context)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # A pipe or a device could keep an unattended run waiting for ever.
            raise SecretUnavailable(f"{path} is not a regular file", hint=_first_line_of(path))
        with path.open("rb") as stream:
            line = stream.readline(_MOST_BYTES + 1)
            if _PEM in line[:14]:  # perhaps after a byte-order mark
                line += stream.read(_MOST_BYTES)
    except OSError as error:
        raise SecretUnavailable(
            f"cannot read {path}: {error.strerror}", hint=_first_line_of(path)
        ) from None
    if len(line) > _MOST_BYTES:
        raise SecretUnavailable(
            f"the first line of {path} is longer than {_MOST_BYTES} bytes",
            hint="it should hold the secret and nothing else",
        )
    return _decoded(line, path)


def _decoded(line: bytes, path: Path) -> str:
    try:
        secret = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        utf16 = line[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
        raise SecretUnavailable(
            f"{path} is not UTF-8" + (" but UTF-16, as PowerShell writes by default" * utf16),
            hint="save the file as UTF-8",
        ) from None
    if not secret:
        raise SecretUnavailable(f"the first line of {path} is empty", hint=_first_line_of(path))
    return secret


def _first_line_of(path: Path) -> str:
    return f"put the secret into the first line of {path}, readable by you"


def _refuse_a_way_out(path: Path, context: SecretContext) -> None:
    """Refuse a link out of the project: ``gatepass trust`` showed the path, not where it leads."""
    real, written = os.path.realpath(path), os.path.normpath(path)
    folder = os.path.realpath(context.base_dir or path.parent)
    if real != written and not Path(real).is_relative_to(folder):
        raise SecretUnavailable(
            f"{path} is a link that leads out of the project",
            hint="write the path of the file itself, where it is meant",
        )


def path_of(text: str, context: SecretContext) -> Path:
    """Return the file that a reference names. Touches nothing.

    Raises:
        SecretUnavailable: a variable in it is not set, or there is no home folder.
    """
    if _is_below(_CREDENTIALS, text):
        folder = context.environ.get(_CREDENTIALS[1:])
        if not folder:
            raise SecretUnavailable(
                "CREDENTIALS_DIRECTORY is not set",
                hint="systemd sets it for units with LoadCredential=",
            )
        return Path(folder + text.removeprefix(_CREDENTIALS))
    if _is_below("~", text):
        return context.home / text[2:]
    path = Path(context.base_dir or "", text)
    with suppress(OSError):  # the working directory may be gone
        return path.absolute()
    return path


def _is_below(folder: str, text: str) -> bool:
    return text == folder or text.startswith((f"{folder}/", f"{folder}\\"))
