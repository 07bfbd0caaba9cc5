"""An identity provider of a few lines on loopback, which checks what a real one checks."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from gatepass._vault.records import Client, Provider, Tokens
from gatepass.auth._oidc import token_response
from gatepass.auth._oidc.client_auth import request_token
from tests.support.echo import Answer, Echo, Seen, echo

NOW = 1_800_000_000.0


@dataclass
class SmallProvider:
    """A provider that has just been asked to log somebody in.

    Attributes:
        asked: the fields of each authorization request.
        posted: the fields of each form.
        headers: the headers of each form.
        says: what the callback carries beside or instead of the usual.
        token: how the token endpoint answers a form; None is the usual.
        device: what the device authorization endpoint answers.
        carries_iss: whether its metadata says that callbacks carry ``iss``.
    """

    server: Echo
    asked: list[dict[str, str]] = field(default_factory=list)
    posted: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    says: Mapping[str, str | None] = field(default_factory=dict)
    token: Callable[[dict[str, str]], Answer] | None = None
    device: Any = None
    carries_iss: bool = True

    @property
    def metadata(self) -> Provider:
        root = self.server.root
        return Provider(
            issuer=root,
            token_endpoint=f"{root}/token",
            authorization_endpoint=f"{root}/authorize?tenant=a%20b",
            device_authorization_endpoint=f"{root}/device",
            answers_carry_iss=self.carries_iss,
        )

    def send(self, client: Client) -> Callable[[Mapping[str, str]], Tokens]:
        """Return what the grants take as ``send``, over real HTTP."""

        def send(fields: Mapping[str, str]) -> Tokens:
            with session() as http:
                response = request_token(http, self.metadata, client, fields)
            return token_response.parse_tokens(response, clock=lambda: NOW)

        return send

    def answer(self, seen: Seen) -> Answer:
        parts = urlsplit(seen.path)
        if parts.path == "/authorize":
            return self._redirect(dict(parse_qsl(parts.query, keep_blank_values=True)))
        form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
        self.posted.append(form)
        self.headers.append(seen.headers)
        if parts.path == "/device":
            return in_json(self.device)
        if self.token is not None:
            return self.token(form)
        return self._tokens(form)

    def _redirect(self, query: dict[str, str]) -> Answer:
        self.asked.append(query)
        back: dict[str, str | None] = {
            "code": "c0de",
            "state": query["state"],
            "iss": self.server.root,
            **self.says,
        }
        answer = urlencode({name: value for name, value in back.items() if value is not None})
        return Answer(302, [("Location", f"{query['redirect_uri']}?{answer}")], b"")

    def _tokens(self, form: dict[str, str]) -> Answer:
        if form["grant_type"] == "authorization_code":
            query = self.asked[-1]
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if (form["code"], form["redirect_uri"], challenge) != (
                "c0de",
                query["redirect_uri"],
                query["code_challenge"],
            ):
                return in_json({"error": "invalid_grant"}, 400)
        return in_json(
            {"access_token": "at", "token_type": "Bearer", "refresh_token": "rt", "expires_in": 60}
        )


def in_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(value).encode())


def session() -> requests.Session:
    """Return an HTTP client that takes nothing from the environment."""
    http = requests.Session()
    http.trust_env = False
    return http


@contextmanager
def small_provider(**settings: Any) -> Iterator[SmallProvider]:
    """Run one."""
    with echo() as server:
        provider = SmallProvider(server, **settings)
        server.answers = provider.answer
        yield provider


def browse(url: str) -> requests.Response:
    """Do what a browser does after the person has logged in: follow the provider's redirect."""
    with session() as http:
        return http.get(url, timeout=30)


def last_address(url: str) -> str:
    """Return the address on which a browser ends that cannot reach the redirect_server."""
    with session() as http:
        return http.get(url, timeout=30, allow_redirects=False).headers["Location"]
