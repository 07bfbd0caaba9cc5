"""The contract of a secret source: one function, ``(text, context) -> secret``."""

import logging
import re
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar, Final

import pytest

from gatepass._system import plugins
from gatepass._system.terminal import Terminal
from gatepass.errors import PluginError, SecretUnavailable
from gatepass.secrets import SecretContext, told_by
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

            def world(self, secret, folder):
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

    def world(self, secret: str | None, folder: Path) -> SecretContext:
        """Prepare a world in which ``text`` means this secret; return what the source may see.

        Args:
            secret: the secret; None where there is none, and nothing has been set up.
            folder: an empty folder of this test.
        """
        raise NotImplementedError("write world(): it puts the secret where the source looks")

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
        answer = self._ask(self.world(secret, tmp_path))
        if not isinstance(answer, str):
            fail(f"it answers with {type(answer).__name__}: decode the secret to str")
        if answer != secret:
            fail(
                "it answers with something else than the secret: add and remove nothing (a line "
                "end apart), and take variables from context.environ, not from os.environ"
            )

    def test_what_is_not_there_is_unavailable_and_says_what_to_do(self, tmp_path: Path) -> None:
        error = self._refusal(self.world(None, tmp_path), self.text)
        if not error.message or not error.hint:
            fail(
                "its error does not say what to do: SecretUnavailable takes one sentence that says "
                'why, and the next step as hint="..."'
            )

    def test_an_empty_secret_counts_as_none(self, tmp_path: Path) -> None:
        context = self.world("", tmp_path)
        try:
            answer = self._ask(context)
        except SecretUnavailable:
            return
        if answer:
            fail('where the secret is empty it answers all the same: return "", which is refused')

    def test_no_error_shows_a_secret(self, tmp_path: Path) -> None:
        context = self.world(_PLAIN, tmp_path)
        try:
            self._ask(context, self.elsewhere or f"{self.text}-none")
        except Exception as error:  # noqa: BLE001 - of which kind it is, another check asks
            if shows("".join(traceback.format_exception(error)), [_PLAIN]):
                fail(
                    "its error shows a secret, or has a cause that does: say what was looked for "
                    "and not what was found, and raise from None"
                )

    def test_no_log_shows_the_secret(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            self._ask(self.world(_PLAIN, tmp_path))
        if shows("\n".join([caplog.text, *capsys.readouterr()]), [_PLAIN]):
            fail(
                "a log of level DEBUG or the output shows the secret: log what was looked for, not "
                "the answer"
            )

    @pytest.mark.parametrize("secret", [_PLAIN, None], ids=["there", "missing"])
    def test_nobody_is_asked_where_nobody_is(self, secret: str | None, tmp_path: Path) -> None:
        asked: list[str] = []

        def read_hidden(label: str) -> str:
            asked.append(label)
            return ""

        context = self.world(secret, tmp_path)
        nobody = Terminal(context.environ, interactive=False, read_hidden=read_hidden)
        with watching() as watch, suppress(Exception):  # what it raises, another check asks
            self._ask(replace(context, terminal=nobody))
        if asked or watch.questions:
            fail(
                f"it asks a person where nobody is ({', '.join(asked + watch.questions)}): ask by "
                "context.terminal.ask_secret(label) only, which refuses there; a batch job would "
                "wait for ever"
            )

    @pytest.mark.parametrize("secret", [_PLAIN, None], ids=["there", "missing"])
    def test_what_it_predicts_is_a_finding_that_asks_nobody_and_shows_nothing(
        self, secret: str | None, tmp_path: Path
    ) -> None:
        context = self.world(secret, tmp_path)
        prediction = getattr(self._function(), "unattended", None)
        if prediction is None:  # validate --unattended then says that it cannot be predicted
            return
        with watching() as watch:
            look = partial(prediction, self.text, context)
            found = in_time(lambda: told_by(self.source, context.field, look), self.seconds)
        if watch.questions:
            fail(f"its unattended() asks a person ({', '.join(watch.questions)}): it only looks")
        failed = f"{self.source} cannot be predicted"
        broken = [each.message for each in found if each.message.startswith(failed)]
        if broken:
            fail(f"{broken[0]}: return gatepass.Finding objects, and raise nothing")
        if shows(" ".join(f"{each.message} {each.hint}" for each in found), [_PLAIN]):
            fail("a finding shows the secret: say what was looked for, not what was found")
        if secret is None and not any(each.verdict in {"problem", "warning"} for each in found):
            fail(
                "where nothing is there its unattended() finds no problem, so a job would be "
                'promised that fails: yield gatepass.Finding("problem", context.field, why, '
                "hint=...)"
            )
        nobody = replace(context, terminal=Terminal(context.environ, interactive=False))
        if any(each.verdict == "problem" for each in found) and self._answers(nobody):
            fail(
                "where the secret is there its unattended() finds a problem, so a job that would "
                "run is held back: yield nothing where the source would answer"
            )

    def test_several_threads_may_ask_at_once(self, tmp_path: Path) -> None:
        context = self.world(_PLAIN, tmp_path)
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

    def _answers(self, context: SecretContext) -> bool:
        try:
            return bool(self._ask(context))
        except SecretUnavailable:
            return False

    def _refusal(self, context: SecretContext, text: str) -> SecretUnavailable:
        """Ask where there is nothing; return the error, which a reference tells as it is."""
        try:
            answer = self._ask(context, text)
        except SecretUnavailable as error:
            return error
        except Exception as error:  # noqa: BLE001 - a stranger's source can fail in any way
            fail(
                f"it ends with {type(error).__name__}: raise gatepass.SecretUnavailable, of others "
                "only the kind can be told, because their text may hold the secret"
            )
        kind = type(answer).__name__
        return fail(f"where nothing is there it answers with {kind}: raise SecretUnavailable")
