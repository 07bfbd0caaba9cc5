"""Predict whether a run without a person finds a login, for the scheme ``oidc``."""

from collections.abc import Iterable, Iterator

from gatepass._system.findings import Finding, Verdict
from gatepass._system.text import local_time, quoted
from gatepass._vault.records import Record
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.vault import Vault
from gatepass.auth import UnattendedContext
from gatepass.auth._oidc.cached_token import has_usable_token, is_renewable
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.errors import GatepassError


def predict_login(scheme: OidcKeys, context: UnattendedContext) -> Iterator[Finding]:
    vault = context.vault()
    of_key = context.predict(vault_key=vault.key.reference)
    store = vault.store
    of_server = context.predict(**store.server.references) if isinstance(store, RedisStore) else ()
    yield from of_server
    if not _is_shut(of_server) and _is_empty(vault):
        if scheme.refresh_token is not None:
            yield from context.predict(refresh_token=scheme.refresh_token)
            return
        yield _nobody(scheme, context)
        yield from of_key  # not needed yet, but once somebody has logged in
        return
    yield from of_key
    of_vault = (*of_server, *of_key)
    if not _is_shut(of_vault):
        yield from _stored_login(scheme, vault, context)
    elif all(finding.verdict != "problem" for finding in of_vault):
        yield Finding("warning", "login", "without those secrets the login was not looked for")


def _is_shut(found: Iterable[Finding]) -> bool:
    """Whether the vault cannot be read here without a secret that is not there, or not asked."""
    return any(finding.verdict in {"warning", "problem"} for finding in found)


def _is_empty(vault: Vault) -> bool:
    """Whether the vault holds no login of anybody: only then it is read without its key."""
    try:
        return vault.is_empty()
    except GatepassError:
        return False


def _stored_login(scheme: OidcKeys, vault: Vault, context: UnattendedContext) -> Iterator[Finding]:
    try:
        record = vault.read(scheme.identity(context.origin))
    except GatepassError as error:
        yield Finding("problem", "vault", error.message, error.hint)
        return
    if record is None and scheme.refresh_token is not None:
        yield from context.predict(refresh_token=scheme.refresh_token)
    elif record is None:
        yield _nobody(scheme, context)
    else:
        yield _finding_of(record, context)


def _nobody(scheme: OidcKeys, context: UnattendedContext) -> Finding:
    why = f"and the flow {scheme.flow} needs a person"
    if scheme.use_stored_token:
        why = "and use_stored_token forbids a login"
    return _login("problem", f"nobody has logged in yet, {why}", context)


def _finding_of(record: Record, context: UnattendedContext) -> Finding:
    who = record.user or record.subject or "somebody"
    if record.suspect:
        return _login("problem", f"the stored token is suspect: {record.suspect}", context)
    if is_renewable(record, context.until):
        return _login("ok", f"{who} is logged in, and the login is renewed by itself", context)
    if has_usable_token(record, context.until):
        return _login("ok", f"{who} is logged in", context)
    if is_renewable(record, context.clock()):
        when = local_time(record.refresh_until or 0.0)
        why = f"the stored login can be renewed until {when} only, unless it is used before"
        return _login("problem", why, context)
    ends = record.expires_at
    if record.access_token is None or ends is None or ends <= context.clock():
        return _login("problem", "the stored login has ended and cannot be renewed", context)
    why = f"the stored login ends at {local_time(ends)} and cannot be renewed"
    return _login("problem", why, context)


def _login(verdict: Verdict, message: str, context: UnattendedContext) -> Finding:
    command = quoted("gatepass", "login", context.profile_name)
    hint = f"run: {command}" if verdict == "problem" else ""
    return Finding(verdict, "login", message, hint)
