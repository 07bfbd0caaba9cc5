"""The identity provider's endpoints: a request in, an answer out; no socket.

========================================= ================================================
``/.well-known/openid-configuration``     metadata (OpenID Discovery 1.0; RFC 8414)
``/authorize``                            the login of a person (RFC 6749, RFC 7636, RFC 9207)
``/token``                                tokens (RFC 6749, RFC 8628)
``/device``, ``/activate``                a device asks, a person approves (RFC 8628)
``/revoke``                               the end of a login (RFC 7009)
``/jwks``                                 public keys (RFC 7517)
========================================= ================================================
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus, urlencode, urlsplit

from gatepass._net.urls import is_loopback
from gatepass.sandbox._accounts import Accounts, Outcome, basic_pair
from gatepass.sandbox._provider.grants import (
    DEVICE_SECONDS,
    Grant,
    Grants,
    Refusal,
    TokenGrant,
)
from gatepass.sandbox._provider.http import (
    NO_STORE,
    HttpRequest,
    ProviderRequest,
    json_response,
    page,
)
from gatepass.sandbox._provider.pages import device_form, login_form, message
from gatepass.sandbox._provider.tokens import TokenIssuer
from gatepass.sandbox._response import Response
from gatepass.secrets import constant_time_compare

if TYPE_CHECKING:
    from gatepass.sandbox.provider import IdentityProvider

Endpoint = Callable[[HttpRequest], Response]

OPENID: Final = "/.well-known/openid-configuration"
OAUTH: Final = "/.well-known/oauth-authorization-server"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS: Final = ("authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT)


@dataclass(frozen=True)
class Endpoints:
    """All endpoints of one run of a provider."""

    settings: "IdentityProvider"
    issuer: str
    accounts: Accounts
    grants: Grants
    tokens: TokenIssuer

    def respond(self, request: HttpRequest) -> tuple[Response, ProviderRequest]:
        """Answer a request, and say what to record of it."""
        try:
            response = self._respond(request)
        except Refusal as refusal:
            response = _error(refusal, request)
        return response, _record_of(request, response)

    def _respond(self, request: HttpRequest) -> Response:
        methods, respond = self._find(request.path)
        if request.method not in methods:
            raise Refusal("invalid_request", "no such method here", HTTPStatus.METHOD_NOT_ALLOWED)
        return respond(request)

    def _find(self, path: str) -> tuple[tuple[str, ...], Endpoint]:
        """Return methods and function of the endpoint at that path."""
        root = urlsplit(self.issuer).path
        responds: Mapping[str, tuple[tuple[str, ...], Endpoint]] = {
            OAUTH + root: (("GET",), lambda _: json_response(self.metadata())),
            root + OPENID: (("GET",), lambda _: json_response(self.metadata())),
            root + "/authorize": (("GET", "POST"), self._authorize),
            root + "/token": (("POST",), self._token),
            root + "/device": (("POST",), self._device),
            root + "/activate": (("GET", "POST"), self._activate),
            root + "/revoke": (("POST",), self._revoke),
            root + "/jwks": (("GET",), lambda _: json_response(self.tokens.keys.public())),
        }
        return responds.get(path, (("GET", "HEAD", "POST"), _nothing))

    # --- metadata and keys ---

    def metadata(self) -> dict[str, object]:
        """Return what the provider says of itself."""
        issuer = self.issuer
        found: dict[str, object] = {
            "issuer": issuer,
            "authorization_endpoint": issuer + "/authorize",
            "token_endpoint": issuer + "/token",
            "revocation_endpoint": issuer + "/revoke",
            "jwks_uri": issuer + "/jwks",
            "response_types_supported": ["code"],
            "grant_types_supported": list(GRANTS),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "offline_access"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [
                "none",
                "client_secret_basic",
                "client_secret_post",
            ],
            "authorization_response_iss_parameter_supported": True,
        }
        if self.settings.device_flow:
            found["device_authorization_endpoint"] = issuer + "/device"
        return found

    # --- the login of a person ---

    def _authorize(self, request: HttpRequest) -> Response:
        posted = request.method == "POST"
        asked = request.form() if posted else request.parameters()
        self._check_place(asked)
        try:
            return self._login(asked, posted=posted)
        except Refusal as refusal:
            error = {"error": refusal.error, "error_description": refusal.description}
            return _redirect(self._back(asked, error))

    def _login(self, asked: Mapping[str, str], *, posted: bool) -> Response:
        _check_request(asked)
        if posted:
            return self._decided(asked)
        if self.settings.auto_login is not None:
            return _redirect(self.callback(asked, self.settings.auto_login))
        if asked.get("prompt") == "none":
            raise Refusal("login_required", "no user has logged on here")
        return page(login_form(_request_part(asked), asked.get("login_hint", "")))

    def _check_place(self, asked: Mapping[str, str]) -> None:
        """Refuse what must not be answered by a redirect (RFC 6749, section 4.1.2.1)."""
        if asked.get("client_id") not in self.settings.clients:
            raise Refusal("unauthorized_client", "no such client")
        if not _is_loopback_redirect(asked.get("redirect_uri", "")):
            raise Refusal("invalid_request", "redirect_uri is not a loopback address")

    def _decided(self, asked: Mapping[str, str]) -> Response:
        user = asked.get("login", "")
        if asked.get("decision") == "deny":
            raise Refusal("access_denied", "the login was denied")
        if self.accounts.check(user, asked.get("password", "")) is not Outcome.RIGHT:
            form = login_form(_request_part(asked), user, "Wrong user name or password.")
            return page(form)
        return _redirect(self.callback(asked, user))

    def callback(self, asked: Mapping[str, str], user: str) -> str:
        """Return the address to which the browser goes after that user has logged on.

        Raises:
            Refusal: the request was not right.
        """
        self._check_place(asked)
        _check_request(asked)
        grant = self._grant(asked, asked["client_id"], user)
        code = self.grants.new_code(grant, asked["redirect_uri"], asked["code_challenge"])
        return self._back(asked, {"code": code})

    def _back(self, asked: Mapping[str, str], values: Mapping[str, str]) -> str:
        target = asked["redirect_uri"]
        state = {"state": asked["state"]} if "state" in asked else {}
        parameters = urlencode({**values, **state, "iss": self.issuer})
        return f"{target}{'&' if '?' in target else '?'}{parameters}"

    def _grant(self, asked: Mapping[str, str], client_id: str, user: str) -> Grant:
        audience = asked.get("audience") or asked.get("resource") or self.settings.audience
        scopes = tuple(dict.fromkeys(asked.get("scope", "").split()))
        return Grant(user, client_id, scopes, audience, asked.get("nonce"))

    # --- tokens ---

    def _token(self, request: HttpRequest) -> Response:
        form = request.form()
        self.grants.count_request(form.get("grant_type", ""))
        client_id = self._authenticate(form, request.authorization)
        granted = self._granted(form, client_id)
        refreshed = form.get("grant_type") == "refresh_token"
        return json_response(self.tokens.response(granted, refreshed=refreshed))

    def _authenticate(self, form: Mapping[str, str], authorization: str | None) -> str:
        """Return the client that sent the request (RFC 6749, section 2.3).

        Raises:
            Refusal: unknown, without the right secret, or with two proofs at once.
        """
        by_basic, by_post = _client_pair(authorization), form.get("client_secret")
        if by_basic is not None and by_post is not None:
            raise Refusal("invalid_request", "two ways of client authentication at once")
        client_id, secret = by_basic or (form.get("client_id", ""), by_post)
        expected = self.settings.clients.get(client_id, "")
        right = secret is None if expected is None else constant_time_compare(expected, secret)
        if not right or client_id not in self.settings.clients:
            text = "unknown client, or wrong secret"
            raise Refusal("invalid_client", text, HTTPStatus.UNAUTHORIZED)
        return client_id

    def _granted(self, form: Mapping[str, str], client_id: str) -> TokenGrant:
        grants = self.grants
        match form.get("grant_type"):
            case "authorization_code":
                code, verifier = _need(form, "code"), _need(form, "code_verifier")
                return grants.redeem(code, client_id, _need(form, "redirect_uri"), verifier)
            case "refresh_token":
                scopes = tuple(form.get("scope", "").split())
                return grants.refresh(_need(form, "refresh_token"), client_id, scopes)
            case "client_credentials":
                if self.settings.clients[client_id] is None:
                    raise Refusal("unauthorized_client", "a public client has no credentials")
                # The client itself is who logs on; no refresh token (RFC 6749, section 4.4.3).
                return TokenGrant(self._grant(form, client_id, client_id), None)
            case grant if grant == DEVICE_GRANT and self.settings.device_flow:
                return grants.poll(_need(form, "device_code"), client_id)
        raise Refusal("unsupported_grant_type")

    def _revoke(self, request: HttpRequest) -> Response:
        form = request.form()
        client_id = self._authenticate(form, request.authorization)
        self.grants.revoke(_need(form, "token"), client_id)
        return Response(HTTPStatus.OK)

    # --- devices ---

    def _device(self, request: HttpRequest) -> Response:
        if not self.settings.device_flow:
            return _nothing(request)
        form = request.form()
        client_id = self._authenticate(form, request.authorization)
        device_code, user_code = self.grants.new_device(self._grant(form, client_id, ""))
        place = self.issuer + "/activate"
        return json_response(
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": place,
                "verification_uri_complete": f"{place}?user_code={user_code}",
                "expires_in": int(DEVICE_SECONDS),
                "interval": self.settings.device_interval,
            }
        )

    def _activate(self, request: HttpRequest) -> Response:
        if request.method == "GET":
            return page(device_form(request.parameters().get("user_code", "")))
        form = request.form()
        user_code, user = form.get("user_code", ""), form.get("login", "")
        denied = form.get("decision") == "deny"
        right = denied or (self.accounts.check(user, form.get("password", "")) is Outcome.RIGHT)
        if not right:
            return page(device_form(user_code, "Wrong user name or password."))
        try:
            self.grants.decide(user_code, None if denied else user)
        except KeyError:
            return page(device_form(user_code, "No device waits with that code."))
        return page(message("Done", "You can close this page and go back to the device."))


def _client_pair(authorization: str | None) -> tuple[str, str] | None:
    """Return name and secret of a Basic header; None without one.

    Both parts are form-encoded before they are joined (RFC 6749, section 2.3.1).
    """
    pair = basic_pair(authorization)
    return pair and (unquote_plus(pair[0]), unquote_plus(pair[1]))


def _is_loopback_redirect(redirect_uri: str) -> bool:
    """Say whether a redirect goes to this machine, on any port (RFC 8252, section 7.3)."""
    if not redirect_uri.isascii() or not redirect_uri.isprintable() or " " in redirect_uri:
        return False
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        return False
    is_http = parts.scheme == "http" and not parts.fragment
    return is_http and is_loopback(parts.hostname or "")


def _check_request(asked: Mapping[str, str]) -> None:
    if asked.get("response_type") != "code":
        raise Refusal("unsupported_response_type", "only code")
    if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
        raise Refusal("invalid_request", "PKCE with S256 is required (RFC 7636)")


def _request_part(asked: Mapping[str, str]) -> dict[str, str]:
    own = {"login", "password", "decision"}
    return {name: value for name, value in asked.items() if name not in own}


def _need(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        raise Refusal("invalid_request", f"{name} is missing")
    return form[name]


def _redirect(target: str) -> Response:
    return Response(HTTPStatus.FOUND, headers=(("Location", target), *NO_STORE))


def _nothing(request: HttpRequest) -> Response:  # noqa: ARG001 - as all endpoints
    return json_response({"error": "nothing is here"}, HTTPStatus.NOT_FOUND)


def _error(refusal: Refusal, request: HttpRequest) -> Response:
    content = {"error": refusal.error}
    if refusal.description:
        content["error_description"] = refusal.description
    response = json_response(content, refusal.status)
    if refusal.status == HTTPStatus.UNAUTHORIZED and request.authorization is not None:
        return replace(
            response, headers=(*response.headers, ("WWW-Authenticate", 'Basic realm="idp"'))
        )
    return response


def _record_of(request: HttpRequest, response: Response) -> ProviderRequest:
    fields: dict[str, str] = {}
    for read in (request.parameters, request.form):
        try:
            fields |= read()
        except Refusal:  # no form, or one that was refused
            continue
    basic = _client_pair(request.authorization)
    by_post = "post" if "client_secret" in fields else None
    return ProviderRequest(
        method=request.method,
        path=request.path,
        status=int(response.status),
        grant_type=fields.get("grant_type"),
        client_id=basic[0] if basic is not None else fields.get("client_id"),
        parameters=frozenset(fields),
        client_secret_by="basic" if basic is not None else by_post,
    )
