"""``prompt:Label``: ask the person at the terminal, or in the notebook."""

from gatepass.errors import SecretUnavailable
from gatepass.secrets import SecretContext


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
