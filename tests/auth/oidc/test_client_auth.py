"""How a client proves itself: as the profile says, or in each way that the provider may take."""

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gatepass._session.adapter import Network
from gatepass._system.deadline import Deadline
from gatepass._vault.records import Client, Provider
from gatepass.auth._oidc.client_auth import request_token
from gatepass.auth._oidc.token_response import Denied, InvalidGrant, parse_tokens
from gatepass.errors import GatepassError
from gatepass.secrets import Secret
from tests.support.echo import Answer, Echo, Seen, echo
from tests.support.small_provider import in_json

ODD = "se:c%41r+t /&=?~"  # each of these goes wrong where a client forgets to encode
OF_CLIENT = in_json({"error": "invalid_client"}, 401)


def proof(seen: Seen) -> str:
    """Say how a client proved itself, and by which secret."""
    form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
    posted = form.get("client_secret")
    if seen.authorization is None:
        return f"post {form['client_id']}:{posted}" if posted else f"none {form['client_id']}"
    assert not {"client_id", "client_secret"} & form.keys()  # never two proofs
    return "basic " + base64.b64decode(seen.authorization.partition(" ")[2]).decode()


def takes(*ways: str, refusal: Answer = OF_CLIENT) -> Callable[[Seen], Answer]:
    """Answer like a provider that takes these proofs only."""

    def answers(seen: Seen) -> Answer:
        return in_json({"access_token": "at"}) if proof(seen) in ways else refusal

    return answers


def ask(server: Echo, *methods: str, secret: str | None = ODD, **client: Any) -> Any:
    provider = Provider(server.root, f"{server.root}/token", auth_methods=methods)
    who = Client("us", Secret(secret) if secret else None, **client)
    with Network({}, retries=0).plain_session() as http:
        response = request_token(http, provider, who, {"grant_type": "x"})
    return parse_tokens(response, clock=lambda: 0.0)


BASIC, POST, BOTH = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_basic client_secret_post",
)
ENCODED = "basic us:se%3Ac%2541r%2Bt+%2F%26%3D%3F~"
RAW = f"basic us:{ODD}"
FORM = f"post us:{ODD}"


@pytest.mark.parametrize(
    ("offered", "auth", "tried"),
    [
        ("", None, [ENCODED, FORM, RAW]),  # a provider that does not say may take each
        (BOTH, None, [ENCODED, FORM, RAW]),
        (BASIC, None, [ENCODED, RAW]),
        (POST, None, [FORM]),
        (f"private_key_jwt {POST}", None, [FORM]),
        # The profile knows better than the metadata.
        (BOTH, "post", [FORM]),
        (BASIC, "post", [FORM]),
        (BOTH, "basic", [ENCODED, RAW]),
        (POST, "basic", [ENCODED, RAW]),
    ],
)
@pytest.mark.parametrize(
    "refusal",
    [
        OF_CLIENT,
        in_json({"error": "invalid_client"}, 400),
        in_json({"error": "unauthorized_client"}, 401),  # Keycloak
        Answer(401, [("WWW-Authenticate", "Basic")], b""),
        Answer(403, [("Content-Type", "text/html")], b"<html>"),
    ],
)
def test_each_way_is_tried_once_until_one_is_taken_and_that_one_is_kept(
    offered: str, auth: str | None, tried: list[str], refusal: Answer
) -> None:
    for number, way in enumerate(tried):
        with echo(takes(way, refusal=refusal)) as server:
            taken: dict[str, str] = {}
            assert ask(server, *offered.split(), auth=auth, taken=taken).expires_at is None
            assert [proof(seen) for seen in server.seen] == tried[: number + 1]

            ask(server, *offered.split(), auth=auth, taken=taken)
            assert [proof(seen) for seen in server.seen[number + 1 :]] == [way]
    with echo(takes(refusal=refusal)) as server:
        with pytest.raises(Denied) as caught:
            ask(server, *offered.split(), auth=auth)
        assert [proof(seen) for seen in server.seen] == tried
        assert "client_secret" in caught.value.hint or refusal.status == 403
        assert ODD not in str(caught.value)


