"""``gatepass login`` and ``logout``: what a later run needs, stored and deleted."""

import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from gatepass._config.fields import types_of
from gatepass._config.profile import Profile
from gatepass._session.resolve import ResolvedSecrets, context_of_field, user_of
from gatepass._session.vault_config import vault_of
from gatepass._system.text import local_time
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import OIDC, of_the_login, session_of
from gatepass.cli._options import config_file_option, name_argument, verb, written_name
from gatepass.errors import (
    GatepassError,
    LoginRequired,
    NobodyThere,
    ProfileError,
    SecretUnavailable,
    VaultError,
)
from gatepass.secrets import SecretField, SecretRef

if TYPE_CHECKING:
    from gatepass.auth._oidc.status import Status
    from gatepass.auth.oidc import Oidc

_DECLINED: Final = 1
# By which a client of the flow client_credentials proves who it is: one of them is required.
_OF_THE_CLIENT: Final = ("client_secret", "client_key", "client_assertion")
_NOT_TOLD: Final = "logged out here; the provider was not told"

# ---------------------------------------------------------------- login


@verb(
    "gatepass login nightly",
    "gatepass login nightly --device",
    short_help="Log in once, and store the login for later runs.",
)
@name_argument
@click.option("--device", is_flag=True, help="Log in on another device, with a short code.")
@click.option("--adopt", is_flag=True, help="Take over the token that ansys-openapi-common stored.")
@click.option("--yes", is_flag=True, help="Adopt, or replace a login, without a question.")
@config_file_option
def login(context: Context, name: str | None, device: bool, adopt: bool, yes: bool) -> int:
    """Log in once and store the login, so that later runs need nobody.

    With the scheme oidc you log in at the identity provider, and its token goes into the vault,
    also where the profile says use_stored_token. With a password or token that the profile looks
    for in the keyring, it is asked for and stored there, as by gatepass secret set.
    """
    if device and adopt:
        raise click.UsageError("--adopt takes over a login; --device makes a new one")
    profile = context.profile(name)
    if profile.scheme == OIDC:
        return log_in(context, profile, device=device, adopt=adopt, yes=yes)
    if device or adopt:
        raise ProfileError(
            f"--device and --adopt are for the scheme oidc; {profile.name} uses {profile.scheme}"
        )
    _into_the_keyring(context, profile)
    return 0


def log_in(
    context: Context,
    profile: Profile,
    *,
    device: bool = False,
    adopt: bool = False,
    yes: bool = False,
) -> int:
    """Log in at the identity provider, or take a login over, and store it.

    Raises:
        LoginRequired: nobody is there.
        VaultError: it cannot be stored.
    """
    scheme = _oidc(profile)
    if scheme.flow == "client_credentials" and not device:
        by = next(name for name in _OF_THE_CLIENT if getattr(scheme, name) is not None)
        _output.tell(f"{profile.name} logs on by {by}: there is nothing to log in")
        return 0
    if not adopt:
        _refuse_without_a_person(context)
    _make_ready(context, profile)
    flow = "device" if device else scheme.flow
    with session_of(context, profile, flow=flow, use_stored_token=False) as session:
        if adopt:
            taken = of_the_login(session, "adopt")(
                lambda issuer: _agreed(context, profile, issuer, yes=yes)
            )
            if taken is None:
                _output.say("not taken over; nothing was changed")
                return _DECLINED
        else:
            of_the_login(session, "login")(replace=yes)
            session.persist_oidc_token()
    _output.tell(_outcome(_status(context, profile)))
    return 0


def _refuse_without_a_person(context: Context) -> None:
    reason = context.terminal.why_not_browse()
    if reason is not None:
        raise LoginRequired(
            f"a person must log in, and {reason}",
            hint="run it in a terminal; the browser may be on another computer",
        )


def _make_ready(context: Context, profile: Profile) -> None:
    """See that the login can be stored, before somebody takes the trouble."""
    identity = _with_names(context, profile).identity(profile.origin)
    vault_of(profile.machine, context).check_writable(identity)


def _agreed(context: Context, profile: Profile, issuer: str, *, yes: bool) -> bool:
    """Show where a token would be sent, and have it confirmed."""
    _output.say(
        f"the stored token of ansys-openapi-common for {profile.origin} would be sent to the "
        f"identity provider\n  {issuer}\nand be removed from where it is stored now"
    )
    if yes or _oidc(profile).issuer is not None:  # the profile names it: that is agreement
        return True
    reason = context.why_not_ask()
    if reason is not None:
        raise NobodyThere(
            f"nobody can confirm that the token belongs to {issuer}: {reason}",
            hint="where that is right: gatepass login --adopt --yes NAME; or write   issuer   "
            "into the profile",
        )
    return click.confirm("take it over?", default=False, err=True)


