"""The secret fields of a profile, and where the keyring keeps what they name."""

from typing import Any

from gatepass._config import fields, merge, selection, validate
from gatepass._config.layer import Layers, Leaf
from gatepass._config.merge import MergedProfile
from gatepass._config.profile import Profile, references
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._session.resolve import context_of_field, user_of
from gatepass._system import plugins
from gatepass._system.context import RunContext
from gatepass._value import Value, replace
from gatepass.auth import field_of
from gatepass.cli._context import Context
from gatepass.errors import ProfileError
from gatepass.secrets import SecretContext, SecretRef


class Field(Value):
    """One secret field of a profile.

    Attributes:
        profile: the profile, checked; a field without a reference has ``keyring:`` in it.
        name: the field, such as ``password`` or ``proxy.password``.
        reference: what stands in it.
        stands: whether the profile really holds that; false for a literal and for nothing.
        where: the place to write it at.
    """

    profile: Profile
    name: str
    reference: SecretRef
    stands: bool
    where: str

    @property
    def key(self) -> str:
        """The last part of the name: what stands before the ``=``."""
        return self.name.rpartition(".")[2]

    @property
    def table(self) -> str:
        """The table of the file that the key belongs into."""
        table, _, _ = self.name.rpartition(".")
        return f"[profiles.{self.profile.name}.{table or 'auth'}]"

    def entry(self, context: Context) -> tuple[str, str] | None:
        """Return service and account of the keyring entry that the field names, or None.

        May read the user name, where that is a reference; nothing else.

        Raises:
            SecretUnavailable: the user name did not answer.
        """
        from gatepass.secrets import keyring

        text = next((text for kind, text in self.reference.alternatives if kind == "keyring"), None)
        if text is None:
            return None
        bound_to_user = not text and self.name == "password"
        user = user_of(self.profile, context) if bound_to_user else None
        return keyring.entry(text, self.context(context, user))

    def context(self, run: RunContext, user: str | None) -> SecretContext:
        """Return what a source gets to see; as a session passes it."""
        return context_of_field(self.profile, self.name, run, user)


# ---------------------------------------------------------------- finding


def find(layers: Layers, name: str, field: str) -> Field:
    """Find a secret field of a profile, also of one whose only fault is literal secrets.

    The command that moves a literal into the keyring is the one that its complaint names, so it
    must work while the literal, or nothing, still stands there. A literal is never read.

    Args:
        layers: all files and variables.
        name: the profile.
        field: such as ``password``, ``proxy.password`` or ``auth.password``.

    Raises:
        ProfileError: there is no such profile or field, or something else is wrong with it.
    """
    taken = merge.merge_profile(layers, selection.select_name(layers, name))
    dotted = (
        field if field.split(".", maxsplit=1)[0] in {"auth", "proxy", "tls"} else f"auth.{field}"
    )
    known = _secret_fields(taken.table)
    if dotted not in known:
        names = sorted(map(field_of, known))
        raise ProfileError(
            f"the profile {taken.name} has no secret field of that name",
            hint=f"its secret fields: {', '.join(names) or 'none'}",
        )
    machine = validate.validate_machine_settings(layers)
    value = _get(taken.table, dotted)
    stands = SecretRef.can_parse(value)
    profile = validate.validate_profile(_without_literals(taken, known, dotted), machine)
    reference = dict(references(profile)).get(dotted)
    if not isinstance(reference, SecretRef):
        raise ProfileError(
            f"{dotted} cannot be set while {dotted.rpartition('.')[0]} is a plain URL",
            hint="write a table:   proxy = { url = ..., user_name = ..., password = ... }",
        )
    where = taken.location(tuple(dotted.split("."))).where
    return Field(profile, field_of(dotted), reference, stands, where)


def _secret_fields(table: dict[str, Any]) -> set[str]:
    """The dotted keys of all secret fields that a profile with this scheme may have."""
    auth = table.get("auth")
    scheme = auth.get("scheme") if isinstance(auth, dict) else None
    kinds: dict[str, Any] = {"proxy": Proxy, "tls": TlsSettings}
    if isinstance(scheme, str) and plugins.is_known(plugins.AUTH, scheme):
        kinds["auth"] = plugins.load_scheme(scheme)
    return {
        ".".join(key)
        for above, kind in kinds.items()
        for key, sort in fields.sorts_of(kind, (above,)).items()
        if sort == "secret"
    }


def _without_literals(taken: MergedProfile, known: set[str], wanted: str) -> MergedProfile:
    """The same profile with ``keyring:`` where a literal stands, and in the field that is meant."""
    tree = taken.tree
    for dotted in sorted(known):
        value = _get(taken.table, dotted)
        literal = isinstance(value, str) and not SecretRef.can_parse(value)
        if literal or (dotted == wanted and value is None):
            key = tuple(dotted.split("."))
            tree = _set(tree, key, Leaf("keyring:", taken.location(key)))
    return replace(taken, tree=tree)


def _get(table: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        table = table.get(name) if isinstance(table, dict) else None
    return table


def _set(tree: dict[str, Any], key: tuple[str, ...], value: Leaf) -> dict[str, Any]:
    first, *rest = key
    inner = tree.get(first, {})
    if rest and not isinstance(inner, dict):
        return tree  # a proxy that is a plain URL, or something that validation refuses
    return {**tree, first: _set(inner, tuple(rest), value) if rest else value}
