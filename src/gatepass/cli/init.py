"""``gatepass init``: from nothing to a profile that has logged on once."""

import contextlib
from pathlib import Path
from typing import Any

import click

from gatepass._config import files, locations, merge, trust, validate
from gatepass._config.layer import Layer, Layers, is_project
from gatepass._config.locations import PROJECT_FILE
from gatepass._config.profile import MachineSettings, Profile
from gatepass._system.text import printable, quoted
from gatepass._value import replace
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._edit import FileEdit, layer_of, same, with_top_line
from gatepass.cli._init_questions import Given, ask_all, names_in, why_no_keyring
from gatepass.cli._oidc_session import keeps_tokens
from gatepass.cli._options import verb
from gatepass.errors import GatepassError, ProfileError
from gatepass.secrets import SecretRef


class _NotAppended(Exception):
    """The profile cannot be added to the file; says why."""


@verb(
    "gatepass init prod",
    "gatepass init prod --url https://mi.example.com/mi_servicelayer",
    "gatepass init prod --url https://mi.example.com/mi_servicelayer --scheme credentials",
    "    --user-name env:MI_USERNAME --password-from env:MI_PASSWORD --password-from keyring",
    "gatepass init prod --default",
    short_help="Write a profile, and log on with it.",
)
@click.argument("name", required=False)
@click.option("--url", help="The server.")
@click.option(
    "--scheme",
    help="The authentication scheme, such as credentials or anonymous; by default what the server "
    "asks for.",
)
@click.option(
    "--offline", is_flag=True, help="Ask no server: neither which login it takes, nor to log on."
)
@click.option("--user-name", help="Who logs on: a name, or a reference such as env:MI_USERNAME.")
@click.option("--domain", help="The Windows domain of the user.")
@click.option(
    "--password-from",
    multiple=True,
    metavar="REFERENCE",
    help="Where the secret comes from: keyring, prompt, env:NAME or file:PATH, never the secret "
    "itself. Repeat it for alternatives; the first that answers counts.",
)
@click.option("--issuer", metavar="URL", help="With oidc: the identity provider.")
@click.option("--client-id", help="With oidc: the id under which the provider knows gatepass.")
@click.option("--ca-file", metavar="PEM", help="The authorities that your organisation made.")
@click.option("--proxy", metavar="URL", help='The proxy to the server, or "none".')
@click.option("--allow-http", is_flag=True, help="Let the login go over plain http.")
@click.option("--default", is_flag=True, help="Make it the default profile; also an old one.")
@click.option("--file", type=click.Path(path_type=Path), help="Write into this file.")
@click.option(
    "--project", is_flag=True, help=f"Write into {PROJECT_FILE} in the working directory."
)
def init(context: Context, /, file: Path | None, project: bool, default: bool, **given: Any) -> int:
    """Add a profile to a file, and log on with it; asks for what is not given.

    Without --scheme the server is asked which login it takes: one request to the URL, without
    credentials; where that is answered to anybody, a page that asks is looked for, as check_path.
    The file is your own profiles.toml, if no other is named; its first profile becomes the default
    one. The profile holds no secret, only references. Nothing else in the file changes.

    Where a person is there, the password can then be stored, or the login made, and one request
    shows that it works; where that fails, the profile stays written.
    """
    if file is not None and project:
        raise click.UsageError("--file and --project exclude each other")
    edit = _file_edit(context, file, project=project)
    told = Given(**given)
    if default and told.name in names_in(edit) and told.url is None:
        _make_default(context, edit, str(told.name))
        return 0
    name, meant = ask_all(context, told, edit)
    try:
        data = _appended(edit, name, meant)
        default = default or _is_first(edit)
        data = _with_default(edit, data, name) if default else data
    except _NotAppended as reason:
        _output.toml(snippet(name, meant))
        raise ProfileError(
            f"nothing was written: {reason}",
            hint=f"add the lines above to {printable(str(edit.path))} yourself",
        ) from None
    trusted = edit.replace(data, trust.TrustStore(context.locations.state))
    _output.tell(f"wrote the profile {name} into {printable(str(edit.path))}")
    if default:
        _output.tell(f"{name} is the default profile now: default_profile in the same file")
    named = () if _is_found(context, edit) else (str(edit.path),)
    context = replace(context, config_files=named)
    if not named and is_project(edit.layer) and not trusted:
        _output.say("nobody has trusted this file yet; look at it and do so:")
        _output.say("    " + quoted("gatepass", "trust", str(edit.path)))
        _next(context, name, "check")
        return 0
    return _go_on(context, name, ask=not told.offline)


