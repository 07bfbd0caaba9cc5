"""ID tokens: real keys, every rule of OpenID Connect Core 3.1.3.7, and forgeries."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gatepass._session.adapter import Network
from gatepass._vault.records import Provider, Record
from gatepass.auth._oidc import id_token
from gatepass.auth._oidc.http import InvalidResponse, NoResponse
from gatepass.auth._oidc.id_token import Claims, InvalidIdToken, check
from gatepass.secrets import Secret
from tests.support.echo import Answer, Echo, Seen, echo
from tests.support.peers.waiting import free_port

NOW = 1_800_000_000.0
ISSUER = "http://localhost/idp"  # as the server that holds the keys, of this computer
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "4711",
    "aud": "us",
    "exp": NOW + 300,
    "iat": NOW - 1,
    "nonce": "n",
}
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})
KEYS: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": ECKey.generate_key("P-256", {"kid": "p256"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "p384"}),
    "ES512": ECKey.generate_key("P-521", {"kid": "p521"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}

BEFORE = Record(1, Provider(ISSUER, f"{ISSUER}/token"), "us", subject="4711")


class Registry(jws.JWSRegistry):
    """Signs everything, and silently."""

    max_header_length = 100_000

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(
    payload: bytes | None = None,
    key: Any = RSA,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> Secret:
    """Make a token; a claim of ``...`` is left out."""
    full = {name: value for name, value in {**GOOD, **claims}.items() if value is not ...}
    protected = {"alg": "RS256", "kid": key.kid} if header is None else header
    data = json.dumps(full).encode() if payload is None else payload
    registry = Registry(strict_check_header=False)
    return Secret(jws.serialize_compact(protected, data, key, registry=registry))


def public(*keys: Any, **more: object) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), **more} for key in keys]}


@dataclass
class Idp:
    """An identity provider that publishes these documents, one after the other."""

    server: Echo
    provider: Provider
    documents: list[Any] = field(default_factory=list)
    http: requests.Session = field(default_factory=lambda: Network({}, retries=0).plain_session())

    def check(self, token: Secret, **more: Any) -> Claims:
        more = {"nonce": "n", "clock": lambda: NOW, **more}
        return check(token, self.provider, "us", http=self.http, **more)


@contextmanager
def idp(*documents: Any, algorithms: tuple[str, ...] = ()) -> Iterator[Idp]:
    def answers(_: Seen) -> Answer:
        found = running.documents
        document = found.pop(0) if len(found) > 1 else found[0]
        return (
            document if isinstance(document, Answer) else Answer(body=json.dumps(document).encode())
        )

    with echo(answers) as server:
        provider = Provider(
            ISSUER,
            "https://idp.example.com/token",
            jwks_uri=f"{server.root}/keys",
            id_token_algorithms=algorithms,
        )
        running = Idp(server, provider, list(documents) or [public(RSA)])
        yield running


@pytest.fixture(scope="module")
def usual() -> Iterator[Idp]:
    with idp() as running:
        yield running


def test_a_good_token_says_who_logged_on(usual: Idp) -> None:
    claims = usual.check(signed(preferred_username="", email="a@b.c", name="Ann"))

    assert claims == Claims(subject="4711", user="a@b.c", key=claims.key)


@pytest.mark.parametrize(
    ("names", "user"),
    [
        ({}, None),
        ({"name": 5, "email": None, "upn": "  "}, None),
        ({"name": "A\x1b[31m\u202eB"}, "A [31m B"),
        ({"preferred_username": "x" * 999}, "x" * 197 + "..."),
    ],
)
def test_a_name_for_people_is_cleaned(usual: Idp, names: Any, user: str | None) -> None:
    assert usual.check(signed(**names)).user == user


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("announced", [True, False])
def test_each_algorithm_with_a_key_of_the_provider_is_known(
    algorithm: str, announced: bool
) -> None:
    key = KEYS[algorithm]
    with idp(public(*KEYS.values()), algorithms=(algorithm,) if announced else ()) as running:
        token = signed(key=key, header={"alg": algorithm, "kid": key.kid})

        assert running.check(token).subject == "4711"


# Signatures.


def test_a_token_of_another_key_is_refused() -> None:
    with idp() as running, pytest.raises(InvalidIdToken, match="wrong signature"):
        running.check(signed(key=OTHER))


def test_changed_claims_are_refused(usual: Idp) -> None:
    head, _, signature = signed().reveal().split(".")
    forged = encoded(json.dumps({**GOOD, "sub": "admin"}).encode())

    with pytest.raises(InvalidIdToken, match="wrong signature"):
        usual.check(Secret(f"{head}.{forged}.{signature}"))


def test_no_signature_is_refused_in_every_spelling(usual: Idp) -> None:
    payload = encoded(json.dumps(GOOD).encode())
    for name in ("none", "None", "NONE", "", None, 5, ["RS256"], "RS257", "HS256", "dir"):
        head = encoded(json.dumps({"alg": name}).encode())
        for signature in ("", "AAAA"):
            with pytest.raises(InvalidIdToken, match="not accepted|not a signed"):
                usual.check(Secret(f"{head}.{payload}.{signature}"))


def test_the_public_key_does_not_serve_as_a_shared_one() -> None:
    pem = RSA.as_pem(private=False)
    oct_key = OctKey.import_key(base64.b64encode(pem), {"kid": "rsa"})
    for name in ("HS256", "HS384", "HS512"):
        token = signed(key=oct_key, header={"alg": name, "kid": "rsa"})
        both = {"keys": [*public(RSA)["keys"], oct_key.as_dict()]}
        wrong = pytest.raises(InvalidIdToken, match=f'"{name}", which is not accepted')
        with idp(both, algorithms=(name, "RS256", "none")) as running, wrong as caught:
            running.check(token)
        assert "RS256" in caught.value.hint


def test_an_algorithm_that_the_provider_did_not_announce_is_refused() -> None:
    with idp(algorithms=("ES256",)) as running, pytest.raises(InvalidIdToken, match="RS256"):
        running.check(signed())


def test_a_key_of_another_kind_or_for_another_use_is_not_tried() -> None:
    token = signed(key=KEYS["ES256"], header={"alg": "ES256", "kid": "rsa"})
    with idp() as running, pytest.raises(InvalidIdToken, match="does not publish"):
        running.check(token)
    for more in ({"use": "enc"}, {"alg": "PS256"}, {"kty": "oct"}, {"kid": "x"}, {"kid": None}):
        wrong = pytest.raises(InvalidIdToken, match="does not publish")
        with idp(public(RSA, **more)) as running, wrong:
            running.check(signed())


def test_a_curve_of_another_algorithm_is_refused() -> None:
    token = signed(key=KEYS["ES256"], header={"alg": "ES256", "kid": "p384"})
    with idp(public(KEYS["ES384"])) as running, pytest.raises(InvalidIdToken, match="signature"):
        running.check(token)


def test_a_weak_key_is_not_believed() -> None:
    with pytest.warns(match="2048"):
        weak = RSAKey.generate_key(1024, {"kid": "rsa"})
    token = signed(key=weak)
    with idp(public(weak)) as running, pytest.raises(InvalidIdToken, match="wrong signature"):
        running.check(token)


@pytest.mark.parametrize(
    "more",
    [
        {"n": 5},
        {"n": "!!"},
        {"n": "AAAAA"},
        {"n": "A" * 100_000},
        {"n": "_" * 100_000},
        {"e": "AA"},
        {"e": None},
        {"e": "?"},
    ],
)
def test_a_broken_key_made_no_signature(more: Any) -> None:
    with idp(public(RSA, **more)) as running, pytest.raises(InvalidIdToken, match="signature"):
        running.check(signed())


def test_keys_of_unknown_kinds_and_odd_members_do_not_disturb() -> None:
    odd = [None, 5, {}, {"kty": "AKP", "kid": "rsa"}, {"kty": ["RSA"]}]
    curve = {**public(KEYS["ES256"])["keys"][0], "crv": "P-999"}
    with idp({"keys": [curve, *public(KEYS["ES256"])["keys"]]}) as running:
        token = signed(key=KEYS["ES256"], header={"alg": "ES256", "kid": "p256"})
        assert running.check(token).subject == "4711"
    document = {"keys": [*odd, {**public(RSA)["keys"][0], "x5c": 7, "key_ops": "verify"}]}
    with idp(document) as running:
        assert running.check(signed()).subject == "4711"


def test_without_a_kid_the_fitting_keys_are_tried() -> None:
    with idp(public(*KEYS.values(), OTHER, RSA)) as running:
        assert running.check(signed(header={"alg": "RS256"})).subject == "4711"
    many = public(*[OTHER] * 1000, RSA)  # not without end, though
    with idp(many) as running, pytest.raises(InvalidIdToken, match="wrong signature"):
        running.check(signed(header={"alg": "RS256"}))


@pytest.mark.parametrize("kid", [5, [], {"a": 1}, True])
def test_a_kid_is_a_text(usual: Idp, kid: object) -> None:
    head = encoded(json.dumps({"alg": "RS256", "kid": kid}).encode())
    _, payload, signature = signed().reveal().split(".")
    with pytest.raises(InvalidIdToken, match="not a string"):
        usual.check(Secret(f"{head}.{payload}.{signature}"))


def test_a_kid_is_only_compared(usual: Idp) -> None:
    for kid in ("../../../dev/null", "' or 1=1", "https://evil/"):
        with pytest.raises(InvalidIdToken, match="does not publish"):
            usual.check(signed(header={"alg": "RS256", "kid": kid}))


def test_a_key_in_the_token_itself_is_not_used() -> None:
    with echo() as evil, idp() as running:
        head = {
            "alg": "RS256",
            "kid": "rsa",
            "jwk": OTHER.as_dict(private=False),
            "jku": evil.url,
            "x5u": evil.url,
        }
        with pytest.raises(InvalidIdToken, match="wrong signature"):
            running.check(signed(key=OTHER, header=head))
        assert evil.seen == []


@pytest.mark.parametrize("head", [{"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": False}])
def test_an_unknown_extension_is_refused(usual: Idp, head: dict[str, Any]) -> None:
    text = encoded(json.dumps({"alg": "RS256", "kid": "rsa", **head}).encode())
    payload = encoded(json.dumps(GOOD).encode())
    with pytest.raises(InvalidIdToken, match="extension"):
        usual.check(Secret(f"{text}.{payload}.AAAA"))


def test_new_keys_are_asked_for_once() -> None:
    with idp(public(OTHER, kid="old"), public(RSA)) as running:
        assert running.check(signed()).subject == "4711"
        assert [seen.headers.get("cache-control") for seen in running.server.seen] == [
            None,
            "no-cache",
        ]
    with idp(public(OTHER, kid="old")) as running:
        with pytest.raises(InvalidIdToken, match="does not publish"):
            running.check(signed())
        assert len(running.server.seen) == 2


@pytest.mark.parametrize("document", [{}, {"keys": []}, {"keys": {}}, {"keys": None}])
def test_no_keys_believe_nothing(document: object) -> None:
    with idp(document) as running, pytest.raises(InvalidIdToken, match="does not publish"):
        running.check(signed())


@pytest.mark.parametrize("document", [Answer(404), Answer(body=b"<html>"), [], Answer(302)])
def test_keys_that_cannot_be_fetched_say_nothing_about_the_token(document: object) -> None:
    with idp(document) as running:
        with pytest.raises(InvalidResponse):
            running.check(signed())
        running.provider = replace(running.provider, jwks_uri=f"http://localhost:{free_port()}/")
        with pytest.raises(NoResponse):
            running.check(signed())


def test_without_published_keys_only_a_verified_connection_is_believed() -> None:
    with idp() as running:
        running.provider = replace(running.provider, jwks_uri=None)
        assert running.check(signed(key=OTHER)).subject == "4711"

        running.http.verify = False
        with pytest.raises(InvalidIdToken, match="publishes no keys"):
            running.check(signed())
        running.http.verify = True
        running.provider = replace(running.provider, token_endpoint="http://localhost/token")
        with pytest.raises(InvalidIdToken, match="publishes no keys"):
            running.check(signed())


# Form.


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d.e",
        "a.b.c",
        "é.b.c",
        "e30.e30.e30=",
        "e30.e30. e30",
        "x" * 70_000,
    ],
)
def test_what_is_no_token_is_refused(usual: Idp, text: str) -> None:
    with pytest.raises(InvalidIdToken):
        usual.check(Secret(text))


def test_sizes_are_limited(usual: Idp) -> None:
    certificates = {"alg": "RS256", "kid": "rsa", "x5c": ["A" * 5000]}
    assert usual.check(signed(header=certificates)).subject == "4711"
    with pytest.raises(InvalidIdToken, match="header that is too long"):
        usual.check(signed(header={**certificates, "x5c": ["A" * 8000]}))
    assert usual.check(signed(groups=["g" * 20_000])).subject == "4711"
    with pytest.raises(InvalidIdToken, match="usual length"):
        usual.check(signed(groups=["g" * 70_000]))


def test_a_member_that_stands_twice_is_refused(usual: Idp) -> None:
    body = json.dumps(GOOD)
    with pytest.raises(InvalidIdToken, match="a name twice"):
        usual.check(signed(body.replace("{", '{"sub": "admin", ', 1).encode()))
    head = encoded(b'{"alg": "none", "alg": "RS256", "kid": "rsa"}')
    _, payload, signature = signed().reveal().split(".")
    with pytest.raises(InvalidIdToken, match="a name twice"):
        usual.check(Secret(f"{head}.{payload}.{signature}"))


# Claims.

TIMES = ("exp", "iat", "nbf")
NO_TIMES: list[Any] = ["1800000300", True, None, [], 10**400]


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": ISSUER + "/"}, "comes from"),
        ({"iss": ISSUER.upper()}, "comes from"),
        ({"iss": [ISSUER]}, "comes from"),
        ({"iss": ...}, "comes from"),
        ({"aud": "other"}, "another client"),
        ({"aud": ...}, "another client"),
        ({"aud": []}, "another client"),
        ({"aud": {"us": 1}}, "another client"),
        ({"aud": ["us", 5], "azp": "us"}, "another client"),
        ({"aud": ["us", "other"], "azp": "other"}, "azp"),
        ({"azp": "other"}, "azp"),
        ({"sub": ...}, "who logged on"),
        ({"sub": ""}, "who logged on"),
        ({"sub": 4711}, "who logged on"),
        ({"sub": "x" * 256}, "who logged on"),
        ({"nonce": "m"}, "nonce"),
        ({"nonce": ...}, "nonce"),
        ({"nonce": ["n"]}, "nonce"),
        ({"nonce": "\ud800"}, "nonce"),
        ({"exp": NOW - 300}, "ended 300 seconds ago"),
        ({"iat": NOW + 301}, "valid only in 301 seconds"),
        ({"nbf": NOW + 301}, "valid only in 301 seconds"),
        ({"iat": NOW + 301, "nbf": NOW}, "valid only in 301 seconds"),
        ({"exp": ...}, "has no time"),
        ({"iat": ...}, "has no time"),
        *(({name: odd}, f"has no time \\({name}") for name in TIMES for odd in NO_TIMES),
    ],
)
def test_a_claim_that_does_not_fit_is_refused(usual: Idp, claims: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidIdToken, match=why) as caught:
        usual.check(signed(**claims))

    assert caught.value.message.isprintable()


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
@pytest.mark.parametrize("name", ["exp", "iat"])
def test_a_time_that_is_no_number_is_refused(usual: Idp, name: str, number: str) -> None:
    body = json.dumps({**GOOD, name: 0}).replace(f'"{name}": 0', f'"{name}": {number}')
    with pytest.raises(InvalidIdToken):
        usual.check(signed(body.encode()))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["us"]},
        {"aud": ["us", "other"], "azp": "us"},
        {"aud": ["us", "other"]},  # errata 2
        {"azp": "us"},
        {"azp": None},
        {"exp": NOW - 59},
        {"iat": NOW + 300},
        {"nbf": NOW + 300},
        {"exp": NOW + 0.5, "iat": int(NOW)},
        {"sub": "x" * 255},
    ],
)
def test_a_claim_that_just_fits_is_taken(usual: Idp, claims: dict[str, Any]) -> None:
    assert usual.check(signed(**claims)).subject == claims.get("sub", "4711")


def test_a_wrong_clock_is_named(usual: Idp) -> None:
    with pytest.raises(InvalidIdToken) as caught:
        usual.check(signed(exp=NOW - 3600))

    assert "clock of this computer" in caught.value.hint


@pytest.mark.parametrize("claims", [{"exp": NOW - 9999}, {"iat": NOW + 9999}, {"iat": ...}])
def test_a_renewal_does_not_depend_on_the_clock_of_this_computer(
    usual: Idp, claims: dict[str, Any]
) -> None:
    assert usual.check(signed(**claims), before=BEFORE).subject == "4711"


def test_keys_are_fetched_only_when_the_key_is_not_known() -> None:
    other = KEYS["ES256"]
    with idp(public(RSA), public(RSA, other)) as running:
        key = running.check(signed()).key
        known = replace(BEFORE, id_token_key=key)
        assert running.check(signed(), before=known).key == key
        assert len(running.server.seen) == 1

        turned = signed(key=other, header={"alg": "ES256", "kid": other.kid})
        assert "p256" in str(running.check(turned, before=known).key)
        with pytest.raises(InvalidIdToken, match="wrong signature"):
            running.check(Secret(signed().reveal()[:-8] + "AAAAAAAA"), before=known)
        assert len(running.server.seen) == 3


def test_a_refresh_knows_no_nonce_and_keeps_the_person(usual: Idp) -> None:
    assert usual.check(signed(nonce=...), nonce=None, before=BEFORE).subject == "4711"
    with pytest.raises(InvalidIdToken, match="another person"):
        usual.check(signed(nonce=...), nonce=None, before=replace(BEFORE, subject="4712"))


@pytest.mark.parametrize(
    ("algorithm", "digest"), [("RS256", "sha256"), ("ES384", "sha384"), ("EdDSA", "sha512")]
)
def test_an_access_token_that_does_not_belong_to_it_is_refused(algorithm: str, digest: str) -> None:
    token = Secret("access")
    whole = hashlib.new(digest, b"access").digest()
    half = encoded(whole[: len(whole) // 2])
    key = KEYS[algorithm]
    head = {"alg": algorithm, "kid": key.kid}
    with idp(public(key)) as running:
        good = signed(key=key, header=head, at_hash=half)
        assert running.check(good, access_token=token).subject == "4711"
        assert running.check(good).subject == "4711"
        for wrong in (half[:-1], encoded(whole), "", None, 5, [half]):
            with pytest.raises(InvalidIdToken, match="at_hash"):
                running.check(signed(key=key, header=head, at_hash=wrong), access_token=token)
        assert running.check(signed(key=key, header=head), access_token=token).subject == "4711"


def test_no_refusal_holds_the_token(usual: Idp) -> None:
    token = signed(aud="other")
    with pytest.raises(InvalidIdToken) as caught:
        usual.check(token)

    assert all(part not in repr(caught.value) for part in token.reveal().split("."))


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
_CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        name: _JSON | st.just(GOOD.get(name, "us"))
        for name in ("iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "name")
    },
)
_HEADERS = st.fixed_dictionaries(
    {}, optional={"alg": _JSON | st.just("RS256"), "kid": _JSON, "crit": _JSON, "typ": _JSON}
)


@given(_HEADERS | _JSON, _CLAIMS | _JSON, st.binary(max_size=300))
def test_no_forgery_is_believed(head: object, claims: object, signature: bytes) -> None:
    parts = [json.dumps(head).encode(), json.dumps(claims).encode(), signature]
    token = Secret(".".join(map(encoded, parts)))
    provider = Provider(ISSUER, "http://localhost/token")
    with pytest.raises(InvalidIdToken) as caught:
        check(
            token,
            provider,
            "us",
            http=requests.Session(),
            clock=lambda: NOW,
            nonce="n",
            access_token=Secret("a"),
            before=BEFORE,
        )
    assert caught.value.message.isprintable()


@given(_JSON, st.sampled_from(sorted(id_token._ALGORITHMS)))
def test_any_document_of_keys_can_be_searched(document: Any, algorithm: str) -> None:
    for found in (document, [document], [{"kty": "RSA", "n": document, "e": document}]):
        for key in id_token._matching_keys({"keys": found}, {}, algorithm):
            assert not id_token._is_signed_by(key, signed().reveal(), algorithm)
