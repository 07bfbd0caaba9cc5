"""The settings of an identity provider; ``IdentityProvider`` explains them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gatepass.sandbox._running import Certificate

CLIENT_ID: Final = "gatepass"
"""A public client, as a script is: authorization code, refresh token, device code."""
SERVICE_ID: Final = "service"
"""A client with a secret: client credentials, and all else."""
SERVICE_SECRET: Final = "se:c%41r+t /&=?~"  # noqa: S105 - of a provider that lives for seconds
"""Holds every character that goes wrong where the encoding of RFC 6749, 2.3.1 is forgotten."""

_CLIENTS: Final = MappingProxyType({CLIENT_ID: None, SERVICE_ID: SERVICE_SECRET})


@dataclass(frozen=True, eq=False, kw_only=True)
class Settings:
    """How a provider behaves."""

    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    clients: Mapping[str, str | None] = field(default_factory=lambda: _CLIENTS, repr=False)
    rotation: bool = True
    reuse_detection: bool = True
    grace: float = 0.0
    access_token_seconds: int = 60
    refresh_token_seconds: float | None = None
    id_token: bool = True
    audience: str = "https://api.example"
    auto_login: str | None = None
    device_flow: bool = True
    device_seconds: float = 300.0
    device_interval: float = 1.0
    path: str = ""
    port: int = 0
    certificate: Certificate | None = None
    clock: Callable[[], float] = time.time
