"""A server on this machine, to practise and test against.

It stands in for a Granta Service Layer: same path prefix, same ways to log on. It listens on
127.0.0.1 only, prints nothing, and keeps no password and no value of an ``Authorization`` or
``Cookie`` header. ::

    from gatepass.sandbox import Request, Server

    with Server(mode="standalone", users={"alice": "sesame"}) as server:
        ...  # requests to server.url
        server.requests  # what arrived

With OpenID Connect it takes the tokens of an :class:`IdentityProvider`, which runs here too: see
:mod:`gatepass.sandbox.provider`. ::

    with IdentityProvider(users={"alice": "sesame"}) as idp:
        with Server(mode="oidc", provider=idp) as server:
            ...
"""

from gatepass.sandbox.provider import IdentityProvider
from gatepass.sandbox.server import Request, Server

__all__ = ["IdentityProvider", "Request", "Server"]
