"""What the doctor checks about the machine: what is installed, set and unlocked."""

import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gatepass import _version
from gatepass._net.tls import TlsContexts, authorities_of
from gatepass._system import plugins
from gatepass._system.findings import Finding
from gatepass._system.text import local_time, time_span
from gatepass.cli._doctor_context import DoctorContext
from gatepass.cli._redaction import Redactor
from gatepass.errors import GatepassError, PluginError, ProfileError, SecretUnavailable

_PACKAGES: Final = (
    "requests urllib3 requests-ntlm pyspnego keyring truststore cryptography click pydantic"
).split()
_EXTRAS: Final = {"kerberos": "gssapi", "redis": "redis"}
_SECONDS: Final = 5.0  # for each question to the keyring

# ---------------------------------------------------------------- what is installed


def versions(_: DoctorContext) -> Iterator[Finding]:
    """Tell the versions that a bug report needs."""
    import platform

    yield Finding("ok", "gatepass", _version.__version__)
    python = f"{platform.python_version()} ({platform.python_implementation()})"
    yield Finding("ok", "Python", f"{python} on {platform.platform()}")
    told = [f"{name} {version}" for name in _PACKAGES if (version := _installed(name))]
    yield Finding("ok", "packages", ", ".join([*told, ssl.OPENSSL_VERSION]))
    missing = [name for name in _PACKAGES if not _installed(name)]
    if missing:
        install = "    " + f"pip install {' '.join(missing)}"
        yield Finding("problem", "packages", f"not installed: {', '.join(missing)}", install)


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def extras(doctor: DoctorContext) -> Iterator[Finding]:
    """Tell which extras are installed."""
    for extra, module in _EXTRAS.items():
        if extra == "kerberos" and sys.platform == "win32":
            continue  # Windows brings its own
        subject = f"extra {extra}"
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - what is half installed fails in any way
            missing = isinstance(error, ModuleNotFoundError) and error.name == module
            what = "is not installed" if missing else f"fails with {type(error).__name__}"
        else:
            yield Finding("ok", subject, f"{module} {_installed(module)}")
            continue
        message, hint = f"{module} {what}", f"    pip install 'gatepass[{extra}]'"
        if extra == "redis" and doctor.redis is not None:
            yield Finding("problem", subject, f"{message}; the vault is in a redis", hint)
        else:
            need = "autologon" if extra == "kerberos" else extra
            yield doctor.missing(need, subject, message, hint)


def plug_ins(doctor: DoctorContext) -> Iterator[Finding]:
    """Look at the schemes and sources of other packages, and import each."""
    conflicts = plugins.conflicts()
    for sentence in conflicts:
        yield Finding("problem", "plug-ins", sentence, "uninstall the package, or tell its author")
    for group, built_in in plugins.BUILT_IN.items():
        for name in plugins.names(group):
            if name in built_in or any(repr(name) in sentence for sentence in conflicts):
                continue
            shown = f"{name} of {group}"
            load = plugins.load_scheme if group == plugins.AUTH else partial(plugins.load, group)
            try:
                load(name)
            except PluginError as error:
                message = doctor.redactor.said(f"{shown} cannot be used", error.message)
                hint = "reinstall the package, or tell its author"
                yield Finding("problem", "plug-ins", message, hint)
            else:
                yield Finding("ok", "plug-ins", shown)


# ---------------------------------------------------------------- a person


def person(doctor: DoctorContext) -> Iterator[Finding]:
    """Answer both questions: may a person be asked, and would a browser be seen?"""
    terminal = doctor.context.terminal
    reason = terminal.why_not_ask()
    if reason is None:
        yield Finding("ok", "person", "a person can be asked here")
    else:
        yield Finding("info", "person", f"nobody can be asked: {reason}")
    reason = terminal.why_no_browser()
    if reason is None:
        yield Finding("ok", "browser", "a browser can be opened here")
    else:
        hint = "log in with a code from another device: gatepass login NAME --device"
        yield Finding("info", "browser", f"no browser is opened: {reason}", hint)


# ---------------------------------------------------------------- keyring and Kerberos


def keyring(doctor: DoctorContext) -> Iterator[Finding]:
    """Ask the keyring who it is, whether it is locked, and for an entry that does not exist.

    A locked one, or one that cannot be asked about that, is left alone: it might show a dialog.
    """
    from gatepass.secrets import keyring as store
    from gatepass.secrets._keyring_backend import UNLOCK

    access = doctor.secret_context
    try:
        backend = store.describe_backend(access, seconds=_SECONDS)
        state = store.lock_state(access, seconds=_SECONDS)
        if state == "unlocked":
            store.read("gatepass", "doctor", access, seconds=_SECONDS)
    except SecretUnavailable as error:
        yield doctor.missing("keyring", "keyring", error.message, error.hint)
        return
    if backend.max_bytes is not None:
        most = f"an entry holds {backend.max_bytes} bytes: {backend.max_bytes // 2} characters"
        yield Finding("info", "keyring", most, "keep longer secrets in a file: file:PATH")
    if state == "unlocked":
        yield Finding("ok", "keyring", f"{backend.name} answers, and is unlocked")
    elif state == "unknown":
        message = f"{backend.name} was not asked: it might ask a person"
        yield Finding("warning", "keyring", message)
    elif doctor.context.terminal.why_not_ask() is None:
        message = f"{backend.name} is locked; reading a secret asks to unlock it"
        yield Finding("info", "keyring", message)
    else:
        message = f"{backend.name} is locked, and nobody is there to unlock it"
        yield doctor.missing("keyring", "keyring", message, UNLOCK)


