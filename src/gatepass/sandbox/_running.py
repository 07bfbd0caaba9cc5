"""What servers here share that run inside ``with``: the start, the end, TLS."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from ssl import SSLContext

    from gatepass.sandbox._listener import Listener

Certificate = tuple[str | Path, str | Path]
"""Certificate chain and private key, both PEM files."""

L = TypeVar("L", bound="Listener")


class Running(Generic[L]):
    """Runs inside ``with``; may be used again afterwards. Its last listener keeps the records."""

    what: ClassVar[str]
    certificate: Certificate | None
    _listeners: list[L]

    def _refuse_to_run_twice(self) -> None:
        if self._listeners and self._listener.is_running:
            raise RuntimeError(f"this {self.what} runs already")

    def _begin(self, listener: L) -> None:
        self._listeners[:] = [listener]
        listener.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the listener and all connections, and wait for the threads. The port is free then.

        Raises:
            Exception: a mistake of the server itself, which must not be lost in its thread.
        """
        self._listener.stop()
        if error is None and self._listener.failures:
            raise self._listener.failures[0]

    @property
    def _listener(self) -> L:
        if not self._listeners:
            name = type(self).__name__
            raise RuntimeError(f"the {self.what} has not been started: with {name}(...) as it: ...")
        return self._listeners[0]

    def _tls(self) -> "SSLContext | None":
        if self.certificate is None:
            return None
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        return context
