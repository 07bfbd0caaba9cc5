"""The questions of ``gatepass init``: what is not given is asked for, or learnt from the server."""

import contextlib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from gatepass._config import files, layer, suggest, validate
from gatepass._config.fields import fields_of, types_of
from gatepass._config.layer import PROFILE_NAME, is_project
from gatepass._config.profile import MachineSettings
from gatepass._net import urls
from gatepass._net.tls import TlsContexts, trust_of
from gatepass._system import plugins
from gatepass._system.text import printable
from gatepass._value import Value
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._detect_scheme import Learnt, is_unknown_authority, learn
from gatepass.cli._edit import FileEdit
from gatepass.errors import GatepassError, ProfileError, SecretUnavailable
from gatepass.secrets import ReferenceSyntaxError, SecretField, SecretRef

_DEFAULT_SCHEME: Final = "credentials"


class Given(Value):
    """What the command line says; None and empty where it says nothing."""

    name: str | None = None
    url: str | None = None
    scheme: str | None = None
    user_name: str | None = None
    domain: str | None = None
    password_from: tuple[str, ...] = ()
    issuer: str | None = None
    client_id: str | None = None
    ca_file: str | None = None
    proxy: str | None = None
    allow_http: bool = False
    offline: bool = False


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
                f"missing: {', '.join(self.missing)}; nobody can be asked: "
                f"{self.reason.partition(' (')[0] if self.reason else ''}"
            )


def ask_all(context: Context, given: Given, edit: FileEdit) -> tuple[str, dict[str, Any]]:
    """Return the name and the table of the new profile."""
    ask = _Questions(context)
    # Nobody answers all the questions only to hear in the end that the name is taken.
    taken = names_in(edit) if ask.reason is None else ()

    def wrong_name(name: str) -> str:
        if not PROFILE_NAME.fullmatch(name):
            return layer.BAD_NAME
        has_it = f"{printable(str(edit.path))} has a profile {name} already; choose another name"
        return has_it if name in taken else ""

    name = ask.need(given.name, "NAME", "name of the profile", "dev", wrong=wrong_name)
    url = ask.need(given.url, "--url", "URL of the server", wrong=_wrong_url)
    meant: dict[str, Any] = {"url": url} | ({"proxy": given.proxy} if given.proxy else {})
    if url:
        meant |= _allowance(ask, given, url)
        meant |= _authority(edit, given.ca_file)
    scheme, learnt = _scheme(context, ask, given, edit, meant)
    if learnt and learnt.check_path and scheme != "anonymous":
        meant["check_path"] = learnt.check_path
    auth = {"scheme": scheme, **(_login(context, ask, scheme, given) if scheme else {})}
    ask.refuse_missing()
    if scheme == "oidc":
        auth |= _of_provider(context, given, learnt, meant)
    return name, {**meant, "auth": auth}


def names_in(edit: FileEdit) -> tuple[str, ...]:
    """Return the names of the profiles in a file; none where it is malformed."""
    try:
        return tuple(edit.parsed(edit.data).names())
    except ProfileError:  # told when the profile is to be written
        return ()


def _wrong_url(url: str) -> str:
    problem = urls.url_problem(url)
    if problem and "://" not in url and not urls.url_problem(f"https://{url}"):
        return f"the URL begins with https://; did you mean https://{printable(url)} ?"
    return f"the URL {problem}" if problem else ""


def _allowance(ask: "_Questions", given: Given, url: str) -> dict[str, Any]:
    """Ask early about plain http, which every scheme but anonymous refuses."""
    host = url.partition("://")[2].partition("/")[0]
    plain = url.lower().startswith("http://") and not urls.is_this_computer(url)
    if not plain or given.scheme == "anonymous":
        return {"allow_http": True} if given.allow_http else {}
    question = f"plain http would send the login readable to {host}; allow it all the same?"
    if given.allow_http or (ask.reason is None and click.confirm(question, err=True)):
        return {"allow_http": True}
    raise click.UsageError(
        "plain http would send credentials over the network: use https, or --allow-http"
    )


def _authority(edit: FileEdit, ca_file: str | None) -> dict[str, Any]:
    """Return the table ``tls`` for a file of authorities, which is read here.

    Raises:
        ProfileError: it cannot be used.
    """
    if not ca_file:
        return {}
    path = files.absolute(Path(ca_file).expanduser())
    TlsContexts(trust_of(str(path), {}, "--ca-file")).get()
    folder = files.absolute(edit.path).parent
    below = is_project(edit.layer) and path.is_relative_to(folder)
    return {"tls": {"ca_file": (path.relative_to(folder).as_posix() if below else str(path))}}


