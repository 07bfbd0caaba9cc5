"""The log of gatepass: one line for each step, under the name ``gatepass`` of the module logging.

A line holds no secret: values are cut and made printable, and URLs lose user, query and fragment.
"""

import re
import sys
import warnings
from typing import Any, Final
from urllib.parse import urlsplit

from gatepass._system.text import pattern, printable
from gatepass.errors import GatepassWarning

_NAME: Final = "gatepass"
_LEVELS: Final = {"debug": 10, "info": 20}
_MAX_LENGTH: Final = 200
_URL: Final = pattern(r"\s*([a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


def debug(message: str, *values: object) -> None:
    """Log a detail, such as a file that was read; ``%s`` in the message stands for a value."""
    _log(_LEVELS["debug"], message, values)


def info(message: str, *values: object) -> None:
    """Log what a person wants to know of each run, such as a login."""
    _log(_LEVELS["info"], message, values)


def _log(level: int, message: str, values: tuple[object, ...]) -> None:
    # Importing logging takes milliseconds, and where nobody has done it nobody reads the log. The
    # name is defined last in it: another thread may be importing it right now.
    logging: Any = sys.modules.get("logging")
    if not hasattr(logging, "captureWarnings"):
        return
    logger = logging.getLogger(_NAME)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    if logger.isEnabledFor(level):
        logger.log(level, message, *map(_shown, values), stacklevel=3)


def _shown(value: object) -> str:
    """Write a value so that it can neither fill the log, steer a terminal nor hold a password."""
    text = str(value)
    text = printable(_without_secrets(text) if _URL.match(text) else text)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."


def _without_secrets(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return "(a malformed URL)"
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


_handlers: Final[list[Any]] = []  # at most one


def show_on_stderr(level: str) -> None:
    """Show the log of gatepass, and of nobody else, on stderr.

    Args:
        level: ``debug`` or ``info``; anything else is a warning and shows nothing.
    """
    import logging

    if level.lower() not in _LEVELS:
        warnings.warn("GATEPASS_LOG takes debug or info", GatepassWarning, stacklevel=2)
        return
    hide()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("gatepass: %(message)s"))
    logger = logging.getLogger(_NAME)
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[level.lower()])
    _handlers.append(handler)


def hide() -> None:
    """Undo :func:`show_on_stderr`."""
    import logging

    logger = logging.getLogger(_NAME)
    while _handlers:
        logger.removeHandler(_handlers.pop())
        logger.setLevel(logging.NOTSET)
