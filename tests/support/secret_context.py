"""The world that a secret source looks at, with nothing of this machine in it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import gatepass.errors
from gatepass._system.terminal import Terminal
from gatepass.secrets import SecretContext

# Where a subprocess finds the tests and the gatepass that is tested.
PYTHONPATH = os.pathsep.join(
    str(Path(file).resolve().parents[depth])
    for file, depth in ((__file__, 2), (gatepass.errors.__file__, 1))
)


def context(**changes: Any) -> SecretContext:
    """Return a context of a user's own profile, without variables and without a person."""
    plain = SecretContext(
        origin="https://mi.example.com",
        field="password",
        user_name=None,
        base_dir=None,
        layer="user",
        environ={},
        terminal=Terminal({}, interactive=False),
    )
    return replace(plain, **changes)
