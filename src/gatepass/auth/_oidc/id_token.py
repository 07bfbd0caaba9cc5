"""Check an ID token, which says who logged on (OpenID Connect Core 3.1.3.7 and 12.2)."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gatepass._value import Value
from gatepass._vault.records import Provider, Record
from gatepass.auth._oidc.endpoint import endpoint_of
from gatepass.auth._oidc.foreign_text import printable
from gatepass.auth._oidc.http import ASK_ITS_ADMINISTRATOR, TIMEOUT, get_json, is_verified
from gatepass.auth._oidc.strict_json import json_object
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, constant_time_compare

if TYPE_CHECKING:
    from requests import Session

_MAX_LENGTH: Final = 65_536  # characters of a token
_MAX_HEADER: Final = 8192  # characters; one with a certificate chain has a few thousand
_LEEWAY: Final = 300  # seconds by which two clocks may differ
_MAX_KEYS: Final = 20  # that are tried where the token names none
_RSA_BITS: Final = range(2048, 16_385)
_MAX_SUBJECT: Final = 255  # characters, by OpenID Connect Core, section 2
_PART_COUNT: Final = 3
_PUBLIC_MEMBERS: Final = ("kty", "n", "e", "crv", "x", "y")
_ABOUT_KEY: Final = ("kid", "use", "alg")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_USER_CLAIMS: Final = ("preferred_username", "upn", "email", "unique_name", "name")

# Signatures by a key that only the provider has: never "none", never HS..., whose key we would
# share. The type of the key, and the hash that at_hash is made with.
_ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    **{f"{kind}{bits}": ("RSA", f"sha{bits}") for kind in ("RS", "PS") for bits in (256, 384, 512)},
    **{f"ES{bits}": ("EC", f"sha{bits}") for bits in (256, 384, 512)},
    "EdDSA": ("OKP", "sha512"),
    "Ed25519": ("OKP", "sha512"),
}

_SHARED: Final = (
    "that is a key which the provider shares with its clients; at the identity provider, let this "
    "client's ID tokens be signed by RS256, or leave openid out of scopes: then none is sent"
)


class InvalidIdToken(GatepassError):
    """An ID token is not what it should be; perhaps another than the provider sent it."""

    exit_code = 4


class Claims(Value):
    """What an ID token says.

    Attributes:
        subject: who; unique at the provider.
        user: a name for people; None when it holds none.
        key: the public key that it was signed by, as JSON; None when none was asked for.
    """

    subject: str
    user: str | None
    key: str | None


def check(
    id_token: Secret,
    provider: Provider,
    client_id: str,
    *,
    http: "Session",
    clock: Callable[[], float],
    nonce: str | None = None,
    access_token: Secret | None = None,
    before: Record | None = None,
) -> Claims:
    """Check an ID token that came from the token endpoint. Fetches the keys that are not known.

    Args:
        id_token: as it came.
        provider: who must have made it.
        client_id: for whom it must be.
        http: a session without credentials.
        clock: wall time.
        nonce: what the login sent; None where there was no browser.
        access_token: what came with it; ``at_hash`` must fit, where there is one.
        before: at a renewal the login that is renewed. The token must be about the same person.
            Its times do not count, since it was asked for just now: a clock that is wrong would
            refuse each one, and spend a refresh token each time.

    Raises:
        InvalidIdToken: it must not be believed; says why.
        GatepassError: the keys cannot be fetched; nothing is said about the token then.
    """
    text = id_token.reveal()
    header, claims = _parse(text)
    algorithm = _check_algorithm(header, provider)
    # First what needs no network.
    _check_parties_and_times(claims, provider, client_id, None if before else clock())
    if nonce is not None and not constant_time_compare(claims.get("nonce"), nonce):
        raise _invalid("does not answer this login (nonce)")
    _check_access_token(claims, access_token, algorithm)
    who = _check_subject(claims, before.subject if before else None)
    known = before.id_token_key if before else None
    key = _check_signature(text, header, algorithm, provider, http, known)
    names = (claims.get(name) for name in _USER_CLAIMS)
    user = next((name for name in names if isinstance(name, str) and name.strip()), None)
    return Claims(who, printable(user) if user else None, key)


def _invalid(why: str) -> InvalidIdToken:
    return InvalidIdToken(f"the ID token {why}", hint=ASK_ITS_ADMINISTRATOR)


def _parse(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, not yet to be believed."""
    parts = text.split(".") if len(text) <= _MAX_LENGTH else []
    if len(parts) != _PART_COUNT or not all(map(_BASE64URL.fullmatch, parts)):
        raise _invalid("is not a signed JSON Web Token of usual length")
    if len(parts[0]) > _MAX_HEADER:
        raise _invalid("has a header that is too long")
    try:
        return json_object(_decode(parts[0])), json_object(_decode(parts[1]))
    except ValueError as error:
        problem = str(error)
    raise _invalid(f"cannot be read: a part of it {problem}")


