"""Log in on another device (RFC 8628), where this machine has no browser.

The person opens an address anywhere else and enters a short code, while we ask the token endpoint
from time to time whether that has happened.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gatepass._system.terminal import Terminal, Waiting
from gatepass._value import Value
from gatepass._vault.records import Client, Provider, Tokens
from gatepass.auth._oidc.endpoint import EndpointRefused, check_endpoint, endpoint_of
from gatepass.auth._oidc.http import InvalidResponse, NoResponse
from gatepass.auth._oidc.token_request import form_of_device_authorization, form_of_device_code
from gatepass.auth._oidc.token_response import (
    AccessDenied,
    DeviceExpired,
    DevicePending,
    InvalidGrant,
    Retry,
    SlowDown,
)
from gatepass.errors import LoginRequired
from gatepass.secrets import Secret

_INTERVAL: Final = 5.0  # seconds, where the provider does not say (RFC 8628, section 3.2)
_LIFETIME: Final = 600.0  # seconds, where it does not say, against the RFC
_SLOW_DOWN: Final = 5.0  # seconds that each slow_down adds, for good (section 3.5)
_MIN_INTERVAL: Final = 1.0  # seconds between two requests, at least ...
_MAX_INTERVAL: Final = 60.0  # ... and at most, unless a busy provider asks for more
_FOREVER: Final = 1e9  # seconds
_MAX_CODE: Final = 64  # characters that a person can be asked to enter


class Clock(Value):
    """Time, as the wait for a person sees it.

    Attributes:
        now: seconds that only ever grow.
        sleep: waits that many seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


class _DeviceCode(Value):
    """What the device authorization endpoint gave (RFC 8628, section 3.2)."""

    device_code: Secret
    user_code: str
    address: str
    complete: str | None
    seconds: float
    interval: float

    @classmethod
    def parse(cls, found: Mapping[str, Any], endpoint: str) -> "_DeviceCode":
        """Read the answer of an endpoint.

        Raises:
            InvalidResponse: something that is needed is missing or unusable.
        """
        user_code = _text(found, "user_code")
        if len(user_code) > _MAX_CODE or not user_code.isprintable():
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
            seconds=_seconds(found.get("expires_in"), _LIFETIME),
            interval=min(
                max(_seconds(found.get("interval"), _INTERVAL), _MIN_INTERVAL), _MAX_INTERVAL
            ),
        )


def log_in(
    provider: Provider,
    client: Client,
    *,
    request_code: Callable[[Mapping[str, str]], Mapping[str, Any]],
    send: Callable[[Mapping[str, str]], Tokens],
    terminal: Terminal,
    timeout: float = 300.0,
    clock: Clock = Clock(),
    hint: str = "",
) -> Tokens:
    """Let a person log in on another device and return the tokens.

    Tells the person what to do, then asks the provider again and again, in the intervals that it
    wants. Ctrl-C ends it at any time.

    Args:
        provider: the identity provider.
        client: who we are, and what we ask for.
        request_code: sends a form to the device authorization endpoint, adds who the client is, and
            returns the JSON object of the answer.
        send: does the same with the token endpoint, and reads the tokens.
        terminal: the way to the person.
        timeout: seconds until the person must have logged in, where the provider does not end
            it earlier.
        clock: how time passes.
        hint: what to run instead where nobody is there.

    Raises:
        LoginRequired: nobody is there, nobody logged in in time, or the login was refused.
        GatepassError: the provider has no such login, or does not answer as it should.
    """
    nobody = terminal.why_not_browse()
    if nobody is not None:
        raise LoginRequired(f"a person must log in, and {nobody}", hint=hint)
    endpoint = endpoint_of(provider, "device_authorization_endpoint")
    offered = _DeviceCode.parse(request_code(form_of_device_authorization(client)), endpoint)
    seconds = min(offered.seconds, timeout)
    terminal.tell(_instructions(provider, offered, seconds))
    with terminal.waiting(typing=False) as line:
        polling = _Polling(clock, line, clock.now() + seconds, offered.interval)
        form = form_of_device_code(offered.device_code)
        try:
            return _poll(send, form, polling)
        except (AccessDenied, InvalidGrant) as error:
            raise LoginRequired(error.message, hint=error.hint or hint) from None
        except DeviceExpired:
            late = f"nobody logged in within {seconds:.0f} s, and the code is no longer valid"
            raise LoginRequired(late, hint=hint) from None


def _instructions(provider: Provider, offered: _DeviceCode, seconds: float) -> str:
    lines = [
        f"Logging in at {provider.issuer}. On any device, open this address:",
        f"  {offered.address}",
        f"and enter this code:   {offered.user_code}",
    ]
    if offered.complete is not None:
        lines += ["Or open this one, and compare the code:", f"  {offered.complete}"]
    lines.append(f"Waiting for at most {seconds:.0f} s; Ctrl-C gives up.")
    return "\n\n".join(lines)


@dataclass(eq=False)
class _Polling:
    """How long to wait until the next request."""

    clock: Clock
    line: Waiting
    deadline: float
    interval: float
    failures: int = field(default=0, init=False)  # in a row: requests without a response
    wanted: float = field(default=0.0, init=False)  # seconds that the provider asked for, once

    def wait_for_interval(self) -> bool:
        """Wait for one interval; False when the time is over."""
        # Section 3.5: doubling the interval with each lost connection.
        longer = min(self.interval * 2 ** min(self.failures, 6), _MAX_INTERVAL)
        seconds = max(self.interval, longer, self.wanted)
        until = self.clock.now() + seconds
        while (left := until - self.clock.now()) > 0:
            rest = self.deadline - self.clock.now()
            if rest <= 0:
                return False
            minutes, odd = divmod(math.ceil(rest), 60)
            self.line.show(f"{minutes}:{odd:02} left to log in ")
            self.clock.sleep(min(left, rest, 1.0))
        return self.clock.now() < self.deadline


def _poll(
    send: Callable[[Mapping[str, str]], Tokens], form: Mapping[str, str], polling: _Polling
) -> Tokens:
    while polling.wait_for_interval():
        polling.wanted = 0.0
        try:
            return send(form)
        except SlowDown:
            polling.failures = 0
            polling.interval += _SLOW_DOWN
        except DevicePending:
            polling.failures = 0
        except Retry as error:
            polling.failures += 1
            polling.wanted = error.seconds or 0.0
        except NoResponse:
            polling.failures += 1
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
    return value.isprintable() and len(value.partition("#")[2]) <= _MAX_CODE


def _seconds(value: object, otherwise: float) -> float:
    """Return a number of seconds, also one that is written as a string, as some providers do."""
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
