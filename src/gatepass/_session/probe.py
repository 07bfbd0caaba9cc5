"""``gatepass.probe``: which alternative of each reference a session would use here.

Asks the sources as a session does and throws the secrets away; keeps only whether each answered, or
why not. Asks no person, neither on the terminal nor by the dialog of a locked keyring.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from gatepass._config.profile import Profile, references
from gatepass._session.resolve import context_of_field
from gatepass._system.context import RunContext
from gatepass.auth import field_of, value_of
from gatepass.auth._password import logon_name
from gatepass.errors import GatepassError, NobodyThere, SecretUnavailable
from gatepass.secrets import Secret, SecretRef

# Sources that ask no person and start no program.
QUIET: Final = frozenset({"env", "file", "keyring"})

State = Literal["answers", "no answer", "asks a person", "not run", "not needed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one alternative of a reference.

    Attributes:
        profile: the profile's name.
        field: such as ``password``.
        reference: such as ``env:MI_PASSWORD``.
        state: ``answers``, ``no answer``, ``asks a person``, ``not run``, or ``not needed`` after
            one that answers.
        note: why, in one sentence; may be empty.
    """

    profile: str
    field: str
    reference: str
    state: State
    note: str = ""


@dataclass(frozen=True, slots=True)
class Probed:
    """Which alternative of a reference would be used here. Holds no secret.

    Attributes:
        field: such as ``auth.password``, or ``vault_key``.
        used: the alternative that a session would use, such as ``env:MI_PASSWORD``; None when
            none would answer.
        certain: false where an alternative before it, or every one, could not be judged without
            running or disturbing something.
        answers: what became of each alternative, in their order.
    """

    field: str
    used: str | None
    certain: bool
    answers: tuple[Answer, ...]


def probe(
    profile: Profile,
    *,
    environ: Mapping[str, str] | None = None,
    interactive: bool | None = None,
    run_commands: bool = True,
) -> tuple[Probed, ...]:
    """Say for each secret reference of a profile which alternative would be used here, and why.

    Asks the sources as a run without a person does, in the order of the alternatives up to the
    first that answers, and throws the answers away. Where a source would ask a person, the result
    is whether somebody is there; a keyring that could show a dialog is not asked. Commands run
    where a session would run them.

    Args:
        profile: the profile, as :func:`gatepass.load_profile` returns it.
        environ: the environment variables; ``os.environ`` when not given.
        interactive: whether a person may be asked; None looks.
        run_commands: false runs no command and asks no source of another package; the result is
            then ``not run``.
    """
    run = RunContext.of(environ, interactive)
    return tuple(Prober(run).probed(profile, run_commands=run_commands))


def user_of(profile: Profile, run: RunContext, *, only: frozenset[str] | None = None) -> str | None:
    r"""Return who logs on, as ``user`` or ``DOMAIN\user``; None where the scheme has no user.

    Args:
        profile: the profile.
        run: the surroundings.
        only: the sources that may be asked; None is all of them.

    Raises:
        SecretUnavailable: a reference did not answer.
    """
    found: dict[str, str | None] = {}
    for name in ("user_name", "domain"):
        value = value_of(profile.auth, name)
        if isinstance(value, Secret):
            value = value.reveal()
        elif isinstance(value, SecretRef):
            reference = value if only is None else only_from(value, only)
            value = reference.resolve(context_of_field(profile, name, run)).reveal()
        found[name] = value if isinstance(value, str) else None
    user, domain = found["user_name"], found["domain"]
    return logon_name(user, domain) if user else None


def only_from(reference: SecretRef, only: frozenset[str]) -> SecretRef:
    """Return the reference with those alternatives alone that may be asked.

    Raises:
        SecretUnavailable: there are none.
    """
    kept = tuple(pair for pair in reference.alternatives if pair[0] in only)
    if not kept:
        raise SecretUnavailable(f"{reference} was not asked")
    return replace(reference, alternatives=kept)


# ---------------------------------------------------------------- asking


