"""Findings: what an examination says, one thing at a time.

`check` and the examination of the machine collect these and go on, where
an error would stop at the first.
"""

from typing import Literal

from gatepass._value import Value

Verdict = Literal["ok", "info", "warning", "problem"]
"""How a finding weighs: nothing to do; worth knowing; may fail, which cannot be told; will fail."""


class Finding(Value):
    """One thing that was looked at.

    Attributes:
        verdict: how it weighs.
        subject: what was looked at, in a few words: ``keyring``, ``auth.password``, ``vault``.
        message: what was seen, one sentence. Never a secret.
        hint: the next step; empty where there is none.
        place: where it was written, such as ``gatepass.toml:4:1``; empty where that has no sense.
    """

    verdict: Verdict
    subject: str
    message: str
    hint: str = ""
    place: str = ""
