"""Answers of the token endpoint, friendly, odd and hostile."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._vault.records import Tokens
from gatepass.auth._oidc.http import InvalidResponse, NotSent, ProviderResponse, ResponseLost
from gatepass.auth._oidc.token_response import (
    MAX_RETRY_AFTER,
    AccessDenied,
    Denied,
    DeviceExpired,
    DevicePending,
    InvalidGrant,
    Retry,
    SlowDown,
    ask_patiently,
    parse_document,
    parse_tokens,
    refresh_token_of,
)
from gatepass.errors import GatepassError
from gatepass.secrets import Secret

NOW = 1_800_000_000.0
# 0 is Keycloak's word for a token that never ends.
ODD_LIVES: tuple[object, ...] = (0, -5, True, None, "1800", [1], {}, 10**400)
GOOD = {"access_token": "at", "token_type": "Bearer", "refresh_token": "rt", "expires_in": 300}


def clock() -> float:
    return NOW


def response(body: Any, status: int = 200, **headers: str) -> ProviderResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ProviderResponse(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, data
    )


def read(body: Any, status: int = 200, **headers: str) -> Tokens:
    return parse_tokens(response(body, status, **headers), clock=clock)


def shown(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


def test_a_whole_answer_is_read() -> None:
    found = read({**GOOD, "id_token": "a.b.c", "scope": "openid  x", "error": ""})

    assert shown(found.access_token) == "at"
    assert found.expires_at == NOW + 300
    assert shown(found.refresh_token) == "rt"
    assert shown(found.id_token) == "a.b.c"
    assert found.scope == ("openid", "x")


@pytest.mark.parametrize("kind", ["bearer", "BEARER", "Bearer", " Bearer ", "", None])
def test_the_type_of_a_token_is_bearer_in_any_case_or_not_said(kind: str | None) -> None:
    assert shown(read({**GOOD, "token_type": kind}).access_token) == "at"


@pytest.mark.parametrize("kind", ["DPoP", "N_A", "mac", 1, ["Bearer"]])
def test_tokens_of_other_types_are_refused(kind: object) -> None:
    with pytest.raises(InvalidResponse, match="type Bearer"):
        read({**GOOD, "token_type": kind})


@pytest.mark.parametrize(
    "token", [None, "", 1, {}, "a\r\nX: y", "a\nb", "a b", "a\x00", "ü", "€", "a\t", "x" * 65537]
)
def test_an_access_token_that_cannot_stand_in_a_header_is_refused(token: object) -> None:
    with pytest.raises(InvalidResponse, match="access_token"):
        read({**GOOD, "access_token": token})


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (3600, 3600),
        ("3600", 3600),
        ("3600.5", 3600.5),
        (3600.5, 3600.5),
        (" 60 ", 60),
        (0, 0),
        ("0", 0),
        (-1, 0),
        ("-1", 0),
        (1e30, 30 * 86400),
        (10**400, 30 * 86400),
        ("9" * 400, 30 * 86400),
        ("abc", None),
        ("", None),
        ("١٢", None),
        ("NaN", None),
        ("1e9", None),
        ([], None),
        ({}, None),
        (None, None),
    ],
)
def test_an_odd_life_ends_now_or_is_capped_or_is_not_known(
    value: object, left: float | None
) -> None:
    expected = None if left is None else NOW + left

    assert read({**GOOD, "expires_in": value, "expires_at": 5}).expires_at == expected


def test_an_endless_life_is_capped() -> None:
    body = b'{"access_token": "at", "token_type": "bearer", "expires_in": 1e999}'

    assert read(body).expires_at == NOW + 30 * 86400


@pytest.mark.parametrize("value", [True, False])
def test_a_life_of_true_is_refused(value: bool) -> None:
    with pytest.raises(InvalidResponse, match="expires_in"):
        read({**GOOD, "expires_in": value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1800, NOW + 1800), (0.5, NOW + 0.5), *((odd, None) for odd in ODD_LIVES)],
)
def test_the_life_of_a_refresh_token_is_read_and_an_odd_one_says_nothing(
    value: object, expected: float | None
) -> None:
    assert read({**GOOD, "refresh_expires_in": value}).refresh_until == expected


def test_an_answer_without_a_life_has_none() -> None:
    body = {name: value for name, value in GOOD.items() if name != "expires_in"}

    assert read(body).expires_at is None


@pytest.mark.parametrize("token", [None, ""])
def test_no_new_refresh_token_means_none(token: str | None) -> None:
    answer = response({**GOOD, "refresh_token": token})

    assert refresh_token_of(answer) is None
    assert parse_tokens(answer, clock=clock).refresh_token is None


@pytest.mark.parametrize("token", [7, [], {}, True, "x" * 20_001, "\ud800"])
def test_an_odd_refresh_token_is_an_error_and_never_stored(token: object) -> None:
    answer = response({**GOOD, "refresh_token": token})

    assert refresh_token_of(answer) is None
    with pytest.raises(InvalidResponse, match="refresh_token"):
        parse_tokens(answer, clock=clock)


@pytest.mark.parametrize(
    "body",
    [
        {"refresh_token": "rt2"},
        {"refresh_token": "rt2", "access_token": "a\r\nb", "expires_in": True, "scope": 7},
        {"refresh_token": "rt2", "error": "server_error", "token_type": "DPoP"},
        b'{"refresh_token": "rt2", "x": 1, "x": NaN}',
        b'\xef\xbb\xbf{"refresh_token": "rt2"}',
        '{"refresh_token": "rt2"}'.encode("utf-16"),
        '{"refresh_token": "old", "refresh_token": "rt2", "name": "J\xf6rg"}'.encode("latin-1"),
        b'{"name": "a\tb", "refresh_token" : "rt2"}',
        b'\n{"refresh_token": "rt2"}<!-- served by node 7 -->',
        b'{"refresh_token": "rt2", "x": ' + b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("status", [200, 201, 206])
def test_a_new_refresh_token_is_found_in_any_success_whatever_else_is_wrong(
    body: object, status: int
) -> None:
    assert shown(refresh_token_of(response(body, status))) == "rt2"


def test_a_success_that_cannot_be_read_holds_no_refresh_token() -> None:
    for body in (
        b"",
        b"[" * 100_000,
        b"[]",
        b"null",
        b'"refresh_token"',
        b"\xff\xfe\x00",
        b'<p>"refresh_token": "x"',
        b'{"refresh_token": "\\u"',
    ):
        assert refresh_token_of(response(body)) is None


@pytest.mark.parametrize("error", ["a\nb", "x" * 65, 'a"b', "", 5, ["x"]])
def test_a_word_that_is_no_error_code_is_not_passed_on(error: object) -> None:
    with pytest.raises(Denied) as caught:
        read({"error": error}, 400)

    assert caught.value.error == ""


@pytest.mark.parametrize("status", [100, 302, 400, 500])
def test_there_is_no_refresh_token_in_a_refusal(status: int) -> None:
    assert refresh_token_of(response(GOOD, status)) is None


@pytest.mark.parametrize("token", [3, ["a"], {"a": 1}, True])
def test_an_id_token_is_a_text(token: object) -> None:
    with pytest.raises(InvalidResponse, match="id_token"):
        read({**GOOD, "id_token": token})


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (None, None),
        ("", None),
        ([], None),
        ("a  b", ("a", "b")),
        (["a", "b"], ("a", "b")),
        (5, None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_an_odd_scope_says_nothing(scope: object, expected: tuple[str, ...] | None) -> None:
    assert read({**GOOD, "scope": scope}).scope == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"access_token=at&token_type=bearer",
        b"[]",
        b"null",
        b"5",
        json.dumps(GOOD).encode("utf-16"),
        b'{"access_token": "a", "access_token": "b", "token_type": "bearer"}',
        b'{"access_token": "a", "token_type": "bearer", "x": NaN}',
        b"[" * 100_000,
    ],
)
def test_a_success_that_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidResponse, match=r"status 200"):
        read(body)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_an_answer(status: int) -> None:
    with pytest.raises(InvalidResponse, match="not followed"):
        read(GOOD, status, location="https://evil/")


# Refusals.


@pytest.mark.parametrize("status", [400, 401, 403, 200])
def test_a_dead_grant_is_recognised(status: int) -> None:
    """Auth0 says so with 403, others with 400; some say no with 200."""
    with pytest.raises(InvalidGrant) as caught:
        read({"error": "invalid_grant", "error_description": "Token expired"}, status)

    assert caught.value.error == "invalid_grant"
    assert "Token expired" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": "invalid_grant"}, 500),
        ({"error": "invalid_grant"}, 503),
        ({"error": "invalid_client"}, 401),
        ({"error": "unauthorized_client"}, 400),
        ({"error": "invalid_scope"}, 400),
        ({"error": "consent_required"}, 400),
        ({"error": "interaction_required"}, 400),
        ({"error": "invalid_grant "}, 400),
        ({"error": ["invalid_grant"]}, 400),
        ({"error": {"code": "invalid_grant"}}, 400),
        ({"error": None}, 400),
        (b'{"error": "invalid_grant", "error": "invalid_grant"}', 400),
        (b"<html>invalid_grant</html>", 403),
        (b"", 404),
        ("invalid_grant", 400),
        ({**GOOD, "error": "invalid_grant"}, 200),
        ({"error": "invalid_grant"}, 302),
    ],
)
def test_nothing_else_is_taken_for_a_dead_grant(body: object, status: int) -> None:
    with pytest.raises(GatepassError) as caught:
        read(body, status)

    assert not isinstance(caught.value, InvalidGrant)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("authorization_pending", DevicePending),
        ("slow_down", SlowDown),
        ("expired_token", DeviceExpired),
        ("access_denied", AccessDenied),
        ("invalid_request", Denied),
    ],
)
@pytest.mark.parametrize("status", [400, 200, 429])
def test_the_words_of_the_device_flow_are_known(
    error: str, kind: type[Denied], status: int
) -> None:
    wanted: type[GatepassError] = Retry if (error, status) == ("invalid_request", 429) else kind
    with pytest.raises(GatepassError) as caught:
        read({"error": error}, status)

    assert type(caught.value) is wanted


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (408, ""),
        (429, ""),
        (500, ""),
        (502, "x"),
        (503, ""),
        (599, ""),
        (400, "temporarily_unavailable"),
        (400, "server_error"),
    ],
)
def test_not_now_is_told_apart_from_no(status: int, error: str) -> None:
    with pytest.raises(Retry) as caught:
        read({"error": error} if error else b"<html>", status)

    assert caught.value.seconds is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("1000000000", MAX_RETRY_AFTER),
        ("9" * 30, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Fri, 15 Jan 2027 08:01:30 GMT", 90),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2099 08:00:00 GMT", MAX_RETRY_AFTER),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
    ],
)
def test_a_wished_wait_is_read_and_capped(text: str, seconds: float | None) -> None:
    with pytest.raises(Retry) as caught:
        read(b"", 503, retry_after=text)

    assert caught.value.seconds == seconds
    if seconds:
        assert f"wait {seconds:.0f} seconds" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "status", "kind", "hint"),
    [
        ("invalid_client", 401, Denied, "client_secret"),
        ("", 401, Denied, "client_secret"),
        ("unauthorized_client", 400, Denied, "flow"),
        ("unsupported_grant_type", 400, Denied, "flow"),
        ("invalid_scope", 400, Denied, "scopes"),
        ("invalid_target", 400, Denied, "resource"),
        ("access_denied", 403, AccessDenied, "log in as somebody"),
        ("authorization_declined", 400, AccessDenied, ""),
        ("code_expired", 400, DeviceExpired, ""),
        ("bad_verification_code", 400, InvalidGrant, ""),
        ("rate_limit_exceeded", 403, Retry, "later"),
        ("mfa_required", 400, Denied, "who run"),
        ("", 200, InvalidResponse, "who run"),
    ],
)
def test_each_error_has_its_kind_and_its_next_step(
    error: str, status: int, kind: type[GatepassError], hint: str
) -> None:
    with pytest.raises(kind, match=error or "status 401|access_token") as caught:
        read({"error": error}, status)

    assert hint in caught.value.hint


def test_what_can_be_repeated_is_asked_again_after_a_short_wait_only() -> None:
    waited: list[float] = []

    def ask(*said: GatepassError | None) -> str:
        waited.clear()
        answers = iter(said)

        def once() -> str:
            error = next(answers)
            if error is not None:
                raise error
            return "in"

        return ask_patiently(once, sleep=waited.append)

    busy, lost = Retry("busy"), ResponseLost("lost")
    assert ask(None) == "in"
    assert waited == []
    assert ask(busy, lost, None) == "in"
    assert waited == [1.0, 3.0]
    assert ask(Retry("busy", seconds=0.0), Retry("busy", seconds=20.0), None) == "in"
    assert waited == [0.0, 20.0]
    with pytest.raises(Retry, match="third"):
        ask(busy, busy, Retry("third"))
    for error in (Retry("long", seconds=31.0), NotSent("no"), Denied("no"), InvalidResponse("no")):
        with pytest.raises(type(error)):
            ask(error)
        assert waited == []


def test_a_server_text_is_cleaned_and_repeats_nothing_that_was_sent() -> None:
    text = "\x1b[31mtoken canary-refresh-token is\r\nbad " + "x" * 5000
    answer = ProviderResponse(
        400,
        {},
        json.dumps({"error": "invalid_grant", "error_description": text}).encode(),
        sent=(Secret("canary-refresh-token"),),
    )
    with pytest.raises(InvalidGrant) as caught:
        parse_tokens(answer, clock=clock)

    assert "canary" not in str(caught.value)
    assert caught.value.message.isprintable()
    assert len(str(caught.value)) < 300


def test_another_document_is_read_by_the_same_rules() -> None:
    assert parse_document(response({"device_code": "d"}), clock=clock) == {"device_code": "d"}
    with pytest.raises(Denied, match="status 404"):
        parse_document(response(b"", 404), clock=clock)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
_OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "access_token": _VALUES | st.just("at"),
        "token_type": _VALUES | st.just("Bearer"),
        "expires_in": _VALUES,
        "refresh_token": _VALUES,
        "id_token": _VALUES,
        "scope": _VALUES,
        "error": _VALUES | st.sampled_from(["invalid_grant", "slow_down"]),
        "error_description": _VALUES,
    },
)


@given(
    st.binary(max_size=60) | (_OBJECTS | _VALUES).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([200, 201, 204, 302, 400, 401, 403, 429, 500, 503]),
    st.text(max_size=20) | st.integers().map(str),
)
def test_any_answer_gives_tokens_or_our_errors(body: bytes, status: int, wait: str) -> None:
    answer = ProviderResponse(status, {"retry-after": wait}, body)
    fresh = refresh_token_of(answer)
    assert fresh is None or (status < 300 and 0 < len(fresh.reveal()) <= 20_000)
    try:
        found = parse_tokens(answer, clock=clock)
    except (Denied, Retry, InvalidResponse) as refusal:
        said = refusal.message
    else:
        said = ""
        assert status < 300
        assert shown(found.refresh_token) == shown(fresh)
        assert found.expires_at is None or NOW <= found.expires_at <= NOW + 30 * 86400
        assert found.access_token.reveal().isascii()
    assert said.isprintable()
