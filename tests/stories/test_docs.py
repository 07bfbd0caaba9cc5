r"""The documentation is run: profiles are valid, scripts and commands do what the pages say.

Each page is a story, told in a home folder of its own, with servers behind the names that the page
uses (``tests/pages.py``). Its fenced blocks are taken in their order:

- ``toml`` is a whole file of profiles, and every profile in it is valid;
- ``python`` is run as a script of its own;
- ``console`` holds commands after ``$``, run by a shell, and the lines that they print. Each line
  shown must come, in that order; ``...`` stands for anything. A command ends with 0, unless
  ``echo $?`` follows.

Other languages are only read. A caption before a block names its file, and the block is written
there, in the home or the working folder: **`gatepass.toml`**. Or it names the table of a file that
the lines stand in, and each is tried on its own: **in `[profiles.prod]`**. What else differs is
said in a hidden comment before that, ``<!-- docs: WORDS; WORDS -->``:

===================  ===========================================================================
``not run: REASON``  do not run it
``written``          (``python``) it is only written, and a later command runs it
``wrong``            it is not valid; the ``text`` block that follows shows the problem
``raises NAME``      the script ends with that error, which the following ``output`` shows
``continue``         the script follows the one before
``cell``             it is run in a notebook, one for the page; ``types`` as below
``output``           (``text``) what the script before it prints
``types A | (B)``    the command runs in a terminal; what a person types, hidden in parentheses
``browser``          the same, without typing; a browser opens whose person is logged on
``set A=B``          a variable for this block and all that follow
``keyring``          it needs a keyring
``redis``            it needs a redis
``is PATH``          it repeats that file of this repository, word for word; it is not run
``installs``         the package of docs/examples is installed from here on
``fresh``            first forget all files and variables of the page
===================  ===========================================================================
"""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

import click
import pytest
import tomli_w