def test_a_plain_secret_looks_the_same_in_both_kinds_of_basic_and_is_sent_in_one() -> None:
    with echo(takes()) as server:
        with pytest.raises(Denied):
            ask(server, BASIC, secret="plain")
        assert [proof(seen) for seen in server.seen] == ["basic us:plain"]


def test_a_public_client_names_itself_once() -> None:
    with echo(takes()) as server:
        with pytest.raises(Denied):
            ask(server, secret=None)
        assert [proof(seen) for seen in server.seen] == ["none us"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (in_json({"error": "invalid_grant"}, 400), InvalidGrant),
        (in_json({"error": "invalid_grant"}, 401), InvalidGrant),
        (in_json({"error": "invalid_scope"}, 403), Denied),
        (in_json({"error": "access_denied"}, 403), Denied),
    ],
)
def test_what_is_refused_for_another_reason_is_asked_once(answer: Answer, error: type) -> None:
    with echo(lambda _: answer) as server:
        with pytest.raises(error):
            ask(server)
        assert len(server.seen) == 1


def test_nothing_more_is_sent_after_the_deadline() -> None:
    """A refresh token may leave only while the lock is held."""
    until = Deadline.after(60)

    def refuse(_: Seen) -> Answer:
        object.__setattr__(until, "wall", 0.0)  # while this answer is on its way
        return OF_CLIENT

    with echo(refuse) as server, Network({}, retries=0).plain_session() as http:
        provider = Provider(server.root, f"{server.root}/token")
        response = request_token(http, provider, Client("us", Secret(ODD)), {}, until=until)
        assert (response.status, len(server.seen)) == (401, 1)


def test_a_provider_that_takes_no_secret_is_explained_without_it() -> None:
    with echo() as server, pytest.raises(GatepassError, match="private_key_jwt") as caught:
        ask(server, "private_key_jwt")

    assert ODD not in str(caught.value)
    assert server.seen == []


def test_further_parameters_go_into_each_token_request_and_into_no_other() -> None:
    client = Client("us", token_params={"resource": "https://api", "organization": "o 1"})
    with echo(lambda _: in_json({})) as server, Network({}, retries=0).plain_session() as http:
        provider = Provider(server.root, f"{server.root}/t", revocation_endpoint=server.url)
        for endpoint in ("token_endpoint", "revocation_endpoint"):
            request_token(http, provider, client, {"a": "b"}, endpoint=endpoint)
        forms = [dict(parse_qsl(seen.body.decode())) for seen in server.seen]

    own = {"a": "b", "client_id": "us"}
    assert forms == [{**own, "resource": "https://api", "organization": "o 1"}, own]


@pytest.mark.parametrize("auth", ["basic", "post"])
@pytest.mark.parametrize("secret", [ODD, "größe & kleiner <b>", "abc+/=def123456", "100%zz wörds"])
def test_no_error_repeats_what_was_on_the_wire(auth: str, secret: str) -> None:
    """Providers and proxies echo headers and forms, whole, in parts, and as a page writes them."""
    said: list[Callable[[str, str], str]] = [
        lambda header, form: f"bad client: {header} {form}",
        lambda header, _: header[6:],
        lambda header, _: header[6:24],
        lambda _, form: form[-14:],
        lambda *_: secret,
    ]

    def repeat(seen: Seen) -> Answer:
        words = said[0](seen.authorization or "", seen.body.decode())
        return in_json({"error": "invalid_client", "error_description": words}, 400)

    while said:
        with echo(repeat) as server:
            with pytest.raises(Denied) as caught:
                ask(server, secret=secret, auth=auth)
            parts = [f"{seen.authorization or ''} {seen.body.decode()}" for seen in server.seen]
        wire = [word for part in parts for word in part.split() if len(word) > 20]
        for canary in (secret, secret[:9], *wire, *(word[:12] for word in wire if "=" not in word)):
            assert canary not in str(caught.value)
        said.pop(0)
