"""``gatepass status`` and ``token``: what is known of a stored login, and its access token."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from gatepass._config import validate
from gatepass._config.layer import Layers
from gatepass._config.profile import Profile
from gatepass._session.resolve import ResolvedSecrets
from gatepass._session.vault_config import vault_of
from gatepass._system.text import local_time, time_span
from gatepass._value import Value, asdict
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import OIDC
from gatepass.cli._options import (
    all_option,
    config_file_option,
    duration,
    json_option,
    name_argument,
    names_of,
    verb,
)
from gatepass.cli._problems import broken, complaints_of
from gatepass.errors import LoginRequired, ProfileError, SecretUnavailable, VaultError

if TYPE_CHECKING:
    from gatepass.auth._oidc.status import Status
    from gatepass.auth.oidc import Oidc

_MISSING: Final = LoginRequired.exit_code
_NOTHING: Final = "-"


# ---------------------------------------------------------------- status


class _Row(Value):
    """A profile and its login.

    Attributes:
        profile: the profile's name.
        scheme: its scheme.
        found: what the vault says; None when it cannot be read.
        trouble: why not.
    """

    profile: str
    scheme: "Oidc"
    found: "Status | None"
    trouble: SecretUnavailable | VaultError | None = None

    @property
    def by_secret(self) -> bool:
        """Whether the client's secret logs on, so that nobody must."""
        return self.scheme.flow == "client_credentials"

    def lasts(self, seconds: float, now: float) -> bool:
        """Whether a run that begins in so many seconds will find a login."""
        if self.by_secret:
            return True
        found = self.found
        if found is None or not found.stored or found.suspect:
            return False
        ends = found.access_until
        until = found.renewable_until
        renews = found.renewable and (until is None or until >= now + seconds)
        return renews or (ends is not None and ends >= now + seconds)


_Look = Callable[[Profile], _Row]


@verb("gatepass status", "gatepass status nightly --min-valid 8h")
@name_argument
@all_option
@click.option(
    "--min-valid",
    callback=duration,
    metavar="TIME",
    help="End with 3 unless each login is renewed by itself or its access token lasts that long; "
    "such as 8h, 30m or 3600 (seconds).",
)
@config_file_option
@json_option
def status(
    context: Context, name: str | None, everything: bool, min_valid: float | None, as_json: bool
) -> int:
    """Show the stored login of a profile with the scheme oidc.

    Looks into the vault and asks the keyring for its key; asks no server and no person. Ends with
    3 when nobody is logged in.
    """
    layers = context.layers(name, everything=everything)
    names = names_of(layers, name, everything=everything)
    look = _look(context)
    with _output.waiting_for("asking for the vault's key (a keyring for at most 5 s) ..."):
        rows = [row for each in names for row in _rows(look, layers, each, named=not everything)]
    now = time.time()
    _show(rows, now, as_json=as_json)
    if not everything and not rows and min_valid is None:
        return 0
    if everything and min_valid is None:
        return VaultError.exit_code if any(row.trouble for row in rows) else 0
    good = bool(rows) and all(row.lasts(min_valid or 0, now) for row in rows)
    return 0 if good else _MISSING


def _rows(look: _Look, layers: Layers, name: str, *, named: bool) -> Iterator[_Row]:
    profile, problems = complaints_of(layers, name, validate.validate_machine_settings(layers))
    if profile is None:
        if named:
            raise ProfileError(problems=problems)
        _output.tell(broken(name))
    elif profile.scheme == OIDC:
        yield look(profile)
    elif named:
        _output.tell(
            f"{name} uses {profile.scheme}, which has no login to store; where its secret comes "
            f"from: gatepass secret list {name}"
        )


def _look(context: Context) -> _Look:
    """Return what looks up the login of a profile; the vault is opened once for all profiles."""
    lookups: list[Any] = []

    def look(profile: Profile) -> _Row:
        from gatepass.auth import oidc
        from gatepass.auth._oidc.status import status_reader

        scheme = profile.auth
        assert isinstance(scheme, oidc.Oidc)  # noqa: S101 - a built-in name means the built-in
        if not lookups:  # the vault is a setting of the machine, and so the same for all profiles
            vault = vault_of(profile.machine, context.without_person())
            lookups.append(status_reader(vault))
        try:
            named = scheme.with_names(ResolvedSecrets(profile, context))
            return _Row(profile.name, scheme, lookups[0](named, profile.origin))
        except (SecretUnavailable, VaultError) as error:
            return _Row(profile.name, scheme, None, error)

    return look


def _show(rows: list[_Row], now: float, *, as_json: bool) -> None:
    if as_json:
        _output.json([_as_json(row) for row in rows])
        return
    if rows:
        header = ("PROFILE", "LOGIN", "IDENTITY PROVIDER", "ACCESS TOKEN", "RENEWS", "SAVED")
        _output.table(header, [_cells(row, now) for row in rows])
        _output.finish()  # what is said about a row comes after it, also in a log
    for row in rows:
        for note in _notes(row):
            _output.tell(f"{row.profile}: {note}")
    if not rows:
        _output.say("no login to show")


def _as_json(row: _Row) -> dict[str, Any]:
    from gatepass.auth._oidc.status import Status

    known = asdict(row.found or Status(stored=False))
    return {"profile": row.profile, **known, "error": row.trouble.message if row.trouble else None}


def _cells(row: _Row, now: float) -> tuple[str, ...]:
    found = row.found
    if found is None:
        return (row.profile, "unreadable", *[_NOTHING] * 4)
    if not found.stored:
        return (row.profile, "by secret" if row.by_secret else "nobody", *[_NOTHING] * 4)
    return (
        row.profile,
        found.user or "somebody",
        found.issuer or _NOTHING,
        _until(found.access_until, now),
        _renews(found, now),
        local_time(found.saved_at) if found.saved_at is not None else _NOTHING,
    )


def _until(ends: float | None, now: float) -> str:
    if ends is None:
        return _NOTHING
    if ends <= now:
        return f"ended {local_time(ends)}"
    return f"until {local_time(ends)} ({time_span(ends - now)})"


def _renews(found: "Status", now: float) -> str:
    if not found.renewable:
        return "no"
    return "yes" if found.renewable_until is None else _until(found.renewable_until, now)


def _notes(row: _Row) -> Iterator[str]:
    """What a table has no room for."""
    if row.trouble is not None:
        yield f"error: {row.trouble}"
    found = row.found
    if found is None:
        return
    if not found.stored and row.scheme.refresh_token is not None:
        yield "its own refresh_token is used where nobody is logged in"
    elif not found.stored and not row.by_secret:
        yield f"nobody is logged in; run: gatepass login {row.profile}"
    if found.in_flight is not None:
        flying = found.in_flight
        since = local_time(flying.since)
        yield (
            f"process {flying.pid} on {flying.host} began to renew it at {since} and has not ended"
        )
    if found.suspect is not None:
        yield f"not used: {found.suspect}; run: gatepass login {row.profile}"
    if found.refused is not None:
        yield f"not renewed: {found.refused}; run: gatepass login {row.profile}"
