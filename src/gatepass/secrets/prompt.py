"""``prompt:Label``: ask the person at the terminal, or in the notebook."""

from gatepass._system.text import printable, shortened
from gatepass.errors import SecretUnavailable
from gatepass.secrets import SecretContext


def prompt(text: str, context: SecretContext) -> str:
    """Ask with hidden input and return the answer. Waits for the person.

    Raises:
        NobodyThere: nobody can answer here; raised at once.
        SecretUnavailable: the answer is empty.
    """
    answer = context.terminal.ask_secret(label_of(text, context))
    if not answer:
        raise SecretUnavailable("nothing was typed", hint="run it again, and type the secret")
    return answer


def label_of(text: str, context: SecretContext) -> str:
    """Return what a person is asked. It always names the server, whatever a file says."""
    where = context.origin or "gatepass"
    if text:
        return f"{shortened(printable(text))} (for {where})"
    who = f" of {printable(context.user_name)}" if context.user_name else ""
    return f"{context.field.replace('_', ' ')}{who} at {where}"
