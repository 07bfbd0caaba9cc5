"""``gatepass init``: write a new profile into a file, after a few questions."""

import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from gatepass._config import files, layer, locations, merge, suggest, trust, validate
from gatepass._config.fields import fields_of, types_of
from gatepass._config.layer import PROFILE_NAME, Layer, Layers, is_project
from gatepass._config.locations import PROJECT_FILE
from gatepass._config.profile import MachineSettings
from gatepass._net import urls
from gatepass._system import plugins
from gatepass._system.text import printable, quoted
from gatepass._value import Value
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._detect_scheme import learn
from gatepass.cli._edit import FileEdit, layer_of, same
from gatepass.cli._options import CONTEXT, example
from gatepass.errors import GatepassError, ProfileError
from gatepass.secrets import ReferenceSyntaxError, SecretField, SecretRef

_DEFAULT_SCHEME: Final = "credentials"


class _NotAppended(Exception):
    """The profile cannot be added to the file; says why."""


class _Given(Value):
    """What the command line says; None and empty where it says nothing."""

    name: str | None
    url: str | None
    scheme: str | None
    user_name: str | None
    domain: str | None
    password_from: tuple[str, ...]
    offline: bool = False


@click.command(
    context_settings=CONTEXT,
    epilog=example(
        "gatepass init prod",
        "gatepass init prod --url https://mi.example.com/mi_servicelayer",
        "gatepass init prod --url https://mi.example.com/mi_servicelayer --scheme credentials",
        "    --user-name env:MI_USERNAME --password-from env:MI_PASSWORD --password-from keyring",
    ),
)
@click.argument("name", required=False)
@click.option("--url", help="The server.")
@click.option(
    "--scheme",
    help="The authentication scheme, such as credentials or anonymous; by default what the server "
    "asks for.",
)
@click.option(
    "--offline", is_flag=True, help="Do not ask the server which login it takes; --scheme says it."
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
@click.option("--file", type=click.Path(path_type=Path), help="Write into this file.")
@click.option(
    "--project", is_flag=True, help=f"Write into {PROJECT_FILE} in the working directory."
)
@click.pass_obj
def init(context: Context, /, file: Path | None, project: bool, **given: Any) -> None:
    """Add a profile to a file; asks for what is not given.

    Without --scheme the server is asked which login it takes: one request to the URL, without
    credentials. The file is your own profiles.toml, if no other is named. The profile holds no
    secret, only references. Nothing else in the file changes.
    """
    if file is not None and project:
        raise click.UsageError("--file and --project exclude each other")
    edit = _file_edit(context, file, project=project)
    name, meant = _questions(context, _Given(**given), edit)
    try:
        data = _with_profile(edit, name, meant)
    except _NotAppended as reason:
        _output.toml(_snippet(name, meant))
        raise ProfileError(
            f"nothing was written: {reason}",
            hint=f"add the lines above to {printable(str(edit.path))} yourself",
        ) from None
    trusted = edit.replace(data, trust.TrustStore(context.locations.state))
    _tell(context, edit, name, trusted=trusted)


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


def _tell(context: Context, edit: FileEdit, name: str, *, trusted: bool) -> None:
    _output.tell(f"wrote the profile {name} into {printable(str(edit.path))}")
    named = () if _is_found(context, edit) else ("--config-file", str(edit.path))
    if not named and is_project(edit.layer) and not trusted:
        _output.say("nobody has trusted this file yet; look at it and do so:")
        _output.say("    " + quoted("gatepass", "trust", str(edit.path)))
    _output.say("next:")
    for verb in ("show", "check"):
        _output.say("    " + quoted("gatepass", verb, name, *named))


def _is_found(context: Context, edit: FileEdit) -> bool:
    """Whether the search finds the file, so that it need not be named."""
    if edit.layer == "file" or context.environ.get("GATEPASS_CONFIG_FILE"):
        return False
    if not is_project(edit.layer):
        return True
    folder = locations.project_folder(context.locations)
    return folder is not None and folder.resolve() == edit.path.parent.resolve()


# ---------------------------------------------------------------- questions


class _Questions:
    """Asks for what is not given; collects what nobody can be asked for."""

    def __init__(self, context: Context) -> None:
        self.reason = context.why_not_ask()
        self.missing: list[str] = []

    def need(
        self,
        given: str | None,
        option: str,
        question: str,
        default: str | None = None,
        *,
        wrong: Callable[[str], str] = lambda _: "",
    ) -> str:
        """Return what is given, else what the person answers; a missing one is told later.

        Args:
            given: what the command line says.
            option: how it is given there.
            question: for the person.
            default: what the return key alone answers.
            wrong: says what is wrong with a text; empty when nothing is. A person is asked again.

        Raises:
            click.UsageError: what is given is wrong.
        """
        if given:
            if problem := wrong(given):
                raise click.UsageError(problem)
            return given
        if self.reason is not None:
            self.missing.append(option)
            return ""
        while True:
            answer: str = click.prompt(question, default=default, err=True).strip()
            if answer and not (problem := wrong(answer)):
                return answer
            if answer:
                _output.tell(problem)

    def may(self, given: str | None, question: str) -> str | None:
        """The same for what may be left out."""
        if given is None and self.reason is None:
            given = click.prompt(
                f"{question} (may be empty)", default="", show_default=False, err=True
            )
        return (given or "").strip() or None

    def refuse_missing(self) -> None:
        """Name all options that are missing."""
        if self.missing:
            raise click.UsageError(
                f"missing: {', '.join(self.missing)} (nobody can be asked: {self.reason})",
            )


def _questions(context: Context, given: _Given, edit: FileEdit) -> tuple[str, dict[str, Any]]:
    """Return the name and the table of the new profile."""
    ask = _Questions(context)
    # Nobody answers all the questions only to hear in the end that the name is taken.
    taken = _names_in(edit) if ask.reason is None and not given.url else ()

    def wrong_name(name: str) -> str:
        if not PROFILE_NAME.fullmatch(name):
            return layer.BAD_NAME
        has_it = f"{printable(str(edit.path))} has a profile {name} already; choose another name"
        return has_it if name in taken else ""

    name = ask.need(given.name, "NAME", "name of the profile", "dev", wrong=wrong_name)
    url = ask.need(given.url, "--url", "URL of the server", wrong=_wrong_url)
    scheme = _scheme(context, ask, given, url)
    auth = {"scheme": scheme, **(_login(ask, scheme, given) if scheme else {})}
    ask.refuse_missing()
    return name, {"url": url, "auth": auth}


def _names_in(edit: FileEdit) -> tuple[str, ...]:
    try:
        return tuple(edit.parsed(edit.data).names())
    except ProfileError:  # told when the profile is to be written
        return ()


def _wrong_url(url: str) -> str:
    problem = urls.url_problem(url)
    return f"the URL {problem}" if problem else ""


def _wrong_scheme(scheme: str) -> str:
    known = plugins.names(plugins.AUTH)
    return "" if scheme in known else f"scheme: {suggest.unknown_name(scheme, known, 'scheme')}"


def _scheme(context: Context, ask: _Questions, given: _Given, url: str) -> str:
    """Learn the scheme from the server, and let a person decide; empty where nobody can tell."""
    fitting: tuple[str, ...] = ()
    if url and not given.offline and not given.scheme:
        learnt = learn(context, url)
        fitting = learnt.schemes
        _output.tell(learnt.saw)
    if "credentials" in fitting and (given.user_name or given.domain or given.password_from):
        fitting = ("credentials", *fitting)
    if ask.reason is not None and fitting:
        _output.tell(f"so the scheme is {fitting[0]}; --scheme chooses another one")
        return fitting[0]
    default = fitting[0] if fitting else _DEFAULT_SCHEME
    question = f"scheme ({', '.join(plugins.names(plugins.AUTH))})"
    return ask.need(given.scheme, "--scheme", question, default, wrong=_wrong_scheme)


def _login(ask: _Questions, scheme: str, given: _Given) -> dict[str, Any]:
    """Ask for the keys of a scheme, as far as they are those that the options know."""
    kind = plugins.load_scheme(scheme)
    fields = {each.name: each for each in fields_of(kind)}
    hints = types_of(kind)
    values: dict[str, Any] = {}
    if "user_name" in fields:
        values["user_name"] = ask.need(given.user_name, "--user-name", "user name")
    if "domain" in fields:
        domain = ask.may(given.domain, "Windows domain")
        values |= {"domain": domain} if domain else {}
    for name, each in fields.items():
        is_secret = SecretField in {hints[name], *typing.get_args(hints[name])}
        if is_secret and each.required:
            values[name] = _reference(ask, name, given.password_from)
    _refuse_unused(scheme, fields, values, given)
    return values


def _reference(ask: _Questions, name: str, given: tuple[str, ...]) -> Any:
    label = name.replace("_", " ")
    question = f"where the {label} comes from (keyring, prompt, env:NAME, file:PATH)"
    words = given or (ask.need(None, "--password-from", question, "keyring"),)
    forms = [f"{word}:" if word in {"keyring", "prompt"} else word for word in words]
    if not any(forms):
        return ""
    try:
        SecretRef.parse(forms)
    except ReferenceSyntaxError as error:
        # Whatever it is, it is not repeated: it may be the secret.
        raise click.UsageError(f"--password-from: {error}") from None
    return forms[0] if len(forms) == 1 else forms


def _refuse_unused(
    scheme: str, fields: Mapping[str, Any], values: Mapping[str, Any], given: _Given
) -> None:
    secret = any(name not in {"user_name", "domain"} for name in values)
    unused = {
        "--user-name": given.user_name and "user_name" not in fields,
        "--domain": given.domain and "domain" not in fields,
        "--password-from": given.password_from and not secret,
    }
    wrong = [option for option, is_wrong in unused.items() if is_wrong]
    if wrong:
        raise click.UsageError(f"the scheme {scheme} takes no {', '.join(wrong)}")


# ---------------------------------------------------------------- writing


def _snippet(name: str, meant: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps({"profiles": {name: meant}})


def _with_profile(edit: FileEdit, name: str, meant: dict[str, Any]) -> bytes:
    """Return the file's content with the profile in it, proven to be what was meant.

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
    data = edit.appended(_snippet(name, meant))
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
