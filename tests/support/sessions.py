"""Sessions as tests need them: from keys, with an environment of their own."""

from collections.abc import Mapping
from typing import Any

from gatepass._config import profile, unnamed
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.secrets import ref

USER, PASSWORD = "bob", "canary-pässword"
ENVIRON = {"MI_PASSWORD": PASSWORD}
NOWHERE = "http://localhost:1/mi/"  # nobody listens on port 1


def person(answer: str) -> tuple[list[str], Terminal]:
    """Return a terminal before which somebody sits, and the list of what they were asked."""
    asked: list[str] = []

    def read_hidden(label: str) -> str:
        asked.append(label)
        return answer

    return asked, Terminal({}, interactive=True, read_hidden=read_hidden)


def profile_for(url: str, scheme: str = "basic", **keys: Any) -> profile.Profile:
    """Return a profile for bob, whose password stands in MI_PASSWORD."""
    auth = keys.pop("auth", {})
    if scheme in {"basic", "credentials"}:
        auth = {"user_name": USER, "password": ref("env:MI_PASSWORD"), **auth}
    return unnamed.unnamed_profile(url, {"scheme": scheme, **auth}, **keys)


def session_for(
    url: str,
    scheme: str = "basic",
    *,
    environ: Mapping[str, str] | None = None,
    interactive: bool | None = None,
    **keys: Any,
) -> Session:
    """Return a session of that profile, in that environment (by default ``ENVIRON``)."""
    return Session._from_checked(
        profile_for(url, scheme, **keys),
        RunContext.of(environ=ENVIRON if environ is None else environ, interactive=interactive),
    )
