"""The networks of a profile: to its server, and to the scheme's identity provider."""

import warnings
from contextlib import suppress

from gatepass._config.profile import Profile
from gatepass._net.proxy import Proxy, is_socks
from gatepass._net.tls import ClientCertificate, TlsSettings, trust_of
from gatepass._net.urls import origin_of
from gatepass._session.adapter import Network
from gatepass._session.resolve import ResolvedSecrets
from gatepass._system.context import RunContext
from gatepass._system.text import printable
from gatepass._value import replace
from gatepass.auth import sends_credentials, value_of
from gatepass.auth._password import basic_header
from gatepass.errors import GatepassWarning


def network_of(
    profile: Profile, run: RunContext, secrets: ResolvedSecrets
) -> tuple[Network, ClientCertificate | None]:
    """Resolve the secrets of proxy and client key, and return the network to the server."""
    network, certificate = _network(profile, profile.tls, profile.proxy, "", run, secrets)
    # Plain http to loopback is allowed without allow_http, so it must not leave by a proxy.
    direct_to_loopback = sends_credentials(profile.auth) and not profile.allow_http
    return replace(network, direct_to_loopback=direct_to_loopback), certificate


def network_of_provider(
    profile: Profile, run: RunContext, secrets: ResolvedSecrets
) -> tuple[Network, ClientCertificate | None]:
    """Return the network to other servers that a scheme asks, such as an identity provider.

    It follows the scheme's own ``tls`` and ``proxy``, not those of the profile's server.
    """
    found = value_of(profile.auth, "proxy")
    proxy = found if isinstance(found, Proxy) else None
    network, certificate = _network(profile, tls_of_scheme(profile), proxy, "auth.", run, secrets)
    written = value_of(profile.auth, "issuer")
    address = "auth.issuer" if written else "what the server names as its identity provider"
    # Plain http to an identity provider is allowed on loopback only.
    return replace(network, direct_to_loopback=True, address=address), certificate


def tls_of_scheme(profile: Profile) -> TlsSettings:
    """Return the ``tls`` of a profile's scheme."""
    found = value_of(profile.auth, "tls")
    return found if isinstance(found, TlsSettings) else TlsSettings()


def _network(
    profile: Profile,
    tls: TlsSettings,
    proxy: Proxy | None,
    above: str,
    run: RunContext,
    secrets: ResolvedSecrets,
) -> tuple[Network, ClientCertificate | None]:
    login = None
    if proxy is not None:
        fields = {"user_name": proxy.user_name, "password": proxy.password}
        found = secrets.collect(f"{above}proxy.", fields)
        if len(found) == len(fields):
            login = (found["user_name"], found["password"])
            if not is_socks(proxy.url):  # a name or password that cannot be sent shows now
                basic_header(login[0].reveal(), login[1])
    keys = secrets.collect(f"{above}tls.", {"client_key_password": tls.client_key_password})
    certificate = None
    if tls.client_cert:
        password = keys.get("client_key_password")
        certificate = ClientCertificate(tls.client_cert, tls.client_key, password)
    network = Network(
        environ=run.environ,
        timeout=profile.timeout,
        retries=profile.retries,
        trust=trust_of(tls.ca_file, run.environ, _Written(profile, f"{above}tls.ca_file")),
        verify=tls.verify,
        proxy=proxy,
        proxy_named_by=_Written(profile, f"{above}proxy"),
        proxy_login=login,
        above=above,
        shared=run.shared,
    )
    return network, certificate


class _Written:
    """A key and where it was written; looked for in the file only when a message tells it."""

    def __init__(self, profile: Profile, key: str) -> None:
        self._profile = profile
        self._key = key

    def __str__(self) -> str:
        path = self._key.split(".")
        place = self._profile.place_of(*path) or self._profile.place_of(*path, "url")
        return f"{self._key} ({place})" if place else f"{self._key} of the profile"


def warn_if_unverified(profile: Profile, stacklevel: int = 3) -> None:
    """Warn where ``verify = false`` is set for the server or the identity provider."""
    if not profile.tls.verify:
        warnings.warn(
            f"tls.verify = false: nothing proves that {profile.origin} is the right server",
            GatepassWarning,
            stacklevel=stacklevel,
        )
    if not tls_of_scheme(profile).verify:
        warnings.warn(
            f"auth.tls.verify = false: nothing proves that {_provider_of(profile)} is the right "
            "identity provider",
            GatepassWarning,
            stacklevel=stacklevel,
        )


def _provider_of(profile: Profile) -> str:
    issuer = value_of(profile.auth, "issuer")
    if isinstance(issuer, str) and issuer:
        with suppress(ValueError):  # not a URL; its first use raises an error that says so
            return printable(origin_of(issuer))
    return f"who is named by {profile.origin}"
