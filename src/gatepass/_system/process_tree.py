"""A program and all that it starts, which end together."""

import contextlib
import os
import signal
import subprocess
import sys

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class ProcessTree:
        """A program that has just been started, and what it starts: a job object of Windows."""

        def __init__(self, process: "subprocess.Popen[bytes]") -> None:
            self._process = process
            self._kernel32 = ctypes.WinDLL("kernel32")
            self._kernel32.CreateJobObjectW.restype = wintypes.HANDLE
            self._job = wintypes.HANDLE(self._kernel32.CreateJobObjectW(None, None))
            # subprocess has no other way to the handle; a number could be another's by now.
            handle = wintypes.HANDLE(int(process._handle))  # type: ignore[attr-defined]  # noqa: SLF001
            self._kernel32.AssignProcessToJobObject(self._job, handle)

        def end(self) -> None:
            """End what still runs of it."""
            self._kernel32.TerminateJobObject(self._job, 1)
            self._process.kill()  # where the job could not take it
            self._process.wait()

        def close(self) -> None:
            """Forget it; what still runs goes on."""
            self._kernel32.CloseHandle(self._job)

else:

    class ProcessTree:
        """A program that was started in a session of its own, and what it starts."""

        def __init__(self, process: "subprocess.Popen[bytes]") -> None:
            self._process = process

        def end(self) -> None:
            """End what still runs of it. Nobody may have waited for the program yet."""
            # Not waited for, so its number, which is that of the group, cannot be another's yet.
            # Where all of the group has ended, macOS says that it is not permitted.
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

        def close(self) -> None:
            """Forget it; what still runs goes on."""
