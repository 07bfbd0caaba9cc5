"""The login on another device, without a moment of real waiting."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._system.terminal import Terminal
from gatepass._vault.records import Client, Provider, Tokens
from gatepass.auth._oidc import device, token_response
from gatepass.auth._oidc.client_auth import request_token
from gatepass.auth._oidc.device import Clock
from gatepass.auth._oidc.http import (
    InvalidResponse,
    NoResponse,
    NotSent,
    ResponseLost,
)
from gatepass.errors import GatepassError, LoginRequired
from gatepass.secrets import Secret
from tests.support.echo import Answer
from tests.support.small_provider import NOW, SmallProvider, in_json, session, small_provider

CLIENT = Client("app", scopes=("openid", "mi"), audience="granta")
OFFER = {
    "device_code": "dev1ce-c0de",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://idp.example/device",
    "verification_uri_complete": "https://idp.example/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 5,
}
PROVIDER = Provider(
    "https://idp.example",
    "https://idp.example/token",
    device_authorization_endpoint="https://idp.example/device",
)


@dataclass
class Time:
    """Time that passes only where somebody sleeps."""

    now: float = 1000.0
    asked_at: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, sleep=self.sleep)

    @property
    def gaps(self) -> list[float]:
        """Seconds between two questions, the first since the start."""
        moments = [1000.0, *self.asked_at]
        return [round(b - a, 3) for a, b in pairwise(moments)]


@dataclass
class World:
    """One login: what was told, how time went."""

    time: Time = field(default_factory=Time)
    written: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    reads = False

    def draw(self, text: str) -> None:
        self.drawn.append(text)

    def typed(self) -> str:
        return ""

    def close(self) -> None:
        """There is nothing to give back."""

    def log_in(
        self, says: Iterator[BaseException | None], offer: Mapping[str, Any] = OFFER, **more: Any
    ) -> Tokens:
        def send(fields: Mapping[str, str]) -> Tokens:
            assert fields == {
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "device_code": "dev1ce-c0de",
            }
            self.time.asked_at.append(self.time.now)
            said = next(says)
            if said is not None:
                raise said
            return Tokens(Secret("at"))

        return device.log_in(
            PROVIDER,
            CLIENT,
            request_code=lambda _: offer,
            send=send,
            terminal=Terminal(
                {}, interactive=True, write=self.written.append, open_console=lambda _: self
            ),
            clock=self.time.clock,
            hint="gatepass login prod",
            **more,
        )


def script(*said: BaseException | None) -> Iterator[BaseException | None]:
    yield from said
    raise AssertionError("asked once more than it should")


def pending() -> token_response.DevicePending:
    return token_response.DevicePending("not yet")


@pytest.fixture
def world() -> World:
    return World()


# --- over real HTTP ------------------------------------------------------------------------


def over_http(
    provider: SmallProvider, client: Client, written: list[str], time: Time | None = None
) -> Tokens:
    def ask(fields: Mapping[str, str]) -> Mapping[str, Any]:
        with session() as http:
            response = request_token(
                http, provider.metadata, client, fields, endpoint="device_authorization_endpoint"
            )
        return token_response.parse_document(response, clock=lambda: NOW)

    return device.log_in(
        provider.metadata,
        client,
        request_code=ask,
        send=provider.send(client),
        terminal=Terminal({}, interactive=True, write=written.append, open_console=lambda _: None),
        clock=(time or Time()).clock,
    )


def in_turn(*said: Answer) -> Callable[[dict[str, str]], Answer]:
    left = list(said)
    return lambda _: left.pop(0)


def error(code: str, status: int = 400) -> Answer:
    return in_json({"error": code, "error_description": "because"}, status)


TOKENS = in_json({"access_token": "at", "token_type": "bearer"})


def test_a_login_on_another_device_gives_tokens() -> None:
    written: list[str] = []
    token = in_turn(error("authorization_pending"), error("slow_down"), error("x", 503), TOKENS)
    with small_provider(device=OFFER, token=token) as provider:
        assert over_http(provider, CLIENT, written).access_token.reveal() == "at"
    asked, *polls = provider.posted
    assert asked == {"client_id": "app", "scope": "openid mi", "audience": "granta"}
    assert len(polls) == 4
    assert polls[0] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "dev1ce-c0de",
        "client_id": "app",
    }


def test_a_connection_that_drops_while_asking_ends_nothing() -> None:
    """RFC 8628, section 3.5. Here the server breaks its answer off."""
    time = Time()
    broken = Answer(200, [("Connection", "close")], b"{", missing=9)
    token = in_turn(error("authorization_pending"), broken, broken, TOKENS)
    with small_provider(device=OFFER, token=token) as provider:
        assert over_http(provider, CLIENT, [], time).access_token.reveal() == "at"
    assert time.now == 1000 + 5 + 5 + 10 + 20, "each lost answer doubles the pause"


def test_a_refusal_at_the_start_is_told() -> None:
    with (
        small_provider(device={"error": "unauthorized_client"}) as provider,
        pytest.raises(GatepassError, match="unauthorized_client"),
    ):
        over_http(provider, CLIENT, [])


# --- what the person sees ------------------------------------------------------------------


def test_the_person_is_told_the_code_and_both_addresses(world: World) -> None:
    world.log_in(script(None))
    written = "".join(world.written)
    assert "  https://idp.example/device\n" in written
    assert "code:   WDJB-MJHT\n" in written
    assert "  https://idp.example/device?user_code=WDJB-MJHT\n" in written
    assert "dev1ce" not in written


def test_the_time_that_is_left_is_seen(world: World) -> None:
    world.log_in(script(pending(), None), timeout=300)
    drawn = "".join(world.drawn)
    assert "\r5:00 left to log in" in drawn
    assert "\r4:51 left to log in" in drawn


def test_google_calls_the_address_by_another_name(world: World) -> None:
    offer = {k: v for k, v in OFFER.items() if not k.startswith("verification")}
    world.log_in(script(None), {**offer, "verification_url": "https://www.google.com/device"})
    assert "  https://www.google.com/device\n" in world.written[0]
    assert "Or open" not in world.written[0]


@pytest.mark.parametrize(
    "complete", ["javascript:alert(1)", "http://idp.example/", 5, "", "https://a/\x1b[2J", None]
)
def test_a_complete_address_that_is_not_one_is_left_out(world: World, complete: object) -> None:
    world.log_in(script(None), {**OFFER, "verification_uri_complete": complete})
    assert "Or open" not in world.written[0]


def test_an_address_may_have_a_fragment(world: World) -> None:
    world.log_in(script(None), {**OFFER, "verification_uri": "https://idp.example/#/device"})
    assert "  https://idp.example/#/device\n" in world.written[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device_code", None),
        ("device_code", ""),
        ("device_code", 5),
        ("user_code", None),
        ("user_code", "A\x1b[2JB"),
        ("user_code", "A" * 65),
        ("user_code", "A\u202eB"),
        ("verification_uri", None),
        ("verification_uri", "javascript:alert(1)"),
        ("verification_uri", "http://idp.example/device"),
        ("verification_uri", "https://idp.example/ x"),
        ("verification_uri", "https://user@idp.example/"),
    ],
)
def test_an_offer_that_nobody_can_use_is_refused(world: World, name: str, value: object) -> None:
    with pytest.raises(GatepassError, match="offer of a login on another device"):
        world.log_in(script(), {**OFFER, name: value})
    assert world.written == []


def test_a_provider_without_this_login_is_told() -> None:
    with pytest.raises(GatepassError, match="no login on another device"):
        device.log_in(
            Provider("https://idp.example", "https://idp.example/token"),
            CLIENT,
            request_code=lambda _: OFFER,
            send=lambda _: Tokens(Secret("at")),
            terminal=Terminal({}, interactive=True),
        )


def test_without_anybody_nothing_is_asked() -> None:
    def never(_: object) -> Any:
        raise AssertionError

    with pytest.raises(LoginRequired, match="a person must log in, and CI is set") as caught:
        device.log_in(
            PROVIDER,
            CLIENT,
            request_code=never,
            send=never,
            terminal=Terminal({"CI": "1"}),
            hint="gatepass login prod",
        )
    assert caught.value.hint == "gatepass login prod"


# --- patience ------------------------------------------------------------------------------


def test_nobody_is_asked_more_often_than_they_want(world: World) -> None:
    world.log_in(script(*[pending() for _ in range(5)], None))
    assert world.time.gaps == [5] * 6


def test_slow_down_adds_five_seconds_for_good(world: World) -> None:
    slow = token_response.SlowDown
    world.log_in(script(slow("x"), pending(), slow("x"), slow("x"), pending(), None))
    assert world.time.gaps == [5, 10, 10, 15, 20, 20]


def test_lost_connections_back_off_and_an_answer_ends_that(world: World) -> None:
    lost = [NotSent("x"), ResponseLost("x"), NoResponse("x"), NotSent("x")]
    world.log_in(script(*lost, NotSent("x"), pending(), None))
    assert world.time.gaps == [5, 10, 20, 40, 60, 60, 5]


def test_a_busy_provider_is_given_the_time_that_it_wants(world: World) -> None:
    world.log_in(script(token_response.Retry("x", seconds=90), token_response.Retry("x"), None))
    assert world.time.gaps == [5, 90, 20]


@pytest.mark.parametrize(
    ("interval", "gap"),
    [(None, 5), (0, 1), (-1, 5), ("7", 7), ("x", 5), (True, 5), (1e9, 60), ([], 5), (2.5, 2.5)],
)
def test_every_interval_is_read_somehow(world: World, interval: object, gap: float) -> None:
    world.log_in(script(pending(), None), {**OFFER, "interval": interval})
    assert world.time.gaps == [gap, gap]


@pytest.mark.parametrize(
    ("expires_in", "timeout", "seconds"),
    [(30, 300, 30), (1800, 60, 60), ("30", 300, 30), (0, 9, 0)],
)
def test_the_wait_ends_with_the_code_or_with_our_own_time(
    world: World, expires_in: object, timeout: float, seconds: float
) -> None:
    with pytest.raises(LoginRequired, match=f"within {seconds} s") as caught:
        world.log_in(iter(pending, None), {**OFFER, "expires_in": expires_in}, timeout=timeout)
    assert caught.value.hint == "gatepass login prod"
    assert world.time.now == 1000 + seconds
    assert all(moment < 1000 + seconds for moment in world.time.asked_at)


def test_the_end_does_not_wait_for_a_pause_that_is_longer(world: World) -> None:
    with pytest.raises(LoginRequired):
        world.log_in(script(token_response.Retry("x", seconds=3600)), timeout=60)
    assert world.time.now == 1060


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            token_response.AccessDenied("the identity provider refuses: access_denied"),
            "access_denied",
        ),
        (token_response.DeviceExpired("x"), "no longer valid"),
        (
            token_response.InvalidGrant("the identity provider refuses: invalid_grant"),
            "invalid_grant",
        ),
    ],
)
def test_a_refusal_ends_the_wait(world: World, said: Exception, words: str) -> None:
    with pytest.raises(LoginRequired, match=words) as caught:
        world.log_in(script(pending(), said))
    assert caught.value.hint == "gatepass login prod"


def test_any_other_refusal_is_passed_on(world: World) -> None:
    with pytest.raises(token_response.Denied, match="invalid_client"):
        world.log_in(script(token_response.Denied("invalid_client", error="invalid_client")))


def test_ctrl_c_ends_the_wait_and_takes_the_line_away(world: World) -> None:
    with pytest.raises(KeyboardInterrupt):
        world.log_in(script(pending(), KeyboardInterrupt()))
    assert world.drawn[-1].strip() == ""


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(OFFER)), json), st.booleans())
def test_whatever_is_offered_the_login_works_or_says_why(
    changes: dict[str, Any], begin_empty: bool
) -> None:
    world = World()
    offer = changes if begin_empty else {**OFFER, **changes, "device_code": "dev1ce-c0de"}
    try:
        world.log_in(iter([None]), offer)
    except (InvalidResponse, LoginRequired):
        return
    assert len(world.written) == 1
    assert all(line.isprintable() for line in world.written[0].split("\n"))
    assert 1 <= world.time.gaps[0] <= 60
