"""The login on another device (RFC 8628): a code, an address, and patience.

For machines without a browser: the person opens an address anywhere else and enters a short code,
while we ask the token endpoint from time to time whether that has happened.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gatepass._system.terminal import Terminal, Waiting
from gatepass._vault.records import Client, Provider, Tokens
from gatepass.auth._oidc.http import EndpointRefused, InvalidResponse, NoResponse, check_endpoint
from gatepass.auth._oidc.token_response import (
    AccessDenied,
    DeviceExpired,
    DevicePending,
    InvalidGrant,
    Retry,
    SlowDown,
)
from gatepass.errors import GatepassError, LoginRequired
from gatepass.secrets import Secret

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL: Final = 5.0  # seconds, where the provider does not say (RFC 8628, section 3.2)
_LIFE: Final = 600.0  # seconds, where it does not say, against the RFC
_SLOWER: Final = 5.0  # seconds that each slow_down adds, for good (section 3.5)
_LEAST: Final = 1.0  # seconds between two questions, at least ...
_MOST: Final = 60.0  # ... and at most, unless a busy provider asks for more
_FOREVER: Final = 1e9  # seconds
_LONGEST_CODE: Final = 64  # characters that a person can be asked to enter
_RESERVED: Final = frozenset({"client_id", "client_secret", "scope"})


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, as the wait for a person sees it.

    Attributes:
        now: seconds that only ever grow.
        sleep: waits that many seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True, slots=True)
class _Offer:
    """What the device authorization endpoint gave (RFC 8628, section 3.2)."""

    device_code: Secret
    user_code: str
    address: str
    complete: str | None
    seconds: float
    interval: float

    @classmethod
    def read(cls, found: Mapping[str, Any], endpoint: str) -> "_Offer":
        """Read the answer of an endpoint.

        Raises:
            InvalidResponse: something that is needed is missing or unusable.
        """
        user_code = _text(found, "user_code")
        if len(user_code) > _LONGEST_CODE or not user_code.isprintable():
            raise _unusable("a user_code that nobody can enter")
        # Google calls it verification_url.
        name = "verification_uri" if "verification_uri" in found else "verification_url"
        address = _text(found, name)
        if not _is_web_address(address, endpoint):
            raise _unusable(f"a {name} that is not an address to open")
        complete = found.get("verification_uri_complete")
        return cls(
            device_code=Secret(_text(found, "device_code")),
            user_code=user_code,
            address=address,
            complete=complete if _is_web_address(complete, endpoint) else None,
            seconds=_seconds(found.get("expires_in"), _LIFE),
            interval=min(max(_seconds(found.get("interval"), _INTERVAL), _LEAST), _MOST),
        )


def log_in(
    provider: Provider,
    client: Client,
    *,
    ask: Callable[[Mapping[str, str]], Mapping[str, Any]],
    send: Callable[[Mapping[str, str]], Tokens],
    terminal: Terminal,
    timeout: float = 300.0,
    pace: Clock = Clock(),
    advice: str = "",
) -> Tokens:
    """Let a person log in on another device and return the tokens.

    Tells the person what to do, then asks the provider again and again, in the intervals that it
    wants. Ctrl-C ends it at any time.

    Args:
        provider: the identity provider.
        client: who we are, and what we ask for.
        ask: sends fields to the device authorization endpoint, adds who the client is, and
            returns the JSON object of the answer.
        send: does the same with the token endpoint, and reads the tokens.
        terminal: the way to the person.
        timeout: seconds until the person must have logged in, where the provider does not end
            it earlier.
        pace: how time passes.
        advice: what to run instead where nobody is there.

    Raises:
        LoginRequired: nobody is there, nobody logged in in time, or the login was refused.
        GatepassError: the provider has no such login, or does not answer as it should.
    """
    nobody = terminal.why_not_browse()
    if nobody is not None:
        raise LoginRequired(f"a person must log in, and {nobody}", hint=advice)
    if provider.device_authorization_endpoint is None:
        raise GatepassError(
            f"{provider.issuer} has no login on another device (no device_authorization_endpoint)",
            hint='use flow = "browser"; its last address can be pasted into this terminal',
        )
    offer = _Offer.read(ask(_request(client)), provider.device_authorization_endpoint)
    seconds = min(offer.seconds, timeout)
    terminal.tell(_told(provider, offer, seconds))
    with terminal.waiting(typing=False) as line:
        patience = _Patience(pace, line, pace.now() + seconds, offer.interval)
        fields = {"grant_type": _GRANT, "device_code": offer.device_code.reveal()}
        try:
            return _poll(send, fields, patience)
        except (AccessDenied, InvalidGrant) as error:
            raise LoginRequired(error.message, hint=advice) from None
        except DeviceExpired:
            late = f"nobody logged in within {seconds:.0f} s, and the code is no longer valid"
            raise LoginRequired(late, hint=advice) from None


def _request(client: Client) -> dict[str, str]:
    taken = sorted(_RESERVED & client.extra_params.keys())
    if taken:
        raise GatepassError(f"extra_params cannot set {', '.join(taken)}")
    fields = dict(client.extra_params)
    if client.scopes:
        fields["scope"] = " ".join(client.scopes)
    if client.audience:
        fields["audience"] = client.audience
    return fields


def _told(provider: Provider, offer: _Offer, seconds: float) -> str:
    lines = [
        f"Logging in at {provider.issuer}. On any device, open this address:",
        f"  {offer.address}",
        f"and enter this code:   {offer.user_code}",
    ]
    if offer.complete is not None:
        lines += ["Or open this one, and compare the code:", f"  {offer.complete}"]
    lines.append(f"Waiting for at most {seconds:.0f} s; Ctrl-C gives up.")
    return "\n\n".join(lines)


@dataclass(eq=False)
class _Patience:
    """How long to wait until the next question."""

    pace: Clock
    line: Waiting
    deadline: float
    interval: float
    failures: int = field(default=0, init=False)  # in a row: questions without an answer
    wanted: float = field(default=0.0, init=False)  # seconds that the provider asked for, once

    def pause(self) -> bool:
        """Wait for one interval; False when the time is over."""
        # Section 3.5: doubling the interval with each lost connection.
        longer = min(self.interval * 2 ** min(self.failures, 6), _MOST)
        seconds = max(self.interval, longer, self.wanted)
        until = self.pace.now() + seconds
        while (left := until - self.pace.now()) > 0:
            rest = self.deadline - self.pace.now()
            if rest <= 0:
                return False
            minutes, odd = divmod(math.ceil(rest), 60)
            self.line.show(f"{minutes}:{odd:02} left to log in ")
            self.pace.sleep(min(left, rest, 1.0))
        return self.pace.now() < self.deadline


def _poll(
    send: Callable[[Mapping[str, str]], Tokens], fields: Mapping[str, str], patience: _Patience
) -> Tokens:
    while patience.pause():
        patience.wanted = 0.0
        try:
            return send(fields)
        except SlowDown:
            patience.failures = 0
            patience.interval += _SLOWER
        except DevicePending:
            patience.failures = 0
        except Retry as error:
            patience.failures += 1
            patience.wanted = error.seconds or 0.0
        except NoResponse:
            patience.failures += 1
    raise DeviceExpired


# --- foreign values ------------------------------------------------------------------------


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise _unusable(f"no {name}")
    return value


def _is_web_address(value: object, endpoint: str) -> bool:
    if not isinstance(value, str):
        return False
    try:
        check_endpoint(value.partition("#")[0], said_by=endpoint)
    except EndpointRefused:
        return False
    return value.isprintable() and len(value.partition("#")[2]) <= _LONGEST_CODE


def _seconds(value: object, otherwise: float) -> float:
    """A number of seconds, also one that is written as a text, as some providers do."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    return float(min(value, _FOREVER)) if value >= 0 else otherwise  # NaN is not


def _unusable(what: str) -> InvalidResponse:
    return InvalidResponse(
        f"the identity provider's offer of a login on another device holds {what}"
    )
