"""Read the responses of the token endpoint (RFC 6749 section 5, RFC 8628 section 3.5).

oauthlib is not used for that: it loses rotated tokens where a scope differs.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from gatepass._system import log
from gatepass._system.deadline import Deadline
from gatepass._system.text import pattern
from gatepass._vault.records import Tokens
from gatepass.auth._oidc.http import (
    ASK_ITS_ADMINISTRATOR,
    InvalidResponse,
    ProviderResponse,
    ResponseLost,
)
from gatepass.auth._oidc.strict_json import json_object
from gatepass.errors import GatepassError
from gatepass.secrets import Secret

MAX_RETRY_AFTER: Final = 3600  # seconds; no Retry-After counts for more

_MAX_REFRESH_TOKEN: Final = 20_000  # characters
_MAX_LIFETIME: Final = 30 * 24 * 3600  # seconds; no access token is trusted for longer
# Seconds; a refresh token beyond that never ends.
_MAX_REFRESH_LIFETIME: Final = 10 * 365 * 24 * 3600
_ACCESS_TOKEN: Final = pattern(r"[\x21-\x7e]{1,65536}")  # goes into a header: no CR, no LF
_REFRESH_TOKEN: Final = pattern(r'"refresh_token"\s*:\s*("(?:[^"\\]|\\.)*")')
_BOM: Final = "\xef\xbb\xbf"  # of UTF-8, read as Latin-1
_SECONDS: Final = pattern(r"-?[0-9]+(?:\.[0-9]+)?")
_ERROR_CODE: Final = pattern(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,64}")  # RFC 6749, section 5.2

_RETRY_STATUS: Final = frozenset({408, 425, 429})
_RETRY_ERROR: Final = frozenset({"temporarily_unavailable", "server_error", "rate_limit_exceeded"})
_CLIENT_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500
_UNAUTHORIZED: Final = 401


_PAUSES: Final = (1.0, 3.0)  # seconds before a request is repeated
_PATIENCE: Final = 30.0  # seconds; a longer Retry-After is told instead
_T = TypeVar("_T")


class Denied(GatepassError):
    """The identity provider refuses. Nothing that is stored becomes invalid by it.

    Attributes:
        error: its error code, such as ``invalid_client``; empty when it gave none.
        status: of HTTP.
    """

    exit_code = 4

    def __init__(
        self, message: str = "", *, hint: str = "", error: str = "", status: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.error = error
        self.status = status


class InvalidGrant(Denied):
    """The refresh token, code or device code that was sent is not valid, or not any more."""


class DevicePending(Denied):
    """The person has not finished yet; ask again after the interval."""


class SlowDown(DevicePending):
    """... and make the interval five seconds longer, for good (RFC 8628, section 3.5)."""


class DeviceExpired(Denied):
    """The person took too long; the device code is no longer valid."""


class AccessDenied(Denied):
    """The person, or the provider, refused."""


class Retry(GatepassError):
    """Not now: the identity provider is overloaded or broken.

    Attributes:
        seconds: how long it wants us to wait, at most an hour; None when it does not say.
    """

    exit_code = 5

    def __init__(self, message: str = "", *, hint: str = "", seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


_ERRORS: Final[dict[str, type[Denied]]] = {
    "invalid_grant": InvalidGrant,
    "authorization_pending": DevicePending,
    "slow_down": SlowDown,
    "expired_token": DeviceExpired,
    "access_denied": AccessDenied,
    # Microsoft's own.
    "authorization_declined": AccessDenied,
    "bad_verification_code": InvalidGrant,
    "code_expired": DeviceExpired,
}


# What a person can do, by the error code of OAuth (RFC 6749, 8628, 8707; OpenID Connect Core).
HINTS: Final[Mapping[str, str]] = {
    "invalid_client": "check client_id and client_secret in the profile's auth, and at the "
    "provider how this client proves itself (client_auth says it)",
    "unauthorized_client": "at the identity provider, allow this client the kind of login that "
    "flow says, or write another flow",
    "unsupported_grant_type": "the identity provider does not know this kind of login; write "
    "another flow",
    "unsupported_response_type": "the identity provider does not allow this client the "
    "authorization code; write another flow",
    "invalid_scope": "check scopes in the profile's auth, and which ones the provider allows this "
    "client",
    "invalid_target": "check audience, and resource in token_params",
    "invalid_request": "check redirect_uri, extra_params and token_params in the profile's auth",
    "access_denied": "log in as somebody whom the identity provider allows this client, or ask its "
    "administrator",
}

ABOUT_THE_CLIENT: Final = HINTS.keys() - {"access_denied"}
"""Errors that no other person and no other login can mend."""


def ask_patiently(ask: Callable[[], _T], *, sleep: Callable[[float], object] = time.sleep) -> _T:
    """Ask, and ask again where the provider is busy or its response was lost.

    For what can be repeated: a secret of a client, or a code, of which nothing is left if the
    response is lost. Where the provider says when, that is waited for, if it is soon.

    Args:
        ask: sends one request and reads its response.
        sleep: waits so many seconds.

    Raises:
        GatepassError: as ``ask`` does.
    """
    ends = Deadline.after(_PATIENCE)
    for pause in _PAUSES:
        try:
            return ask()
        except (ResponseLost, Retry) as error:
            wanted = error.seconds if isinstance(error, Retry) else None
            seconds = pause if wanted is None else wanted
            if seconds > _PATIENCE or ends.passed:
                raise
            log.info("the identity provider is asked again in %s seconds", seconds)
        sleep(seconds)
    return ask()


def refresh_token_of(response: ProviderResponse) -> Secret | None:
    """Take the new refresh token out of an answer, and look at nothing else.

    Call it first, and store what it returns before anything of the answer is judged: where each
    refresh token works once, the one that was sent is dead now.

    Returns:
        None when the answer is not a success or holds no usable one; the old one then stays.
    """
    if not response.succeeded:
        return None
    # Deliberately lenient, also about encodings: if the new token is lost, so is the login.
    try:
        found = json.loads(response.body)
    except (ValueError, RecursionError):
        found = _read_broken(response.body)
    return _refresh_token(found.get("refresh_token")) if isinstance(found, dict) else None


def _read_broken(body: bytes) -> dict[str, Any]:
    """Take the refresh token out of an object that is no JSON, such as one in Latin-1."""
    text = body.decode("latin-1").removeprefix(_BOM).lstrip()
    tokens = _REFRESH_TOKEN.findall(text) if text.startswith("{") else ()
    with suppress(ValueError):
        return {"refresh_token": json.loads(tokens[-1])} if tokens else {}
    return {}


def parse_tokens(response: ProviderResponse, *, clock: Callable[[], float]) -> Tokens:
    """Read an answer of the token endpoint.

    Args:
        response: the answer.
        clock: wall time; the moment when the answer came.

    Raises:
        InvalidGrant: what was sent is not valid; and the other kinds of ``Denied``.
        Retry: not now.
        InvalidResponse: it is neither tokens nor an error of OAuth.
    """
    made = _tokens_or_error(response, clock)
    if isinstance(made, Tokens):
        return made
    raise made


def _tokens_or_error(
    response: ProviderResponse, clock: Callable[[], float]
) -> Tokens | GatepassError:
    """Read tokens. An error is returned, so that no frame of its traceback leads to a token."""
    try:
        found = parse_document(response, clock=clock)
        _check_token_type(found.get("token_type"))
        return Tokens(
            access_token=_access_token(found.get("access_token")),
            expires_at=_expires_at(found.get("expires_in"), clock()),
            refresh_token=_checked_refresh_token(found.get("refresh_token")),
            id_token=_id_token(found.get("id_token")),
            scope=_scope(found.get("scope")),
            refresh_until=_refresh_until(found.get("refresh_expires_in"), clock()),
        )
    except GatepassError as error:
        return error.with_traceback(None)


def parse_document(response: ProviderResponse, *, clock: Callable[[], float]) -> dict[str, Any]:
    """Return the JSON object of a success, as of the device authorization endpoint.

    Raises:
        GatepassError: it is no success; as :func:`parse_tokens` does.
    """
    if not response.succeeded:
        raise _to_error(response, _read_error(response), clock)
    try:
        found = json_object(response.body)
    except ValueError as error:
        raise InvalidResponse(
            f"{response.description}, and the answer {error}", hint=response.hint
        ) from None
    if found.get("error") in (None, ""):
        return found
    if found.get("access_token") is not None:
        raise _invalid("holds a token and an error at once")
    raise _to_error(response, found, clock)  # some providers say no with status 200


def _read_error(response: ProviderResponse) -> dict[str, Any]:
    """The JSON object of an error; empty when it is something else, such as a web page."""
    with suppress(ValueError):
        return json_object(response.body)
    return {}


def _to_error(
    response: ProviderResponse, found: dict[str, Any], clock: Callable[[], float]
) -> Denied | Retry | InvalidResponse:
    if not response.succeeded and response.status < _CLIENT_ERRORS:
        return InvalidResponse(
            f"{response.description}, a redirect that is not followed", hint=response.hint
        )
    error = found.get("error")
    if not isinstance(error, str) or not _ERROR_CODE.fullmatch(error):
        error = ""
    told = [response.shown(text) for text in (error, found.get("error_description")) if text]
    what = ": ".join(told) or response.description
    if error not in _ERRORS and _is_temporary(response.status, error):
        seconds = retry_after(response, clock)
        when = f"; it asks to wait {seconds:.0f} seconds" if seconds else ""
        return Retry(
            f"the identity provider cannot answer now ({what}){when}",
            hint="try again later",
            seconds=seconds,
        )
    if response.status < _SERVER_ERRORS and error in _ERRORS:
        return _ERRORS[error](
            f"the identity provider refuses: {what}",
            hint=HINTS.get(error, ""),
            error=error,
            status=response.status,
        )
    return Denied(
        f"the identity provider refuses: {what}",
        hint=_hint(response, error),
        error=error,
        status=response.status,
    )


def _is_temporary(status: int, error: str) -> bool:
    return status in _RETRY_STATUS or status >= _SERVER_ERRORS or error in _RETRY_ERROR


def _hint(response: ProviderResponse, error: str) -> str:
    if response.status == _UNAUTHORIZED and error in {"", "unauthorized_client"}:  # Keycloak's
        error = "invalid_client"
    return HINTS.get(error, "") or response.hint or ASK_ITS_ADMINISTRATOR


def retry_after(response: ProviderResponse, clock: Callable[[], float]) -> float | None:
    """Seconds, from a number or a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,20}", text):
        return float(min(int(text), MAX_RETRY_AFTER))
    with suppress(ValueError, TypeError, OverflowError):
        left = parsedate_to_datetime(text).timestamp() - clock()
        return min(max(left, 0.0), float(MAX_RETRY_AFTER))
    return None


