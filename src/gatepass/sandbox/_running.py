"""What servers here share that run inside ``with``: the start, the end, TLS."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from ssl import SSLContext

    from gatepass.sandbox._listener import Listener

Certificate = tuple[str | Path, str | Path]
"""Certificate chain and private key, both PEM files."""


class Run(Protocol):
    """One run, from ``with`` to its end and, for its records, beyond."""

    running: bool

    @property
    def listener(self) -> "Listener": ...


R = TypeVar("R", bound=Run)


class Running(Generic[R]):
    """Runs inside ``with``; may be used again afterwards."""

    what: ClassVar[str]
    certificate: Certificate | None
    _runs: list[R]

    def _refuse_to_run_twice(self) -> None:
        if self._runs and self._runs[-1].running:
            raise RuntimeError(f"this {self.what} runs already")

    def _begin(self, run: R) -> None:
        self._runs[:] = [run]
        run.listener.start()

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
        run = self._runs[-1]
        try:
            run.listener.stop()
        finally:
            run.running = False
        if error is None and run.listener.failures:
            raise run.listener.failures[0]

    @property
    def _run(self) -> R:
        runs: Sequence[R] = self._runs
        if not runs:
            name = type(self).__name__
            raise RuntimeError(f"the {self.what} has not been started: with {name}(...) as it: ...")
        return runs[-1]

    def _tls(self) -> "SSLContext | None":
        if self.certificate is None:
            return None
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        return context
