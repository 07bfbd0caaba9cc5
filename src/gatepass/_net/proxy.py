"""The key ``proxy``: of a profile, for its server, and of a scheme, for who it asks beside that."""

from dataclasses import dataclass

from gatepass.secrets import SecretField, TextField


@dataclass(frozen=True)
class Proxy:
    """The way out.

    Attributes:
        url: the proxy's URL, without user and password; or ``"none"`` for no proxy at all.
        user_name: plain or a reference.
        password: a reference.
    """

    url: str
    user_name: TextField | None = None
    password: SecretField | None = None
