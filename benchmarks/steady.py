"""What a request costs once a session stands: CPU time of the client for each request.

A server that costs little runs in a process of its own. The session is warm before the clock runs,
so that neither a start nor a login is in the numbers.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import homes
from benchmarks.environments import BARE, OURS, Environment
from benchmarks.measure import SCRIPTS, Failed, Script, script, stamp, turns
from gatepass.sandbox import Server

REQUESTS: Final = 2000
THREADS: Final = (1, 16)
WAYS: Final = ("basic", "bearer", "ntlm")
_WHOSE: Final = {
    "bare": BARE,
    "gatepass": OURS,
    "bare-no-proxy": BARE,
    "gatepass-no-proxy": OURS,
}
_LOGIN: Final = 'user_name = "env:MI_USERNAME", password = "env:MI_PASSWORD"'
_KEYS: Final = {"basic": _LOGIN, "bearer": 'token = "env:MI_PASSWORD"', "ntlm": _LOGIN}
# A login over plain http to this computer passes by the proxies of the environment, without a look
# at them; with allow_http they are looked for, as on the way to any other server.
_LOOKS: Final = {"": "allow_http = true", "-no-proxy": 'proxy = "none"'}


def measured(
    environments: Mapping[str, Environment],
    rounds: int,
    requests: int = REQUESTS,
    ways: Sequence[str] = WAYS,
    threads: Sequence[int] = THREADS,
) -> dict[str, Any]:
    """Return the rows of this part.

    Args:
        environments: by name.
        rounds: that count; one more warms up.
        requests: of each process.
        ways: to log on.
        threads: numbers of threads that share a session.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        _light_server(environments[OURS]) as light,
        Server(mode="windows", users={"alice": homes.PASSWORD}) as server,
    ):
        windows = server.url.rstrip("/")
        file = Path(folder, "profiles.toml")
        urls = {"basic": light, "bearer": light, "ntlm": windows}
        file.write_text(_profiles(urls), encoding="utf-8")
        rows = []
        for way in ways:
            for count in threads:
                scripts = {
                    whose: Script(
                        whose,
                        environments[place],
                        script(
                            "steady", whose, way, str(count), str(requests), urls[way], str(file)
                        ),
                        Path(folder),
                        homes.CREDENTIALS,
                    )
                    for whose, place in _WHOSE.items()
                }
                seconds = _alternately(scripts, rounds)
                rows.append({"way": way, "threads": count, "seconds": seconds})
    return {**stamp(environments, rounds), "requests": requests, "rows": rows}


def _profiles(urls: Mapping[str, str]) -> str:
    """Return a file with two profiles for each way to log on."""
    return "\n".join(
        f'[profiles.{way}{name}]\nurl = "{url}"\n{key}\n'
        f'auth = {{ scheme = "{way}", {_KEYS[way]} }}\n'
        for way, url in urls.items()
        for name, key in _LOOKS.items()
    )


def _alternately(scripts: Mapping[str, Script], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds for each request, by script and round."""
    found: dict[str, list[float]] = {name: [] for name in scripts}
    for name, counts in turns(list(scripts), rounds):
        seconds = _seconds(scripts[name])
        if counts:
            found[name].append(round(seconds, 8))
    return found


def _seconds(asked: Script) -> float:
    done = subprocess.run(
        asked.argv,
        env=asked.variables(),
        cwd=asked.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(asked.name, done.returncode, done.stderr)
    return float(done.stdout)


@contextmanager
def _light_server(python: Environment) -> Iterator[str]:
    """Start the server, and yield the URL of a service there."""
    command = [str(python.python), "-I", str(SCRIPTS / "light_server.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/mi_servicelayer"
        process.stdin.close()
