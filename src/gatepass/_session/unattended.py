"""One run of a profile with nobody there, and what came of it; for ``gatepass check --unattended``.

It is called in a process that has no terminal, no desktop and nobody to ask.
"""

import sys
from collections.abc import Iterator
from functools import partial
from typing import Final

from gatepass._config.profile import Profile
from gatepass._session.network import warn_if_unverified
from gatepass._session.session import Session
from gatepass._session.vault_config import vault_of
from gatepass._system.context import RunContext
from gatepass._system.findings import Finding, Verdict
from gatepass._system.text import quoted
from gatepass._value import Value
from gatepass.auth.autologon import Autologon
from gatepass.auth.oidc import Oidc
from gatepass.errors import (
    GatepassError,
    LoginRequired,
    PluginError,
    ProfileError,
    SecretUnavailable,
    VaultError,
)
from gatepass.secrets import constant_time_compare

_FAILED: Final = 1
_DOES_NOT_LAST: Final = LoginRequired.exit_code
_SUBJECTS: Final[tuple[tuple[type[GatepassError], str], ...]] = (
    (SecretUnavailable, "secrets"),
    (ProfileError, "profile"),
    (PluginError, "plug-in"),
    (LoginRequired, "login"),
    (VaultError, "vault"),
)


class Outcome(Value):
    """What came of a run.

    Attributes:
        code: what a command would end with; 0 where it works, and for as long as was asked.
        findings: what was seen.
    """

    code: int
    findings: tuple[Finding, ...]


def try_run(
    profile: Profile,
    run: RunContext,
    *,
    seconds: float,
    offline: bool,
    allow_unproven: bool = False,
) -> Outcome:
    """Do what a run without a person would do, and collect what came of it.

    Resolves the secrets, logs on and makes one request, to ``check_path``; where the login does
    not last as long as asked, it is renewed.

    Args:
        profile: the profile.
        run: the surroundings, in which nobody is asked.
        seconds: for how long from now on tickets and tokens have to last.
        offline: stop before the network.
        allow_unproven: be content with a page that asks for no login.
    """
    found: list[Finding] = []
    now = run.clock()
    look = _offline if offline else partial(_online, allow_unproven=allow_unproven)
    warn_if_unverified(profile)
    try:
        with Session._from_checked(profile, run) as session:  # noqa: SLF001 - of the same package
            found += look(session, run, now, now + seconds)
    except GatepassError as error:
        subject = next((name for kind, name in _SUBJECTS if isinstance(error, kind)), "run")
        found.append(Finding("problem", subject, error.message, error.hint))
        if isinstance(error, LoginRequired) and isinstance(profile.auth, Oidc):
            found += _vault_key(profile, run)
        return Outcome(error.exit_code, tuple(found))
    except Exception as error:  # noqa: BLE001 - a run ends so too; the text may hold a secret
        missing = f" ({error.name})" if isinstance(error, ImportError) and error.name else ""
        message = f"the run ends with {type(error).__name__}{missing}"
        hint = "install it where the job runs" if missing else ""
        return Outcome(_FAILED, (*found, Finding("problem", "run", message, hint)))
    if not any(each.verdict == "problem" for each in found):
        return Outcome(0, tuple(found))
    of_run = any(each.subject == "run" and each.verdict == "problem" for each in found)
    return Outcome(_FAILED if of_run else _DOES_NOT_LAST, tuple(found))


def _online(
    session: Session, run: RunContext, now: float, until: float, *, allow_unproven: bool
) -> Iterator[Finding]:
    result = session.check()
    if result.error is not None:
        raise result.error
    allowed = allow_unproven and result.is_unproven
    verdict: Verdict = "ok" if result.ok else "warning" if allowed else "problem"
    yield Finding(verdict, "run", result.sentence, result.hint)
    if not (result.ok or allowed):
        return
    profile, scheme = session.profile, session.profile.auth
    if isinstance(scheme, Oidc) and scheme.flow != "client_credentials":
        from gatepass.auth._oidc.lasting import check_login

        scheme = scheme.with_names(session._login.secrets)  # noqa: SLF001 - of the same package
        login = session._scheme_attribute("access_token")  # noqa: SLF001 - of the same package
        vault = vault_of(profile.machine, run)
        if vault.read(scheme.identity(profile.origin)) is None:
            yield _judge_given_token(session, scheme)
            return
        yield from check_login(
            scheme,
            profile.origin,
            vault,
            lambda token: login(refused=token),
            now=now,
            until=until,
            hint=_log_in(profile),
        )
    elif isinstance(scheme, Autologon) and sys.platform != "win32":
        from gatepass.auth import _kerberos

        yield from _kerberos.check_ticket(scheme.principal, run.environ, now=now, until=until)


def _offline(session: Session, run: RunContext, now: float, until: float) -> Iterator[Finding]:
    profile, scheme = session.profile, session.profile.auth
    if isinstance(scheme, Oidc) and scheme.flow != "client_credentials":
        from gatepass.auth._oidc.lasting import check_login_offline

        yield from check_login_offline(
            scheme.with_names(session._login.secrets),  # noqa: SLF001 - of the same package
            profile.origin,
            vault_of(profile.machine, run),
            lambda: session._login.secrets(refresh_token=scheme.refresh_token),  # noqa: SLF001
            now=now,
            until=until,
            hint=_log_in(profile),
        )
    elif isinstance(scheme, Autologon) and sys.platform != "win32":
        from gatepass.auth import _kerberos

        yield from _kerberos.check_ticket_offline(
            scheme.principal, run.environ, now=now, until=until
        )
    yield Finding(
        "warning", "run", "offline: no server was asked, so whether it works is not known"
    )


def _judge_given_token(session: Session, scheme: Oidc) -> Finding:
    """Say whether the next run can begin with the same token of ``auth.refresh_token``."""
    given = session._login.secrets(refresh_token=scheme.refresh_token)  # noqa: SLF001 - of the same package
    if constant_time_compare(given.get("refresh_token"), session.refresh_token):
        message = "no login is stored; each run begins with the token of auth.refresh_token"
        return Finding("info", "login", message)
    message = (
        "the provider has replaced the token of auth.refresh_token, and may refuse it to the next "
        "run; no login is stored"
    )
    return Finding("warning", "login", message, _log_in(session.profile))


def _log_in(profile: Profile) -> str:
    return f"run: {quoted('gatepass', 'login', profile.name)}"


def _vault_key(profile: Profile, run: RunContext) -> Iterator[Finding]:
    """Say where the vault's key cannot be read, which a run finds out only after a login."""
    try:
        vault_of(profile.machine, run).key.read()
    except GatepassError as error:
        yield Finding("problem", "vault_key", error.message, error.hint)