import gatepass
from gatepass._config import layer
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._system.terminal import _BROWSER_VARIABLES, _IDE_VARIABLES, _OF_A_KERNEL
from gatepass.cli import _gatepass
from gatepass.cli._context import Context
from gatepass.errors import ProfileError
from tests.cli.test_cli import COMMANDS
from tests.support.distribution import install
from tests.support.in_process import needs_a_process, run_in_process
from tests.support.pages import Peers, peers_of
from tests.support.peers.environ import clean_environ
from tests.support.peers.notebook import Notebook, notebook
from tests.support.peers.terminal import terminal, without_terminal

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = Path(gatepass.__file__).parent
PAGES: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if "_build" not in path.parts and path.name != "changelog.md"  # which is CHANGELOG.md
    ),
]
APART: Final = [ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-session.md"]
TOLD_ELSEWHERE: Final = [ROOT / "docs" / "how-to" / "run-a-farm.md"]  # test_farm.py
RUN: Final = frozenset({"toml", "python", "console"})
READ: Final = frozenset({"text", "py", "sh", "ini", "yaml", "{toctree}"})
NAMED: Final = frozenset({"toml", "python", "ini", "yaml"})
OWN: Final = "~/.config/gatepass/profiles.toml"
WIDEST: Final = 88  # columns of a code block that a page shows without a scrollbar
WORDS: Final = frozenset(
    "not written wrong raises continue cell output types browser set keyring redis fresh is "
    "installs".split()
)

_PLAIN: Final = re.compile(r"gatepass [^|&;<>$`(){}*?~#\n]+")  # nothing for a shell to do

_BLOCK: Final = re.compile(
    r"(?:^<!-- docs: (?P<marks>.*?) -->\n+)?"
    r"(?:^\*\*(?:`(?P<file>[^`\n]+)`|in `\[(?P<table>[^`\n]+)\]`)\*\*\n\n)?"
    r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """One fenced block, with what its comment and its caption say."""

    language: str
    text: str
    line: int
    marks: dict[str, str]
    file: str  # that the caption names, or empty
    table: str  # likewise

    def __contains__(self, word: str) -> bool:
        return word in self.marks


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        said = [part.strip().partition(" ") for part in (match["marks"] or "").split(";")]
        marks = {word: rest.strip() for word, _, rest in said if word}
        line = text[: match.start("text")].count("\n") + 1
        names = (match["file"] or "", match["table"] or "")
        found.append(Block(match["language"], match["text"], line, marks, *names))
    return found


# ---------------------------------------------------------------- the rules of the blocks


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_known_language_and_known_marks(page: Path) -> None:
    for block in blocks_of(page):
        where = f"{name_of(page)}:{block.line}"
        assert block.language in RUN | READ, where
        assert set(block.marks) <= WORDS, where
        if "not" in block:
            assert re.fullmatch(r"run: .{10,}", block.marks["not"]), f"{where}: give the reason"
    text = page.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(blocks_of(page)), "a fence that is not understood"
    assert text.count("<!-- docs:") == sum(bool(block.marks) for block in blocks_of(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_says_which_file_it_is_and_fits_a_page(page: Path) -> None:
    for block in blocks_of(page):
        where = f"{name_of(page)}:{block.line}"
        assert max(map(len, block.text.splitlines()), default=0) <= WIDEST, where
        if block.language in NAMED and "cell" not in block and "continue" not in block:
            assert block.file or block.table, where


def test_most_blocks_are_run() -> None:
    blocks = [block for page in PAGES for block in blocks_of(page) if block.language in RUN]
    run = [block for block in blocks if not {"not", "is"} & set(block.marks)]

    assert len(run) > 50
    assert len(run) / len(blocks) > 0.85


def test_a_block_that_repeats_a_file_repeats_it_word_for_word() -> None:
    """The files of docs/examples are installed and tested; the pages show nothing else."""
    repeated = {}
    for page in PAGES:
        for block in blocks_of(page):
            if "is" in block:
                path = ROOT / block.marks["is"]
                repeated[path] = f"{name_of(page)}:{block.line}"
                assert block.text == path.read_text(encoding="utf-8"), repeated[path]

    examples = ROOT / "docs" / "examples"
    shown = {path for path in examples.rglob("*.*") if path.suffix in {".py", ".toml"}}
    assert shown - {path for path in shown if path.name == "__init__.py"} == set(repeated)


# ---------------------------------------------------------------- a page as a story


@dataclass
class Story:
    """The home folder, the servers and the variables in which a page is run."""

    environ: dict[str, str]
    peers: Peers
    bin: Path
    package: Callable[[], str]
    stack: ExitStack
    apart: bool  # each command is a process, as for its reader
    kernel: Notebook | None = None
    variables: dict[str, str] = field(default_factory=dict)
    installed: str = ""
    script: str = ""
    printed: str = ""
    complaint: str = ""

    @property
    def home(self) -> Path:
        return Path(self.environ["HOME"])

    @property
    def work(self) -> Path:
        return self.home / "project"

    def forget(self) -> None:
        for folder in (self.work, self.home / ".config", self.home / ".local/state"):
            shutil.rmtree(folder, ignore_errors=True)
        (self.work / ".git").mkdir(parents=True)
        self.variables.clear()

    def real(self, text: str) -> str:
        """Put what is there in the place of the names on the page."""
        for name, there in self.peers.names.items():
            text = text.replace(name, there)
        return text

    def shown(self, text: str) -> str:
        """Put the names on the page in the place of what this run has."""
        for name, there in self.peers.names.items():
            text = text.replace(there, name)
        text = text.replace(str(self.home), "/home/alice")
        return re.sub("\r+\n", "\n", text).replace("\r", "\n")  # a line drawn again is a new one

    def tell(self, page: Path, blocks: Iterable[Block]) -> None:
        """Do what these blocks of a page say."""
        for block in blocks:
            if "fresh" in block:
                self.forget()
            for pair in block.marks.get("set", "").split():
                name, _, value = pair.partition("=")
                self.variables[name] = value
            step = getattr(self, block.language, None)
            if "installs" in block:
                self.installed = self.package()
            if {"not", "is"} & set(block.marks) or step is None:
                continue
            try:
                step(block)
            except (AssertionError, StopIteration) as error:
                raise AssertionError(f"{name_of(page)}:{block.line}: {error}") from error
        assert self.complaint == "", "a wrong file without the text block that shows its complaint"

    def path(self, written: str) -> Path:
        return self.home / written[2:] if written.startswith("~/") else self.work / written

    def surroundings(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.bin), self.environ["PATH"]])
        places = [str(PACKAGE.parent), str(self.bin / "packages"), self.installed]
        sources = os.pathsep.join(filter(None, places))
        python = {"PYTHONPATH": sources, "PYTHONWARNINGS": "error"}
        return {**self.environ, **python, "PATH": path, **self.variables}

    def write(self, block: Block) -> Path:
        path = self.path(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.real(block.text), encoding="utf-8")
        path.chmod(0o600)
        return path

    # ------------------------------------------------------------ toml

    def toml(self, block: Block) -> None:
        if block.table:
            for line in block.text.splitlines():
                if line.strip():
                    self._gate(tomli_w.dumps(_merged(line, block.table)), block)
            return
        self.write(block)
        if self.installed:  # only another process sees the package
            status, printed = self._piped("gatepass validate", 0)
            assert status == 0, printed
            return
        self._gate(block.text, block)

    def _gate(self, text: str, block: Block) -> None:
        """Validate each profile of a text, together with the files around it."""
        problem = self._problem(text, block.file)
        if "wrong" in block:
            assert problem
            self.complaint = problem
        else:
            assert not problem

    def _problem(self, text: str, file: str) -> str:
        """The problems of a text; a project's files are judged together."""
        project = [self.work / name for name in ("gatepass.toml", "gatepass.local.toml")]
        named: list[Path] | None = [path for path in project if path.exists()]
        user = self.home / "profiles.toml"
        if self.work / file not in project:
            named = None
            user.write_text(self.real(text), encoding="utf-8")
            user.chmod(0o600)
        locations = Locations((), user, self.home / "state", None, self.home)
        try:
            for name in tomllib.loads(text).get("profiles", {}):
                load_profile(name, config_file=named, locations=locations, environ={})
        except ProfileError as error:
            return self.shown(str(error)).replace("/alice/profiles.toml", f"/alice{OWN[1:]}")
        return ""

    # ------------------------------------------------------------ python

    def python(self, block: Block) -> None:
        if "cell" in block:
            self.cell(block)
            return
        if block.file:
            self.write(block)
        if "written" in block:
            ast.parse(block.text)
            return
        self.script = (self.script if "continue" in block else "") + self.real(block.text)
        argv = (sys.executable, "-c", self.script)
        done = without_terminal(argv, self.surroundings(), cwd=self.work)
        self.printed = self.shown(done.stdout)
        if "raises" not in block:
            assert done.returncode == 0, done.stderr
            return
        _, found, last = self.shown(done.stderr).rpartition(f".{block.marks['raises']}: ")
        assert found, done.stderr
        self.printed += f"{block.marks['raises']}: {last}"

    def cell(self, block: Block) -> None:
        if self.kernel is None:
            self.kernel = self.stack.enter_context(notebook(self.surroundings(), self.work))
        typed = [each.strip(" ()") for each in block.marks.get("types", "").split("|") if each]
        done = self.kernel.run(self.real(block.text), typed)
        hidden = [each.strip().startswith("(") for each in block.marks.get("types", "").split("|")]
        assert [each for _, each in done.asked] == (hidden if typed else [])
        self.printed = self.shown(done.printed + done.error)
        assert done.error.startswith(block.marks.get("raises", "")), done.printed + done.error
        assert (done.status == "ok") == ("raises" not in block), done.printed + done.error

    def text(self, block: Block) -> None:
        if "cell" in block:  # with IPython's own words
            self.cell(block)
        elif "output" in block:
            _compare(block.text, self.printed)
        elif self.complaint:
            _compare(block.text, self.complaint)
            self.complaint = ""

    # ------------------------------------------------------------ console

    def console(self, block: Block) -> None:
        status = 0
        pairs = list(_commands(block.text))
        for index, (command, output) in enumerate(pairs):
            following = pairs[index + 1][0] if index + 1 < len(pairs) else ""
            if command.startswith("export "):
                for word in shlex.split(self.real(command))[1:]:
                    name, _, value = word.partition("=")
                    self.variables[name] = value
                continue
            if command.startswith("unset "):
                self.variables.pop(command.split()[1])
                continue
            if "types" in block or "browser" in block:
                status, printed = self._typed(self.real(command), output, block)
            else:
                status, printed = self._piped(self.real(command), status)
            _compare(output, self.shown(printed))
            assert status == 0 or following == "echo $?", f"{command}\n{printed}"

    def _piped(self, command: str, status: int) -> tuple[int, str]:
        """Run a command after one that ended with a status; a plain ``gatepass ...`` here."""
        environ = self.surroundings()
        if self._works_here(command):
            _, *arguments = shlex.split(command)
            done = run_in_process(arguments, environ, cwd=self.work, together=True)
        else:
            argv = ("sh", "-c", f"{{ (exit {status}); {command}\n}} 2>&1")
            done = without_terminal(argv, environ, cwd=self.work)
        return done.returncode, done.stdout

    def _works_here(self, command: str) -> bool:
        """Whether a process of its own would do nothing else with the command."""
        a_process = needs_a_process(self.environ | self.variables) or self.installed or self.apart
        return not a_process and _PLAIN.fullmatch(command) is not None

    def _typed(self, command: str, output: str, block: Block) -> tuple[int, str]:
        """Run a command before a person who answers its questions as the page shows."""
        import pexpect

        lines = iter(output.splitlines())
        argv = ("sh", "-c", command)
        # Wide, because the folders of a test have longer names than those on the page.
        with terminal(argv, self.surroundings(), cwd=self.work, columns=200) as child:
            for each in block.marks["types"].split("|") if "types" in block else ():
                answer = each.strip()
                hidden = answer.startswith("(")
                ending = ":" if hidden or not answer else f": {answer}"
                line = next(line for line in lines if line.rstrip().endswith(ending))
                asked = self.real(line.rstrip().removesuffix(ending)) + ":"
                parts = [r"\s+".join(map(re.escape, part.split())) for part in asked.split("...")]
                child.expect(".*".join(parts))
                child.sendline(self.real(answer.strip("()")))
            child.expect(pexpect.EOF)
            child.close()
            screen = str(child.logfile_read.getvalue())
        return int(child.exitstatus or 0), screen


def _merged(line: str, where: str) -> dict[str, Any]:
    """A file that holds a good profile, with one line put into a table of it."""
    login = {"scheme": "basic", "user_name": "alice", "password": "env:MI_PASSWORD"}
    file: dict[str, Any] = {
        "profiles": {"prod": {"url": "https://mi.example.com/mi_servicelayer", "auth": login}}
    }
    table = file
    for name in where.split("."):
        table = table.setdefault(name, {})
    new = tomllib.loads(line)
    if "scheme" in new:
        table.clear()
    table |= new
    return file


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Split a console block into commands and what follows each."""
    for part in re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield " ".join(command.split("   ")), output


def _compare(expected: str, actual: str) -> None:
    """Each line of the page stands in the output, in that order; ``...`` is anything.

    A long line may be folded on the page, as a terminal of that width shows it.
    """
    rest = [" ".join(line.split()) for line in actual.splitlines()]
    lines = [" ".join(line.split()) for line in expected.splitlines()]
    lines = [line for line in lines if line not in {"", "..."}]
    while lines:
        for count in range(1, len(lines) + 1):
            parts = " ".join(lines[:count]).split("...")
            pattern = re.compile(".*".join(map(re.escape, parts)))
            found = next((i for i, each in enumerate(rest) if pattern.fullmatch(each)), None)
            if found is not None:
                break
        assert found is not None, f"not printed: {lines[0]}\n--- but:\n{actual}"
        rest, lines = rest[found + 1 :], lines[count:]


@pytest.fixture
def story(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Story]]:
    """Return what makes a story for a page, with a keyring where the page needs one."""
    if shutil.which("sh") is None or sys.platform == "win32":
        pytest.skip("the pages are written for a POSIX shell")
    with ExitStack() as stack:

        def make(page: Path) -> Story:
            if any("keyring" in block for block in blocks_of(page)):
                environ = dict(request.getfixturevalue("unlocked_keyring"))
            else:
                environ = clean_environ(tmp_path / "alice")
            peers = peers_of(page.read_text(encoding="utf-8"), stack, request.getfixturevalue)
            programs = _programs(tmp_path / "bin")
            environ |= peers.environ(programs)
            acme = partial(request.getfixturevalue, "acme")
            made = Story(environ, peers, programs, acme, stack, page in APART)
            made.forget()
            return made

        yield make


def _programs(folder: Path) -> Path:
    """The commands that a user has after the installation."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    install(folder / "packages", "gatepass", {"pytest11": declared["pytest11"]})
    for name, call in {
        "gatepass": "-m gatepass",
        "keyring": "-m keyring",
        "pytest": "-m pytest",
        "python": "",
        "python3": "",
    }.items():
        program = folder / name
        program.write_text(
            "#!/bin/sh\n"
            # what an installed package finds without any variable, as in cron
            f"export PYTHONPATH=${{PYTHONPATH-{shlex.quote(str(PACKAGE.parent))}}}\n"
            f'exec {shlex.quote(sys.executable)} {call} "$@"\n'
        )
        program.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if any(block.language in RUN for block in blocks_of(page)) and page not in TOLD_ELSEWHERE
    ],
    ids=name_of,
)
def test_a_page_does_what_it_says(page: Path, story: Callable[[Path], Story]) -> None:
    story(page).tell(page, blocks_of(page))


