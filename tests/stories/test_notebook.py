"""A kernel of Jupyter: who is asked, who is not, and what a restart forgets."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass._net.urls import origin_of
from gatepass.sandbox import IdentityProvider, Server
from tests.support.peers.environ import clean_environ
from tests.support.peers.notebook import Notebook, notebook
from tests.support.secret_context import PYTHONPATH

posix = pytest.mark.skipif(sys.platform == "win32", reason="IPython has no terminal for programs")

PROFILE = """
[profiles.prod]
url = "{url}"
auth = {{ scheme = "basic", user_name = "alice", password = "prompt:Password" }}
"""
BUILD = "from gatepass import Session\nmi = Session.from_profile('prod')"
GET = "mi.get('Health/v2.svc').json()['user']"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(mode="standalone", users={"alice": "sesame"}) as running:
        yield running


@pytest.fixture
def opened(tmp_path: Path, server: Server) -> Iterator[Notebook]:
    """Open a notebook of a person who has a profile that asks for the password."""
    environ = clean_environ(tmp_path / "alice", PYTHONPATH=PYTHONPATH)
    user = Path(environ["XDG_CONFIG_HOME"], "gatepass", "profiles.toml")
    user.parent.mkdir()
    user.write_text(PROFILE.format(url=server.url), encoding="utf-8")
    user.chmod(0o600)
    with notebook(environ, tmp_path) as made:
        yield made


def _asked(server: Server) -> tuple[tuple[str, bool], ...]:
    return ((f"Password (for {origin_of(server.url)}): ", True),)


def test_a_person_is_asked_below_the_cell_and_the_answer_is_hidden(
    opened: Notebook, server: Server
) -> None:
    built = opened.run(BUILD, ["sesame"])
    got = opened.run(GET)

    assert built.asked == _asked(server)
    assert (built.status, built.printed) == ("ok", "")
    assert (got.printed, got.asked) == ("'alice'", ())


def test_where_the_notebook_is_run_by_a_program_nobody_is_asked(opened: Notebook) -> None:
    """As by papermill and nbconvert: those cannot ask."""
    done = opened.run(BUILD, None)

    assert done.status == "error"
    assert done.error.startswith("NobodyThere: ")
    assert "it needs a person, and there is no terminal to ask on" in done.error


def test_who_is_told_to_ask_where_nobody_can_gets_our_error(opened: Notebook) -> None:
    opened.run("%env GATEPASS_NO_INPUT=0")

    assert "what runs this notebook cannot ask" in opened.run(BUILD, None).error


@posix
def test_a_program_that_a_cell_starts_asks_nobody(opened: Notebook) -> None:
    """IPython gives it a terminal that nobody can type into: a question would hang for ever."""
    done = opened.run(f"!{sys.executable} -m gatepass check prod")

    assert "a cell of a notebook has started this program" in " ".join(done.printed.split())
    assert "Password" not in done.printed.replace("prompt:Password", "")


@posix
def test_a_program_that_a_cell_starts_may_open_a_browser(opened: Notebook) -> None:
    """So that `!gatepass login` works; what has no terminal at all may be run by a timer."""
    code = "from gatepass._system.terminal import Terminal; print(Terminal().why_not_browse())"
    shown = opened.run(f'!{sys.executable} -c "{code}"')
    silent = opened.run(
        "import subprocess, sys\n"
        f"argv = [sys.executable, '-c', {code!r}]\n"
        "print(subprocess.run(argv, capture_output=True, text=True).stdout)"
    )

    assert shown.printed == "None\n"
    assert silent.printed.startswith("a cell of a notebook")


def test_threads_of_a_notebook_may_ask_too(opened: Notebook, server: Server) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"def build():\n    {BUILD.replace(chr(10), chr(10) + '    ')}\n    return {GET}\n"
        "with ThreadPoolExecutor(1) as threads:\n    print(threads.submit(build).result())"
    )
    done = opened.run(code, ["sesame"])

    assert (done.printed, done.asked) == ("alice\n", _asked(server))


def test_a_refused_password_is_asked_for_again_by_a_new_session_only(
    opened: Notebook, server: Server
) -> None:
    before = server.attempts("alice")
    opened.run(BUILD, ["wrong"])
    first, again = opened.run(GET), opened.run(GET)
    sent = server.attempts("alice") - before
    opened.run(BUILD, ["sesame"])

    assert first.error.startswith("LoginRefused: ")
    assert again.error.startswith("LoginRefused: ")
    assert (sent, opened.run(GET).printed) == (1, "'alice'")


def test_a_restart_forgets_what_was_typed(opened: Notebook, server: Server) -> None:
    opened.run(BUILD, ["sesame"])
    opened.restart()

    assert opened.run(GET).error.startswith("NameError")
    assert opened.run(BUILD, ["sesame"]).asked == _asked(server)


def test_what_was_typed_is_neither_in_the_output_nor_in_the_history(opened: Notebook) -> None:
    opened.run(BUILD, ["sesame"])
    opened.run(GET)

    assert "sesame" not in opened.run("print(In, Out, _ih, vars(mi))").printed


def test_a_login_on_a_hub_takes_the_address_of_the_last_page(opened: Notebook) -> None:
    """The browser is on the person's own computer, and cannot reach the kernel."""
    with (
        IdentityProvider(users={"alice": "pw"}, device_flow=False) as idp,
        Server(mode="oidc", provider=idp) as protected,
    ):

        def paste(printed: str) -> str | None:
            shown = re.search(rf"{re.escape(idp.issuer)}/authorize\?\S+(?=\s)", printed)
            return idp.sign_in(shown[0]) if shown else None

        opened.run("from gatepass import Session")
        code = f"mi = Session({protected.url!r}, oidc=True)\n{GET}"
        done = opened.run(code, paste)

    ((label, hidden),) = done.asked
    assert label.startswith("The address on which the browser ended")
    assert (hidden, done.printed.splitlines()[-1]) == (False, "'alice'")


# What the page about notebooks warns of.


@posix
def test_env_shows_keeps_and_quotes_what_it_sets(opened: Notebook) -> None:
    """Three reasons not to set a password with it."""
    done = opened.run('%env MI_PASSWORD="sesame"')
    kept = opened.run("import os\nprint(In)\nprint(len(os.environ['MI_PASSWORD']))")

    assert "sesame" in done.printed
    assert "sesame" in kept.printed
    assert kept.printed.splitlines()[-1] == str(len('"sesame"'))


@posix
def test_export_in_a_cell_sets_nothing(opened: Notebook) -> None:
    opened.run("!export MI_PASSWORD=sesame")

    assert opened.run("import os\nos.environ.get('MI_PASSWORD', 'unset')").printed == "'unset'"
