"""An action that no Ctrl-C interrupts."""

import subprocess
import sys

from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture

_INTERRUPTED_ANYWHERE = """
import sys
from dis import Bytecode
from functools import cache
from time import sleep
from traceback import walk_stack
from gatepass.auth._oidc.uninterrupted import run_uninterrupted


@cache
def after_a_signal(code):
    # Where Python looks whether a signal has come: behind a call, at a function's start, in loops.
    looks = ("CALL", "RESUME", "JUMP_BACKWARD")
    steps = list(Bytecode(code))
    return {two.offset for one, two in zip(steps, steps[1:]) if one.opname.startswith(looks)}


def interrupted_at(number):
    # Returns whether the wait goes in circles there: all places before have had their turn.
    seen = []

    def trace(frame, event, _):
        frame.f_trace_opcodes = True
        place = tuple((each.f_code, each.f_lasti) for each, _ in walk_stack(frame))
        if event == "opcode" and frame.f_lasti in after_a_signal(frame.f_code):
            circles = place in seen
            seen.append(place)
            if circles or len(seen) > number:
                raise KeyboardInterrupt
        return trace

    def work(given_up):
        while not given_up():
            sleep(0.001)

    sys._getframe().f_trace_opcodes = True  # Python 3.12 wants it before
    sys.settrace(trace)
    try:
        run_uninterrupted(work)
    except (KeyboardInterrupt, RuntimeError):
        pass
    sys.settrace(None)
    return seen[-1] in seen[:-1]


number = 0
while not interrupted_at(number):
    number += 1
print(number)
"""


def test_ctrl_c_at_any_place_of_the_wait_lets_the_process_end() -> None:
    """Also inside Python's own locks: one that stays locked would keep the thread for ever."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_ANYWHERE],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 3