# ---------------------------------------------------------------- nothing is forgotten


def _script(name: str) -> ModuleType:
    """A script that lies beside the pages."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return _script("_generate")


@pytest.mark.skipif(sys.platform != "linux", reason="the pictures show a home folder of Linux")
def test_the_pictures_show_what_the_commands_print_now() -> None:
    """Run ``python docs/_record.py`` after a change of what these commands print."""
    for path, text in _script("_record").pictures():
        assert path.read_text(encoding="utf-8") == text
        for secret in ("sesame", "127.0.0.1"):
            assert secret not in text
        assert any(f"{path.name})" in page.read_text(encoding="utf-8") for page in PAGES)


def test_what_is_generated_is_up_to_date(generator: ModuleType) -> None:
    """Run ``python docs/_generate.py`` after a change of keys, commands, errors or schemes."""
    old = [name_of(page) for page, text in generator.pages() if page.read_text("utf-8") != text]

    assert old == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems pass other files")
def test_the_page_lists_the_files_of_one_start_in_their_order() -> None:
    """Run ``python docs/_start.py`` after a change of the way from a name to an answer."""
    start = _script("_start")

    assert start.PAGE.read_text(encoding="utf-8") == start.page()
    assert "| `_config/load.py` |" in start.page()


def test_decisions_are_numbered_dated_short_and_in_the_index() -> None:
    text = (ROOT / "docs" / "explanation" / "decisions.md").read_text(encoding="utf-8")
    head, *sections = re.split(r"^### ", text, flags=re.MULTILINE)
    titles = [section.partition("\n")[0] for section in sections]

    numbers = [int(title.partition(". ")[0]) for title in titles]
    assert len(set(numbers)) == len(numbers)
    assert sorted(re.findall(r"^- \[(.*)\]\(#", head, re.MULTILINE)) == sorted(titles)
    for title, section in zip(titles, sections, strict=True):
        _, date, body = section.partition("\n## ")[0].split("\n\n", 2)
        assert re.fullmatch(r"\*20\d\d-\d\d-\d\d, (in force|superseded by \d+)\.\*", date), title
        prose = body.partition("\n\n|")[0]
        assert len(prose.split()) <= 90, title


def _page(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


def test_every_part_that_the_code_knows_best_stands_on_a_page(generator: ModuleType) -> None:
    """Keys, schemes, sources, errors, exit codes and commands are described where it does."""
    text = "".join(page.read_text("utf-8") for page, _ in generator.pages())

    assert [part for part in generator.PARTS if f"<!-- generated: {part} " not in text] == []
    for name in layer.TOP_KEYS:
        assert f"| `{name}` |" in _page("profile-keys")


def _texts_of_the_code() -> str:
    """Return the texts in the code, one a line; what is put into them is left out."""
    texts = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            found = [part.value for part in parts if isinstance(part, ast.Constant)]
            texts.append("\0".join(each for each in found if isinstance(each, str)))
    return "\n".join(texts)


def test_every_message_that_is_explained_is_one_of_the_code() -> None:
    text = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)
    known = _texts_of_the_code()

    assert len(messages) > 50
    for message in messages:
        for part in message.split("..."):
            assert part.strip(" ():;,") in known, message


def test_every_variable_in_the_code_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", _page("environment-variables"), re.MULTILINE)
    found = {f"GATEPASS_{key.upper()}" for key in layer.MACHINE_KEYS}
    for path in PACKAGE.rglob("*.py"):
        found |= set(re.findall(r"_?GATEPASS_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
    keys = {name for name in found if name.startswith("GATEPASS_PROFILES")}

    assert keys
    assert found - keys | {"GATEPASS_PROFILES__NAME__KEY"} <= set(rows)


def test_every_variable_of_others_that_the_code_asks_for_is_described() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", _page("environment-variables"), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    asked = {
        name
        for path in PACKAGE.rglob("*.py")
        if not {"testing", "sandbox"} & set(path.parts)
        for name in re.findall(r'environ\.get\("([A-Z0-9_]+)"', path.read_text(encoding="utf-8"))
    }
    asked |= {*_IDE_VARIABLES, *_BROWSER_VARIABLES, _OF_A_KERNEL}
    own = {name for name in asked if name.startswith("GATEPASS_")}

    assert asked - own - {"PATH", "HOME", "USERPROFILE"} <= documented


def test_every_public_name_is_in_the_page_of_the_python_interface() -> None:
    text = _page("python-api")
    for name in gatepass.__all__:
        assert f"\n### `{name}`\n" in text


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_ends_in_an_example_that_parses(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recorded").mkdir()  # a folder that an example names
    _, found, lines = (COMMANDS[words].epilog or "").partition("Example:\n")
    assert found
    assert all(len(line) < 100 for line in lines.splitlines())
    # Some are lines of a shell, such as eval "$(gatepass ...)" and gatepass ... | source.
    shell = re.compile(r'^ *(?:eval "\$\()?|(?:\)"| \|.*)? *(?:# .*)?$', re.MULTILINE)
    lines = shell.sub("", re.sub(r"\n {4,}", " ", lines))
    examples = [tuple(shlex.split(line)) for line in lines.splitlines()]
    for program, *arguments in examples:
        assert program == "gatepass"
        _parse(arguments)
    assert any(example[1 : 1 + len(words)] == words for example in examples)


def _parse(arguments: list[str]) -> None:
    """Parse a command line as click does, without running it."""
    command: click.Command = _gatepass
    context = command.make_context("gatepass", arguments, obj=Context.of_this_process())
    while isinstance(command, click.Group):
        name, inner, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert inner is not None
        context = inner.make_context(name, list(rest), parent=context)
        command = inner


# ---------------------------------------------------------------- links and words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_a_page_has_one_title(page: Path) -> None:
    outside = _BLOCK.sub("", page.read_text(encoding="utf-8"))

    assert len(re.findall(r"^# .+$", outside, re.MULTILINE)) == 1


def _links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the target of each link, and what follows its ``#``."""
    outside = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)]*)\)", outside):
        path, _, anchor = target.partition("#")
        yield path, anchor


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    outside = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    for path, anchor in _links(page):
        if anchor and "://" not in path:
            assert anchor in _anchors(page.parent / path if path else page), f"{path}#{anchor}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"], ids=name_of)
def test_every_link_to_elsewhere_is_an_address_that_can_exist(page: Path) -> None:
    """Nobody is asked: a test must not depend on other people's servers."""
    for path, _ in _links(page):
        if ":" not in path:
            continue
        parts = urlsplit(path)
        assert parts.scheme == "https", path
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), path
        assert not (parts.hostname or "").endswith(("example.com", ".example", ".test")), path


def test_every_page_stands_once_in_the_groups_of_the_first_one() -> None:
    docs = ROOT / "docs"
    text = (docs / "index.md").read_text(encoding="utf-8")
    groups = re.findall(r"\n## (.+)\n\n```{toctree}\n:caption: (.+)\n:maxdepth: 1\n\n", text)
    trees = [block.text for block in blocks_of(docs / "index.md") if block.language == "{toctree}"]
    named = [line for tree in trees for line in tree.partition("\n\n")[2].splitlines()]

    assert len(groups) == len(trees)
    assert all(heading == caption for heading, caption in groups)
    pages = [path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")]
    assert sorted([*named, "index"]) == sorted(pages)
