"""Where a login goes that a person has just made: into the vault, or into memory alone."""

import warnings
from typing import Final

from gatepass._system import log
from gatepass._system.text import quoted
from gatepass._value import replace as changed
from gatepass._vault.records import Identity, Record
from gatepass._vault.vault import Vault
from gatepass.auth import AuthContext
from gatepass.auth._oidc.cached_token import is_renewable, until_end
from gatepass.errors import GatepassWarning, NobodyThere, VaultError

_NOT_RENEWABLE: Final = (
    "the identity provider gave no refresh token, so this login ends with its access token{until}; "
    "the scope offline_access may be missing, or not permitted"
)


class LoginKeeper:
    """Keeps one login, and never makes a stored one worse.

    A vault that takes nothing is noticed before the person logs in.

    Args:
        context: the surroundings; it says whether logins are stored, and leads to the person.
        vault: the vault.
        identity: whose login.
        pinned: the login that is stored; None when there is none.
        replace: whether it may be replaced without a question by one that cannot be renewed.
    """

    def __init__(
        self,
        context: AuthContext,
        vault: Vault,
        identity: Identity,
        pinned: Record | None,
        *,
        replace: bool = False,
    ) -> None:
        self._context = context
        self._vault = vault
        self._identity = identity
        self._pinned = pinned
        self._replace = replace
        self._record: Record | None = None
        self._is_open = False  # whether the person decides
        self.stored = False
        named = context.keeps_logins and bool(context.profile_name)
        self._is_wanted = self._stores = pinned is not None or named
        if self._stores:
            try:
                vault.check_writable(identity)
            except VaultError as error:
                self._stores = False
                self._tell("this login will not be stored", error)

    def keep(self, record: Record) -> bool:
        """Keep a login; return whether it is where it should be, before the browser is told."""
        self._record = self._joined(record)
        self._is_open = self._is_worse(self._record) and not self._replace
        if not self._stores or self._is_open:
            return not self._is_wanted or self._is_open
        try:
            self._record = self._vault.write(self._identity, self._record)
        except VaultError as error:
            self._tell("you are logged in, but the login could not be stored", error)
            return False
        self.stored = True
        return True

    def settle(self) -> Record:
        """Return the login, after the person has decided what is left to decide."""
        assert self._record is not None  # noqa: S101 - let_person_log_in has kept one, or raised
        if self._record.refresh_token is None:
            told = _NOT_RENEWABLE.format(until=until_end(self._record))
            warnings.warn(told, GatepassWarning, stacklevel=2)
        if self._is_open and self._stores and self._agrees():
            self._record = self._vault.write(self._identity, self._record)
            self.stored = True
        if self.stored and self._context.keeps_logins:
            self._context.terminal.tell("The login is stored, so later runs need nobody.")
        elif not self.stored:
            log.info("the login is not stored; persist_oidc_token() stores it")
        return self._record

    def write(self, record: Record) -> Record:
        """Store a login without a question.

        Raises:
            VaultError: it cannot be stored, or would make the stored one worse.
        """
        record = self._joined(record)
        if self._is_worse(record):
            raise VaultError(
                f"{self._question()}, so it was not stored",
                hint=f"to replace it: {quoted('gatepass', 'login', self._name(), '--yes')}",
            )
        return self._vault.write(self._identity, record)

    def _joined(self, record: Record) -> Record:
        """Add the stored refresh token to a login of the same person for no more scopes."""
        before = self._pinned
        if before is None or not self._is_worse(record):
            return record
        same = record.subject is not None and record.subject == before.subject
        if not same or not set(record.scopes) <= set(before.scopes):
            return record
        if (record.provider.issuer, record.client_id) != (before.provider.issuer, before.client_id):
            return record
        return changed(
            record,
            refresh_token=before.refresh_token,
            refresh_until=before.refresh_until,
            scopes=before.scopes,
        )

    def _is_worse(self, record: Record) -> bool:
        """Whether it cannot be renewed, and the stored one can."""
        before = self._pinned
        renewable = before is not None and is_renewable(before, self._context.clock())
        return record.refresh_token is None and renewable

    def _agrees(self) -> bool:
        try:
            answer = self._context.terminal.ask_line(f"{self._question()}. Replace it? [y/N]")
        except NobodyThere:
            answer = ""
        if answer.lower() in {"y", "yes"}:
            return True
        again = quoted("gatepass", "login", self._name(), "--yes")
        self._context.terminal.tell(
            f"The stored login is as it was; the new one serves this run alone. To replace: {again}"
        )
        return False

    def _question(self) -> str:
        before = self._pinned
        who = (before.user or before.subject) if before else None
        return f"the stored login of {who or 'somebody'} can be renewed, the new one cannot"

    def _name(self) -> str:
        return self._context.profile_name or "NAME"

    def _tell(self, what: str, error: VaultError) -> None:
        self._context.terminal.tell(f"warning: {what}: {error}")