def _asked_authority(ask: "_Questions", edit: FileEdit) -> dict[str, Any]:
    """Ask for a file of authorities, until it can be used or is left out."""
    while True:
        try:
            return _authority(edit, ask.may(None, "file of your organisation's authorities, PEM"))
        except ProfileError as error:
            _output.tell(error.message)


def _wrong_scheme(scheme: str) -> str:
    known = plugins.names(plugins.AUTH)
    return "" if scheme in known else f"scheme: {suggest.unknown_name(scheme, known, 'scheme')}"


def _scheme(
    context: Context, ask: "_Questions", given: Given, edit: FileEdit, meant: dict[str, Any]
) -> tuple[str, Learnt | None]:
    """Learn the scheme from the server, and let a person decide; empty where nobody can tell.

    Where its authority is unknown, a person may name the file; it goes into the table.
    """
    learnt = None
    if meant["url"] and not given.offline and (not given.scheme or given.scheme == "oidc"):
        learnt = learn(context, meant)
        _output.tell(learnt.saw)
        if learnt.unknown_authority and not given.ca_file and ask.reason is None:
            authority = _asked_authority(ask, edit)
            if authority:
                meant |= authority
                learnt = learn(context, meant)
                _output.tell(learnt.saw)
    fitting = learnt.schemes if learnt else ()
    if given.issuer or given.client_id:
        fitting = ("oidc",)
    elif "credentials" in fitting and (given.user_name or given.domain or given.password_from):
        fitting = ("credentials", *fitting)
    if not given.scheme and ask.reason is not None and fitting:
        _output.tell(f"so the scheme is {fitting[0]}; --scheme chooses another one")
        return fitting[0], learnt
    default = fitting[0] if fitting else _DEFAULT_SCHEME
    question = f"scheme ({', '.join(plugins.names(plugins.AUTH))})"
    return ask.need(given.scheme, "--scheme", question, default, wrong=_wrong_scheme), learnt


def _of_provider(
    context: Context, given: Given, learnt: Learnt | None, meant: dict[str, Any]
) -> dict[str, Any]:
    """Return the keys of the identity provider; its ``tls`` too where it needs the same file."""
    found: dict[str, Any] = {"issuer": given.issuer, "client_id": given.client_id}
    found = {name: value for name, value in found.items() if value}
    issuer = given.issuer or (learnt.issuer if learnt else "")
    if not given.offline and "tls" in meant and issuer and is_unknown_authority(context, issuer):
        found["tls"] = meant["tls"]
    return found


def _login(context: Context, ask: _Questions, scheme: str, given: Given) -> dict[str, Any]:
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
            values[name] = _reference(context, ask, name, given.password_from)
    _refuse_unused(scheme, fields, values, given)
    return values


def _reference(context: Context, ask: _Questions, name: str, given: tuple[str, ...]) -> Any:
    words = given
    if not words:
        default = "keyring"
        if ask.reason is None and (reason := why_no_keyring(context)):
            _output.tell(f"a keyring cannot be offered: {reason}")
            default = "prompt"
        label = name.replace("_", " ")
        question = f"where the {label} comes from (keyring, prompt, env:NAME, file:PATH)"
        words = (ask.need(None, "--password-from", question, default),)
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
    scheme: str, fields: Mapping[str, Any], values: Mapping[str, Any], given: Given
) -> None:
    secret = any(name not in {"user_name", "domain"} for name in values)
    unused = {
        "--user-name": given.user_name and "user_name" not in fields,
        "--domain": given.domain and "domain" not in fields,
        "--password-from": given.password_from and not secret,
        "--issuer": given.issuer and scheme != "oidc",
        "--client-id": given.client_id and scheme != "oidc",
    }
    wrong = [option for option, is_wrong in unused.items() if is_wrong]
    if wrong:
        raise click.UsageError(f"the scheme {scheme} takes no {', '.join(wrong)}")


def why_no_keyring(context: Context) -> str:
    """Say why this machine's keyring cannot be used; empty where it can. Reads no entry."""
    from gatepass._session.resolve import secret_context
    from gatepass.secrets import keyring

    machine = MachineSettings()
    with contextlib.suppress(GatepassError):  # told when the files are read for the profile
        machine = validate.validate_machine_settings(context.read())
    try:
        refusal = keyring.describe_backend(secret_context(context, machine, "password")).refusal
    except SecretUnavailable as error:
        return error.message
    return refusal.message if refusal else ""
