"""Starts a process, waits for exactly that one, and tells what it cost. Stays small on purpose.

Linux gives a new program the peak memory of the process that started it, if that was larger. So
the benchmarks, which run servers, do not start the scripts themselves: this does, without any
package. It reads one JSON object per line, the arguments of ``run``, and answers with one: the exit
code, CPU seconds (user and system), and peak memory in bytes. POSIX only.
"""

import json
import os
import sys

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def run(argv: list[str], environ: dict[str, str], folder: str, errors: str) -> dict[str, float]:
    """Run a program to its end, with nothing to read, and stderr in a file."""
    if sys.platform == "win32":
        raise NotImplementedError
    os.chdir(folder)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    child = os.posix_spawn(argv[0], argv, environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * _UNIT,
    }


def main() -> None:
    """Answer until there are no more lines."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(run(**asked)), flush=True)


if __name__ == "__main__":
    main()
