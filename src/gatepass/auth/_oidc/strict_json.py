"""Read the JSON of an identity provider strictly, so that no two parsers read it differently."""

import json
from typing import Any


def json_object(body: bytes) -> dict[str, Any]:
    """Read one JSON object, strictly (RFC 8259): UTF-8, each name once, no NaN.

    A byte order mark of UTF-8 is passed over, as RFC 8259 allows.

    Raises:
        ValueError: what is wrong, as ``is not UTF-8``; never holds the text.
    """
    found, problem = _load(body)
    if problem:
        raise ValueError(problem)
    if not isinstance(found, dict):
        raise ValueError("is JSON, but not an object")  # noqa: TRY004 - the value is foreign
    return found


class _Refused(ValueError):
    """What is wrong with a JSON text."""


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("holds a name twice")
    return found


def _refuse_constant(_: str) -> Any:
    raise _Refused("holds NaN or Infinity")


def _load(body: bytes) -> tuple[Any, str]:
    """Return the value, or a problem: json's own errors would hold the whole text."""
    if not body:
        return None, "is empty"
    try:
        text = body.decode("utf-8-sig")
        found = json.loads(
            text, object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant
        )
    except _Refused as error:
        return None, str(error)
    except RecursionError:
        return None, "is nested too deeply"
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    except ValueError:
        return None, "is not JSON"
    return found, ""
