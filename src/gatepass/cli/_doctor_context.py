"""What the checks of the doctor get: the context, its files, and what its profiles need."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gatepass._config import validate
from gatepass._config.layer import Layers
from gatepass._config.profile import MachineSettings, Profile, references
from gatepass._system.findings import Finding, Verdict
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import keeps_tokens
from gatepass.cli._output import counted
from gatepass.cli._problems import complaints_of
from gatepass.cli._redaction import Redactor
from gatepass.errors import GatepassError
from gatepass.secrets import SecretContext, SecretRef

if TYPE_CHECKING:
    from gatepass._vault.redis_client import Server
    from gatepass._vault.vault import Vault


@dataclass(frozen=True)
class DoctorContext:
    """One run of the doctor.

    Attributes:
        context: the surroundings, with a person in them.
        redactor: how names are written.
        layers: all files and variables; None where they cannot be read.
        trouble: why not.
        machine: the machine settings; the usual ones where they cannot be read.
        found: each profile of the files that are trusted, by its name; None for a broken one.
    """

    context: Context
    redactor: Redactor
    layers: Layers | None = None
    trouble: GatepassError | None = None
    machine: MachineSettings = field(default_factory=MachineSettings)
    found: Mapping[str, Profile | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls, context: Context, config_files: tuple[str, ...], redactor: Redactor
    ) -> "DoctorContext":
        """Read all files. No secret, no network."""
        try:
            layers = context.read(config_files)
        except GatepassError as error:
            return cls(context, redactor, trouble=error)
        doctor = cls(context, redactor, layers)
        try:
            doctor = replace(doctor, machine=validate.validate_machine_settings(layers))
        except GatepassError as error:
            doctor = replace(doctor, trouble=error)
        untrusted = {name for source in layers.untrusted for name in source.names()}
        names = (name for name in layers.all_names if name not in untrusted)
        found = {name: complaints_of(layers, name, doctor.machine)[0] for name in names}
        return replace(doctor, found=found)

    @property
    def silent(self) -> Context:
        """The surroundings with a terminal on which nobody is asked."""
        return self.context.without_person()

    def needed_by(self, need: str) -> str:
        """Say which profiles need a scheme, or a source that has no alternative; may be empty.

        Args:
            need: the name of the scheme or of the source.
        """
        names = [
            name
            for name, profile in self.found.items()
            if profile is not None and need in _needs(profile)
        ]
        if not names:
            return ""
        if self.redactor.redacted:
            return counted(len(names), "profile")
        return ", ".join(names)

    def missing(self, need: str, subject: str, message: str, hint: str = "") -> Finding:
        """Return a finding about what is not there: a problem where a profile needs it, else info.

        Args:
            need: the scheme or source that needs it.
            subject: what was looked at.
            message: what was seen.
            hint: the next step.
        """
        needed = self.needed_by(need)
        verdict: Verdict = "problem" if needed else "info"
        why = f"; needed by {needed}" if needed else "; no profile needs it"
        return Finding(verdict, subject, message + why, hint)

    @property
    def vault(self) -> "Vault":
        """The vault that the machine settings name. Touches nothing."""
        from gatepass._session.vault_config import vault_of

        return vault_of(self.machine, self.silent)

    @property
    def secret_context(self) -> SecretContext:
        """What the keyring gets to see for the machine's own secrets; nobody is asked."""
        from gatepass._session.resolve import secret_context

        return secret_context(self.silent, self.machine, "vault_key")

    @property
    def vault_folder(self) -> Path | None:
        """The folder of the vault; None where it lies in a redis."""
        from gatepass._vault.file_store import FileStore

        store = self.vault.store
        return store.folder if isinstance(store, FileStore) else None

    @property
    def redis(self) -> "Server | None":
        """The redis that holds the vault; None where it lies in a folder."""
        from gatepass._vault.redis_store import RedisStore

        store = self.vault.store
        return store.server if isinstance(store, RedisStore) else None


def _needs(profile: Profile) -> set[str]:
    """The scheme of a profile, and each source that a secret of it comes from alone."""
    needs = {profile.scheme}
    found = [reference for _, reference in references(profile)]
    if keeps_tokens(profile):
        key = profile.machine.vault_key
        needs |= {"vault"} | ({"keyring"} if key is None else set())
        found += [key] if key is not None else []
    for reference in found:
        if isinstance(reference, SecretRef):
            sources = {source for source, _ in reference.alternatives}
            needs |= sources if len(sources) == 1 else set()
    return needs
