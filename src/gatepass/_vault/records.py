"""What the vault stores, and the other values that the modules of the OIDC scheme share."""

from collections.abc import Callable, Mapping

from gatepass._value import Value, field
from gatepass.secrets import Secret


class Identity(Value):
    """Whose tokens a record holds, by what the profile says; nothing of it comes from a server.

    Attributes:
        origin: the server that the token is for, such as ``https://mi.example.com``.
        account: the profile's ``account``, for several people or roles at one server.
        issuer: as written in the profile; None when the server tells it.
        client_id: as written in the profile; None when the server tells it.
        audience: as written in the profile.
        scopes: as written in the profile, sorted.
    """

    origin: str
    account: str = ""
    issuer: str | None = None
    client_id: str | None = None
    audience: str | None = None
    scopes: tuple[str, ...] = ()


class Provider(Value):
    """An identity provider, from its metadata (OpenID Discovery 4.3, RFC 8414).

    Attributes:
        issuer: its identifier; ``iss`` of tokens and callbacks must equal it.
        token_endpoint: for token requests.
        authorization_endpoint: for the browser; None when there is none.
        device_authorization_endpoint: of RFC 8628; None when there is none.
        revocation_endpoint: of RFC 7009; None when there is none.
        jwks_uri: its public keys; None when there are none.
        auth_methods: ``token_endpoint_auth_methods_supported``; empty when not given.
        id_token_algorithms: ``id_token_signing_alg_values_supported``; empty when not given.
        challenge_methods: ``code_challenge_methods_supported``; empty when not given.
        answers_carry_iss: whether callbacks must carry ``iss`` (RFC 9207).
    """

    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    jwks_uri: str | None = None
    auth_methods: tuple[str, ...] = ()
    id_token_algorithms: tuple[str, ...] = ()
    challenge_methods: tuple[str, ...] = ()
    answers_carry_iss: bool = False


class Client(Value):
    """Who we are at the identity provider, and what we ask for.

    Attributes:
        client_id: our name there.
        secret: our secret; None for a public client.
        scopes: what we ask for.
        audience: which API the token is for; None when the provider knows.
        redirect_uri: a fixed loopback address; None for any free port.
        extra_params: further parameters of the authorization request.
        token_params: further parameters of each token request.
        auth: ``basic`` or ``post``: how the secret is sent; None where that is found out.
        assertion: returns a token that is sent instead of a secret (RFC 7523).
        sign: returns such a token for a client_id and an audience, signed by the client's key.
        taken: for each token endpoint, the proof that was taken there last; written to, so that no
            later request begins with a refusal.
    """

    client_id: str
    secret: Secret | None = None
    scopes: tuple[str, ...] = ("openid", "offline_access")
    audience: str | None = None
    redirect_uri: str | None = None
    extra_params: Mapping[str, str] = field(default_factory=dict)
    token_params: Mapping[str, str] = field(default_factory=dict)
    auth: str | None = None
    assertion: Callable[[], Secret] | None = None
    sign: Callable[[str, str], Secret] | None = None
    taken: dict[str, str] = field(default_factory=dict, compare=False)


class Tokens(Value):
    """What a token endpoint gave. Prints no token.

    Attributes:
        access_token: for the API.
        expires_at: when it ends, in seconds since 1970; None when the provider does not say.
        refresh_token: for the next access token; None when the answer held none.
        id_token: who logged on; None when the answer held none.
        scope: what was granted; None when the answer does not say.
        refresh_until: when the refresh token ends, in seconds since 1970; None when the provider
            does not say, or when it never does.
    """

    access_token: Secret
    expires_at: float | None = None
    refresh_token: Secret | None = None
    id_token: Secret | None = None
    scope: tuple[str, ...] | None = None
    refresh_until: float | None = None


class Record(Value):
    """What the vault keeps of one identity. Prints no token.

    Attributes:
        generation: grows by one with each write.
        provider: the provider of the tokens. It is pinned: a challenge or metadata that names
            another is refused.
        client_id: pinned likewise.
        scopes: what was requested.
        audience: the API that was requested.
        refresh_token: None after the provider has refused it.
        access_token: the last one; None when there is none.
        expires_at: when the access token ends, in seconds since 1970; None when not known.
        subject: ``sub`` of the ID token; None when there was none.
        user: a name for people; None when not known.
        suspect: why the tokens must not be used until a login; None when they may.
        saved_at: when this was written, in seconds since 1970.
        refresh_until: when the refresh token ends, unless it is used before; None when not known.
        refused: why the provider has not renewed the login, so that the refresh token is not sent
            again; None when it has.
        ask_again_at: when it may be sent again, in seconds since 1970; None: not before a login.
        id_token_key: the provider's public key of the last ID token, as JSON; None when not known.
    """

    generation: int
    provider: Provider
    client_id: str
    scopes: tuple[str, ...] = ()
    audience: str | None = None
    refresh_token: Secret | None = None
    access_token: Secret | None = None
    expires_at: float | None = None
    subject: str | None = None
    user: str | None = None
    suspect: str | None = None
    saved_at: float = 0.0
    refresh_until: float | None = None
    refused: str | None = None
    ask_again_at: float | None = None
    id_token_key: str | None = None


class InFlight(Value):
    """The journal: a refresh that has begun and not ended.

    Attributes:
        pid: the process.
        host: its machine.
        since: when, in seconds since 1970.
    """

    pid: int
    host: str
    since: float