def _file_edit(context: Context, file: Path | None, *, project: bool) -> FileEdit:
    if file is not None:
        path = files.absolute(file)
        return FileEdit.of(path, layer_of(path, context.locations))
    if not project:
        return FileEdit.of(context.locations.user, "user")
    folder, home = context.locations.working, context.locations.home
    if folder is None:
        raise ProfileError(
            "the working directory no longer exists", hint="change into a folder that exists"
        )
    real = folder.resolve()
    if home is not None and real in {home.resolve(), *home.resolve().parents}:
        raise ProfileError(
            f"a {PROJECT_FILE} in {printable(str(folder))} is never read: the search "
            "ends below the home folder",
            hint="make it in the project's own folder, or leave --project out",
        )
    return FileEdit.of(folder / PROJECT_FILE, "project")


def _is_found(context: Context, edit: FileEdit) -> bool:
    """Whether the search finds the file, so that it need not be named."""
    if edit.layer == "file" or context.environ.get("GATEPASS_CONFIG_FILE"):
        return False
    if not is_project(edit.layer):
        return True
    folder = locations.project_folder(context.locations)
    return folder is not None and folder.resolve() == edit.path.parent.resolve()


# ---------------------------------------------------------------- what comes next


def _go_on(context: Context, name: str, *, ask: bool) -> int:
    """Store what can be stored and log on, where a person agrees; then say what is next.

    Returns the exit code: of the login, where there was one.
    """
    steps: tuple[str, ...] = ("check",)
    tried = None
    try:
        profile = context.profile(name)
        steps = _steps(profile)
        if ask and context.why_not_ask() is None:
            tried = _log_on(context, profile)
    except GatepassError as error:  # the profile is written all the same
        _output.error(error)
        tried = error.exit_code
    _next(context, name, *(() if tried == 0 else steps))
    return tried or 0


def _steps(profile: Profile) -> tuple[str, ...]:
    """The verbs that a person needs before a script runs."""
    if keeps_tokens(profile):
        return "login", "check"
    return ("secret set", "check") if _needs_keyring(profile) else ("check",)


def _next(context: Context, name: str, *verbs: str) -> None:
    _output.say("next:")
    more = [word for file in context.config_files for word in ("--config-file", file)]
    for each in ("show", *verbs):
        _output.say("    " + quoted("gatepass", *each.split(), name, *more))


def _needs_keyring(profile: Profile) -> bool:
    password = getattr(profile.auth, "password", getattr(profile.auth, "token", None))
    return isinstance(password, SecretRef) and ("keyring", "") in password.alternatives


def _log_on(context: Context, profile: Profile) -> int | None:
    """Ask whether to log on now, and do so; return the exit code, None where it was declined."""
    from gatepass.cli.check import log_on
    from gatepass.cli.login import log_in

    if keeps_tokens(profile):
        if not click.confirm("log in now, and store the login?", default=True, err=True):
            return None
        if profile.machine.vault_key is None and (reason := why_no_keyring(context)):
            _make_vault_key(context, reason)
            profile = context.profile(profile.name)
        log_in(context, profile)
    elif _needs_keyring(profile):
        question = "store the password in the keyring now, and log on with it?"
        if not click.confirm(question, default=True, err=True):
            return None
        from gatepass.cli.secret import keep

        secret = "password" if hasattr(profile.auth, "password") else "token"
        keep(context, profile.name, secret)
    elif not click.confirm("log on now, to see that it works?", default=True, err=True):
        return None
    return log_on(context, profile.name, allow_unproven=True)


