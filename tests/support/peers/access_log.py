"""Count in a server's log what reached it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tests.support.peers.waiting import wait_for

Line = TypeVar("Line")


@dataclass(frozen=True)
class AccessLog(Generic[Line]):
    """A server with an access log; it says how a line of it is read."""

    log: Path

    def mark(self) -> int:
        """Return a place in the log, for `log_since`: behind all that was answered so far."""
        self._settle()
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, mark: int) -> list[Line]:
        """Return what was logged after that place, up to the last answered request."""
        self._settle()
        if not self.log.exists():
            return []
        lines = self.log.read_bytes()[mark:].splitlines(keepends=True)
        return [self._parsed(line.rstrip(b"\n")) for line in lines if line.endswith(b"\n")]

    def wait_for_lines(self, mark: int, number: int) -> list[Line]:
        """Return what was logged after that place, as soon as it is that many lines."""

        def enough() -> list[Line]:
            lines = self.log_since(mark)
            return lines if len(lines) >= number else []

        return wait_for(enough, 5, f"{number} lines in {self.log}")

    def _settle(self) -> None:
        """Wait until all that was answered is logged: a server answers first, then writes."""
        raise NotImplementedError

    def _parsed(self, line: bytes) -> Line:
        """Read one line."""
        raise NotImplementedError
