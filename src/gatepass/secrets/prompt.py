"""``prompt:Label``: ask the person at the terminal, or in the notebook."""

from gatepass._system.findings import Finding
from gatepass.errors import SecretUnavailable
from gatepass.secrets import SecretContext, predicts


def prompt(text: str, context: SecretContext) -> str:
    """Ask with hidden input and return the answer. Waits for the person.

    Raises:
        NobodyThere: nobody can answer here; raised at once.
        SecretUnavailable: the answer is empty.
    """
    who = f" of {context.user_name}" if context.user_name else ""
    label = text or f"{context.field.replace('_', ' ')}{who} at {context.origin}"
    answer = context.terminal.ask_secret(label)
    if not answer:
        raise SecretUnavailable("nothing was typed", hint="run it again, and type the secret")
    return answer


@predicts(prompt)
def _unattended(text: str, context: SecretContext) -> tuple[Finding, ...]:  # noqa: ARG001 - the contract
    """Say that it needs a person."""
    hint = "put env:NAME or file:PATH before it; the first that answers is used"
    return (Finding("problem", context.field, "it needs a person", hint),)
