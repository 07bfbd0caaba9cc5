"""The parts of ``gatepass doctor``: each looks at one thing of the machine."""

import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Final

from gatepass import _version
from gatepass._config import validate
from gatepass._config.files import FileBytes
from gatepass._config.files_seen import files_seen
from gatepass._config.layer import Layers
from gatepass._config.locations import NO_HOME
from gatepass._config.permissions import unsafe_permissions
from gatepass._config.profile import MachineSettings, Profile, references
from gatepass._config.redis_vault import RedisVault
from gatepass._net.proxy import NamedProxy, complaint_about, split_login
from gatepass._net.tls import TlsContexts, trust_of
from gatepass._system import plugins
from gatepass._system.findings import Finding, Verdict
from gatepass._system.text import printable, quoted
from gatepass._value import Value
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import keeps_tokens
from gatepass.cli._output import counted
from gatepass.cli._problems import complaints_of, problems_in, seen_by
from gatepass.errors import GatepassError, PluginError, ProfileError, SecretUnavailable, VaultError
from gatepass.secrets import SecretRef

_PACKAGES: Final = (
    "requests urllib3 requests-ntlm pyspnego keyring truststore cryptography click pydantic"
).split()
_EXTRAS: Final = {"kerberos": "gssapi", "redis": "redis", "socks": "socks"}
_SECONDS: Final = 5.0  # for each question to the keyring
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Seen(Value):
    """One thing that was seen.

    Attributes:
        verdict: how it weighs.
        subject: what was looked at.
        message: what was seen, in words that hold no name.
        names: what follows it; left out of a redacted report, as are the next two.
        hint: the next step.
        place: where it lies.
    """

    verdict: Verdict
    subject: str
    message: str
    names: str = ""
    hint: str = ""
    place: str = ""

    def finding(self, *, redacted: bool) -> Finding:
        """Return what is printed: in a redacted report, the words that hold no name."""
        if redacted:
            hint = "gatepass doctor without --redacted tells more" if self.hint else ""
            return Finding(self.verdict, self.subject, self.message, hint)
        return Finding(
            self.verdict, self.subject, self.message + self.names, self.hint, printable(self.place)
        )


class Machine(Value):
    """The surroundings, and what the files of profiles say.

    Attributes:
        context: the surroundings, with a person in them.
    """

    context: Context

    @cached_property
    def layers(self) -> Layers | GatepassError:
        """All files and variables, or why they cannot be read."""
        try:
            return self.context.read()
        except GatepassError as error:
            return error

    @cached_property
    def settings(self) -> MachineSettings:
        """The machine settings; the usual ones where they are wrong."""
        with suppress(GatepassError):
            if isinstance(self.layers, Layers):
                return validate.validate_machine_settings(self.layers)
        return MachineSettings()

    @cached_property
    def profiles(self) -> dict[str, Profile | None]:
        """The profiles of the files that are trusted; None for a broken one."""
        if not isinstance(self.layers, Layers):
            return {}
        untrusted = {name for layer in self.layers.untrusted for name in layer.names()}
        names = (name for name in self.layers.all_names if name not in untrusted)
        return {name: complaints_of(self.layers, name, self.settings)[0] for name in names}

    @property
    def silent(self) -> Context:
        """The surroundings with a terminal on which nobody is asked."""
        return self.context.without_person()

    def weigh(self, need: str, message: str) -> tuple[Verdict, str, str]:
        """Weigh what is missing: a problem where a profile cannot do without it.

        Args:
            need: the scheme or source that needs it.
            message: what is missing.

        Returns:
            The verdict, the message with a number, and the names behind it.
        """
        found = [each for each in self.profiles.values() if each and need in _needs(each)]
        if not found:
            return "info", f"{message}; no profile needs it", ""
        names = ", ".join(each.name for each in found)
        return "problem", f"{message}; needed by {counted(len(found), 'profile')}", f": {names}"


