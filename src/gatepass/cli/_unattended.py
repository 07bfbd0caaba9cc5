"""``gatepass check --unattended``: a run as a job makes it, in a process of its own.

The process has no terminal, no desktop and a session of its own. It is this module, started with
what to do as its argument; the last line of its output is what came of it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gatepass._config.layer import Layers, is_project
from gatepass._config.profile import Profile, references
from gatepass._system.context import RunContext
from gatepass._system.findings import Finding
from gatepass._system.terminal import Terminal
from gatepass._value import asdict
from gatepass.auth import value_of
from gatepass.cli._context import Context
from gatepass.errors import GatepassError, GatepassWarning
from gatepass.secrets import SecretRef

# By which programs find the desktop, its D-Bus and its windows, or a person at a notebook.
_OF_A_DESKTOP: Final = frozenset(
    "DBUS_SESSION_BUS_ADDRESS DISPLAY JPY_PARENT_PID SSH_ASKPASS WAYLAND_DISPLAY XAUTHORITY "
    "XDG_RUNTIME_DIR".split()
)
_OF_KERBEROS: Final = ("KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "KRB5CCNAME")
_OF_CERTIFICATES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_OF_KEYRINGS: Final = {
    "win32": "the job must run as this user, with the password stored: in the Task Scheduler do "
    'not tick "Do not store password"',
    "darwin": "the login keychain is locked while this user is not logged in",
}


def run_apart(context: Context, name: str, **how: Any) -> tuple[int, list[Finding]]:
    """Try a profile in a process without a person, and return its exit code and findings.

    Args:
        context: the surroundings; the process gets their variables without the desktop's.
        name: the profile.
        how: the keywords of :func:`~gatepass._session.unattended.try_run`.

    Raises:
        GatepassError: the process could not be run to its end.
    """
    job = {"name": name, "config_files": context.config_files, "how": how}
    variables = {key: value for key, value in context.environ.items() if key not in _OF_A_DESKTOP}
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW}
    # -P: nothing is imported from the working directory.
    argv = [sys.executable, "-P", "-m", "gatepass.cli._unattended", json.dumps(job)]
    with subprocess.Popen(  # noqa: S603 - our own program
        argv,
        env=variables | {"GATEPASS_NO_INPUT": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        **apart,
    ) as process:
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            # In its own session it does not see Ctrl-C; a renewal must reach its end.
            process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
            raise
    try:
        told = json.loads(output.splitlines()[-1])
        return told["code"], [Finding(**each) for each in told["findings"]]
    except (IndexError, ValueError, KeyError, TypeError):
        raise GatepassError(f"the run ended with status {process.returncode}") from None


def main(argument: str) -> None:
    """Run one profile in this process, which nobody looks at, and print what came of it."""
    from gatepass._config.load import load_profile
    from gatepass._session.unattended import Outcome, try_run

    job = json.loads(argument)
    # What a plug-in prints must not get among the answer.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings(record=True) as warned:
        try:
            warnings.simplefilter("ignore", GatepassWarning)  # of files: the command has told them
            profile = load_profile(job["name"], config_file=job["config_files"] or None)
            warnings.simplefilter("always", GatepassWarning)
            nobody = Terminal(interactive=False, refusal="nobody is there in an unattended run")
            outcome = try_run(profile, RunContext.of(terminal=nobody), **job["how"])
        except GatepassError as error:
            found = Finding("problem", "profile", error.message, error.hint)
            outcome = Outcome(error.exit_code, (found,))
    ours = [each for each in warned if issubclass(each.category, GatepassWarning)]
    messages = dict.fromkeys(str(each.message) for each in ours)
    findings = [*outcome.findings, *(Finding("warning", "run", each) for each in messages)]
    print(json.dumps({"code": outcome.code, "findings": [asdict(each) for each in findings]}))


# ---------------------------------------------------------------- what a job may find otherwise


def notes(environ: Mapping[str, str], layers: Layers, profile: Profile) -> Iterator[Finding]:
    """Say what a job may find otherwise than this shell, by what the profile names.

    Reads no secret and no file.
    """
    named = dict.fromkeys(_variables(environ, layers, profile))
    if named:
        message = f"{', '.join(named)}: set in this shell; the job must set it too"
        yield Finding("info", "variables", message)
    for label, layer in {
        each.layer.label: each.layer for each in profile.key_locations.values()
    }.items():
        if is_project(layer.kind):
            message = (
                "found from the working directory, and trusted by you: the job must start below "
                "its folder, as you; or name it by GATEPASS_CONFIG_FILE"
            )
            yield Finding("info", "file", message, place=label)
        elif layer.kind == "file":
            message = "named for this command; the job must name it too, by GATEPASS_CONFIG_FILE"
            yield Finding("info", "file", message, place=label)
    for key, reference in _references(profile):
        for source, text in reference.alternatives:
            message = _note_of(source, text, reference)
            if message:
                yield Finding("info", key, f"{source}: {message}")
    if profile.scheme == "autologon" and sys.platform == "win32":
        message = (
            "the account of the job logs on, so its password must be stored: in the Task "
            'Scheduler do not tick "Do not store password"'
        )
        yield Finding("info", "account", message)


def _references(profile: Profile) -> Iterator[tuple[str, SecretRef]]:
    machine = (("vault_key", profile.machine.vault_key),)
    for key, value in (*references(profile), *machine):
        if isinstance(value, SecretRef):
            yield key, value


def _note_of(source: str, text: str, reference: SecretRef) -> str:
    """Return what holds of a source in every job, whether it answers here or not."""
    if source == "file":
        return _note_of_file(text, reference)
    if source == "command" and os.sep not in json.loads(text)[0]:
        return "the PATH of the job may lead elsewhere, so write the program's absolute path"
    return _OF_KEYRINGS.get(sys.platform, "") if source == "keyring" else ""


def _note_of_file(path: str, reference: SecretRef) -> str:
    if path.startswith("$CREDENTIALS_DIRECTORY"):
        return "the job's unit needs LoadCredential="
    if path.startswith("~"):
        return "~ is the home folder of the user that the job runs as"
    if reference.base_dir is None and not Path(path).is_absolute():
        return "the path starts at the working directory of the job"
    return ""


def _variables(environ: Mapping[str, str], layers: Layers, profile: Profile) -> Iterator[str]:
    """Yield the variables of this shell on which the run depends."""
    places = [*profile.key_locations.values(), *(place for _, place in layers.machine.values())]
    yield from (place.where for place in places if place.layer.kind == "variable")
    for _, reference in _references(profile):
        for source, text in reference.alternatives:
            if source == "env" and environ.get(text):
                yield text
    provider = value_of(profile.auth, "tls")
    ways = [(profile.url, profile.proxy, profile.tls)]
    if provider is not None:  # a provider that is not written is asked by https
        issuer = value_of(profile.auth, "issuer")
        url = issuer if isinstance(issuer, str) else "https:"
        ways.append((url, value_of(profile.auth, "proxy"), provider))
    for url, proxy, tls in ways:
        if proxy is None:
            yield from _proxy_variables(environ, url.partition(":")[0])
        if url.startswith("https:") and tls.verify and not tls.ca_file:
            yield from (name for name in _OF_CERTIFICATES if environ.get(name))
    if profile.scheme == "autologon":
        yield from (name for name in _OF_KERBEROS if environ.get(name))


def _proxy_variables(environ: Mapping[str, str], scheme: str) -> Iterator[str]:
    """Yield the variable that names the proxy of a scheme, and the one that passes it by."""
    lower = (f"{scheme}_proxy", "all_proxy")
    found = [name for each in lower for name in (each, each.upper()) if environ.get(name)]
    if found:
        yield found[0]
        yield from [name for name in ("no_proxy", "NO_PROXY") if environ.get(name)][:1]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # the command says that it was stopped
        main(sys.argv[1])
