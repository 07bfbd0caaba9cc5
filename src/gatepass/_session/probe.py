"""``gatepass.probe``: which alternative of each reference a session would use here.

Asks the sources as a session does and throws the secrets away; keeps only whether each answered, or
why not. Asks no person, neither on the terminal nor by the dialog of a locked keyring.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from gatepass._config.profile import Profile, references
from gatepass._session.resolve import context_of_field, names_of, user_of
from gatepass._system.context import RunContext
from gatepass._value import Value, replace
from gatepass.auth import field_of
from gatepass.errors import GatepassError, NobodyThere, SecretUnavailable
from gatepass.secrets import SecretRef

# Sources that start no program.
_QUIET: Final = frozenset({"env", "file", "keyring", "prompt"})

State = Literal["answers", "no answer", "asks a person", "not run", "not needed"]
Outcome = tuple[State, str]


class Answer(Value):
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


class Probed(Value):
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
    return tuple(Prober(run, run_commands=run_commands).probed(profile))


class Prober:
    """Asks the sources of references and throws the secrets away; asks no person.

    Args:
        run: the surroundings.
        run_commands: false runs no command and asks no source of another package.
    """

    def __init__(self, run: RunContext, *, run_commands: bool) -> None:
        self._run = run
        self._silent = run.without_person()
        self._run_commands = run_commands
        self._keyring: list[Outcome | None] = []  # what holds of all its entries

    def probed(self, profile: Profile) -> Iterator[Probed]:
        """Yield for each reference which alternative would be used; see :func:`probe`."""
        user = self._user(profile)
        for dotted, reference in (*references(profile), ("vault_key", profile.machine.vault_key)):
            if isinstance(reference, SecretRef):
                yield self._probed(profile, dotted, reference, user)

    def _user(self, profile: Profile) -> str | None:
        if any(self._why_not_run(profile, name) for name in names_of(profile).values()):
            return None
        try:
            return user_of(profile, self._silent)
        except SecretUnavailable:
            return None

    def _probed(
        self, profile: Profile, dotted: str, reference: SecretRef, user: str | None
    ) -> Probed:
        field = field_of(dotted)
        used, certain, told = None, True, []
        for pair in reference.alternatives:
            one = replace(reference, alternatives=(pair,))
            if used is not None:
                told.append(Answer(profile.name, field, str(one), "not needed"))
                continue
            state, note = self._outcome(profile, field, one, user)
            told.append(Answer(profile.name, field, str(one), state, note))
            if state in {"answers", "asks a person"}:
                used = str(one)
            certain = certain and state != "not run"
        return Probed(dotted, used, certain, tuple(told))

    def _outcome(self, profile: Profile, field: str, one: SecretRef, user: str | None) -> Outcome:
        source, text = one.alternatives[0]
        if why := self._why_not_run(profile, one):
            return "not run", why
        if source == "keyring":
            if refused := self._keyring_refuses(profile):
                return refused
            if not text and field == "password" and user is None:
                return "not run", "the user name, which names the entry, is not known here"
        try:
            one.resolve(context_of_field(profile, field, self._silent, user))
        except NobodyThere:
            nobody = self._run.terminal.why_not_ask()
            return ("no answer", f"nobody is there: {nobody}") if nobody else ("asks a person", "")
        except GatepassError as error:
            note = error.message.removeprefix(f"{str(one).rstrip(':')}: ")
            return "no answer", note.replace(user, "(user_name)") if user else note
        return "answers", "the program was run" * (source == "command")

    def _why_not_run(self, profile: Profile, reference: object) -> str:
        """Say why a reference is not asked: it may start a program, and none is to be run."""
        if self._run_commands or not isinstance(reference, SecretRef):
            return ""
        sources = {source for source, _ in reference.alternatives} - _QUIET
        if sources - {"command"}:
            return "a source of another package"
        allowed = reference.layer in {"user", "argument"} or profile.machine.allow_commands
        why = "no program is run" if allowed else "and not allowed: your own file does not name it"
        return why if sources else ""

    def _keyring_refuses(self, profile: Profile) -> Outcome | None:
        """Look at the keyring once: one that hangs costs its whole deadline each time."""
        if not self._keyring:
            self._keyring.append(self._judge_keyring(profile))
        return self._keyring[0]

    def _judge_keyring(self, profile: Profile) -> Outcome | None:
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