def _make_vault_key(context: Context, reason: str) -> None:
    """Offer a key file for stored logins, where there is no keyring to keep the key."""
    from gatepass.auth._oidc.status import create_vault_key

    user = context.locations.user
    path = user.parent / "vault.key"
    question = (
        f"{reason}; keep the key of stored logins in {printable(str(path))} instead, and write "
        "vault_key into your own file?"
    )
    if path.exists() or not click.confirm(question, default=True, err=True):
        return
    create_vault_key(path)
    edit = FileEdit.of(user, "user")
    data = with_top_line(edit.data, "vault_key", f"file:{path.name}", edit.line_end)
    edit.replace(data, trust.TrustStore(context.locations.state))


# ---------------------------------------------------------------- the default


def _is_first(edit: FileEdit) -> bool:
    """Say whether a file has neither a profile nor a default yet."""
    with contextlib.suppress(ProfileError):
        found = edit.parsed(edit.data)
        return not found.names() and "default_profile" not in found.tables
    return False


def _with_default(edit: FileEdit, data: bytes, name: str) -> bytes:
    """Return a content with another default profile, proven to be what was meant."""
    new = with_top_line(data, "default_profile", name, edit.line_end)
    meant = {**edit.parsed(data).tables, "default_profile": name}
    with contextlib.suppress(ProfileError):
        found = edit.parsed(new).tables
        if same(dict(sorted(found.items())), dict(sorted(meant.items()))):
            return new
    raise _NotAppended("default_profile is written in a form that cannot be changed")


def _make_default(context: Context, edit: FileEdit, name: str) -> None:
    try:
        data = _with_default(edit, edit.data, name)
    except _NotAppended as reason:
        raise ProfileError(f"nothing was written: {reason}") from None
    edit.replace(data, trust.TrustStore(context.locations.state))
    _output.tell(f"{name} is the default profile of {printable(str(edit.path))} now")


# ---------------------------------------------------------------- writing


def snippet(name: str, meant: dict[str, Any]) -> str:
    """Return a profile as TOML."""
    import tomli_w

    return tomli_w.dumps({"profiles": {name: meant}})


def with_profile(edit: FileEdit, name: str, meant: dict[str, Any]) -> bytes:
    """Return the file's content with the profile in it, proven to be what was meant.

    Raises:
        ProfileError: the profile is not valid, or cannot be added to the file.
    """
    try:
        return _appended(edit, name, meant)
    except _NotAppended as reason:
        raise ProfileError(f"nothing was written: {reason}") from None


def _appended(edit: FileEdit, name: str, meant: dict[str, Any]) -> bytes:
    """Do the same, with an error of its own where the file stands in the way.

    Raises:
        _NotAppended: the file is malformed, has such a profile, or has a form that cannot be
            added to.
        ProfileError: the profile is not valid.
    """
    try:
        old = edit.parsed(edit.data)
    except ProfileError as error:
        raise _NotAppended(f"the file is not valid\n{error}") from None
    _refuse_same_name(old, name)
    data = edit.appended(snippet(name, meant))
    try:
        new = edit.parsed(data)
    except ProfileError:
        raise _NotAppended("profiles is written in a form that cannot be added to") from None
    rest = {key: dict(value) if key == "profiles" else value for key, value in new.tables.items()}
    found = rest["profiles"].pop(name, None)
    if "profiles" not in old.tables:
        del rest["profiles"]
    if not same(found, meant) or not same(rest, old.tables):
        raise _NotAppended("the file would not mean the same any more")
    _check(new, name)
    return data


def _refuse_same_name(old: Layer, name: str) -> None:
    for other in old.names():
        if other == name:
            raise _NotAppended(f"the file has a profile {name} already")
        if other.replace("-", "_") == name.replace("-", "_"):
            raise _NotAppended(
                f"{name} and its profile {printable(other)} are one name to variables"
            )


def _check(source: Layer, name: str) -> None:
    """Validate the new profile, alone with its file."""
    nothing = Layer("variable", "variables", {})
    layers = Layers((source,), nothing, Layer("argument", "overrides", {}))
    try:
        validate.validate_profile(merge.merge_profile(layers, name), MachineSettings())
    except GatepassError as error:
        raise ProfileError(
            "nothing was written: the profile is not valid\n" + error.message
        ) from None
