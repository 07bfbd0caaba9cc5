"""What gatepass does on Windows: the half of the bench that Windows' Python runs.

``bench.py`` starts it, one process for each group, with the peers in ``BENCH_PEERS``, a JSON
object of the rooms of Apache and the CA file. Each check adds a line of JSON to the file
``BENCH_RESULTS``.
"""

# ruff: noqa: D103, PLR2004, SLF001 - as in tests: the claim says what a function
# does, numbers are the claim, passwords are those of test servers, and it looks inside on purpose

import ctypes
import importlib.metadata
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import SkipTest

from gatepass import Session
from gatepass._config import unnamed
from gatepass._system.console import _window_station_is_visible
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.errors import GatepassError
from gatepass.secrets import SecretContext, keyring, ref

PEERS = json.loads(os.environ.get("BENCH_PEERS", "{}"))
NOBODY = Terminal({}, interactive=False)
Check = Callable[[], str]
CHECKS: dict[str, list[tuple[str, Check, str]]] = {}


def check(group: str, claim: str, *, limit: str = "") -> Callable[[Check], Check]:
    """Add a check to a group; it returns what was seen.

    Args:
        group: which process runs it.
        claim: what it shows.
        limit: why it fails under wine 8, where it does.
    """

    def add(function: Check) -> Check:
        CHECKS.setdefault(group, []).append((claim, function, limit))
        return function

    return add


def expect(condition: object, seen: object = "") -> None:
    if not condition:
        raise AssertionError(f"saw {seen!r}")


def refused(work: Callable[[], object]) -> str:
    """Return the first line with which gatepass refuses."""
    try:
        answer = work()
    except GatepassError as error:
        return error.message.splitlines()[0] or str(error).splitlines()[0]
    raise AssertionError(f"not refused: {answer!r}")


def context(**changes: Any) -> SecretContext:
    plain: dict[str, Any] = {
        "origin": "https://mi.example.com",
        "field": "password",
        "user_name": "CORP\\alice",
        "base_dir": None,
        "layer": "user",
        "environ": dict(os.environ),
        "terminal": NOBODY,
    }
    return SecretContext(**plain | changes)


def _raised(work: Callable[[], object]) -> GatepassError:
    try:
        work()
    except GatepassError as error:
        return error
    raise AssertionError("no error")


# ---------------------------------------------------------------- secrets


@check("secrets", "keyring: the Credential Manager, by its own interface")
def _() -> str:
    backend = keyring.describe_backend(context())
    expect(backend.refusal is None, backend.refusal)
    here = context()
    service, account = keyring.entry("", here)
    keyring.store(service, account, "pässwörd €😀", here)
    keyring.store(service, "CORP\\bob", "other", here)
    expect(keyring.keyring("", here) == "pässwörd €😀")
    expect(keyring.read(service, "CORP\\bob", here) == "other")
    keyring.remove(service, account, here)
    expect(keyring.read(service, account, here) is None)
    expect(keyring.read(service, "CORP\\bob", here) == "other")
    keyring.remove(service, "CORP\\bob", here)
    return f"{backend.name.rpartition('.')[2]}: two accounts of one service kept, read, deleted"


@check("secrets", "keyring: what is missing or too long is told")
def _() -> str:
    here = context()
    expect("has no entry" in refused(lambda: keyring.keyring("", here)))
    keyring.store("bench", "long", "x" * 1280, here)
    keyring.remove("bench", "long", here)
    return refused(lambda: keyring.store("bench", "long", "x" * 1281, here))


# ---------------------------------------------------------------- terminal


@check("terminal", "the window station is asked without an error")
def _() -> str:
    return "visible" if _window_station_is_visible() else "not visible"


@check("terminal", "a console on a window station that nobody sees is no person")
def _() -> str:
    return "not visible: refused" if _on_hidden_station() else _skip("no other station here")


def _on_hidden_station() -> bool:
    """Put this process onto a new window station, as a service has, and look again."""
    user32 = ctypes.windll.user32
    user32.CreateWindowStationW.restype = ctypes.c_void_p
    user32.GetProcessWindowStation.restype = ctypes.c_void_p
    before = ctypes.c_void_p(user32.GetProcessWindowStation())
    made = user32.CreateWindowStationW(None, 0, 0x37F, None)  # WINSTA_ALL_ACCESS
    if not made or not user32.SetProcessWindowStation(ctypes.c_void_p(made)):
        return False
    try:
        expect(not _window_station_is_visible(), "visible")
    finally:
        user32.SetProcessWindowStation(before)
    return True


def _skip(reason: str) -> NoReturn:
    raise SkipTest(reason)


@check("console", "before a real console a person may be asked")
def _() -> str:
    reason = Terminal({}).why_not_ask()
    expect(reason is None, reason)
    return "GetConsoleMode answers, the station is visible"


@check("console", "a prompt hides what is typed")
def _() -> str:
    answer = Terminal({}).ask_secret("Bench password")
    expect(answer == "pw-alice", answer)
    return "typed and read"


