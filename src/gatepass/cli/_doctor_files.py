"""What the doctor checks about files: profiles, permissions, trust, the vault."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gatepass._config.files import FileBytes
from gatepass._config.files_seen import files_seen
from gatepass._config.locations import NO_HOME
from gatepass._config.permissions import unsafe_permissions
from gatepass._config.trust import TrustStore
from gatepass._system.findings import Finding, Verdict
from gatepass._system.text import quoted
from gatepass.cli._doctor_context import DoctorContext
from gatepass.cli._oidc_session import keeps_tokens
from gatepass.cli._problems import problems_in, seen_by
from gatepass.errors import SecretUnavailable, VaultError

# ---------------------------------------------------------------- profiles


def files(doctor: DoctorContext) -> Iterator[Finding]:
    """Tell which files of profiles were looked for, and what became of each."""
    redactor = doctor.redactor
    if doctor.trouble is not None:
        for problem in problems_in(doctor.trouble):
            place = redactor.path(problem.place) if problem.place else ""
            message = redactor.said(
                "cannot be used", ": ".join(filter(None, (problem.key, problem.message)))
            )
            hint = "" if redactor.redacted else problem.hint
            hint = hint or "gatepass validate tells more"
            yield Finding("problem", "files", message, hint, place)
    if doctor.layers is None:
        return
    of_others = {each.path for each in doctor.layers.unread if each.owner}
    for file in files_seen(doctor.layers):
        why = redactor.said("", file.why, sep="")
        message = f"{file.state} ({file.layer}){': ' * bool(why)}{why}"
        verdict: Verdict = "info" if file.state == "skipped" else "ok"
        hint = ""
        if file.why == "not trusted" or file.path in of_others:
            hint = f"look at it:\n    gatepass trust {redactor.pasted(file.path)}"
        yield Finding(verdict, "files", message, hint, redactor.path(file.path))


def profiles(doctor: DoctorContext) -> Iterator[Finding]:
    """Tell how many profiles there are, and which of them are broken."""
    if doctor.layers is None:
        return
    for name, profile in doctor.found.items():
        if profile is None:
            hint = f"    {seen_by('' if doctor.redactor.redacted else name)}"
            yield Finding(
                "problem", "profiles", f"{doctor.redactor.name('profile', name)} is broken", hint
            )
    good = [profile for profile in doctor.found.values() if profile is not None]
    schemes = ", ".join(sorted({profile.scheme for profile in good}))
    message = f"{len(good)} can be used{': ' * bool(schemes)}{schemes}"
    hint = "" if doctor.layers.all_names else "    gatepass init"
    yield Finding("ok" if doctor.found else "info", "profiles", message, hint)


# ---------------------------------------------------------------- permissions and trust


def permissions(doctor: DoctorContext) -> Iterator[Finding]:
    """Look whether others may write to the folders that decide where secrets go."""
    if sys.platform == "win32":
        yield Finding("info", "permissions", "Windows' own rights were not looked at")
        return
    places = doctor.context.locations
    user, state = places.user.parent, places.state
    lost = (
        "no file of yours is read" * (user == NO_HOME),
        "nothing is remembered" * (state == NO_HOME),
    )
    if any(lost):
        message = f"there is no home folder: {', and '.join(filter(None, lost))}"
        yield Finding("info", "permissions", message, "set HOME")
    folders = [each for each in (user, state, state / "trust") if not each.is_relative_to(NO_HOME)]
    good = True
    for folder in folders:
        finding = _judged(doctor, folder)
        if finding is not None:
            good = False
            yield finding
    if good and folders:
        yield Finding("ok", "permissions", "nobody else can write to the folders of gatepass")


def _judged(doctor: DoctorContext, path: Path) -> Finding | None:
    """Judge a folder by the rules for files; None where it is good, or not there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        message, hint = f"cannot be looked at: {error.strerror}", "it should be yours alone"
        return Finding("problem", "permissions", message, hint, doctor.redactor.path(path))
    problem = unsafe_permissions(FileBytes(path, b"", status), own=True)
    if problem is None:
        return None
    command = problem.hint.split("\n")[0]  # what follows is for files alone
    hint = command.replace(quoted(str(path)), doctor.redactor.pasted(path))
    return Finding("problem", "permissions", problem.message, hint, doctor.redactor.path(path))


