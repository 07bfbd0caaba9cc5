"""``scheme = "oidc"``: OpenID Connect, a login in a browser that is stored and renewed."""

from typing import TYPE_CHECKING

from gatepass.auth import AuthContext

if TYPE_CHECKING:
    from gatepass.auth import Authenticator
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.auth._oidc.login import OidcLogin


class Oidc(OidcKeys):  # noqa: D101 - the keys describe it
    __doc__ = OidcKeys.__doc__

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Return an auth that brings an access token. Opens no connection, starts no login.

        Raises:
            SecretUnavailable: the client's secret did not answer.
        """
        return OidcLogin(self, context)
