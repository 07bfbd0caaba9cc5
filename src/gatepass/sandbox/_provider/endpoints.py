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
from typing import Final
from urllib.parse import urlencode, urlsplit

from gatepass.sandbox._accounts import Accounts, Outcome
from gatepass.sandbox._provider.clients import Clients, basic_pair, is_loopback_redirect
from gatepass.sandbox._provider.grants import Grant, Grants, Refusal, TokenGrant
from gatepass.sandbox._provider.http import (
    NO_STORE,
    HttpRequest,
    ProviderRequest,
    json_response,
    page,
)
from gatepass.sandbox._provider.pages import device_form, login_form, message
from gatepass.sandbox._provider.settings import Settings
from gatepass.sandbox._provider.tokens import TokenIssuer
from gatepass.sandbox._response import Response

OPENID: Final = "/.well-known/openid-configuration"
OAUTH: Final = "/.well-known/oauth-authorization-server"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS: Final = ("authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT)


@dataclass(frozen=True)
class Endpoints:
    """All endpoints of one run of a provider."""

    settings: Settings
    issuer: str
    accounts: Accounts
    clients: Clients
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

    def _find(self, path: str) -> tuple[tuple[str, ...], Callable[[HttpRequest], Response]]:
        """Return methods and function of the endpoint at that path."""
        root = urlsplit(self.issuer).path
        if path in {OAUTH + root, root + OPENID}:
            return ("GET",), self._metadata
        name = path.removeprefix(root + "/")
        responds: Mapping[str, tuple[tuple[str, ...], Callable[[HttpRequest], Response]]] = {
            "authorize": (("GET", "POST"), self._authorize),
            "token": (("POST",), self._token),
            "device": (("POST",), self._device),
            "activate": (("GET", "POST"), self._activate),
            "revoke": (("POST",), self._revoke),
            "jwks": (("GET",), self._jwks),
        }
        if not path.startswith(root + "/") or name not in responds:
            return ("GET", "HEAD", "POST"), _nothing
        return responds[name]

    # --- metadata and keys ---

    def _metadata(self, request: HttpRequest) -> Response:  # noqa: ARG002 - as all endpoints
        return json_response(self.metadata())

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

    def _jwks(self, request: HttpRequest) -> Response:  # noqa: ARG002 - as all endpoints
        return json_response(self.tokens.keys.public())

    # --- the login of a person ---

    def _authorize(self, request: HttpRequest) -> Response:
        posted = request.method == "POST"
        asked = request.form() if posted else request.parameters()
        self._check_place(asked)
        try:
            return self._login(asked, posted=posted)
        except Refusal as refusal:
            return _redirect(self._refusal(asked, refusal))

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
        if not self.clients.is_known(asked.get("client_id", "")):
            raise Refusal("unauthorized_client", "no such client")
        if not is_loopback_redirect(asked.get("redirect_uri", "")):
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

    def _refusal(self, asked: Mapping[str, str], refusal: Refusal) -> str:
        error = {"error": refusal.error, "error_description": refusal.description}
        return self._back(asked, error)

    def _back(self, asked: Mapping[str, str], values: Mapping[str, str]) -> str:
        target = asked["redirect_uri"]
        parameters = self.callback_parameters(asked, values)
        return f"{target}{'&' if '?' in target else '?'}{urlencode(parameters)}"

    def callback_parameters(
        self, asked: Mapping[str, str], values: Mapping[str, str]
    ) -> dict[str, str]:
        """Return what the browser brings back to the client."""
        state = {"state": asked["state"]} if "state" in asked else {}
        return {**values, **state, "iss": self.issuer}

    def _grant(self, asked: Mapping[str, str], client_id: str, user: str) -> Grant:
        audience = asked.get("audience") or asked.get("resource") or self.settings.audience
        scopes = tuple(dict.fromkeys(asked.get("scope", "").split()))
        return Grant(user, client_id, scopes, audience, asked.get("nonce"))

    # --- tokens ---

    def _token(self, request: HttpRequest) -> Response:
        form = request.form()
        self.grants.count_request(form.get("grant_type", ""))
        client_id = self.clients.authenticate(form, request.authorization)
        granted = self._granted(form, client_id)
        refreshed = form.get("grant_type") == "refresh_token"
        return json_response(self.tokens.response(granted, refreshed=refreshed))

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
                if self.clients.is_public(client_id):
                    raise Refusal("unauthorized_client", "a public client has no credentials")
                # The client itself is who logs on; no refresh token (RFC 6749, section 4.4.3).
                return TokenGrant(self._grant(form, client_id, client_id), None)
            case grant if grant == DEVICE_GRANT and self.settings.device_flow:
                return grants.poll(_need(form, "device_code"), client_id)
        raise Refusal("unsupported_grant_type")

    def _revoke(self, request: HttpRequest) -> Response:
        form = request.form()
        client_id = self.clients.authenticate(form, request.authorization)
        self.grants.revoke(_need(form, "token"), client_id)
        return Response(HTTPStatus.OK)

    # --- devices ---

    def _device(self, request: HttpRequest) -> Response:
        if not self.settings.device_flow:
            return _nothing(request)
        form = request.form()
        client_id = self.clients.authenticate(form, request.authorization)
        device_code, user_code = self.grants.new_device(self._grant(form, client_id, ""))
        place = self.issuer + "/activate"
        return json_response(
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": place,
                "verification_uri_complete": f"{place}?user_code={user_code}",
                "expires_in": int(self.settings.device_seconds),
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
    basic = basic_pair(request.authorization)
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
