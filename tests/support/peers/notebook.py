"""A kernel of Jupyter, and what shows its notebook."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_SECONDS = 60


@dataclass(frozen=True)
class Cell:
    """What came of a cell.

    Attributes:
        status: ``ok`` or ``error``.
        printed: what it printed on both streams, and the last value.
        error: the last lines of its traceback, without colours.
        asked: the labels of what was asked, and whether the answer was to be hidden.
    """

    status: str
    printed: str
    error: str
    asked: tuple[tuple[str, bool], ...]


class Notebook:
    """A notebook whose cells are run one after another."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager = manager
        self._client = client

    def run(
        self, code: str, answers: Sequence[str] | Callable[[str], str | None] | None = ()
    ) -> Cell:
        """Run a cell.

        Args:
            code: its lines, with IPython's own words.
            answers: what a person types, or what makes that from what was printed so far, or None
                while that is too little: questions and what was printed before come on two ways.
                None: what runs the notebook cannot ask.
        """
        printed: list[str] = []
        errors: list[str] = []
        asked: list[tuple[str, bool]] = []
        answered: list[str] = []
        left = iter(() if answers is None or callable(answers) else answers)

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "error":
                errors.append(f"{content['ename']}: {content['evalue']}")
            printed.append(content.get("text") or content.get("data", {}).get("text/plain", ""))
            answer()

        def ask(message: dict[str, Any]) -> None:
            asked.append((message["content"]["prompt"], message["content"]["password"]))
            answer()

        def answer() -> None:
            if len(asked) == len(answered):
                return
            text = answers("".join(printed)) if callable(answers) else next(left)
            if text is not None:
                answered.append(text)
                self._client.input(text)

        done = self._client.execute_interactive(
            code,
            allow_stdin=answers is not None,
            stop_on_error=False,  # else what is sent right after an error is thrown away
            output_hook=show,
            stdin_hook=ask,
            timeout=_SECONDS,
        )
        text = "".join(printed).replace("\r", "")
        return Cell(done["content"]["status"], text, "\n".join(errors), tuple(asked))

    def restart(self) -> None:
        """Start the kernel anew, as a person does from the menu."""
        self._manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=_SECONDS)


@contextmanager
def notebook(environ: Mapping[str, str], folder: Path) -> Iterator[Notebook]:
    """Open a notebook that lies in a folder; its kernel is a process with these variables."""
    reason = "the package ipykernel is not installed"
    pytest.importorskip("ipykernel", reason=reason)
    jupyter = pytest.importorskip("jupyter_client.manager", reason=reason)
    variables = {"PATH": os.environ["PATH"], **environ}
    # What Jupyter's own packages warn about is not for these tests.
    variables.pop("PYTHONWARNINGS", None)
    manager, client = jupyter.start_new_kernel(
        kernel_name="python3", startup_timeout=_SECONDS, env=variables, cwd=str(folder)
    )
    try:
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        manager.context.destroy()
