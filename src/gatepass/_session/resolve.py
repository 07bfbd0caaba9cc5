"""Resolves the secrets of a profile, once for each session, and reports all missing ones."""

from collections.abc import Mapping
from typing import Any, Final

from gatepass._config.profile import MachineSettings, Profile, references
from gatepass._system.context import RunContext
from gatepass._system.text import printable
from gatepass.auth import value_of
from gatepass.auth._password import logon_name
from gatepass.errors import NobodyThere, SecretUnavailable
from gatepass.secrets import Secret, SecretContext, SecretRef

Field = str | SecretRef | Secret | None
Found = dict[tuple[str, Field], Secret]

_WRITTEN_ANEW: Final = frozenset({"client_assertion"})  # by the platform, each hour or so
_NAMES: Final = ("user_name", "domain")  # of who logs on; the others are found by them


class ResolvedSecrets:
    """Resolves fields, remembers each answer, and collects what is missing.

    An instance is what :attr:`gatepass.auth.AuthContext.resolve` promises.

    Args:
        profile: whose fields they are.
        run: the surroundings.
    """

    def __init__(self, profile: Profile, run: RunContext) -> None:
        self._found: Found = {}
        self.user: str | None = None
        self.password: tuple[str | None, Secret] | None = None  # with whose it is
        self._profile = profile
        self._run = run
        self._missing: list[tuple[str, SecretUnavailable]] = []

    def __call__(self, **fields: Field) -> Mapping[str, Secret]:
        """Resolve the fields of a scheme, with names first.

        Raises:
            SecretUnavailable: names everything that is missing, also from :meth:`collect`.
        """
        found = self.collect("", fields)
        if self.user is None and not isinstance(fields.get("user_name"), Secret):
            self.user = _who(found)
        self.raise_missing()
        if "password" in found:
            self.password = (_who(found), found["password"])
        return found

    def collect(self, above: str, fields: Mapping[str, Field]) -> dict[str, Secret]:
        """Resolve fields and return those that answered; :meth:`raise_missing` reports the others.

        Args:
            above: the table that holds them, such as ``proxy.``; empty for ``auth``.
            fields: by their names.
        """
        found: dict[str, Secret] = {}
        for name in sorted(fields, key=lambda name: name not in _NAMES):
            secret = self._one(above + name, fields[name], _who(found))
            if secret is not None:
                found[name] = secret
        return found

    def raise_missing(self) -> None:
        """Raise when something is missing.

        Raises:
            SecretUnavailable: says what, and what each source answered. It is ``NobodyThere``
                when all of it needs a person.
        """
        missing, self._missing = self._missing, []  # a later call may find what is not there now
        if not missing:
            return
        nobody = all(isinstance(error, NobodyThere) for _, error in missing)
        kind = NobodyThere if nobody else SecretUnavailable
        hints = dict.fromkeys(error.hint for _, error in missing if error.hint)
        lines = [f"{self._place(name)}{name}: {error.message}" for name, error in missing]
        if len(lines) > 1:
            lines = [f"{len(lines)} secrets are missing:", *(f"  {line}" for line in lines)]
        raise kind("\n".join(lines), hint="\n".join(hints))

    def holds_secret(self, text: str) -> bool:
        """Whether a text holds one of the profile's secrets, plain or as ``repr`` writes it.

        User names and domains do not count.
        """
        secrets = [found for (name, _), found in self._found.items() if name not in _NAMES]
        given = [value for _, value in references(self._profile) if isinstance(value, Secret)]
        words = [secret.reveal() for secret in (*secrets, *given)]
        return any(word in text or repr(word)[1:-1] in text for word in words)

    def _place(self, name: str) -> str:
        """Return where a field was written and in which table, as the prefix of its name."""
        above = () if "." in name else ("auth",)
        key = (*above, *name.split("."))
        place = self._profile.place_of(*key)
        if not place:
            return ""
        table = (*self._profile.key_locations[key].above, *above)
        return f"{place}: {printable(''.join(f'{part}.' for part in table))}"

    def _one(self, name: str, value: Field, user: str | None) -> Secret | None:
        if value is None or isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return Secret(value)
        key = (name, value)
        if key not in self._found or name in _WRITTEN_ANEW:
            if self._missing and _can_wait(value):
                return None
            try:
                self._found[key] = value.resolve(
                    context_of_field(self._profile, name, self._run, user)
                )
            except SecretUnavailable as error:
                self._missing.append((name, error))
                return None
        return self._found[key]


def secret_context(
    run: RunContext,
    machine: MachineSettings,
    field: str,
    *,
    origin: str = "",
    user_name: str | None = None,
) -> SecretContext:
    """Return what a secret source may look at for one field.

    Args:
        run: the surroundings.
        machine: the machine settings.
        field: the name of the field.
        origin: the server that the secret is for; empty for the vault's own secrets.
        user_name: who logs on; None where that is not known.
    """
    return SecretContext(
        origin=origin,
        field=field,
        user_name=user_name,
        base_dir=None,
        layer="argument",
        environ=run.environ,
        terminal=run.terminal,
        allow_commands=machine.allow_commands,
        allow_insecure_keyring=machine.allow_insecure_keyring,
    )


def context_of_field(
    profile: Profile, field: str, run: RunContext, user_name: str | None = None
) -> SecretContext:
    """Return what a secret source may look at for a field of a profile."""
    return secret_context(run, profile.machine, field, origin=profile.origin, user_name=user_name)


def names_of(profile: Profile) -> dict[str, Any]:
    """Return the fields of the scheme that say who logs on, values or references."""
    return {name: value_of(profile.auth, name) for name in _NAMES}


def user_of(profile: Profile, run: RunContext) -> str | None:
    r"""Return who logs on, as ``user`` or ``DOMAIN\user``; None where the scheme has no user.

    Raises:
        SecretUnavailable: a reference did not answer.
    """
    secrets = ResolvedSecrets(profile, run)
    found = secrets.collect("", names_of(profile))
    secrets.raise_missing()
    return _who(found)


def _can_wait(reference: SecretRef) -> bool:
    """Whether not to resolve a field when another is missing already.

    A person should not be asked for a password that is not used, and ``keyring:`` may fail only
    because the user name is missing.
    """
    return any(
        source == "prompt" or (source == "keyring" and not text)
        for source, text in reference.alternatives
    )


def _who(found: Mapping[str, Secret]) -> str | None:
    if "user_name" not in found:
        return None
    domain = found["domain"].reveal() if "domain" in found else None
    return logon_name(found["user_name"].reveal(), domain)