def _needs(profile: Profile) -> set[str]:
    """The scheme of a profile, and each source that a secret of it comes from alone."""
    needs = {profile.scheme}
    found = [reference for _, reference in references(profile)]
    if keeps_tokens(profile):
        key = profile.machine.vault_key
        needs |= {"vault"} | ({"keyring"} if key is None else set())
        found += [key] if key is not None else []
    for reference in found:
        sources = (
            {name for name, _ in reference.alternatives}
            if isinstance(reference, SecretRef)
            else set()
        )
        needs |= sources if len(sources) == 1 else set()
    return needs


# ---------------------------------------------------------------- what is installed


def versions(_: Machine) -> Iterator[Seen]:
    """Tell the versions that a bug report needs."""
    import platform

    yield Seen("ok", "gatepass", _version.__version__)
    python = f"{platform.python_version()} ({platform.python_implementation()})"
    yield Seen("ok", "Python", f"{python} on {platform.platform()}")
    told = [f"{name} {version}" for name in _PACKAGES if (version := _installed(name))]
    yield Seen("ok", "packages", ", ".join([*told, ssl.OPENSSL_VERSION]))
    missing = " ".join(name for name in _PACKAGES if not _installed(name))
    if missing:
        hint = f"    pip install {missing}"
        yield Seen("problem", "packages", f"not installed: {missing}", hint=hint)


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def extras(machine: Machine) -> Iterator[Seen]:
    """Tell which extras are installed."""
    for extra, module in _EXTRAS.items():
        if extra == "kerberos" and sys.platform == "win32":
            continue  # Windows brings its own
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - what is half installed fails in any way
            missing = isinstance(error, ModuleNotFoundError) and error.name == module
            what = "is not installed" if missing else f"fails with {type(error).__name__}"
            verdict, message, names = machine.weigh("autologon", f"{module} {what}")
            if extra == "redis":
                used = isinstance(machine.settings.vault, RedisVault)
                verdict, names = "problem" if used else "info", ""
                message = f"{module} {what}; {'the vault is in a redis' * used or 'not needed'}"
            if extra == "socks":  # a variable that names such a proxy is judged by itself
                verdict, names, message = "info", "", f"{module} {what}; for SOCKS proxies alone"
            hint = f"    pip install 'gatepass[{extra}]'"
            yield Seen(verdict, f"extra {extra}", message, names, hint)
        else:
            yield Seen("ok", f"extra {extra}", f"{module} {_installed(module)}".rstrip())


def plug_ins(_: Machine) -> Iterator[Seen]:
    """Look at the schemes and sources of other packages, and import each."""
    conflicts = plugins.conflicts()
    for sentence in conflicts:
        hint = "uninstall the package, or tell its author"
        yield Seen("problem", "plug-ins", "packages are in conflict", f": {sentence}", hint)
    for group, built_in in plugins.BUILT_IN.items():
        for name in plugins.names(group):
            if name in built_in or any(repr(name) in sentence for sentence in conflicts):
                continue
            shown = f"{name} of {group}"
            load = plugins.load_scheme if group == plugins.AUTH else partial(plugins.load, group)
            try:
                load(name)
            except PluginError as error:
                hint = "reinstall the package, or tell its author"
                message = f"{shown} cannot be used"
                yield Seen("problem", "plug-ins", message, f": {error.message}", hint)
            else:
                yield Seen("ok", "plug-ins", shown)


# ---------------------------------------------------------------- a person, and the keyring


def person(machine: Machine) -> Iterator[Seen]:
    """Answer both questions: may a person be asked, and would a browser be seen?"""
    terminal = machine.context.terminal
    for subject, reason, good, bad in (
        ("person", terminal.why_not_ask(), "a person can be asked here", "nobody can be asked"),
        ("browser", terminal.why_no_browser(), "a browser can be opened here", "none is opened"),
    ):
        yield Seen("info" if reason else "ok", subject, f"{bad}: {reason}" if reason else good)


