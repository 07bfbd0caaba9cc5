"""The contract of a secret source, for packages that bring one."""

import logging
import re
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar, Final

import pytest

from gatepass._system import plugins
from gatepass._system.terminal import Terminal
from gatepass.errors import PluginError, SecretUnavailable
from gatepass.secrets import SecretContext
from gatepass.testing._watch import fail, in_time, shows, watching

_PLAIN: Final = "canary-3f9a-secret"
# What people put into passwords, and what shells, formats and encodings stumble over.
_ODD: Final = "pä$$wörd %s {x} \"q\" 'a' \\n #"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
_THREADS: Final = 8


class SourceContract:
    """Checks that a secret source keeps what profiles promise; derive a class ``Test...`` from it.

    The package must be installed (``pip install -e .``), because references find a source by its
    entry point. ::

        class TestShelf(SourceContract):
            source = "shelf"
            text = "mi"

            def prepare(self, secret, folder):
                if secret is not None:
                    (folder / "mi").write_text(secret)
                return self.context(environ={"SHELF": str(folder)})

    Attributes:
        source: the entry point's name, the word before the colon.
        text: what stands after the colon.
        elsewhere: another text, of something that is never there.
        seconds: the longest that an answer may take. Generous: it finds what waits for ever.
    """

    source: ClassVar[str]
    text: ClassVar[str]
    elsewhere: ClassVar[str] = ""
    seconds: ClassVar[float] = 60.0

    def prepare(self, secret: str | None, folder: Path) -> SecretContext:
        """Let ``text`` mean this secret; return what the source may see.

        Args:
            secret: the secret; None where there is none, and nothing has been set up.
            folder: an empty folder of this test.
        """
        raise NotImplementedError("write prepare(): it puts the secret where the source looks")

    @staticmethod
    def context(*, environ: Mapping[str, str] | None = None, **changes: Any) -> SecretContext:
        """Return what a source may see for the password of alice, where nobody can be asked.

        Args:
            environ: the environment variables; none by default.
            changes: other fields of :class:`gatepass.SecretContext`.
        """
        variables = dict(environ or {})
        plain = SecretContext(
            origin="https://mi.example.com",
            field="password",
            user_name="alice",
            base_dir=None,
            layer="user",
            environ=variables,
            terminal=Terminal(variables, interactive=False),
        )
        return replace(plain, **changes)

    # ------------------------------------------------------------ the checks

    def test_the_entry_point_loads_under_its_name(self) -> None:
        if not _NAME.fullmatch(self.source):
            fail(f"{self.source!r} cannot stand before a colon: a-z, then a-z, 0-9, - and _")
        try:
            function = self._function()
        except PluginError as error:
            fail(
                f"{error}\nwrite it into pyproject.toml and install the package again "
                "(pip install -e .):\n"
                f'[project.entry-points."gatepass.secrets"]\n{self.source} = "module:function"'
            )
        if not callable(function):
            fail(f"{self.source} is {type(function).__name__}, not a function: (text, context)")

    @pytest.mark.parametrize("secret", [_PLAIN, _ODD], ids=["plain", "odd"])
    def test_it_answers_with_the_secret_as_text(self, secret: str, tmp_path: Path) -> None:
        answer = self._ask(self.prepare(secret, tmp_path))
        if not isinstance(answer, str):
            fail(f"it answers with {type(answer).__name__}: decode the secret to str")
        if answer != secret:
            fail(
                "it answers with something else than the secret: add and remove nothing (a line "
                "end apart), and take variables from context.environ, not from os.environ"
            )

    def test_what_is_not_there_is_unavailable_and_says_what_to_do(self, tmp_path: Path) -> None:
        error = self._refusal(self.prepare(None, tmp_path), self.text)
        if not error.message or not error.hint:
            fail(
                "its error does not say what to do: SecretUnavailable takes one sentence that says "
                'why, and the next step as hint="..."'
            )

    def test_an_empty_secret_counts_as_none(self, tmp_path: Path) -> None:
        context = self.prepare("", tmp_path)
        try:
            answer = self._ask(context)
        except SecretUnavailable:
            return
        if answer:
            fail('where the secret is empty it answers all the same: return "", which is refused')

    def test_no_error_and_no_log_shows_a_secret(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        context = self.prepare(_PLAIN, tmp_path)
        try:
            self._ask(context, self.elsewhere or f"{self.text}-none")
        except Exception as error:  # noqa: BLE001 - of which kind it is, another check asks
            if shows("".join(traceback.format_exception(error)), [_PLAIN]):
                fail(
                    "its error shows a secret, or has a cause that does: say what was looked for "
                    "and not what was found, and raise from None"
                )

        with caplog.at_level(logging.DEBUG):
            self._ask(context)
        if shows(caplog.text, [_PLAIN]):
            fail("a log of level DEBUG shows the secret: log what was looked for, not the answer")

    @pytest.mark.parametrize("secret", [_PLAIN, None], ids=["there", "missing"])
    def test_nobody_is_asked_where_nobody_is(self, secret: str | None, tmp_path: Path) -> None:
        asked: list[str] = []

        def read_hidden(label: str) -> str:
            asked.append(label)
            return ""

        context = self.prepare(secret, tmp_path)
        nobody = Terminal(context.environ, interactive=False, read_hidden=read_hidden)
        with watching() as watch, suppress(Exception):  # what it raises, another check asks
            self._ask(replace(context, terminal=nobody))
        if asked or watch.questions:
            fail(
                f"without a person it asks one ({', '.join(asked + watch.questions)}): ask by "
                "context.terminal.ask_secret(label) only, which refuses there; a batch job would "
                "wait for ever"
            )

    def test_several_threads_may_ask_at_once(self, tmp_path: Path) -> None:
        context = self.prepare(_PLAIN, tmp_path)
        barrier = Barrier(_THREADS)

        def work() -> Any:
            barrier.wait(self.seconds)
            return self._ask(context)

        first = self._ask(context)
        with ThreadPoolExecutor(_THREADS) as pool:
            running = [pool.submit(work) for _ in range(_THREADS)]
            wrong = [each for each in running if each.exception() or each.result() != first]
        if wrong:
            fail(
                f"{len(wrong)} of {_THREADS} threads that asked at once got no answer, or another "
                "one: keep nothing between calls"
            )

    # ------------------------------------------------------------ what the checks share

    @pytest.fixture(autouse=True)
    def _only_where_it_loads(self, request: pytest.FixtureRequest) -> None:
        if "entry_point" in request.function.__name__:
            return
        try:
            self._function()
        except PluginError:
            pytest.skip("its entry point does not load; see that check")

    def _function(self) -> Any:
        return plugins.load(plugins.SECRETS, self.source)

    def _ask(self, context: SecretContext, text: str | None = None) -> Any:
        """Call the source itself, as a reference does, within the time that it has."""
        function = self._function()
        asked = self.text if text is None else text
        return in_time(lambda: function(asked, context), self.seconds)

    def _refusal(self, context: SecretContext, text: str) -> SecretUnavailable:
        """Ask where there is nothing; return the error, which a reference tells as it is."""
        try:
            answer = self._ask(context, text)
        except SecretUnavailable as error:
            return error
        except Exception as error:  # noqa: BLE001 - the source under test may raise anything
            fail(
                f"it ends with {type(error).__name__}: raise gatepass.SecretUnavailable, of others "
                "only the type is shown, because their text may hold the secret"
            )
        kind = type(answer).__name__
        return fail(f"where nothing is there it answers with {kind}: raise SecretUnavailable")
