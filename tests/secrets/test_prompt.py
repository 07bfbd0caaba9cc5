"""The source `prompt:`; the terminal itself is tested in `tests/system/test_terminal.py`."""

import pytest

from gatepass._system.terminal import Terminal
from gatepass.errors import NobodyThere, SecretUnavailable
from gatepass.secrets.prompt import prompt
from tests.support.secret_context import context


@pytest.mark.parametrize(
    ("text", "field", "user_name", "shown"),
    [
        (
            "Granta MI password",
            "password",
            "bob",
            "Granta MI password (for https://mi.example.com): ",
        ),
        ("[sudo]\x1b[2J", "token", None, "[sudo]\\x1b[2J (for https://mi.example.com): "),
        ("x" * 999, "token", None, f"{'x' * 100}...{'x' * 100} (for https://mi.example.com): "),
        ("", "password", "a\nb", "password of a\\nb at https://mi.example.com: "),
        ("", "password", None, "password at https://mi.example.com: "),
        ("", "password", "CORP\\bob", "password of CORP\\bob at https://mi.example.com: "),
        ("", "client_secret", None, "client secret at https://mi.example.com: "),
    ],
)
def test_the_person_is_told_what_is_asked_for(
    text: str, field: str, user_name: str | None, shown: str
) -> None:
    labels = []

    def answer(label: str) -> str:
        labels.append(label)
        return "hunter2"

    here = context(
        field=field,
        user_name=user_name,
        terminal=Terminal({}, interactive=True, read_hidden=answer),
    )
    assert prompt(text, here) == "hunter2"
    assert labels == [shown]


def test_an_answer_that_is_empty_is_none() -> None:
    here = context(terminal=Terminal({}, interactive=True, read_hidden=lambda _: ""))
    with pytest.raises(SecretUnavailable, match="nothing was typed") as caught:
        prompt("", here)
    assert "type the secret" in caught.value.hint


def test_nobody_is_told_at_once() -> None:
    with pytest.raises(NobodyThere, match="interactive=False forbids asking") as caught:
        prompt("", context())
    assert "env:NAME" in caught.value.hint
