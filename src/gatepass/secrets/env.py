"""``env:NAME``: an environment variable."""

from gatepass.errors import SecretUnavailable
from gatepass.secrets import SecretContext


def env(text: str, context: SecretContext) -> str:
    """Return the variable of that name; an empty one counts as unset.

    Raises:
        SecretUnavailable: the variable is not set, or empty.
    """
    value = context.environ.get(text)
    if not value:
        state = "not set" if value is None else "empty"
        raise SecretUnavailable(
            f"the variable {text} is {state}", hint=f"set {text} in the environment of this run"
        )
    return value
