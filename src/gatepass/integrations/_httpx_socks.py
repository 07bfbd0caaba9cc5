"""What httpcore leaves out of a handshake with a SOCKS proxy: its deadline, and its end.

httpcore reads the proxy's answers without a timeout, lets a connection go unclosed that the proxy
refuses, and writes the proxy's password into its log.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

_HANDSHAKE: Final = "setup_socks5_connection"
# How httpcore begins to say that a login was refused, or that one is asked for.
LOGIN_REFUSED: Final = ("Invalid username/password", "Requested NO AUTHENTICATION REQUIRED")


def _holds_no_login(record: logging.LogRecord) -> bool:
    return _HANDSHAKE not in record.getMessage()


logging.getLogger("httpcore.socks").addFilter(_holds_no_login)


class Handshake:
    """Follows one connection through a proxy, as the extension ``trace`` of its request.

    Args:
        seconds: how long the proxy may take for each answer.
        trace: the extension of the caller, or None.

    Attributes:
        has_failed: whether the proxy did not let through.
    """

    def __init__(self, seconds: float, trace: Callable[..., Any] | None) -> None:
        self.has_failed = False
        self._seconds = seconds
        self._then = trace
        self._stream: Any = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of an event of httpcore."""
        if self._is_refused(event, info):
            self._stream.close()
        if self._then is not None:
            self._then(event, info)

    async def trace_async(self, event: str, info: dict[str, Any]) -> None:
        """As :meth:`trace`, in an event loop."""
        if self._is_refused(event, info):
            await self._stream.aclose()
        if self._then is not None:
            await self._then(event, info)

    def _is_refused(self, event: str, info: dict[str, Any]) -> bool:
        if event == "socks.connect_tcp.complete":
            self._stream = info["return_value"]
            self._stream.read = partial(self._stream.read, timeout=self._seconds)
        self.has_failed = self.has_failed or event == f"socks.{_HANDSHAKE}.failed"
        return event == f"socks.{_HANDSHAKE}.failed"
