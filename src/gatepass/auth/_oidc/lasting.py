"""How long a stored login serves runs without a person; used by ``check --unattended``."""

from collections.abc import Callable, Iterator

from gatepass._system.findings import Finding, Verdict
from gatepass._system.text import local_time
from gatepass._vault.records import Record
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.vault import Vault
from gatepass.auth._oidc.cached_token import has_usable_token, is_renewable, why_not_renewable
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.errors import LoginRequired
from gatepass.secrets import Secret

Renew = Callable[[Secret | None], object]


def check_login(
    scheme: OidcKeys,
    origin: str,
    vault: Vault,
    renew: Renew,
    *,
    now: float,
    until: float,
    hint: str,
) -> Iterator[Finding]:
    """Say whether the login that a run has just used lasts; renew it where its token does not.

    Args:
        scheme: the scheme, of a flow whose logins are stored.
        origin: the profile's server.
        vault: the vault.
        renew: renews the login in place of an access token. Asks the provider, writes the vault.
        now: when the run began, in seconds since 1970.
        until: how long the login has to last.
        hint: how to log in again.

    Raises:
        GatepassError: it cannot be renewed.
    """
    identity = scheme.identity(origin)
    record = vault.read(identity)
    if record is None:
        return
    if record.saved_at >= now:
        yield Finding("info", "login", "the stored login was renewed by this check")
    elif not has_usable_token(record, until) and is_renewable(record, now):
        renew(record.access_token)
        yield Finding("info", "login", "the stored login was renewed by this check")
        record = vault.read(identity) or record
    yield _judge(record, now, until, hint)


def check_login_offline(
    scheme: OidcKeys,
    origin: str,
    vault: Vault,
    read_given_token: Callable[[], object],
    *,
    now: float,
    until: float,
    hint: str,
) -> Iterator[Finding]:
    """Say the same without asking the provider: read the vault, and write where a renewal would.

    Raises:
        LoginRequired: nobody has logged in.
        GatepassError: the vault, its key or the reference ``refresh_token`` does not answer.
    """
    if isinstance(vault.store, RedisStore):
        yield Finding("warning", "login", f"{vault.store.shown} was not asked, since it is offline")
        return
    identity = scheme.identity(origin)
    record = vault.read(identity)
    if record is None:
        if scheme.refresh_token is None:
            raise LoginRequired("nobody has logged in yet", hint=hint)
        read_given_token()
        return
    found = _judge(record, now, until, hint)
    if found.verdict == "ok" and not has_usable_token(record, until):
        vault.check_writable(identity)
        message = f"{found.message}; whether the provider renews it was not asked"
        found = Finding("warning", "login", message)
    yield found


def _judge(record: Record, now: float, until: float, hint: str) -> Finding:
    who = record.user or record.subject or "somebody"
    ends = record.expires_at
    verdict: Verdict = "problem"
    if has_usable_token(record, until):
        verdict, message = "ok", f"{who} is logged in"
    elif is_renewable(record, until):
        verdict, message = "ok", f"{who} is logged in, and each run renews the login as needed"
    elif is_renewable(record, now):
        when = local_time(record.refresh_until or 0.0)
        message = f"the stored login can be renewed until {when} only, unless it is used before"
    else:
        message = why_not_renewable(record, now) or "the login has ended"
        if record.access_token is not None and ends is not None and ends > now:
            message = f"the stored login ends at {local_time(ends)}: {message}"
    return Finding(verdict, "login", message, hint if verdict == "problem" else "")