def trust(doctor: DoctorContext) -> Iterator[Finding]:
    """Look at the record of trusted files."""
    good = 0
    for each in TrustStore(doctor.context.locations.state).trusted():
        shown = doctor.redactor.path(each.path)
        path = doctor.redactor.pasted(each.path)
        if each.state == "unchanged":
            good += 1
        elif each.state in {"changed", "other owner"}:
            what = "changed" if each.state == "changed" else "got another owner"
            message = f"has {what} since it was trusted, so it is skipped"
            yield Finding("info", "trust", message, f"    gatepass trust {path}", shown)
        else:
            verdict: Verdict = "problem" if each.state == "damaged record" else "info"
            message = f"is trusted, and {each.state}" if verdict == "info" else each.state
            yield Finding(verdict, "trust", message, f"    gatepass trust --revoke {path}", shown)
    if good:
        yield Finding("ok", "trust", f"{good} trusted file{'s' * (good != 1)} as they were")


# ---------------------------------------------------------------- vault


def vault(doctor: DoctorContext) -> Iterator[Finding]:
    """Tell where tokens are kept, whether they are safe there, and whether the key opens them."""
    from gatepass.auth._oidc.status import diagnose_vault

    redactor, folder = doctor.redactor, doctor.vault_folder
    needed = any(profile and keeps_tokens(profile) for profile in doctor.found.values())
    if folder is not None and not needed and not folder.exists():
        message = "no profile keeps tokens, and none is there"
        yield Finding("ok", "vault", message, place=_shown(doctor))
        return
    folders = [] if folder is None else [folder, *folder.parents]
    for found in diagnose_vault(doctor.vault):
        message = redactor.within(found.message, folders)
        if doctor.redis is not None and redactor.redacted:
            message = message.replace(doctor.redis.host, "(server)")
        yield replace(found, message=message)
    yield from _key(doctor)


def _shown(doctor: DoctorContext) -> str:
    """Where tokens are kept."""
    redis = doctor.redis
    if redis is not None:
        return f"redis at {doctor.redactor.name('server', f'{redis.host}:{redis.port}/{redis.db}')}"
    return doctor.redactor.path(doctor.vault_folder or Path())


def _key(doctor: DoctorContext) -> Iterator[Finding]:
    """Open what is in the vault, where that disturbs nobody."""
    from gatepass.auth._oidc.status import count_logins

    vault = doctor.vault
    key = vault.key.shown
    source = key.partition(":")[0]
    shown = f"{source}:..." if doctor.redactor.redacted else key
    quiet = source in {"env", "file"} or (source == "keyring" and _keyring_is_open(doctor))
    if not quiet:
        message = f"its key, {shown}, was not asked for: it may need a person or run a program"
        yield Finding("warning", "vault", message, place=_shown(doctor))
        return
    try:
        count, unreadable = count_logins(vault)
    except VaultError as error:
        yield _vault_trouble(doctor, error)
        return
    for each in unreadable:
        yield _vault_trouble(doctor, each)
    message = f"{count} login{'s' * (count != 1)} can be opened; the key is {shown}"
    yield Finding("ok", "vault", message, place=_shown(doctor))


def _vault_trouble(doctor: DoctorContext, error: VaultError) -> Finding:
    message = doctor.redactor.said("a login or the key cannot be read", error.message)
    hint = "" if doctor.redactor.redacted else error.hint
    hint = hint or "gatepass status tells more"
    return Finding("problem", "vault", message, hint, _shown(doctor))


def _keyring_is_open(doctor: DoctorContext) -> bool:
    from gatepass.secrets import keyring

    try:
        return keyring.lock_state(doctor.secret_context) == "unlocked"
    except SecretUnavailable:
        return False