class Prober:
    """Asks the sources of references and throws the secrets away; asks no person.

    Args:
        run: the surroundings.
    """

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self._silent = run.without_person()
        self._keyring: list[tuple[State, str] | None] = []  # what holds of all its entries

    def answers(self, profile: Profile) -> list[Answer]:
        """Return what became of each alternative of each reference; runs no program.

        A source of another package may be one, so it is not asked either.
        """
        return [
            self._answer(profile, field_of(dotted), one, run_commands=False)
            for dotted, reference in references(profile)
            if isinstance(reference, SecretRef)
            for one in _alternatives(reference)
        ]

    def probed(self, profile: Profile, *, run_commands: bool) -> Iterator[Probed]:
        """Yield for each reference which alternative would be used; see :func:`probe`."""
        for dotted, reference in references(profile):
            if isinstance(reference, SecretRef):
                yield self._probed(profile, dotted, reference, run_commands=run_commands)
        key = profile.machine.vault_key
        if isinstance(key, SecretRef):
            yield self._probed(profile, "vault_key", key, run_commands=run_commands)

    def _probed(
        self, profile: Profile, dotted: str, reference: SecretRef, *, run_commands: bool
    ) -> Probed:
        field = field_of(dotted)
        used, certain, told = None, True, []
        for one in _alternatives(reference):
            if used is not None:
                told.append(Answer(profile.name, field, str(one), "not needed"))
                continue
            answer = self._answer(profile, field, one, run_commands=run_commands)
            told.append(answer)
            if answer.state in {"answers", "asks a person"}:
                used = answer.reference
            certain = certain and answer.state != "not run"
        return Probed(dotted, used, certain, tuple(told))

    def _answer(
        self, profile: Profile, field: str, one: SecretRef, *, run_commands: bool
    ) -> Answer:
        state, note = self._state(profile, field, one, run_commands=run_commands)
        return Answer(profile.name, field, str(one), state, note)

    def _state(
        self, profile: Profile, field: str, one: SecretRef, *, run_commands: bool
    ) -> tuple[State, str]:
        source, _ = one.alternatives[0]
        if source not in QUIET | {"prompt"} and not run_commands:
            return "not run", _why_not_run(one, profile)
        user = None
        try:
            if source == "keyring" and (refused := self._keyring_refuses(profile)):
                return refused
            user = self._user(profile, field, one)
            one.resolve(context_of_field(profile, field, self._silent, user))
        except _NotAsked as error:
            return "not run", error.message
        except NobodyThere:
            why = self._run.terminal.why_not_ask()
            return ("no answer", f"nobody is there: {why}") if why else ("asks a person", "")
        except GatepassError as error:
            note = error.message.removeprefix(f"{str(one).rstrip(':')}: ")
            return "no answer", note.replace(user, "(user_name)") if user else note
        return "answers", "the program was run" * (source == "command")

    def _user(self, profile: Profile, field: str, one: SecretRef) -> str | None:
        if one.alternatives[0] != ("keyring", "") or field != "password":
            return None
        try:
            return user_of(profile, self._silent, only=QUIET)
        except SecretUnavailable:
            for name in ("user_name", "domain"):
                value = value_of(profile.auth, name)
                if isinstance(value, SecretRef) and not _is_quiet(value):
                    raise _NotAsked(f"{value} was not asked for the user name") from None
            raise

    def _keyring_refuses(self, profile: Profile) -> tuple[State, str] | None:
        """Look at the keyring once: one that hangs costs its whole deadline each time."""
        if not self._keyring:
            self._keyring.append(self._judge_keyring(profile))
        return self._keyring[0]

    def _judge_keyring(self, profile: Profile) -> tuple[State, str] | None:
        from gatepass.secrets import keyring

        try:
            state = keyring.lock_state(context_of_field(profile, "", self._silent))
        except SecretUnavailable as error:
            return "no answer", error.message
        if state == "unlocked":
            return None
        if state == "unknown":
            return "not run", "this keyring may ask a person, so it was not asked"
        if self._run.terminal.why_not_ask() is None:
            return "asks a person", "the keyring is locked, and would ask to unlock it"
        return "no answer", "the keyring is locked"


def _why_not_run(one: SecretRef, profile: Profile) -> str:
    if one.alternatives[0][0] != "command":
        return "a source of another package"
    allowed = one.layer in {"user", "argument"} or profile.machine.allow_commands
    return "" if allowed else "and not allowed: your own file does not name it"


class _NotAsked(SecretUnavailable):
    """The source was not asked, since it might disturb a person."""


def _is_quiet(reference: SecretRef) -> bool:
    return all(source in QUIET for source, _ in reference.alternatives)


def _alternatives(reference: SecretRef) -> Iterator[SecretRef]:
    """The alternatives of a reference, each as a reference of its own."""
    for pair in reference.alternatives:
        yield replace(reference, alternatives=(pair,))