def keyring(machine: Machine) -> Iterator[Seen]:
    """Ask the keyring who it is, whether it is locked, and for an entry that does not exist.

    A locked one, or one that cannot be asked about that, is left alone: it might show a dialog.
    """
    from gatepass._session.resolve import secret_context
    from gatepass.secrets import keyring as store
    from gatepass.secrets._keyring_backend import UNLOCK

    access = secret_context(machine.silent, machine.settings, "vault_key")
    try:
        backend = store.describe_backend(access, seconds=_SECONDS)
        state = store.lock_state(access, seconds=_SECONDS)
        if state == "unlocked":
            store.read("gatepass", "doctor", access, seconds=_SECONDS)
    except SecretUnavailable as error:
        verdict, message, names = machine.weigh("keyring", error.message)
        yield Seen(verdict, "keyring", message, names, error.hint)
        return
    if backend.max_bytes is not None:
        most = f"an entry holds {backend.max_bytes} bytes: {backend.max_bytes // 2} characters"
        yield Seen("info", "keyring", most, hint="keep longer secrets in a file: file:PATH")
    if state == "unlocked":
        yield Seen("ok", "keyring", f"{backend.name} answers, and is unlocked")
    elif state == "unknown":
        yield Seen("warning", "keyring", f"{backend.name} was not asked: it might ask a person")
    elif machine.context.terminal.why_not_ask() is None:
        message = f"{backend.name} is locked; reading a secret asks to unlock it"
        yield Seen("info", "keyring", message)
    else:
        message = f"{backend.name} is locked, and nobody is there to unlock it"
        verdict, message, names = machine.weigh("keyring", message)
        yield Seen(verdict, "keyring", message, names, UNLOCK)


# ---------------------------------------------------------------- the way to a server


def certificates(machine: Machine) -> Iterator[Seen]:
    """Read the authorities that a session would trust where the profile names none."""
    environ = machine.context.environ
    trust = trust_of(None, environ)
    for path in trust.files:
        variable = str(trust.named_by)
        try:
            count = TlsContexts(trust).get().cert_store_stats()["x509_ca"]
        except ProfileError as error:
            hint = f"{error.hint}\nor unset {variable}"
            yield Seen("problem", variable, "cannot be used", f": {error.message}", hint)
            return
        if Path(path).is_dir():  # read by OpenSSL only when a server is asked
            count = sum(1 for _ in Path(path).glob("[0-9a-f]*.[0-9]"))
        hint = "put the authority's certificate into the file"
        verdict: Verdict = "ok" if count else "problem"
        message = f"holds {counted(count, 'certificate')} of authorities"
        yield Seen(verdict, variable, message, hint="" if count else hint, place=path)
        return
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        named = environ.get(name)
        if named and not Path(named).exists():
            hint = f"correct {name}, or unset it"
            yield Seen("problem", name, "does not exist", hint=hint, place=named)
    yield Seen("ok", "certificates", "the system's own store is used")


def proxies(machine: Machine) -> Iterator[Seen]:
    """Tell the variables that name proxies, without what logs on at one."""
    environ = machine.context.environ
    # As in requests, the one in small letters wins.
    names = [name if environ.get(name) else name.upper() for name in _PROXIES]
    found = {name: environ[name] for name in names if environ.get(name)}
    for name, value in found.items():
        if name.lower() == "no_proxy":
            yield Seen("info", name, "set", f": {value}")
            continue
        complaint = complaint_about(NamedProxy(value, name))
        if complaint is not None:
            yield Seen("problem", name, complaint[0], hint=complaint[1])
            continue
        bare, login = split_login(value)
        yield Seen("info", name, "set, with a login" if login else "set", f": {bare}")
    if not found:
        yield Seen("ok", "proxy", "no variable names one")


# ---------------------------------------------------------------- files


def files(machine: Machine) -> Iterator[Seen]:
    """Tell which files of profiles were looked for, and what is wrong in them."""
    layers = machine.layers
    if not isinstance(layers, Layers):
        yield from _unusable(layers)
        return
    of_others = {each.path for each in layers.unread if each.owner}
    for file in files_seen(layers):
        untrusted = file.why == "not trusted" or file.path in of_others
        hint = (
            f"look at it:\n    {quoted('gatepass', 'trust', str(file.path))}" if untrusted else ""
        )
        verdict: Verdict = "info" if file.state == "skipped" else "ok"
        why = f": {file.why}" if file.why else ""
        message = f"{file.state} ({file.layer})"
        yield Seen(verdict, "files", message, why, hint, str(file.path))
    try:
        validate.validate_machine_settings(layers)
    except GatepassError as error:
        yield from _unusable(error)
    broken = [name for name, profile in machine.profiles.items() if profile is None]
    for name in broken:
        hint = f"    {seen_by(name)}"
        yield Seen("problem", "profiles", "a profile is broken", f": {printable(name)}", hint)
    count = len(machine.profiles) - len(broken)
    hint = "" if layers.all_names else "    gatepass init"
    yield Seen("ok" if count else "info", "profiles", f"{count} can be used", hint=hint)


