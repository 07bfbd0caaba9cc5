"""``gatepass secret``: what the keyring holds for a profile. No secret is ever printed."""

import sys
from pathlib import Path
from typing import Final

import click

from gatepass._config import files, validate
from gatepass._config.layer import Layers
from gatepass._config.shown import written
from gatepass._session.probe import Answer, Prober
from gatepass._session.resolve import context_of_field
from gatepass._system.text import printable, quoted
from gatepass._value import asdict
from gatepass.cli import _explain_text, _output
from gatepass.cli._context import Context
from gatepass.cli._options import (
    CONTEXT,
    ONE_WORD_TOO_MANY,
    all_option,
    config_file_option,
    example,
    field_after_name,
    json_option,
    name_argument,
    names_of,
    verb,
    written_name,
)
from gatepass.cli._problems import broken, complaints_of
from gatepass.cli._secret_fields import Field, find
from gatepass.errors import NobodyThere, ProfileError, SecretUnavailable

_MOST_BYTES: Final = 65536  # a secret is short

# One word too many may be the secret itself: click would repeat it in its error.
_SILENT: Final = CONTEXT | {"allow_extra_args": True}


@click.group(
    context_settings=CONTEXT,
    short_help="Store, delete and list the secrets of profiles.",
    epilog=example("gatepass secret set prod"),
)
def secret() -> None:
    """Store, delete and list the secrets of profiles; never print one."""


@verb(
    "gatepass secret set prod password", make=secret.command, name="set", context_settings=_SILENT
)
@written_name
@click.argument("field", default="password", callback=field_after_name)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read one line from standard input.")
@config_file_option
def set_(context: Context, name: str, field: str, from_stdin: bool) -> None:
    """Store the secret of a FIELD in the keyring.

    FIELD is password, or such as token, proxy.password, tls.client_key_password. The value is
    asked for, or comes from standard input; never from an argument, which other
    users of the computer can see.
    """
    _refuse_extra()
    keep(context, name, field, from_stdin=from_stdin)


def keep(context: Context, name: str, field: str, *, from_stdin: bool = False) -> None:
    """Ask for the secret of a field and store it in the keyring entry that the field names.

    Raises:
        ProfileError: the field does not exist, or names no keyring entry.
        SecretUnavailable: there was no answer, or the keyring cannot be used.
    """
    from gatepass.secrets import keyring

    found, service, account = _entry(context, name, field)
    access = context_of_field(found.profile, field, context)
    asks = not from_stdin and context.terminal.why_not_ask() is None
    if asks and (refusal := keyring.describe_backend(access).refusal):
        raise refusal  # before a person types the secret
    of = f" of {account}" if account != found.name else ""
    label = f"{found.key.replace('_', ' ')}{of} at {found.profile.origin}"
    value = _value(context, printable(label), from_stdin)
    keeper = keyring.store(service, account, value, access)
    _output.tell(f"stored: entry {account} of service {service}")
    _output.tell(f"kept by {keeper}")
    if not found.stands:
        _output.tell(f'now write into {found.table} ({found.where}):\n    {found.key} = "keyring:"')


@verb("gatepass secret delete prod", make=secret.command, context_settings=_SILENT)
@written_name
@click.argument("field", default="password", callback=field_after_name)
@config_file_option
def delete(context: Context, name: str, field: str) -> None:
    """Delete the secret of a FIELD from the keyring."""
    from gatepass.secrets import keyring

    _refuse_extra()
    found, service, account = _entry(context, name, field)
    keyring.remove(service, account, context_of_field(found.profile, field, context))
    _output.tell(f"deleted: entry {account} of service {service}")


@verb("gatepass secret new-key ~/.gatepass-key", make=secret.command, name="new-key")
@click.argument("path", type=click.Path(path_type=Path))
def new_key(context: Context, path: Path) -> None:
    """Make a key file for the vault, on a computer without a keyring.

    Only you can read the file. It is never replaced: what its key encrypted would be lost.
    """
    from gatepass.auth._oidc.status import create_vault_key

    path = files.absolute(path)
    create_vault_key(path)
    reference = f"file:{path}"
    _output.say(
        f"made: {printable(str(path))}\n"
        f"write into {context.locations.user}, above its first table:\n"
        f"    vault_key = {_explain_text.inline(reference)}\n"
        "or set the variable:\n"
        f"    GATEPASS_VAULT_KEY={quoted(reference)}"
    )


@verb("gatepass secret list", "gatepass secret list --all", make=secret.command, name="list")
@name_argument
@all_option
@config_file_option
@json_option
def list_(context: Context, name: str | None, everything: bool, as_json: bool) -> None:
    """List the references of a profile, and which of them would answer.

    Asks variables, files and the keyring, each up to the first that answers; asks no person and
    runs no program.
    """
    layers = context.layers(name, everything=everything)
    names = names_of(layers, name, everything=everything)
    prober = Prober(context, run_commands=False)
    with _output.waiting_for("asking each reference (a keyring for at most 5 s) ..."):
        found = [
            answer
            for each in names
            for answer in _answers(prober, layers, each, alone=not everything)
        ]
    if as_json:
        _output.json([asdict(answer) for answer in found])
    elif found:
        header = ("PROFILE", "FIELD", "REFERENCE", "STATE", "NOTE")
        _output.table(header, [tuple(asdict(answer).values()) for answer in found])
    else:
        _output.say("no references")


def _answers(prober: Prober, layers: Layers, name: str, *, alone: bool) -> list[Answer]:
    profile, problems = complaints_of(layers, name, validate.validate_machine_settings(layers))
    if profile is not None:
        return [answer for each in prober.probed(profile) for answer in each.answers]
    if alone:
        raise ProfileError(problems=problems)
    _output.tell(broken(name))
    return []


def _refuse_extra() -> None:
    ctx = click.get_current_context()
    if ctx.args:
        raise click.UsageError(ONE_WORD_TOO_MANY, ctx)


def _entry(context: Context, name: str, field: str) -> tuple[Field, str, str]:
    """Find the keyring entry that a field names."""
    found = find(context.layers(name, everything=False), name, field)
    entry = found.entry(context)
    if entry is None:
        shown = written(found.reference.as_written())
        more = [*(shown if isinstance(shown, list) else [shown]), "keyring:"]
        more.sort(key=lambda each: str(each).startswith("prompt:"))  # after it, none is looked at
        raise ProfileError(
            f"{found.where}: {found.name} of the profile {name} has no keyring reference, so "
            "nothing would look there",
            hint=f"write into {found.table}:\n    {found.key} = {_explain_text.inline(more)}",
        )
    return found, *entry


def _value(context: Context, label: str, from_stdin: bool) -> str:
    """Ask the person for a secret, or read it from a pipe."""
    piped = sys.stdin is not None and not sys.stdin.isatty()
    if piped and not from_stdin:
        _output.say("reading the secret from standard input")  # it may be a pipe that stays silent
    value = _line_of_stdin() if from_stdin or piped else context.terminal.ask_secret(label)
    if not value:
        raise SecretUnavailable(
            "the secret is empty; nothing was stored",
            hint="run it in a terminal, or pipe one line into it",
        )
    return value


def _line_of_stdin() -> str:
    if sys.stdin is None:
        raise NobodyThere("there is no standard input")
    data = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise SecretUnavailable(f"standard input holds more than {_MOST_BYTES} bytes")
    first, _, rest = data.partition(b"\n")
    if rest.strip():
        raise SecretUnavailable("standard input holds more than one line; a secret is one line")
    try:
        return first.removesuffix(b"\r").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SecretUnavailable("standard input is not UTF-8") from None
