"""The clients of the identity provider, and their authentication (RFC 6749, section 2.3)."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from gatepass._net.urls import is_loopback
from gatepass.sandbox._provider.grants import Refusal
from gatepass.secrets import constant_time_compare


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients: name → secret, None for a public client."""

    secrets: Mapping[str, str | None] = field(repr=False)

    def is_known(self, client_id: str) -> bool:
        """Say whether there is such a client."""
        return client_id in self.secrets

    def is_public(self, client_id: str) -> bool:
        """Say whether the client has no secret."""
        return self.secrets[client_id] is None

    def authenticate(self, form: Mapping[str, str], authorization: str | None) -> str:
        """Return the client that sent the request (RFC 6749, section 2.3).

        Raises:
            Refusal: unknown, without the right secret, or with two proofs at once.
        """
        basic = basic_pair(authorization)
        if basic is not None and "client_secret" in form:
            raise Refusal("invalid_request", "two ways of client authentication at once")
        given = form.get("client_secret")
        client_id, secret = basic if basic is not None else (form.get("client_id", ""), given)
        if form.get("client_id", client_id) != client_id:
            raise Refusal("invalid_request", "two names of clients at once")
        if not self.is_known(client_id) or not self._is_secret_of(client_id, secret):
            raise Refusal("invalid_client", "unknown client, or wrong secret", _UNAUTHORIZED)
        return client_id

    def _is_secret_of(self, client_id: str, secret: str | None) -> bool:
        expected = self.secrets[client_id]
        return secret is None if expected is None else constant_time_compare(expected, secret)


_UNAUTHORIZED: Final = HTTPStatus.UNAUTHORIZED


def basic_pair(authorization: str | None) -> tuple[str, str] | None:
    """Return name and secret of a Basic header; None without one.

    Both parts are form-encoded before they are joined (RFC 6749, section 2.3.1).
    """
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    name, _, secret = text.partition(":")
    return unquote_plus(name), unquote_plus(secret)


def is_loopback_redirect(redirect_uri: str) -> bool:
    """Say whether a redirect goes to this machine, on any port (RFC 8252, section 7.3)."""
    if not redirect_uri.isascii() or not redirect_uri.isprintable() or " " in redirect_uri:
        return False
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        return False
    is_http = parts.scheme == "http" and not parts.fragment
    return is_http and is_loopback(parts.hostname or "")
