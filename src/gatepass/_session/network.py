"""The ways out: to the server, and to whom else the scheme asks, such as an identity provider."""

import warnings
from contextlib import suppress
from dataclasses import replace

from gatepass._config.profile import Profile
from gatepass._net.proxy import Proxy
from gatepass._net.tls import ClientCertificate, TlsSettings, trusted
from gatepass._net.urls import origin_of
from gatepass._session.adapter import Network
from gatepass._session.resolve import ResolvedSecrets
from gatepass._system.context import RunContext
from gatepass._system.text import printable
from gatepass.auth import basic_header, sends_credentials, value_of
from gatepass.errors import GatepassWarning
from gatepass.secrets import Secret


def network_of(
    profile: Profile, run: RunContext, secrets: ResolvedSecrets
) -> tuple[Network, ClientCertificate | None]:
    """Resolve the secrets of proxy and client key, and describe the way to the server."""
    network, certificate = _way(profile, profile.tls, profile.proxy, "", run, secrets)
    # Permitted without allow_http because it never leaves this computer: so it must not.
    stays_here = sends_credentials(profile.auth) and not profile.allow_http
    return replace(network, stays_here=stays_here), certificate


def network_of_provider(
    profile: Profile, run: RunContext, secrets: ResolvedSecrets
) -> tuple[Network, ClientCertificate | None]:
    """Describe the way to who is asked beside the server, such as an identity provider.

    The server's ``tls`` and ``proxy`` say nothing about it: it is the scheme's own that count.
    """
    found = value_of(profile.auth, "proxy")
    proxy = found if isinstance(found, Proxy) else None
    network, certificate = _way(profile, tls_of_scheme(profile), proxy, "auth.", run, secrets)
    # An identity provider may be reached by plain http on this computer only.
    return replace(network, stays_here=True), certificate


def tls_of_scheme(profile: Profile) -> TlsSettings:
    """Return the ``tls`` of a profile's scheme."""
    found = value_of(profile.auth, "tls")
    return found if isinstance(found, TlsSettings) else TlsSettings()


def _way(
    profile: Profile,
    tls: TlsSettings,
    proxy: Proxy | None,
    above: str,
    run: RunContext,
    secrets: ResolvedSecrets,
) -> tuple[Network, ClientCertificate | None]:
    header = None
    if proxy is not None:
        fields = {"user_name": proxy.user_name, "password": proxy.password}
        found = secrets.collect(f"{above}proxy.", fields)
        if len(found) == len(fields):
            pair = (found["user_name"].reveal(), found["password"].reveal())
            header = Secret(basic_header(*pair))
    key = secrets.collect(f"{above}tls.", {"client_key_password": tls.client_key_password})
    certificate = None
    if tls.client_cert:
        password = key.get("client_key_password")
        certificate = ClientCertificate(tls.client_cert, tls.client_key, password)
    network = Network(
        environ=run.environ,
        timeout=profile.timeout,
        retries=profile.retries,
        trust=trusted(tls.ca_file, run.environ),
        verify=tls.verify,
        proxy=proxy,
        proxy_header=header,
        above=above,
    )
    return network, certificate


def warn_if_unverified(profile: Profile, stacklevel: int = 3) -> None:
    """Warn of each side that need not prove who it is: the server, the identity provider."""
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
        with suppress(ValueError):  # not a URL; that is told when it is asked
            return printable(origin_of(issuer))
    return f"who is named by {profile.origin}"
