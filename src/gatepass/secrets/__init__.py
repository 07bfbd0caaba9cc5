"""Secret references: where a secret comes from, written so that it can be shared.

A reference such as ``env:MI_PASSWORD`` stands in a profile in place of the secret. It is a value,
safe to print; :meth:`SecretRef.resolve` turns it into a :class:`Secret`, which is not.

To add a source, write one function ``(text, context) -> str`` in a file of its own and name it in
the entry-point group ``gatepass.secrets``. It returns the secret or raises
:class:`~gatepass.errors.SecretUnavailable` with one sentence that says why.
"""

from gatepass.secrets._fields import (
    PLAIN_TEXT,
    NameField,
    SecretField,
    TextField,
    may_be_secret,
    reference_json_schema,
    text_json_schema,
)
from gatepass.secrets._reference import (
    LayerKind,
    ReferenceSyntaxError,
    Secret,
    SecretContext,
    SecretRef,
    SecretSource,
    constant_time_compare,
    ref,
)

__all__ = [
    "PLAIN_TEXT",
    "LayerKind",
    "NameField",
    "ReferenceSyntaxError",
    "Secret",
    "SecretContext",
    "SecretField",
    "SecretRef",
    "SecretSource",
    "TextField",
    "constant_time_compare",
    "may_be_secret",
    "ref",
    "reference_json_schema",
    "text_json_schema",
]
