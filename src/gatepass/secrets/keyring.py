r"""``keyring:``: the operating system's credential store, through the keyring package.

``keyring:`` alone is the entry that belongs to the profile's server: service
``gatepass:<origin>``, so that a profile which moves to another server finds nothing there.
``keyring:SERVICE/ACCOUNT`` is any entry, as ``keyring set SERVICE ACCOUNT`` made it.

Three rules hold for every call:

* It runs in a daemon thread with a deadline: D-Bus, and an unlock dialog that nobody sees, can
  hang for ever. The import of the package is not counted: a slow disk is no keyring that hangs.
* Every exception counts. Back ends raise anything, and a message may hold a secret: only the
  kind of the error is told.
* The back end is judged first. The package takes what it finds, and what it finds may keep
  plain text, or nothing. A chain of back ends is replaced by its first good one: a chain passes
  over an entry that its first link does not have, and reads it from a plain file.

The package itself reads ``PYTHON_KEYRING_BACKEND`` and ``keyringrc.cfg``.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from gatepass._system.deadline import DeadlineExceeded, run_with_deadline
from gatepass._system.terminal import Terminal
from gatepass._system.text import operands, quoted
from gatepass.errors import NobodyThere, SecretUnavailable
from gatepass.secrets import SecretContext, constant_time_compare

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend
    from keyring.backends.chainer import ChainerBackend

T = TypeVar("T")

LockState = Literal["unlocked", "locked", "unknown"]
"""Whether an entry can be read without a dialog."""

_SECONDS: Final = 5.0
_SECONDS_FOR_A_PERSON: Final = 60.0  # to see a dialog, and to type a password into it
_SECONDS_TO_IMPORT: Final = 60.0

_FAIL: Final = "keyring.backends.fail.Keyring"
_NULL: Final = "keyring.backends.null.Keyring"
_CHAIN: Final = "keyring.backends.chainer.ChainerBackend"
_WINDOWS: Final = "keyring.backends.Windows.WinVaultKeyring"
_FREEDESKTOP: Final = "keyring.backends.SecretService.Keyring"
_MACOS: Final = "keyring.backends.macOS.Keyring"
_PLAIN_FILE: Final = "keyrings.alt.file.PlaintextKeyring"

_WINDOWS_BYTES: Final = 2560  # CRED_MAX_CREDENTIAL_BLOB_SIZE of wincred.h; text is UTF-16
_NO_SUCH_LOGON_SESSION: Final = 1312  # winerror.h
_UNLOCKED: Final = 1  # kSecUnlockStateStatus of macOS' SecKeychain.h
_INTERACTION_NOT_ALLOWED: Final = -25308  # errSecInteractionNotAllowed of macOS' SecBase.h

_WITHOUT: Final = "on a computer without a keyring use env:NAME or file:PATH instead"
UNLOCK: Final = (
    "log in to the desktop with your password, which unlocks it; where nobody does that (SSH, "
    "cron, a server) use env:NAME or file:PATH instead"
)


class Access(Protocol):
    """What a call looks at; a :class:`~gatepass.secrets.SecretContext` is one."""

    @property
    def terminal(self) -> Terminal:
        """Decides the deadline: whether a person can answer an unlock dialog."""

    @property
    def allow_insecure_keyring(self) -> bool:
        """The machine setting of that name."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The back end that would be used.

    Attributes:
        name: its module and class, as ``keyring --list-backends`` shows it.
        refusal: why it is not used; None when it is.
        max_bytes: how much an entry holds, in UTF-16; None where no limit is known.
    """

    name: str
    refusal: SecretUnavailable | None
    max_bytes: int | None = None


def keyring(text: str, context: SecretContext) -> str:
    """Return the entry's secret. Asks the keyring, which may ask a person to unlock it.

    Raises:
        SecretUnavailable: there is no such entry, or the keyring cannot be used.
    """
    service, account = entry(text, context)
    secret = read(service, account, context)
    if secret is None:
        by_hand = ("keyring", "set", *operands(service, account))
        by_profile = ("gatepass", "secret", "set", "PROFILE", context.field)
        raise SecretUnavailable(
            f"the keyring has no entry {account} of the service {service}",
            hint=f"store it: {quoted(*(by_hand if text else by_profile))}",
        )
    return secret


def entry(text: str, context: SecretContext) -> tuple[str, str]:
    r"""Return service and account of the entry that a reference means. Asks nobody.

    Args:
        text: what stands after ``keyring:``; empty for the entry of the profile's server. Split
            at the last slash, since services are often URLs.
        context: gives the origin, the field, and the user name as the account of a password.

    Raises:
        SecretUnavailable: half of the pair is missing, or the user name is not known.
    """
    if text:
        service, _, account = text.rpartition("/")
        if not service or not account:
            raise SecretUnavailable(
                "a keyring reference is keyring: alone, or keyring:SERVICE/ACCOUNT",
                hint="add the account, as in keyring:my-python-script/alice",
            )
        return service, account
    service = f"gatepass:{context.origin}"
    if context.field != "password":
        return service, context.field
    if not context.user_name:
        raise SecretUnavailable(
            "the user name is not known, and the keyring keeps a password under it",
            hint="set user_name in the profile, or name the entry: keyring:SERVICE/ACCOUNT",
        )
    return service, context.user_name


def read(service: str, account: str, access: Access, *, seconds: float | None = None) -> str | None:
    """Return an entry's secret, or None when there is no such entry. Asks the keyring.

    Args:
        service: the first half of the entry's name.
        account: the second half.
        access: the way to a person, and the machine setting.
        seconds: the deadline; None is 5, or 60 when a person can answer an unlock dialog.

    Raises:
        NobodyThere: it is locked, and nobody may be asked to unlock it.
        SecretUnavailable: the keyring cannot be used.
    """

    def get() -> str | None:
        backend = _require_backend(access)
        # Reading a locked keyring would show a dialog, even where nobody may be asked.
        if access.terminal.why_not_ask() is not None and _lock_state_of(backend) == "locked":
            raise NobodyThere("the keyring is locked", hint=UNLOCK)
        return _get_password(backend, service, account)

    return _run(get, _deadline_of(access, seconds))


def store(
    service: str, account: str, secret: str, access: Access, *, seconds: float | None = None
) -> None:
    """Write an entry, replacing one of that name, and read it back. Asks the keyring.

    Args:
        service: the first half of the entry's name.
        account: the second half.
        secret: the text to keep.
        access: the way to a person, and the machine setting.
        seconds: the deadline; None is 5, or 60 when a person can answer an unlock dialog.

    Raises:
        SecretUnavailable: the keyring cannot be used, the secret is too long for it, or it kept
            something else.
    """

    def write() -> None:
        backend = _require_backend(access)
        _refuse_too_long(backend, secret)
        backend.set_password(service, account, secret)
        if not constant_time_compare(_get_password(backend, service, account), secret):
            raise SecretUnavailable(
                f"{_name(backend)} did not keep the secret: another one was read back, or none",
                hint=_WITHOUT,
            )

    _run(write, _deadline_of(access, seconds))


def remove(service: str, account: str, access: Access, *, seconds: float | None = None) -> None:
    """Delete an entry and see that it is gone. Asks the keyring.

    Args:
        service: the first half of the entry's name.
        account: the second half.
        access: the way to a person, and the machine setting.
        seconds: the deadline; None is 5, or 60 when a person can answer an unlock dialog.

    Raises:
        SecretUnavailable: there is no such entry, it is still there, or the keyring cannot be
            used.
    """

    def delete() -> None:
        backend = _require_backend(access)
        # Asked first, because back ends report a missing entry and a failure alike.
        if _get_password(backend, service, account) is None:
            raise SecretUnavailable(f"the keyring has no entry {account} of the service {service}")
        backend.delete_password(service, account)
        if _get_password(backend, service, account) is not None:
            raise SecretUnavailable(
                f"{_name(backend)} still has an entry {account} of the service {service}",
                hint="another program stored one of the same name: run it again, or remove it "
                "with the desktop's password manager",
            )

    _run(delete, _deadline_of(access, seconds))


def describe_backend(access: Access, *, seconds: float | None = None) -> Backend:
    """Return the back end that would be used, and whether it is good enough. Reads no entry.

    Args:
        access: the way to a person, and the machine setting.
        seconds: the deadline; None is 5, or 60 when a person can answer an unlock dialog.

    Raises:
        SecretUnavailable: none can be chosen, or not in time.
    """

    def look() -> Backend:
        backend, refusal = _choose_backend(access)
        most = _WINDOWS_BYTES if _WINDOWS in _ancestors(backend) else None
        return Backend(_name(backend), refusal, most)

    return _run(look, _deadline_of(access, seconds))


def lock_state(access: Access, *, seconds: float | None = None) -> LockState:
    """Say whether an entry can be read without a dialog. Shows none, and reads no entry.

    Args:
        access: the way to a person, and the machine setting.
        seconds: the deadline; None is 5, or 60 when a person can answer an unlock dialog.

    Returns:
        ``unlocked``; ``locked``, where reading would ask a person to unlock it; or ``unknown``,
        where the back end cannot be asked about that.

    Raises:
        SecretUnavailable: the keyring cannot be used.
    """
    return _run(lambda: _lock_state_of(_require_backend(access)), _deadline_of(access, seconds))


def _lock_state_of(backend: "KeyringBackend") -> LockState:
    ancestors = _ancestors(backend)
    if _FREEDESKTOP in ancestors:
        return "locked" if _collection_is_locked(backend) else "unlocked"
    if _MACOS in ancestors:
        return "locked" if _keychain_is_locked() else "unlocked"
    return "unlocked" if ancestors & {_WINDOWS, _PLAIN_FILE} else "unknown"


def _collection_is_locked(backend: "KeyringBackend") -> bool:
    """Look at the collection that the back end would open; its own method would unlock it."""
    from contextlib import closing

    import secretstorage
    from secretstorage.collection import DEFAULT_COLLECTION

    path = getattr(backend, "preferred_collection", DEFAULT_COLLECTION)
    with closing(secretstorage.dbus_init()) as bus:
        try:
            return bool(secretstorage.Collection(bus, path).is_locked())
        except secretstorage.ItemNotFoundException:
            raise SecretUnavailable("the keyring has not been set up", hint=UNLOCK) from None


def _keychain_is_locked() -> bool:
    """Ask macOS for the state of the default keychain (SecKeychainGetStatus of SecKeychain.h)."""
    import ctypes

    security = ctypes.CDLL("/System/Library/Frameworks/Security.framework/Security")
    status = ctypes.c_uint32()
    failed = security.SecKeychainGetStatus(None, ctypes.byref(status))
    return bool(failed) or not status.value & _UNLOCKED


def _deadline_of(access: Access, seconds: float | None) -> float:
    """The deadline in seconds: longer where a dialog may be answered."""
    if seconds is not None:
        return seconds
    return _SECONDS if access.terminal.why_not_ask() else _SECONDS_FOR_A_PERSON


def _run(work: Callable[[], T], seconds: float) -> T:
    """Import the package, then do the work with a deadline; explain what a back end raises."""
    with suppress(DeadlineExceeded):  # the work waits for the same import, and says so
        run_with_deadline(_import_package, _SECONDS_TO_IMPORT, "gatepass-keyring-import")

    def explain() -> T:
        try:
            return work()
        except BaseException as error:  # noqa: BLE001 - a back end in Rust panics with one
            explanation = _explain(error)
        raise explanation  # outside of the handler, so that it does not lead to the back end's

    try:
        return run_with_deadline(explain, seconds, "gatepass-keyring")
    except DeadlineExceeded:
        raise SecretUnavailable(
            f"the keyring did not answer within {seconds:g} s ({_possible_cause()})",
            hint=UNLOCK,
        ) from None


def _import_package() -> None:
    """Import the keyring package and the back end of its own that it will probably choose.

    A back end of another package is left to the deadline: its import may talk to anything.
    """
    from importlib import import_module

    own = {"win32": _WINDOWS, "darwin": _MACOS}.get(sys.platform, _FREEDESKTOP)
    name = os.environ.get("PYTHON_KEYRING_BACKEND", own)
    with suppress(BaseException):  # raised again, and explained, where the back end is chosen
        import_module("keyring")
        if name.startswith("keyring.backends."):
            import_module(name.rpartition(".")[0])


def _explain(error: BaseException) -> SecretUnavailable:
    """Say in our words what a back end raised; its own may hold the secret.

    A new error each time: the old one's traceback leads to frames that hold what was answered.
    """
    if isinstance(error, SecretUnavailable):
        kind = NobodyThere if isinstance(error, NobodyThere) else SecretUnavailable
        return kind(error.message, hint=error.hint)
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "keyring.errors"}
    cause = getattr(error.__cause__, "args", ())
    if "KeyringLocked" in kinds or cause[:1] == (_INTERACTION_NOT_ALLOWED,):
        return SecretUnavailable("the keyring is locked", hint=UNLOCK)
    if "InitError" in kinds:
        return SecretUnavailable("the keyring has not been set up, or was not opened", hint=UNLOCK)
    if "NoKeyringError" in kinds:
        return _no_keyring()
    if getattr(error, "winerror", None) == _NO_SUCH_LOGON_SESSION:
        return SecretUnavailable(
            "Windows keeps no credentials for this kind of logon",
            hint="over SSH or WinRM use env:NAME or file:PATH; in the Task Scheduler do not tick "
            '"Do not store password"',
        )
    return SecretUnavailable(f"the keyring failed with {type(error).__name__}", hint=_WITHOUT)


def _require_backend(access: Access) -> "KeyringBackend":
    backend, refusal = _choose_backend(access)
    if refusal is not None:
        raise refusal
    return backend


def _choose_backend(access: Access) -> "tuple[KeyringBackend, SecretUnavailable | None]":
    """The first good back end and None, or the first one and why it is refused."""
    try:
        from keyring import get_keyring

        backend = get_keyring()
    except BaseException as error:  # noqa: BLE001 - as in _run
        raise SecretUnavailable(
            f"the keyring package cannot choose a back end ({type(error).__name__})",
            hint="look at the variable PYTHON_KEYRING_BACKEND, and at keyringrc.cfg in the "
            "folder that `keyring diagnose` shows",
        ) from None
    judged = [(link, _refusal_of(link, access)) for link in _links(backend)]
    return next((pair for pair in judged if pair[1] is None), judged[0])


def _links(backend: "KeyringBackend") -> "list[KeyringBackend]":
    """The back ends of a chain, best first; of any other back end, itself."""
    if _CHAIN not in _ancestors(backend):
        return [backend]
    chain: ChainerBackend = backend  # type: ignore[assignment] # named by _ancestors
    return list(chain.backends) or [backend]


def _refusal_of(backend: "KeyringBackend", access: Access) -> SecretUnavailable | None:
    """Why a back end is not used; None when it is good enough."""
    ancestors = _ancestors(backend)
    if ancestors & {_FAIL, _CHAIN}:  # a chain is only left over where it has no links
        return _no_keyring()
    if _NULL in ancestors:
        return SecretUnavailable(
            f"the keyring package is switched off ({_NULL} keeps nothing)",
            hint="to use it, remove that name from PYTHON_KEYRING_BACKEND or keyringrc.cfg; "
            + _WITHOUT,
        )
    if access.allow_insecure_keyring or not any(map(_is_plain, ancestors)):
        return None
    return SecretUnavailable(
        f"the keyring package chose {_name(backend)}, which keeps plain text or is otherwise not "
        "recommended by its own authors",
        hint=f"{_WITHOUT}; to use it all the same set allow_insecure_keyring = true in your own "
        "profiles.toml",
    )


def _is_plain(name: str) -> bool:
    """Whether a back end of that name keeps plain text, or what is easily turned into it.

    keyrings.alt is refused as a whole: its authors collect there what they do not recommend.
    """
    return name.startswith("keyrings.alt.") or "plaintext" in name.lower()


def _possible_cause(platform: str = sys.platform) -> str:
    """Why a keyring of this system may not answer."""
    dialog = "an unlock dialog that nobody sees"
    return f"a D-Bus that hangs, or {dialog}" if platform == "linux" else f"perhaps {dialog}"


def _no_keyring(platform: str = sys.platform) -> SecretUnavailable:
    linux = "without a desktop and its D-Bus (cron, a service, SSH) there is none on Linux: "
    return SecretUnavailable(
        "this computer has no keyring that the keyring package can use",
        hint=f"{linux if platform == 'linux' else ''}use env:NAME or file:PATH instead, and for "
        "the vault's key gatepass secret new-key; `keyring --list-backends` shows what was looked "
        "for",
    )


def _ancestors(backend: "KeyringBackend") -> set[str]:
    """The full names of a back end's class and of those that it is derived from.

    By name, because importing them to compare would load every other back end.
    """
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(backend).__mro__}


def _name(backend: "KeyringBackend") -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _get_password(backend: "KeyringBackend", service: str, account: str) -> str | None:
    secret: object = backend.get_password(service, account)
    if secret is None or isinstance(secret, str):
        return secret
    raise SecretUnavailable(f"{_name(backend)} answered with something that is not text")


def _refuse_too_long(backend: "KeyringBackend", secret: str) -> None:
    if _WINDOWS not in _ancestors(backend):
        return
    size = len(secret.encode("utf-16-le"))
    if size > _WINDOWS_BYTES:
        raise SecretUnavailable(
            f"the secret is too long for the Windows Credential Manager: {size} bytes of UTF-16, "
            f"and it holds {_WINDOWS_BYTES} ({_WINDOWS_BYTES // 2} characters)",
            hint="keep it in a file that only you can read, and use file:PATH",
        )
