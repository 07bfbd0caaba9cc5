"""``gatepass request``: one request with a profile's login, in the words of curl."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from gatepass._net import urls
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import awaited, session_of
from gatepass.cli._options import config_file_option, profile_option, store_option, verb
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    import requests

_FAILED: Final = 1
_REFUSED: Final = 4
_UNAUTHORIZED: Final = 401
_ERROR: Final = 400
_PIECE: Final = 65536
_OWN_LOGIN: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


@verb(
    "gatepass request Health/v2.svc",
    "gatepass request -p prod -o part.json api/parts/1",
    'gatepass request -X PATCH --json \'{"name": "steel"}\' api/parts/1',
    "gatepass request -F file=@report.pdf -F kind=report api/files",
    short_help="Make one request, in the words of curl.",
)
@click.argument("path")
@profile_option
@click.option("-X", "--request", "method", metavar="METHOD", help="The method; GET, or POST.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="NAME: VALUE", help="Add a header."
)
@click.option(
    "-d",
    "--data",
    multiple=True,
    metavar="DATA",
    help="Send a body, by POST; @FILE is what a file holds, @- standard input. Several are joined "
    "by &.",
)
@click.option(
    "-F",
    "--form",
    multiple=True,
    metavar="NAME=VALUE",
    help="Send a form of several parts; NAME=@FILE is a file.",
)
@click.option("--json", "as_json", metavar="DATA", help="Send JSON, as --data does; accept JSON.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the body to a file.")
@click.option("-L", "--location", "follow", is_flag=True, help="Follow redirects.")
@store_option
@config_file_option
def request(context: Context, /, path: str, output: Path | None, follow: bool, **told: Any) -> int:
    """Make one request with the profile's login, and print the body of the answer.

    PATH lies below the profile's URL. Redirects are followed with -L alone: to another server
    without the login, and never with a body. The body comes as it is; on a terminal, characters
    that steer it are escaped.

    Exit codes: 0 below 400, 1 from 400 on, 4 the login was refused, 5 no answer came.
    """
    profile = context.profile(context.named)
    if urls.target(path) and not urls.is_same_origin(path, profile.url):
        raise click.UsageError("PATH lies below the profile's URL; another server gets no login")
    with ExitStack() as stack:
        words = _words(stack, **told)
        if follow and words.keys() & {"data", "files"}:
            raise click.UsageError("a body is never sent on to where a redirect leads: no -L")
        session = stack.enter_context(session_of(context, profile))
        from gatepass._session.exceptions import LoginRefused

        try:
            with _output.waiting_for(awaited(profile)):
                response = session.request(url=path, allow_redirects=follow, stream=True, **words)
        except LoginRefused as error:
            if error.response is not None:
                _write(error.response, output)
                _output.finish()
            raise
        with response:
            _write(response, output)
    if response.status_code < _ERROR:
        return 0
    _output.finish()
    _output.tell(f"error: {response.status_code} {response.reason or ''}".rstrip())
    return _REFUSED if response.status_code == _UNAUTHORIZED else _FAILED


def _words(
    stack: ExitStack,
    *,
    method: str | None,
    headers: Iterable[str],
    data: tuple[str, ...],
    form: tuple[str, ...],
    as_json: str | None,
) -> dict[str, Any]:
    """Return what the options mean, in the words of requests."""
    if sum(map(bool, (data, form, as_json))) > 1:
        raise click.UsageError("one body at a time: -d, -F or --json")
    found = dict(map(_header, headers))
    words: dict[str, Any] = {"headers": found}
    given = {name.lower() for name in found}
    if data or as_json:
        words["data"] = b"&".join(map(_content, data or (str(as_json),)))
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        found |= {} if "content-type" in given else {"Content-Type": kind}
        found |= {"Accept": kind} if as_json and "accept" not in given else {}
    elif form:
        words["files"] = [_part(stack, each) for each in form]
    return words | {"method": method or ("POST" if data or form or as_json else "GET")}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError("-H is written NAME: VALUE")
    if name.strip().lower() in _OWN_LOGIN:  # not repeated: it holds a secret
        raise click.UsageError(f"-H {name.strip()}: the login is the profile's")
    return name.strip(), value.strip()


def _content(text: str) -> bytes:
    """Return a body as it stands, or what a file or standard input holds."""
    if text == "@-":
        return sys.stdin.buffer.read() if sys.stdin is not None else b""
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except (OSError, ValueError) as error:
        raise _unusable(text[1:], error) from None


def _part(stack: ExitStack, text: str) -> tuple[str, tuple[str | None, Any]]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError("-F is written NAME=VALUE or NAME=@FILE")
    if not value.startswith("@"):
        return name, (None, value)
    try:
        file = stack.enter_context(Path(value[1:]).open("rb"))  # noqa: SIM115 - the stack closes it
    except (OSError, ValueError) as error:
        raise _unusable(value[1:], error) from None
    return name, (Path(value[1:]).name, file)


def _unusable(path: str, error: Exception) -> GatepassError:
    why = getattr(error, "strerror", None) or "it is no path"
    return GatepassError(f"cannot use {path}: {why}", hint="look at the path that was given")


# ---------------------------------------------------------------- the answer


def _write(response: "requests.Response", output: Path | None) -> None:
    pieces: Iterator[bytes] = response.iter_content(_PIECE)
    if output is None:
        _output.body(pieces)
        return
    try:
        with output.open("wb") as file:
            _copy(pieces, file)
    except (OSError, ValueError) as error:
        if _is_of_the_network(error):
            raise
        raise _unusable(str(output), error) from None


def _copy(pieces: Iterable[bytes], file: BinaryIO) -> None:
    file.writelines(pieces)


def _is_of_the_network(error: Exception) -> bool:
    from requests import RequestException

    return isinstance(error, RequestException | GatepassError)