def _invalid(problem: str) -> InvalidResponse:
    return InvalidResponse(f"the identity provider's answer {problem}")


def _check_token_type(value: Any) -> None:
    """Refuse a token that must be sent otherwise; who says nothing means Bearer."""
    if value is not None and (
        not isinstance(value, str) or value.strip().lower() not in {"", "bearer"}
    ):
        raise _invalid("does not hold a token of type Bearer")


def _access_token(value: Any) -> Secret:
    if not isinstance(value, str) or not value:
        raise _invalid("holds no access_token")
    if not _ACCESS_TOKEN.fullmatch(value):
        raise _invalid("holds an access_token that cannot be sent in a header")
    return Secret(value)


def _refresh_token(value: Any) -> Secret | None:
    """A refresh token that can be stored and sent; None for anything else."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_REFRESH_TOKEN:
        return None
    with suppress(UnicodeEncodeError):  # half a character cannot be sent
        value.encode()
        return Secret(value)
    return None


def _checked_refresh_token(value: Any) -> Secret | None:
    token = _refresh_token(value)
    if token is None and value is not None and value != "":
        raise _invalid("holds a refresh_token that cannot be used")
    return token


def _id_token(value: Any) -> Secret | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _invalid("holds an id_token that is not a string")
    return Secret(value)


def _scope(value: Any) -> tuple[str, ...] | None:
    """What was granted; some providers send a list. None where it cannot be read."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value) or None
    return tuple(value.split()) or None if isinstance(value, str) else None


def _refresh_until(value: Any, now: float) -> float | None:
    """When the refresh token ends, as Keycloak tells it; its 0 means never.

    It is no part of a standard, so an odd value is ignored.
    """
    if type(value) not in (int, float) or not 0 < value < _MAX_REFRESH_LIFETIME:
        return None
    return now + float(value)


def _expires_at(value: Any, now: float) -> float | None:
    """Return when a token ends: 0 and less is now; None where it is no number."""
    if isinstance(value, bool):
        raise _invalid("holds an expires_in that is a boolean")
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
        value = float(value)
    if not isinstance(value, int | float):
        return None
    return now + min(max(value, 0), _MAX_LIFETIME)
