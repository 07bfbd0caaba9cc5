r"""``keyring:``: the operating system's credential store, through the keyring package.

``keyring:`` alone is the entry that belongs to the profile's server: service
``gatepass:<origin>``, so that a profile which moves to another server finds nothing there.
``keyring:SERVICE/ACCOUNT`` is any entry, as ``keyring set SERVICE ACCOUNT`` made it.

Four rules hold for every call:

* It runs in a daemon thread with a deadline: D-Bus, and an unlock dialog that nobody sees, can
  hang for ever. The import of the package is not counted: a slow disk is no keyring that hangs.
* Every exception counts. Back ends raise anything, and a message may hold a secret: only the
  kind of the error is told.
* The back end is judged first. The package takes what it finds, and what it finds may keep
  plain text, or nothing.
* A chain of back ends stays a chain: each link that is good enough is asked in turn, and a link
  that raises is passed over. A locked one is not: its entries go before those of the next links.

The package itself reads ``PYTHON_KEYRING_BACKEND`` and ``keyringrc.cfg``.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from gatepass._system.deadline import DeadlineExceeded, run_with_deadline
from gatepass._system.terminal import Terminal
from gatepass._system.text import operands, quoted
from gatepass._value import Value
from gatepass.errors import NobodyThere, SecretUnavailable
from gatepass.secrets import SecretContext, constant_time_compare
from gatepass.secrets._keyring_backend import (
    CHAIN,
    FREEDESKTOP,
    MACOS,
    UNLOCK,
    WINDOWS,
    WITHOUT,
    LockState,
    ancestors_of,
    lock_state_of,
    name_of,
    no_keyring,
    refusal_of,
)

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend
    from keyring.backends.chainer import ChainerBackend

T = TypeVar("T")

_SECONDS: Final = 5.0
_SECONDS_FOR_A_PERSON: Final = 60.0  # to see a dialog, and to type a password into it
_SECONDS_TO_IMPORT: Final = 60.0

_WINDOWS_BYTES: Final = 2560  # CRED_MAX_CREDENTIAL_BLOB_SIZE of wincred.h; text is UTF-16
_NO_SUCH_LOGON_SESSION: Final = 1312  # winerror.h
_INTERACTION_NOT_ALLOWED: Final = -25308  # errSecInteractionNotAllowed of macOS' SecBase.h


class Access(Protocol):
    """What a call looks at; a :class:`~gatepass.secrets.SecretContext` is one."""

    @property
    def terminal(self) -> Terminal:
        """Decides the deadline: whether a person can answer an unlock dialog."""

    @property
    def allow_insecure_keyring(self) -> bool:
        """The machine setting of that name."""


class Backend(Value):
    """The back end that would be used, or the chain of them.

    Attributes:
        name: its module and class, as ``keyring --list-backends`` shows it; those of a chain in
            the order in which they are asked.
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
        SecretUnavailable: the user name is not known.
    """
    if text:
        service, _, account = text.rpartition("/")
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
        links = _require_backends(access)
        failed: dict[str, SecretUnavailable] = {}
        for link in links:
            secret = _attempt(link, failed, partial(_get, link, service, account, access))
            if secret is not None:
                return secret
        if failed:
            raise _no_link("answered", links, failed)
        return None

    return _run(get, _deadline_of(access, seconds))


def store(
    service: str, account: str, secret: str, access: Access, *, seconds: float | None = None
) -> str:
    """Write an entry, replacing one of that name, and read it back. Asks the keyring.

    The first link of a chain that takes it keeps it. An older entry of a link before that one
    would be read first, so it is deleted.

    Args:
        service: the first half of the entry's name.
        account: the second half.
        secret: the text to keep.
        access: the way to a person, and the machine setting.
        seconds: the deadline; None is 5, or 60 when a person can answer an unlock dialog.

    Returns:
        The name of the back end that keeps it.

    Raises:
        SecretUnavailable: the keyring cannot be used, the secret is too long for it, it kept
            something else, or an older entry would still be read.
    """

    def write() -> str:
        links = _require_backends(access)
        failed: dict[str, SecretUnavailable] = {}
        older: list[KeyringBackend] = []
        for link in links:
            name = name_of(link)
            kept = _attempt(link, failed, partial(_write, link, service, account, secret, access))
            if constant_time_compare(kept, secret):
                for other in older:
                    _delete_older(other, service, account, kept_by=name)
                return name
            lost = SecretUnavailable(
                f"{name} did not keep the secret: another one was read back, or none",
                hint=WITHOUT,
            )
            if kept is not None:
                raise lost  # another program may have written it: not to be passed over
            failed.setdefault(name, lost)
            held = _attempt(link, {}, partial(_get, link, service, account, access))
            if held is not None and not constant_time_compare(held, secret):
                older.append(link)
        raise _no_link("kept the secret", links, failed)

    return _run(write, _deadline_of(access, seconds))


def remove(service: str, account: str, access: Access, *, seconds: float | None = None) -> None:
    """Delete an entry, from every link of a chain, and see that it is gone. Asks the keyring.

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
        links = _require_backends(access)
        failed: dict[str, SecretUnavailable] = {}
        found = False
        for link in links:
            # Asked first, because back ends report a missing entry and a failure alike.
            if _attempt(link, failed, partial(_get, link, service, account, access)) is None:
                continue
            found = True
            if _delete(link, service, account) is not None:
                raise SecretUnavailable(
                    f"{name_of(link)} still has an entry {account} of the service {service}",
                    hint="it does not delete it, or another program stored one of the same name: "
                    "run it again, or remove it with the desktop's password manager",
                )
        if failed and not found:
            raise _no_link("answered", links, failed)
        if not found:
            raise SecretUnavailable(f"the keyring has no entry {account} of the service {service}")

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
        judged = _judge_backends(access)
        links = [link for link, refusal in judged if refusal is None]
        if not links:
            return Backend(name_of(judged[0][0]), judged[0][1])
        windows = any(WINDOWS in ancestors_of(link) for link in links)
        return Backend(", ".join(map(name_of, links)), None, _WINDOWS_BYTES if windows else None)

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

    def look() -> LockState:
        states = {lock_state_of(link) for link in _require_backends(access)}
        return "locked" if "locked" in states else "unknown" if "unknown" in states else "unlocked"

    return _run(look, _deadline_of(access, seconds))


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