def _unusable(error: GatepassError) -> Iterator[Seen]:
    for problem in problems_in(error):
        said = ": ".join(filter(None, ("", problem.key, problem.message)))
        hint = problem.hint or "gatepass validate tells more"
        yield Seen("problem", "files", "cannot be used", said, hint, problem.place)


def folders(machine: Machine) -> Iterator[Seen]:
    """Look whether others may write to the folders that decide where secrets go."""
    if sys.platform == "win32":
        yield Seen("info", "permissions", "Windows' own rights were not looked at")
        return
    places = machine.context.locations
    if NO_HOME in {places.user.parent, places.state}:
        message = "there is no home folder: no file of yours is read, or nothing is remembered"
        yield Seen("info", "permissions", message, hint="set HOME")
    good = True
    for folder in (places.user.parent, places.state, places.state / "trust"):
        if folder.is_relative_to(NO_HOME) or not os.path.lexists(folder):
            continue
        try:
            problem = unsafe_permissions(FileBytes(folder, b"", folder.stat()), own=True)
        except OSError as error:
            problem, good = None, False
            message = f"cannot be looked at: {error.strerror}"
            hint = "it should be yours alone"
            yield Seen("problem", "permissions", message, hint=hint, place=str(folder))
        if problem is not None:
            good = False
            hint = problem.hint.split("\n")[0]  # what follows is for files alone
            message, why = "others can write to a folder", f": {problem.message}"
            yield Seen("problem", "permissions", message, why, hint, str(folder))
    if good:
        yield Seen("ok", "permissions", "nobody else can write to the folders of gatepass")


# ---------------------------------------------------------------- vault


def vault(machine: Machine) -> Iterator[Seen]:
    """Tell where tokens are kept, whether they are safe there, and whether the key opens them."""
    from gatepass._session.vault_config import vault_of
    from gatepass._vault.file_store import FileStore
    from gatepass._vault.redis_store import RedisStore
    from gatepass.auth._oidc.status import count_logins, diagnose_vault

    found = vault_of(machine.settings, machine.silent)
    folder = found.store.folder if isinstance(found.store, FileStore) else None
    redis = found.store.server.shown if isinstance(found.store, RedisStore) else ""
    place = str(folder or f"redis at {redis}")
    needed = any(each and keeps_tokens(each) for each in machine.profiles.values())
    if folder is not None and not needed and not folder.exists():
        message = "no profile keeps tokens, and none is there"
        yield Seen("ok", "vault", message, place=place)
        return
    for each in diagnose_vault(found):
        yield Seen(each.verdict, "vault", "where it lies", f": {each.message}", each.hint, place)
    key = found.key.shown
    source = key.partition(":")[0]
    if source not in {"env", "file"} and not (source == "keyring" and _keyring_is_open(machine)):
        message = "its key was not asked for: it may need a person or run a program"
        yield Seen("warning", "vault", message, f": {key}", place=place)
        return
    try:
        count, unreadable = count_logins(found)
    except VaultError as error:
        count, unreadable = 0, (error,)
    for each_error in unreadable:
        message = "a login or the key cannot be read"
        hint = each_error.hint or "gatepass status tells more"
        yield Seen("problem", "vault", message, f": {each_error.message}", hint, place)
    message = f"{counted(count, 'login')} can be opened; the key is from {source}"
    yield Seen("ok" if count or not unreadable else "info", "vault", message, f": {key}", "", place)


def _keyring_is_open(machine: Machine) -> bool:
    from gatepass._session.resolve import secret_context
    from gatepass.secrets import keyring as store

    try:
        access = secret_context(machine.silent, machine.settings, "vault_key")
        return store.lock_state(access) == "unlocked"
    except SecretUnavailable:
        return False
