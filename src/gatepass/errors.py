"""Every error that gatepass raises, in one tree.

::

    GatepassError                       exit code 1
    ├── ProfileError                    2   a profile or its file is not usable
    │   ├── ProfileNotFound
    │   ├── UntrustedFile
    │   └── UnsafePermissions
    ├── PluginError                     2   a scheme or source of a package is not usable
    ├── SecretUnavailable               3   a secret reference did not answer
    │   └── NobodyThere                     ... because it needs a person
    ├── LoginRequired                   3   a person must log in first
    ├── VaultError                      3   the token store
    │   ├── TokenLockTimeout
    │   └── TokenNotPersisted
    ├── CannotLogOn                     4   from a scheme; a session raises SchemeNotOffered
    ├── LoginRefused                    4   also a requests.HTTPError, with .response
    │   └── SchemeNotOffered                ... because the server takes another scheme
    └── Unreachable                     5   also a requests.ConnectionError
        ├── TLSFailed                       also a requests.exceptions.SSLError
        ├── TimedOut                        also a requests.Timeout
        └── ProxyRefused                    also a requests.exceptions.ProxyError

The last two families are raised while a request runs and are at the same time what requests
would have raised; they need requests, so they live in ``gatepass._session.exceptions``.

Each error has ``hint`` (the next step, for a person) and ``exit_code`` (for the command line).
No error ever holds a secret.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gatepass._value import Value


class KeyRefused(ValueError):
    """A class that holds keys of a profile refuses one; raised while a value of it is made.

    Attributes:
        key: the key that the problem is reported for; empty for the table itself.
        hint: the next step; may be empty.
        others: what is refused beside it.
    """

    others: "tuple[KeyRefused, ...]" = ()

    def __init__(self, key: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message
        self.hint = hint

    @classmethod
    def all_of(cls, problems: "list[KeyRefused]") -> "KeyRefused":
        """Return the first of several problems, which carries the others."""
        first = problems[0]
        first.others = tuple(problems[1:])
        return first


class GatepassError(Exception):
    """The base of all errors of gatepass.

    Attributes:
        hint: the next step, one or more lines; empty when there is none.
        outlook: what becomes of the session, for scripts; a command has no use for it.
        exit_code: what the command line ends with.
    """

    exit_code = 1
    outlook = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.message, self.hint, self.outlook)))

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the constructor, which other classes have with other arguments.
        return _again, (type(self), self.args), self._portable()

    def _portable(self) -> dict[str, Any]:
        """Return the attributes as they travel; None for what cannot, or must not."""
        return portable(vars(self))


def _again(kind: type[GatepassError], args: tuple[Any, ...]) -> GatepassError:
    """Build an error from its pickle. The name stands in pickles, so it stays."""
    error = kind.__new__(kind, *args)
    error.args = args
    return error


def portable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an error as they travel in a pickle: None for what cannot."""
    return {name: value if _travels(value) else None for name, value in attributes.items()}


def _travels(value: object) -> bool:
    """Whether a value can be pickled; a secret cannot."""
    import pickle

    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - anything may be in the way
        return False
    return True


class Problem(Value):
    """What is wrong at one place.

    Attributes:
        place: where, such as ``gatepass.toml:14:3`` or ``GATEPASS_PROFILES__PROD__URL``; without
            control characters.
        key: the dotted key, such as ``profiles.prod.auth.pasword``; may be empty.
        message: what is wrong, never with a value that may be a secret.
        excerpt: the line of the file up to its ``=``, and a caret below the key; may be empty.
        hint: the next step; may be empty.
    """

    place: str
    key: str
    message: str
    excerpt: str = ""
    hint: str = ""

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.place, self.key, self.message) if part)
        return "\n".join(part for part in (head, self.excerpt, self.hint) if part)


class ProfileError(GatepassError):
    """A profile, or a file that holds profiles, is not usable.

    Attributes:
        problems: every problem, in the order of the file; may be empty.
    """

    exit_code = 2

    def __init__(
        self, message: str = "", *, hint: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(message or "\n".join(map(str, self.problems)), hint=hint)


class ProfileNotFound(ProfileError):
    """No profile of that name exists, or none can be chosen."""


class UntrustedFile(ProfileError):
    """A project file would take part, and nobody has trusted it yet."""


class UnsafePermissions(ProfileError):
    """Others may write to a file that decides where secrets go."""


class PluginError(GatepassError):
    """A scheme or a secret source of another package is missing, broken or claimed twice."""

    exit_code = 2


class SecretUnavailable(GatepassError):
    """A secret reference did not answer.

    Raised by a secret source with one sentence that says why, and by
    :meth:`gatepass.SecretRef.resolve` with what each alternative said.
    """

    exit_code = 3


class NobodyThere(SecretUnavailable):
    """A secret needs a person, and nobody can answer here."""


class LoginRequired(GatepassError):
    """A person must log in first; says why and what to run."""

    exit_code = 3


class CannotLogOn(GatepassError):
    """A scheme cannot log on at this server; a session raises it as ``SchemeNotOffered``."""

    exit_code = 4


class VaultError(GatepassError):
    """The token store cannot be used."""

    exit_code = 3


class TokenLockTimeout(VaultError):
    """Another process held the token for too long."""


class TokenNotPersisted(VaultError):
    """A new token could not be written down."""


class GatepassWarning(UserWarning):
    """Something is odd but not wrong: a skipped file, a variable that matches nothing."""