def _outcome(found: "Status") -> str:
    who = f" as {found.user}" if found.user else ""
    if found.renewable:
        rest = "the token is renewed by itself as long as the provider allows"
    elif found.access_until is not None:
        rest = f"it ends at {local_time(found.access_until)} and cannot be renewed"
    else:
        rest = "it cannot be renewed"
    return f"logged in{who} at {found.issuer}; {rest}"


def _oidc(profile: Profile) -> "Oidc":
    from gatepass.auth.oidc import Oidc

    assert isinstance(profile.auth, Oidc)  # noqa: S101 - a built-in name means the built-in
    return profile.auth


def _with_names(context: Context, profile: Profile) -> "Oidc":
    """Return the scheme by which a login is found in the vault."""
    return _oidc(profile).with_names(ResolvedSecrets(profile, context))


def _status(context: Context, profile: Profile) -> "Status":
    from gatepass.auth._oidc import status

    scheme = _with_names(context, profile)
    return status.read_status(scheme, profile.origin, vault_of(profile.machine, context))


# ---------------------------------------------------------------- logout


@verb(
    "gatepass logout nightly",
    short_help="Forget a login: at the provider where possible, and here.",
)
@written_name
@config_file_option
def logout(context: Context, name: str) -> None:
    """Forget a login: revoke it at the provider where that is possible, and delete it here.

    With a password or token in the keyring entry of the profile's server, that entry is deleted.
    """
    profile = context.profile(name)
    if profile.scheme == OIDC:
        _output.tell(_logged_out(context, profile))
    else:
        _out_of_the_keyring(context, profile)


def _logged_out(context: Context, profile: Profile) -> str:
    """Forget the login of a profile, whatever else is broken, and say what was done."""
    from gatepass.auth._oidc import status

    trouble: GatepassError
    try:
        with session_of(context, profile) as session:
            return str(of_the_login(session, "logout")())
    except (SecretUnavailable, VaultError) as error:
        trouble = error  # no secret to revoke it with, or a record that cannot be read
    vault = vault_of(profile.machine, context)
    was_there = status.forget_login(_with_names(context, profile), profile.origin, vault)
    _output.tell(f"warning: {trouble.message}")
    return _NOT_TOLD if was_there else "nobody was logged in"


# ---------------------------------------------------------------- the keyring


def _secret_fields(profile: Profile) -> Iterator[tuple[str, SecretRef]]:
    """The secret fields of a profile's scheme that hold a reference."""
    for name, hint in types_of(type(profile.auth)).items():
        value = getattr(profile.auth, name)
        if SecretField in {hint, *typing.get_args(hint)} and isinstance(value, SecretRef):
            yield name, value


def _into_the_keyring(context: Context, profile: Profile) -> None:
    from gatepass.cli.secret import keep

    fields = dict(_secret_fields(profile))
    if not fields:
        _output.tell(f"{profile.name} uses {profile.scheme}: there is nothing to log in")
        return
    kept = [
        name
        for name, reference in fields.items()
        if any(source == "keyring" for source, _ in reference.alternatives)
    ]
    for name in kept or fields:  # without a keyring reference, it says what to write
        keep(context, profile.name, name)
    _output.tell(f"see whether it works: gatepass check {profile.name}")


def _out_of_the_keyring(context: Context, profile: Profile) -> None:
    fields = dict(_secret_fields(profile))
    if not fields:
        _output.tell(f"{profile.name} uses {profile.scheme}: there is nothing to log out of")
    for name, reference in fields.items():
        if ("keyring", "") in reference.alternatives:
            _output.tell(_deleted(context, profile, name))
        else:
            _output.tell(
                f"nothing was deleted: {name} comes from {reference}, which others may use too"
            )


def _deleted(context: Context, profile: Profile, field: str) -> str:
    """Delete the keyring entry that is bound to the profile's server, and say what was done."""
    from gatepass.secrets import keyring

    user = user_of(profile, context) if field == "password" else None
    access = context_of_field(profile, field, context, user)
    service, account = keyring.entry("", access)
    if keyring.read(service, account, access) is None:
        return f"nobody was logged in: there is no entry {account} of service {service}"
    keyring.remove(service, account, access)
    return f"deleted: entry {account} of service {service}"
