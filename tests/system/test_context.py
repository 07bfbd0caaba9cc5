"""What a run takes from its process."""

import os
from dataclasses import replace

import pytest

from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal


def test_variables_hold_passwords_and_are_not_shown() -> None:
    assert "hunter2" not in repr(RunContext.of({"MI_PASSWORD": "hunter2"}))


def test_what_is_not_given_comes_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEPASS_NO_INPUT", "1")
    person = Terminal({}, interactive=True)

    assert RunContext.of().environ is os.environ
    assert RunContext.of().terminal.why_not_ask() == "GATEPASS_NO_INPUT forbids asking"
    assert RunContext.of({}, interactive=True).terminal.why_not_ask() is None
    assert RunContext.of({}, interactive=False, terminal=person).terminal is person


def test_without_a_person_nobody_is_asked_and_all_else_stays() -> None:
    run = replace(RunContext.of({"A": "b"}, interactive=True), clock=lambda: 7.0)

    silent = run.without_person()

    assert run.terminal.why_not_ask() is None
    assert silent.terminal.why_not_ask() == "interactive=False forbids asking"
    assert (silent.environ, silent.clock()) == ({"A": "b"}, 7.0)