def _possible_cause(platform: str = sys.platform) -> str:
    """Why a keyring of this system may not answer."""
    dialog = "an unlock dialog that nobody sees"
    return f"a D-Bus that hangs, or {dialog}" if platform == "linux" else f"perhaps {dialog}"


def _import_package() -> None:
    """Import the keyring package and the back end of its own that it will probably choose.

    A back end of another package is left to the deadline: its import may talk to anything.
    """
    from importlib import import_module

    own = {"win32": WINDOWS, "darwin": MACOS}.get(sys.platform, FREEDESKTOP)
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
        return no_keyring()
    if getattr(error, "winerror", None) == _NO_SUCH_LOGON_SESSION:
        return SecretUnavailable(
            "Windows keeps no credentials for this kind of logon",
            hint="over SSH or WinRM use env:NAME or file:PATH; in the Task Scheduler do not tick "
            '"Do not store password"',
        )
    return SecretUnavailable(f"the keyring failed with {type(error).__name__}", hint=WITHOUT)


def _require_backends(access: Access) -> "list[KeyringBackend]":
    """The back ends that are asked, in turn: those of a chain that are good enough."""
    judged = _judge_backends(access)
    links = [link for link, refusal in judged if refusal is None]
    if not links:
        raise judged[0][1] or no_keyring()
    return links


