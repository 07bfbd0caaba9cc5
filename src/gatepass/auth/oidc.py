"""``scheme = "oidc"``: OpenID Connect, a login in a browser that is stored and renewed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gatepass._system.findings import Finding
from gatepass.auth import AuthContext, UnattendedContext

if TYPE_CHECKING:
    from gatepass.auth import Authenticator
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.auth._oidc.login import OidcLogin
from gatepass.auth._oidc.unattended import predict_login


class Oidc(OidcKeys):  # noqa: D101 - the keys describe it
    __doc__ = OidcKeys.__doc__

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Return an auth that brings an access token. Opens no connection, starts no login.

        Raises:
            SecretUnavailable: the client's secret did not answer.
        """
        return OidcLogin(self, context)

    def unattended(self, context: UnattendedContext) -> Iterator[Finding]:
        """Look for a stored login, or what takes its place. Reads the vault."""
        yield from context.predict(client_secret=self.client_secret)
        if self.flow != "client_credentials":
            yield from predict_login(self, context)