@check("console", "an address that is pasted is read key by key")
def _() -> str:
    from gatepass._system.console import _WindowsConsole

    console = _WindowsConsole()
    console.draw("Paste it:")
    typed, deadline = "", time.monotonic() + 60
    while "\r" not in typed and time.monotonic() < deadline:
        typed += console.typed()
        time.sleep(0.05)
    console.close()
    expect(typed == "https://localhost/?code=" + "c" * 600 + "\r", typed)
    return f"{len(typed) - 1} characters"


# ---------------------------------------------------------------- sessions


def session(scheme: str, room: str, *, https: bool = True, **auth: object) -> Session:
    keys = {"scheme": scheme, **auth}
    if scheme in {"basic", "ntlm", "credentials"}:
        keys |= {"user_name": "alice", "domain": "CORP", "password": ref("env:MI_PASSWORD")}
    profile = unnamed.unnamed_profile(
        PEERS["rooms"][room][https], keys, proxy="none", tls={"ca_file": PEERS["ca"]}
    )
    return Session._from_checked(profile, RunContext.of(environ={"MI_PASSWORD": "pw-alice"}))


def who(mi: Session) -> str:
    first, second = (mi.get("cgi/whoami").json() for _ in range(2))
    expect(first["user"] == second["user"], (first, second))
    return f"{first['user']} by {first['auth']}"


def both(scheme: str, room: str) -> str:
    answers = {who(session(scheme, room, https=https)) for https in (False, True)}
    expect(len(answers) == 1, answers)
    return answers.pop()


for _scheme, _room in (
    ("basic", "standalone"),
    ("basic", "mixed"),
    ("ntlm", "windows"),
    ("ntlm", "mixed"),
    ("ntlm", "ntlm"),
    ("credentials", "standalone"),
    ("credentials", "mixed"),
    ("credentials", "windows"),
):
    check("sessions", f"{_scheme} at a server in {_room} mode, http and https")(
        lambda scheme=_scheme, room=_room: both(scheme, room)
    )


@check("sessions", "a POST of 1 MB as the first request of ntlm")
def _() -> str:
    answer = session("ntlm", "windows").post("cgi/whoami", data=b"x" * 1_000_000).json()
    expect(answer["user"] == "CORP\\alice", answer)
    return answer["user"]


@check("sessions", "a wrong scheme is explained, a wrong password refused")
def _() -> str:
    said = refused(lambda: session("basic", "windows").get("cgi/whoami"))
    profile = unnamed.unnamed_profile(
        PEERS["rooms"]["standalone"][1],
        {"scheme": "basic", "user_name": "alice", "password": ref("env:MI_PASSWORD")},
        proxy="none",
        tls={"ca_file": PEERS["ca"]},
    )
    mi = Session._from_checked(profile, RunContext.of(environ={"MI_PASSWORD": "wrong"}))
    expect("refused" in refused(lambda: mi.get("cgi/whoami")))
    return said


@check(
    "sessions",
    "https by the store of Windows (truststore): an expired certificate, and another host's",
)
def _() -> str:
    for room in ("expired", "wrong_host"):
        mi = Session(PEERS["rooms"][room][1], anonymous=True, proxy="none", retries=0, environ={})
        error = _raised(lambda mi=mi: mi.get("cgi/whoami"))
        expect(type(error).__name__ == "TLSFailed", error)
    return "refused"


@check(
    "sessions",
    "https by the store of Windows: a certificate of an unknown authority is refused",
    limit="accepted: wine 8 takes a chain without its root for a good one",
)
def _() -> str:
    mi = Session(PEERS["rooms"]["open"][1], anonymous=True, proxy="none", retries=0, environ={})
    said = refused(lambda: mi.get("cgi/whoami"))
    return said.replace(PEERS["rooms"]["open"][1], "URL")


@check("sessions", "ntlm at a server that demands channel binding, and without it")
def _() -> str:
    answer = session("ntlm", "bound").get("x").json()
    refused(lambda: session("ntlm", "bound", channel_binding=False).get("x"))
    return f"{answer['user']} by {answer['protocol']}; refused"


@check("sessions", "nobody listens: unreachable")
def _() -> str:
    mi = Session("http://localhost:1/mi", anonymous=True, proxy="none", retries=0, environ={})
    error = _raised(lambda: mi.get("x"))
    expect(error.exit_code == 5, error)
    return type(error).__name__


# ---------------------------------------------------------------- autologon


def with_callers_buffer() -> None:
    """Let pyspnego hand SSPI a buffer of its own.

    Windows fills in one of its own (ISC_REQ_ALLOCATE_MEMORY), which wine 8 does not know: it
    fails as if there were no credentials. Nothing else of the path is changed.
    """
    from spnego import _sspi

    made = _sspi.sspilib.raw.SecBuffer
    kinds = _sspi.sspilib.raw.SecBufferType

    def buffer(data: bytearray | None, kind: Any) -> Any:
        empty = data is None and kind == kinds.SECBUFFER_TOKEN
        return made(bytearray(65536) if empty else data, kind)

    _sspi.sspilib.raw.SecBuffer = buffer


