"""A server on this machine, to practise and test against.

It stands in for a Granta Service Layer: same path prefix, same ways to log on. It listens on
127.0.0.1 only, prints nothing, and keeps no password and no value of an ``Authorization`` or
``Cookie`` header. ::

    from gatepass.sandbox import Server

    with Server(mode="standalone", users={"alice": "sesame"}) as server:
        ...  # requests to server.url
        server.requests  # what arrived
"""

from gatepass.sandbox._record import Request
from gatepass.sandbox._server import Server

__all__ = ["Request", "Server"]