def kerberos(doctor: DoctorContext) -> Iterator[Finding]:
    """Look for a Kerberos ticket. Asks no KDC."""
    if sys.platform == "win32":
        yield Finding("ok", "kerberos", "Windows logs on by itself; klist shows its tickets")
        return
    from gatepass.auth import _kerberos

    try:
        ready = _kerberos.find_login(doctor.context.environ)
    except GatepassError as error:
        own = error.message.partition(" (")[0]
        message = own if doctor.redactor.redacted else error.message
        yield doctor.missing("autologon", "kerberos", message, error.hint)
        return
    if ready.keytab:
        keytab = doctor.redactor.name("keytab", ready.keytab)
        yield Finding("ok", "kerberos", f"{keytab} logs on")
        return
    who = doctor.redactor.name("principal", ready.principal)
    yield Finding("ok", "kerberos", f"a ticket of {who} is there{_until(ready.seconds)}")


def _until(seconds: float | None) -> str:
    import time

    return (
        ""
        if seconds is None
        else f" until {local_time(time.time() + seconds)} ({time_span(seconds)})"
    )


# ---------------------------------------------------------------- the way to a server

_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_DEFAULTS: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_NO_AUTHORITY: Final = (
    "install the authorities of the system (the package ca-certificates), or name a PEM file in "
    "REQUESTS_CA_BUNDLE"
)


def certificates(doctor: DoctorContext) -> Iterator[Finding]:
    """Read the authorities that a session would trust where the profile names none."""
    environ = doctor.context.environ
    path = authorities_of(None, environ)
    if path is not None:
        variable = next(name for name in _BUNDLES if environ.get(name) == path)
        yield _of_a_bundle(variable, path, doctor.redactor)
        return
    for name in _DEFAULTS:
        path = environ.get(name)
        if path and not Path(path).exists():
            message = f"{doctor.redactor.path(path)} does not exist"
            yield Finding("problem", name, message, f"correct {name}, or unset it")
    yield _of_the_system()


def _of_a_bundle(variable: str, path: str, redactor: Redactor) -> Finding:
    shown = redactor.path(path)
    try:
        tls = TlsContexts(path).get()
    except ProfileError as error:
        hint = f"{variable} names it: correct the path, or unset it"
        return Finding("problem", variable, redactor.within(error.message, [path]), hint)
    if Path(path).is_dir():
        count, where = _count_hashed(Path(path)), f"the folder {shown}"
        hint = f"run: openssl rehash {redactor.pasted(path)}"
    else:
        count, where = tls.cert_store_stats()["x509_ca"], shown
        hint = "put the certificate of the authority into it, not that of a server"
    if count:
        return Finding("ok", variable, f"{where} holds {_authorities(count)}")
    return Finding("problem", variable, f"{where} holds no certificate of an authority", hint)


def _of_the_system() -> Finding:
    """Count the authorities of the system, as far as they lie where OpenSSL looks."""
    if sys.platform in {"win32", "darwin"}:
        return Finding("ok", "certificates", "the system's own store is used")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(OSError):
        tls.set_default_verify_paths()
    folder = ssl.get_default_verify_paths().capath
    count = tls.cert_store_stats()["x509_ca"] or (_count_hashed(Path(folder)) if folder else 0)
    if count:
        message = f"the system's store is used; it holds {_authorities(count)}"
        return Finding("ok", "certificates", message)
    message = "OpenSSL finds no authority in its usual places"
    return Finding("warning", "certificates", message, _NO_AUTHORITY)


def _count_hashed(folder: Path) -> int:
    """Count the files that OpenSSL finds in a folder, by their names."""
    import re

    names = (each.name for each in folder.iterdir())
    return sum(re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", name) is not None for name in names)


def _authorities(count: int) -> str:
    return f"{count} {'authority' if count == 1 else 'authorities'}"


_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def proxies(doctor: DoctorContext) -> Iterator[Finding]:
    """Tell the variables that name proxies, without what logs on at one."""
    found = dict(_variables_set(doctor.context.environ))
    for name, value in found.items():
        if name.lower() == "no_proxy":
            count = len([each for each in value.split(",") if each.strip()])
            names = f"{count} name{'s' * (count != 1)}"
            yield Finding("info", name, f"set: {names if doctor.redactor.redacted else value}")
            continue
        bare = _without_login(value)
        login = ", with a login" if bare != value else ""
        message = f"set: {doctor.redactor.name('proxy', bare)}{login}"
        if _is_address(bare):
            yield Finding("info", name, message)
        else:
            hint = "it should be http://HOST:PORT"
            yield Finding("problem", name, f"{message}; this is no address", hint)
    if not found:
        yield Finding("ok", "proxy", "no variable names one")


def _variables_set(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each variable that counts: the one in small letters wins, as in requests."""
    for name in _PROXIES:
        each = name if environ.get(name) else name.upper()
        if environ.get(each):
            yield each, environ[each]


def _without_login(url: str) -> str:
    scheme, colon, rest = url.rpartition("://")
    return scheme + colon + rest.rpartition("@")[2]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.hostname)