@check(
    "autologon-unchanged",
    "autologon with the buffer of SSPI",
    limit="wine 8 does not know ISC_REQ_ALLOCATE_MEMORY",
)
def _() -> str:
    return both("autologon", "windows")


def _autologon(room: str, **auth: object) -> str:
    with_callers_buffer()
    answers = {who(session("autologon", room, https=https, **auth)) for https in (False, True)}
    expect(len(answers) == 1, answers)
    return answers.pop()


for _room in ("windows", "mixed", "krb_unbound"):
    check("autologon", f"autologon at a server in {_room} mode, with the caller's buffer")(
        lambda room=_room: _autologon(room)
    )


@check("autologon", "autologon without channel binding")
def _() -> str:
    return _autologon("windows", channel_binding=False)


@check(
    "autologon",
    "autologon at a server that demands channel binding",
    limit=("refused: wine 8 drops the binding, and sends bare Kerberos in place of SPNEGO"),
)
def _() -> str:
    with_callers_buffer()
    answer = session("autologon", "bound").get("x").json()
    return f"{answer['user']} by {answer['protocol']}"


@check("autologon", "autologon hands SSPI the binding of the TLS connection")
def _() -> str:
    from spnego import _sspi

    with_callers_buffer()
    raw = _sspi.sspilib.raw
    kind = raw.SecBufferType.SECBUFFER_CHANNEL_BINDINGS
    made, found = raw.initialize_security_context, set()

    def initialize(**arguments: Any) -> Any:
        for buffer in arguments["input_buffers"] or ():
            if buffer.buffer_type == kind:
                found.add(bytes(buffer.data))  # copied: it is gone after the login
        return made(**arguments)

    raw.initialize_security_context = initialize
    try:
        who(session("autologon", "windows"))
    finally:
        raw.initialize_security_context = made
    expect(len(found) == 1, found)
    data = found.pop()
    expect(b"tls-server-end-point:" in data, data)
    return f"a buffer of {len(data)} bytes, tls-server-end-point with SHA-256"


@check("autologon", "a POST of 1 MB as the first request of autologon")
def _() -> str:
    with_callers_buffer()
    answer = session("autologon", "windows").post("cgi/whoami", data=b"x" * 1_000_000).json()
    expect("alice" in answer["user"], answer)
    return answer["user"]


@check("autologon", "a principal is refused on Windows")
def _() -> str:
    return refused(lambda: session("autologon", "windows", principal="robot@CORP.TEST"))


@check("autologon", "an error of SSPI is explained by its code, in any language of Windows")
def _() -> str:
    from spnego.exceptions import SpnegoError

    from gatepass.auth._sspi import translate_error

    said = []
    for code in (0x8009030E, 0x80090303, 0x80090311):
        native = OSError(None, "Es sind keine Anmeldeinformationen", None, code - 2**32)
        error = translate_error(SpnegoError(base_error=native), "localhost")
        said.append(f"{code:#x} exit code {error.exit_code}: {error.hint.split(';')[0][:60]}")
    expect(said[0].startswith("0x8009030e exit code 3: in the Task Scheduler"), said)
    expect(len(set(said)) == 3, said)
    return "; ".join(said)


@check("autologon-no-ticket", "nobody is logged on: an error with a next step")
def _() -> str:
    with_callers_buffer()
    error = _raised(lambda: session("autologon", "windows").get("cgi/whoami"))
    expect(error.hint and "kinit" not in str(error), str(error))
    return f"{type(error).__name__} ({error.exit_code}): {error.message}"


@check("autologon-pywin32", "pywin32's sspi, for comparison: it brings a buffer of its own")
def _() -> str:
    import sspi

    client = sspi.ClientAuth("Negotiate", targetspn="HTTP/localhost", scflags=2)
    _, buffers = client.authorize(None)
    return f"a token of {len(buffers[0].Buffer)} bytes"


# ---------------------------------------------------------------- run


def _versions() -> dict[str, str]:
    names = "cryptography keyring pydantic pyspnego requests requests-ntlm sspilib".split()
    return {name: importlib.metadata.version(name) for name in names}


def tell(line: dict[str, Any]) -> None:
    with Path(os.environ["BENCH_RESULTS"]).open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")


def main(group: str) -> None:
    tell({"versions": {"Python": platform.python_version(), **_versions()}})
    for claim, function, limit in CHECKS[group]:
        try:
            outcome, seen = "ok", function()
        except SkipTest as skip:
            outcome, seen = "not tried", str(skip)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the table
            outcome, seen = "FAIL", f"{type(error).__name__}: {error}"
            if limit:
                outcome, seen = "wine cannot", limit
            traceback.print_exc()
        tell({"claim": claim, "outcome": outcome, "seen": seen})


if __name__ == "__main__":
    main(sys.argv[1])