def _decode(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise ValueError("is not base64url") from None


def _check_algorithm(header: Mapping[str, Any], provider: Provider) -> str:
    if "crit" in header or "b64" in header:  # RFC 7515, section 4.1.11: we know no extension
        raise _invalid("demands an extension that is not known here")
    if not isinstance(header.get("kid"), str | None):
        raise _invalid("names its key by something that is not a string")
    named = header.get("alg")
    announced = provider.id_token_algorithms or tuple(_ALGORITHMS)
    if not isinstance(named, str) or named not in _ALGORITHMS or named not in announced:
        shared = isinstance(named, str) and named.startswith("HS")
        raise InvalidIdToken(
            f'the ID token is signed by "{printable(named)}", which is not accepted',
            hint=_SHARED if shared else "",
        )
    return named


def _check_parties_and_times(
    claims: Mapping[str, Any], provider: Provider, client_id: str, now: float | None
) -> None:
    """Check who made the token for whom, and when (OpenID Connect Core 3.1.3.7)."""
    from joserfc.errors import ClaimError
    from joserfc.jwt import JWTClaimsRegistry

    times = _read_times(claims) if now is not None else {}
    parties = {name: claims[name] for name in ("iss", "aud") if name in claims}
    registry = JWTClaimsRegistry(
        now=now or 0.0,  # type: ignore[arg-type]  # compares float too
        leeway=_LEEWAY,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": client_id},
    )
    try:
        registry.validate({**parties, **times})
    except ClaimError as error:
        raise _to_error(error.claim, claims, times, provider, now or 0.0) from None
    # joserfc does not know azp. Several audiences need none (errata 2 of OpenID Connect Core).
    if claims.get("azp") not in (None, client_id):
        raise _invalid("was made for another client than ours (azp)")


def _read_times(claims: Mapping[str, Any]) -> dict[str, float]:
    """Return the times; joserfc would take 10**400 for one, and a missing one for none."""
    names = ("exp", "iat", "nbf") if "nbf" in claims else ("exp", "iat")
    return {name: _read_time(claims, name) for name in names}


def _read_time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(f"has no time ({name})")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise _invalid(f"has no time ({name})")
    return seconds


def _to_error(
    refused: str,
    claims: Mapping[str, Any],
    times: Mapping[str, float],
    provider: Provider,
    now: float,
) -> InvalidIdToken:
    hint = "check the clock of this computer"
    if refused == "exp":
        return InvalidIdToken(f"the ID token ended {now - times['exp']:.0f} seconds ago", hint=hint)
    if refused in times:
        ahead = max(times["iat"], times.get("nbf", times["iat"])) - now
        return InvalidIdToken(
            f"the ID token is valid only in {ahead:.0f} seconds from now", hint=hint
        )
    if refused == "iss":
        named, wanted = printable(claims.get("iss")), printable(provider.issuer)
        return _invalid(f'comes from "{named}", not from "{wanted}"')
    return _invalid("is for another client than ours")


def _check_access_token(
    claims: Mapping[str, Any], access_token: Secret | None, algorithm: str
) -> None:
    """Check ``at_hash`` where there is one (OpenID Connect Core 3.1.3.8)."""
    if access_token is None or "at_hash" not in claims:
        return
    digest = hashlib.new(_ALGORITHMS[algorithm][1], access_token.reveal().encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")
    if not constant_time_compare(claims["at_hash"], half):
        raise _invalid("belongs to another access token (at_hash)")


def _check_subject(claims: Mapping[str, Any], before: str | None) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT:
        raise _invalid("does not say who logged on (sub)")
    if before is not None and subject != before:
        raise _invalid("is about another person than the stored login (sub)")
    return subject


def _check_signature(
    text: str,
    header: Mapping[str, Any],
    algorithm: str,
    provider: Provider,
    http: "Session",
    known: str | None,
) -> str | None:
    """Check the signature by the key that is known, else by the provider's keys; return the key.

    A provider that publishes no keys is believed over TLS alone, as OpenID Connect Core
    3.1.3.7 (6) allows: the token came straight from its token endpoint.

    Raises:
        InvalidIdToken: no key of the provider made it.
    """
    if provider.jwks_uri is None:
        if provider.token_endpoint.startswith("https://") and is_verified(
            http, provider.token_endpoint
        ):
            return None
        raise _invalid("cannot be checked: the identity provider publishes no keys")
    before = _matching_keys({"keys": [json.loads(known or "0")]}, header, algorithm)
    if any(_is_signed_by(key, text, algorithm) for key in before):
        return known
    jwks_uri = endpoint_of(provider, "jwks_uri")
    keys = _matching_keys(get_json(http, jwks_uri, seconds=TIMEOUT), header, algorithm)
    if not keys:  # perhaps new keys, and an old copy of the document on the way
        fresh = get_json(http, jwks_uri, seconds=TIMEOUT, fresh=True)
        keys = _matching_keys(fresh, header, algorithm)
    if not keys:
        raise _invalid("is signed by a key that the identity provider does not publish")
    for key in keys:
        if _is_signed_by(key, text, algorithm):
            members = (*_PUBLIC_MEMBERS, *_ABOUT_KEY)
            return json.dumps({name: key[name] for name in members if name in key})
    raise _invalid("has a wrong signature")


def _matching_keys(
    document: Mapping[str, Any], header: Mapping[str, Any], algorithm: str
) -> list[dict[str, Any]]:
    """Return the keys of a JWKS that may have made this signature (RFC 7517, section 4)."""
    keys = document.get("keys")
    wanted = {"kty": _ALGORITHMS[algorithm][0]}
    if "kid" in header:
        wanted["kid"] = header["kid"]
    found = [
        key
        for key in (keys if isinstance(keys, list) else ())
        if isinstance(key, dict)
        and all(key.get(name) == value for name, value in wanted.items())
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
    ]
    return found[:_MAX_KEYS]


def _is_signed_by(data: Mapping[str, Any], text: str, algorithm: str) -> bool:
    """Whether a key made the signature; a malformed key made none."""
    from joserfc import jws
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    class Registry(jws.JWSRegistry):
        max_header_length = _MAX_HEADER

        def get_alg(self, name: str) -> Any:
            # The original warns about EdDSA, which is only about to get another name.
            return self.algorithms[name]

    if data["kty"] == "RSA" and _bits(data.get("n")) not in _RSA_BITS:
        return False
    # Public parts only: other members are of no use here, and may be malformed.
    public: dict[str, Any] = {name: data[name] for name in _PUBLIC_MEMBERS if name in data}
    registry = Registry(algorithms=[algorithm], strict_check_header=False)
    try:
        jws.deserialize_compact(text, JWKRegistry.import_key(public), registry=registry)
    except (JoseError, ValueError, TypeError, KeyError):  # KeyError: an unknown curve
        return False
    return True


def _bits(modulus: Any) -> int:
    """Return the length of an RSA key in bits; 0 when it is malformed."""
    if not isinstance(modulus, str) or not _BASE64URL.fullmatch(modulus):
        return 0
    try:
        return int.from_bytes(_decode(modulus)).bit_length()
    except ValueError:
        return 0
