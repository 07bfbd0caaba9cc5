"""The reference, the secret that it stands for, and how one becomes the other."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from gatepass._system import log, plugins
from gatepass._system.terminal import Terminal
from gatepass._system.text import pattern, printable_lines
from gatepass._value import Value, replace
from gatepass._value import field as described
from gatepass.errors import NobodyThere, PluginError, SecretUnavailable

LayerKind = Literal["system", "user", "project", "local", "file", "variable", "argument"]
"""Which kind of place a value was written in; decides whether commands may run."""


class SecretContext(Value):
    r"""What a secret source may look at.

    Attributes:
        origin: the server that the secret is for, such as ``https://mi.example.com``.
        field: the key of the profile, such as ``password``.
        user_name: who logs on, as ``user`` or ``DOMAIN\user``; None when not known.
        base_dir: the folder of the file that holds the reference; relative paths start there.
        layer: the kind of place that the reference was written in.
        environ: the environment variables.
        terminal: the way to a person.
        allow_commands: the machine setting of that name.
        allow_insecure_keyring: the machine setting of that name.
    """

    origin: str
    field: str
    user_name: str | None
    base_dir: Path | None
    layer: LayerKind
    environ: Mapping[str, str] = described(repr=False)  # variables hold passwords
    terminal: Terminal
    allow_commands: bool = False
    allow_insecure_keyring: bool = False

    @property
    def home(self) -> Path:
        """The home folder, which ``~`` means.

        Raises:
            SecretUnavailable: there is none.
        """
        home = self.environ.get("HOME") or self.environ.get("USERPROFILE")
        with suppress(RuntimeError):
            found = Path(home) if home else Path.home()
            if found.is_absolute():
                return found
        raise SecretUnavailable(
            "~ means nothing here: HOME is not set, and the account has no home folder",
            hint="set HOME, or write the whole path",
        )


SecretSource = Callable[[str, SecretContext], str]
"""The text after the colon and a context → the secret, or ``SecretUnavailable``."""


class Secret:
    """A secret value that does not print, compare loosely or travel in a pickle.

    Only :meth:`reveal` gives the text; call it where it is sent, as late as possible.

    Attributes:
        is_typed: whether a person has typed it for this session.
    """

    __slots__ = ("_text", "is_typed")

    def __init__(self, text: str, *, is_typed: bool = False) -> None:
        self._text = text
        self.is_typed: bool = is_typed

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __format__(self, spec: str) -> str:
        return "Secret(...)"

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a secret given as a value cannot be pickled; "
            'give a reference instead, such as gatepass.ref("env:MI_PASSWORD")'
        )


def constant_time_compare(one: object, other: object) -> bool:
    """Say whether two secrets or strings are equal; false where one is neither.

    The time that it takes does not tell how much of them agrees.
    """
    import hmac

    one, other = (each.reveal() if isinstance(each, Secret) else each for each in (one, other))
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    # JSON may bring half of a surrogate pair, which plain UTF-8 cannot encode.
    return hmac.compare_digest(
        one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass")
    )


class ReferenceSyntaxError(ValueError):
    """What stands in a secret field is not a reference. Never repeats the text."""


SOURCE_NAME = pattern(r"[a-z][a-z0-9_-]*")
_NOT_A_REFERENCE: Final = (
    "a secret field takes a reference, not the secret itself "
    "(env:NAME, keyring:, prompt:Label, file:PATH, or a list of these)"
)
# What follows the colon, where only some texts can ever answer, and how to write it.
_FORMS: Final = {
    "env": (pattern(r"[^\s=$%{}]+"), "takes the name of one variable, as in env:MI_PASSWORD"),
    "file": (
        pattern(r"(?s)(?!\s).*[^\s/\\]"),
        "takes the path of a file, as in file:~/mi.password",
    ),
    "keyring": (
        pattern(r"(?s).+/[^/]+"),
        "stands alone, or is keyring:SERVICE/ACCOUNT, as in keyring:my-python-script/alice",
    ),
}


class SecretRef(Value):
    """A secret reference: one or more alternatives, the first that answers wins.

    Attributes:
        alternatives: pairs of source name and text, such as ``("env", "MI_PASSWORD")``; the text
            of ``command`` is its argument list as JSON.
        layer: the kind of place that it was written in.
        base_dir: the folder where relative paths start; None is the working directory.
    """

    alternatives: tuple[tuple[str, str], ...]
    layer: LayerKind = "argument"
    base_dir: str | None = None

    @classmethod
    def parse(cls, value: object) -> "SecretRef":
        """Read a reference as it stands in a profile: a string, a table, or a list of these.

        Reads no secret. For the source of another package it scans the installed packages.

        Raises:
            ReferenceSyntaxError: it is not a reference; the message never repeats the value.
        """
        items = value if isinstance(value, list | tuple) else [value]
        if not items:
            raise ReferenceSyntaxError("an empty list names no secret")
        return cls(tuple(_parse_one(item) for item in items))

    @classmethod
    def can_parse(cls, value: object) -> bool:
        """Say whether a value is a reference as it stands in a profile."""
        try:
            cls.parse(value)
        except ReferenceSyntaxError:
            return False
        return True

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        from gatepass.secrets._fields import SecretValidator

        return SecretValidator.__get_pydantic_core_schema__(source, handler)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, Any]:
        from gatepass.secrets._fields import SecretValidator

        return SecretValidator.__get_pydantic_json_schema__(schema, handler)

    def __str__(self) -> str:
        return " | ".join(_to_text(source, text) for source, text in self.alternatives)

    def as_written(self) -> str | dict[str, list[str]] | list[Any]:
        """Return the reference in the form that a profile holds, fit for TOML and JSON."""
        forms: list[Any] = [
            {"command": json.loads(text)} if source == "command" else f"{source}:{text}"
            for source, text in self.alternatives
        ]
        return forms[0] if len(forms) == 1 else forms

    def with_place(self, layer: LayerKind, base_dir: Path | None) -> "SecretRef":
        """Return the same reference with the place that it was written in."""
        return replace(self, layer=layer, base_dir=str(base_dir) if base_dir else None)

    def resolve(self, context: SecretContext) -> Secret:
        """Ask each alternative in turn and return the first answer.

        Touches whatever the sources touch: a variable, a file, the keyring, a person.

        Raises:
            SecretUnavailable: none answered; says what each one said. It is
                :class:`~gatepass.errors.NobodyThere` when the last obstacle was that no person
                can answer here.
            PluginError: the source of another package cannot be loaded.
        """
        here = replace(
            context, layer=self.layer, base_dir=Path(self.base_dir) if self.base_dir else None
        )
        refusals = []
        for source, text in self.alternatives:
            written = _to_text(source, text)
            try:
                answer = _call_source(source, text, here)
            except SecretUnavailable as error:
                log.debug("secret %s: no answer from %s", context.field, written)
                refusals.append((written, error))
            else:
                log.debug("secret %s: taken from %s", context.field, written)
                return Secret(answer, is_typed=source == "prompt")
        raise _no_answer(refusals)


def _to_text(source: str, text: str) -> str:
    if source == "command":
        # The arguments may be long or private; the program's name tells which one it is.
        return f"command {json.loads(text)[0]}"
    return f"{source}:{text}"


def _parse_one(item: object) -> tuple[str, str]:
    if isinstance(item, dict):
        return _parse_command(item)
    if not isinstance(item, str):
        raise ReferenceSyntaxError(_NOT_A_REFERENCE)
    source, colon, text = item.partition(":")
    if source == "command":
        raise ReferenceSyntaxError(
            'a command is written as a list of arguments: { command = ["op", "read", "..."] }'
        )
    if (
        not colon
        or not SOURCE_NAME.fullmatch(source)
        or not plugins.is_known(plugins.SECRETS, source)
    ):
        raise ReferenceSyntaxError(_NOT_A_REFERENCE)
    if not text and source not in {"keyring", "prompt"}:
        raise ReferenceSyntaxError(f"{source}: needs something after the colon")
    if source in _FORMS and text and not _FORMS[source][0].fullmatch(text):
        raise ReferenceSyntaxError(f"{source}: {_FORMS[source][1]}")
    return source, text


def _parse_command(table: dict[str, Any]) -> tuple[str, str]:
    argv = table.get("command")
    good = (
        set(table) == {"command"}
        and isinstance(argv, list)
        and argv
        and all(isinstance(part, str) for part in argv)
        and argv[0].strip()
    )
    if not good:
        raise ReferenceSyntaxError(
            'a table here holds one key, a list of strings: { command = ["op", "read", "..."] }'
        )
    return "command", json.dumps(argv)


def _call_source(source: str, text: str, context: SecretContext) -> str:
    function: SecretSource = plugins.load(plugins.SECRETS, source)
    try:
        secret = plugins.call(plugins.SECRETS, source, "failed", lambda: function(text, context))
    except PluginError as error:
        raise SecretUnavailable(error.message, hint=error.hint) from None
    if not isinstance(secret, str):
        who = plugins.description_of(plugins.SECRETS, source)
        raise SecretUnavailable(f"{who} answered with something that is not text")
    if not secret:
        raise SecretUnavailable("it is empty")
    return secret


def _no_answer(refusals: list[tuple[str, SecretUnavailable]]) -> SecretUnavailable:
    nobody = isinstance(refusals[-1][1], NobodyThere)
    kind = NobodyThere if nobody else SecretUnavailable
    # Both may repeat what a file of somebody else holds, such as a path.
    said = [
        printable_lines(f"{written.rstrip(':')}: {error.message}") for written, error in refusals
    ]
    hints = dict.fromkeys(printable_lines(error.hint) for _, error in refusals if error.hint)
    hint = "\n".join(hints)
    if len(said) == 1:
        return kind(said[0], hint=hint)
    lines = "\n".join(f"  {each}" for each in said)
    return kind(f"no alternative answered:\n{lines}", hint=hint)


def ref(reference: str | list[Any] | dict[str, Any]) -> SecretRef:
    """Make a secret reference in Python, where a plain ``str`` would be the secret itself.

    Args:
        reference: as in a profile: ``"env:MI_PASSWORD"``, a list of alternatives, or
            ``{"command": ["op", "read", "op://..."]}``. Relative paths start at the working
            directory of the moment when the secret is read.

    Raises:
        ReferenceSyntaxError: it is not a reference.
    """
    return SecretRef.parse(reference)
