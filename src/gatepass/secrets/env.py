"""``env:NAME``: an environment variable."""

from collections.abc import Iterator

from gatepass._system.findings import Finding
from gatepass.errors import SecretUnavailable
from gatepass.secrets import SecretContext, predicts, refused


def env(text: str, context: SecretContext) -> str:
    """Return the variable of that name; an empty one counts as unset.

    Raises:
        SecretUnavailable: the variable is not set, or empty.
    """
    value = context.environ.get(text)
    if not value:
        state = "not set" if value is None else "empty"
        if text != text.strip():
            raise SecretUnavailable(
                f"the variable {text!r} is {state}", hint=f"leave out the blank: env:{text.strip()}"
            )
        raise SecretUnavailable(
            f"the variable {text} is {state}", hint=f"set {text} in the environment of this run"
        )
    return value


@predicts(env)
def _unattended(text: str, context: SecretContext) -> Iterator[Finding]:
    """Look at the variable here; a run gets its own."""
    found = refused(env, text, context)
    yield from found
    if not found:
        yield Finding("info", context.field, "it is set here; the job must set it too")