def _judge_backends(access: Access) -> "list[tuple[KeyringBackend, SecretUnavailable | None]]":
    """Each link of a chain, or the only back end, and why it is refused."""
    try:
        from keyring import get_keyring

        backend = get_keyring()
    except BaseException as error:  # noqa: BLE001 - as in _run
        raise SecretUnavailable(
            f"the keyring package cannot choose a back end ({type(error).__name__})",
            hint="look at the variable PYTHON_KEYRING_BACKEND, and at keyringrc.cfg in the "
            "folder that `keyring diagnose` shows",
        ) from None
    allowed = access.allow_insecure_keyring
    return [(link, refusal_of(link, allow_insecure=allowed)) for link in _links(backend)]


def _links(backend: "KeyringBackend") -> "list[KeyringBackend]":
    """The back ends of a chain, best first; of any other back end, itself."""
    if CHAIN not in ancestors_of(backend):
        return [backend]
    chain: ChainerBackend = backend  # type: ignore[assignment] # named by its ancestors
    return list(chain.backends) or [backend]


def _get_password(backend: "KeyringBackend", service: str, account: str) -> str | None:
    secret: object = backend.get_password(service, account)
    if secret is None or isinstance(secret, str):
        return secret
    raise SecretUnavailable(f"{name_of(backend)} answered with something that is not text")


def _refuse_dialog(backend: "KeyringBackend", access: Access) -> None:
    """Refuse a locked back end where nobody may be asked: using it would show a dialog."""
    if access.terminal.why_not_ask() is not None and lock_state_of(backend) == "locked":
        raise NobodyThere("the keyring is locked", hint=UNLOCK)


def _attempt(
    link: "KeyringBackend", failed: dict[str, SecretUnavailable], work: Callable[[], T]
) -> T | None:
    """Use one link of a chain; where it raises, note why and let the next one be asked.

    A locked link ends the question. The next ones may hold an older entry, and a write that they
    took would be hidden by what the locked one holds.
    """
    try:
        return work()
    except BaseException as error:  # noqa: BLE001 - as in _run
        failure = _explain(error)
    if failure.hint == UNLOCK:
        raise failure
    failed[name_of(link)] = failure
    return None


def _no_link(
    did: str, links: "list[KeyringBackend]", failed: dict[str, SecretUnavailable]
) -> SecretUnavailable:
    if len(links) == 1:
        return next(iter(failed.values()))
    said = "; ".join(f"{name}: {failure.message}" for name, failure in failed.items())
    hints = dict.fromkeys(failure.hint for failure in failed.values() if failure.hint)
    return SecretUnavailable(f"no back end of the keyring {did} ({said})", hint="\n".join(hints))


def _get(backend: "KeyringBackend", service: str, account: str, access: Access) -> str | None:
    _refuse_dialog(backend, access)
    return _get_password(backend, service, account)


def _write(
    backend: "KeyringBackend", service: str, account: str, secret: str, access: Access
) -> str | None:
    """Write an entry and return what is read back."""
    _refuse_dialog(backend, access)
    _refuse_too_long(backend, secret)
    backend.set_password(service, account, secret)
    return _get_password(backend, service, account)


def _delete(backend: "KeyringBackend", service: str, account: str) -> str | None:
    """Delete an entry and return what is read back."""
    _attempt(backend, {}, partial(backend.delete_password, service, account))
    return _get_password(backend, service, account)


def _delete_older(backend: "KeyringBackend", service: str, account: str, *, kept_by: str) -> None:
    if _delete(backend, service, account) is not None:
        raise SecretUnavailable(
            f"{kept_by} kept the secret, but {name_of(backend)} is asked first and still has an "
            f"older entry {account} of the service {service}",
            hint="delete that entry with the program that stored it",
        )


def _refuse_too_long(backend: "KeyringBackend", secret: str) -> None:
    if WINDOWS not in ancestors_of(backend):
        return
    size = len(secret.encode("utf-16-le"))
    if size > _WINDOWS_BYTES:
        raise SecretUnavailable(
            f"the secret is too long for the Windows Credential Manager: {size} bytes of UTF-16, "
            f"and it holds {_WINDOWS_BYTES} ({_WINDOWS_BYTES // 2} characters)",
            hint="keep it in a file that only you can read, and use file:PATH",
        )
