"""Writes those parts of the reference that the code knows best.

    python docs/_generate.py

A page holds them between ``<!-- generated: NAME WORDS -->`` and ``<!-- end -->``; they are made
from the dataclasses that validation reads, from click, from the tree of errors, and from signatures
and docstrings. A test compares the pages with what this writes.
"""  # noqa: INP001 - a script beside the pages

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click
from _pytest.fixtures import FixtureFunctionDefinition

import gatepass
from gatepass import cli, errors
from gatepass._config import fields, json_schema, profile
from gatepass._config.profile import MachineSettings, ProfileKeys, Retries, Timeout
from gatepass._config.redis_vault import RedisVault
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._session import exceptions as _failures
from gatepass._session import refused, translate
from gatepass._system import plugins
from gatepass.auth import _kerberos
from gatepass.cli._options import CONTEXT
from gatepass.secrets import NameField, SecretField, TextField
from gatepass.testing import SchemeContract, SourceContract, _plugin

DOCS: Final = Path(__file__).resolve().parent
FILES: Final = (
    DOCS.parent / "README.md",
    DOCS / "explanation" / "how-it-works.md",
    DOCS / "how-to" / "troubleshooting.md",
    *sorted((DOCS / "reference").glob("*.md")),
)

NOTHING: Final = "–"  # noqa: RUF001 - a dash that is seen in a narrow column

_PART: Final = re.compile(r"(<!-- generated: ([\w-]+)(.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page with the text that it should have."""
    for path in FILES:
        yield path, _PART.sub(_made, path.read_text(encoding="utf-8"))


def _made(match: re.Match[str]) -> str:
    return f"{match[1]}\n{PARTS[match[2]](*match[3].split())}\n\n{match[4]}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _first_line(thing: object) -> str:
    """The summary of a docstring, from RST to Markdown."""
    summary = (inspect.getdoc(thing) or "").split("\n\n")[0]
    return _markdown(" ".join(summary.split()))


def _prose(text: str) -> str:
    """Paragraphs of a docstring, wrapped."""
    return "\n\n".join(textwrap.fill(_markdown(part), 99) for part in text.split("\n\n"))


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text)
    return text.replace("``", "`")


# ---------------------------------------------------------------- keys


_WORDS: Final = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    SecretField: "reference",
    TextField: "string or reference",
    NameField: "string, `env:` or `file:`",
    Timeout: "seconds, or [connect, read]",
    Retries: f"integer, 0 to {profile._MOST_RETRIES}",  # noqa: SLF001 - of the house
    Proxy: "string or table",
}


def _type(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    choices = [each for each in typing.get_args(hint) if each is not type(None)]
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return " or ".join(f'"{each}"' for each in choices)
    if origin in {list, tuple}:
        return f"list of {_type(choices[0])}"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "table"
    return " or ".join(map(_type, choices)) if choices else "string"


def _default(each: "dataclasses.Field[Any]") -> str:
    if each.default is dataclasses.MISSING:
        return "required" if each.default_factory is dataclasses.MISSING else NOTHING
    if each.default is None or each.default == "":
        return NOTHING
    if isinstance(each.default, bool):
        return f"`{str(each.default).lower()}`"
    if isinstance(each.default, tuple):
        return f"`[{', '.join(f'{number:g}' for number in each.default)}]`"
    return f"`{each.default!r}`".replace("'", '"')


def _meaning(text: str | None) -> str:
    return (text or "").replace("None is", "by default").removesuffix(".")


def _keys(kind: Any) -> str:
    described, hints = json_schema.descriptions_of(kind), fields.types_of(kind)
    rows = [
        (
            f"`{each.name}`",
            _type(hints[each.name]),
            _default(each),
            _meaning(described.get(each.name)),
        )
        for each in dataclasses.fields(kind)
    ]
    return _table(("key", "type", "default", "meaning"), rows) if rows else "It has no keys."


def _scheme_sections() -> str:
    sections = []
    for name in sorted(plugins.BUILT_IN[plugins.AUTH]):
        kind = plugins.load(plugins.AUTH, name)
        sections.append(f"### {name}\n\n{_first_line(kind)}\n\n{_keys(kind)}")
    return "\n\n".join(sections)


def _sources() -> str:
    sections = []
    for name in sorted(plugins.BUILT_IN[plugins.SECRETS]):
        source = plugins.load(plugins.SECRETS, name)
        module = _first_line(inspect.getmodule(source))
        text = inspect.getdoc(source) or ""
        body = re.split(r"\n\n(?:Args|Raises):", text)[0]
        sections.append(f"### {name}\n\n{module}\n\n{_prose(body)}")
    return "\n\n".join(sections)


# ---------------------------------------------------------------- commands


def _commands() -> str:
    return "\n\n".join(_command(cli._gatepass, ("gatepass",)))  # noqa: SLF001 - of the house


def _command(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path), **CONTEXT)  # type: ignore[arg-type] # for click too
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    text = _prose(inspect.cleandoc(command.help or ""))
    parts = [f"## {' '.join(path)}", f"```text\n{usage}\n```", text]
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    rows = [
        (", ".join(f"`{name}`" for name in each.opts) + _value(each, context), each.help or "")
        for each in options
    ]
    parts.append(_table(("option", "meaning"), rows))
    example = (command.epilog or "").partition("Example:\n")[2]
    parts.append("```text\n" + inspect.cleandoc(example) + "\n```")
    yield "\n\n".join(parts)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _command(inner, (*path, name))


def _value(option: click.Option, context: click.Context) -> str:
    if option.is_flag or option.is_eager:
        return ""
    several = ", may be repeated" if option.multiple else ""
    return f" {option.make_metavar(context)}{several}"


# ---------------------------------------------------------------- Python


_MODULES: Final = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Z_])")
_WIDEST: Final = 88  # columns of a block of code, as in the test of the pages
_WRAP: Final = textwrap.TextWrapper(_WIDEST, initial_indent=" " * 4, subsequent_indent=" " * 8)
_HEADINGS: Final = {"Args": "Arguments", "Yields": "Returns"}


def _api(*names: str) -> str:
    """The sections of names below gatepass, such as ``Session`` or ``Session.check``."""
    return "\n\n".join(map(_name, names))


def _name(path: str) -> str:
    owner: Any = gatepass
    *parts, name = path.split(".")
    for part in parts:
        owner = getattr(owner, part) if hasattr(owner, part) else _module(owner, part)
    found = vars(owner).get(name) or getattr(owner, name)  # as written, so a property stays one
    heading = f"{'####' if isinstance(owner, type) else '###'} `{path}`"
    text = found.__doc__ if _has_docstring(found) else _text_beside(name)
    return "\n\n".join(
        [heading, *_signature(found, path), *_described(inspect.cleandoc(text or ""))]
    )


def _module(package: Any, name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name}")


def _has_docstring(found: object) -> bool:
    return inspect.isroutine(found) or isinstance(found, type | property | classmethod)


def _text_beside(name: str) -> str:
    """Return the text that follows the assignment of a name, as editors show it."""
    for path in Path(gatepass.__file__).parent.rglob("*.py"):
        for node, after in itertools.pairwise(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                return str(ast.literal_eval(ast.unparse(after)))
    raise LookupError(name)


def _signature(found: Any, path: str) -> Iterator[str]:
    """Yield the call as a block of code, a parameter a line where it is long."""
    if not _has_docstring(found):
        return
    if isinstance(found, property):
        yield _code(
            f"{path}: {_annotation(inspect.signature(found.fget or str).return_annotation)}"
        )
        return
    if isinstance(found, type) and issubclass(found, BaseException | typing.Protocol):
        yield _code(f"class {path}({', '.join(map(_public, found.__bases__))})")
        return
    signature = inspect.signature(found.__func__ if isinstance(found, classmethod) else found)
    shown = [each for name, each in signature.parameters.items() if name not in {"self", "cls"}]
    written = [_plain(str(each)) for each in shown]
    kinds = [each.kind for each in shown]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        written.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = signature.return_annotation
    after = "" if returned in {None, signature.empty} else f" -> {_annotation(returned)}"
    line = f"{path}({', '.join(written)}){after}"
    lines = "".join(_WRAP.fill(f"{each},") + "\n" for each in written)
    yield _code(line if len(line) <= _WIDEST else f"{path}(\n{lines}){after}")


def _public(kind: type) -> str:
    return _public(kind.__bases__[0]) if kind.__name__.startswith("_") else kind.__name__


def _annotation(hint: object) -> str:
    return _plain(inspect.formatannotation(hint))


def _plain(text: str) -> str:
    """A parameter or type without modules, quotes of annotations, and objects without a name."""
    text = re.sub(r"'([A-Z][^']*|\w+\[[^']*)'", r"\1", text.replace("<factory>", "..."))
    text = re.sub(r"<built-in function (\w+)>", r"\1", text)
    return _MODULES.sub("", text).replace("'", '"')


def _code(text: str) -> str:
    return f"```py\n{text}\n```"


def _described(text: str) -> Iterator[str]:
    """Yield the Markdown of a docstring: paragraphs, code after ``::``, lists of its sections."""
    for part in re.split(r"\n\n(?=\S)", text):
        head, _, rest = part.partition("\n")
        if re.fullmatch(r"[A-Z][a-z]+:", head):
            yield f"**{_HEADINGS.get(head[:-1], head[:-1])}**"
            yield _listed(textwrap.dedent(rest))
            continue
        prose, _, code = part.partition("::\n\n")
        yield _prose(prose.strip())
        if code:
            yield _code(textwrap.dedent(code))


def _listed(text: str) -> str:
    """Items ``name: text`` as a list; other text as it is."""
    items = re.split(r"\n(?=\S)", text)
    if not all(re.match(r"\w+: ", each) for each in items):
        return _prose(text)
    lines = (re.sub(r"^(\w+): ", r"``\1``: ", " ".join(each.split())) for each in items)
    return "\n".join(
        textwrap.fill(_markdown(line), 99, initial_indent="- ", subsequent_indent="  ")
        for line in lines
    )


# ---------------------------------------------------------------- errors


def _public_errors() -> list[type[BaseException]]:
    found = [
        value
        for module in (errors, _failures)
        for name, value in vars(module).items()
        if name in gatepass.__all__ and isinstance(value, type) and issubclass(value, BaseException)
    ]
    return list(dict.fromkeys(found))


def _tree() -> str:
    tree = (errors.__doc__ or "").partition("::\n\n")[2].partition("\n\n")[0]
    return f"```text\n{inspect.cleandoc(tree)}\n```"


def _errors() -> str:
    rows = []
    for kind in _public_errors():
        code = getattr(kind, "exit_code", None)
        shown = NOTHING if code is None else str(code)
        rows.append((f"`{kind.__name__}`", shown, _first_line(kind)))
    return _table(("class", "exit code", "meaning"), rows)


_NOT_AN_ERROR: Final = {
    0: "all is well",
    1: "a check failed, or you said no",
    70: "a bug of gatepass; please report it",
    130: "stopped with Ctrl-C",
    141: "whoever read the output has gone",
}


def _exit_codes() -> str:
    codes: dict[int, list[str]] = {code: [] for code in _NOT_AN_ERROR}
    for kind in _public_errors():
        if hasattr(kind, "exit_code"):
            codes.setdefault(kind.exit_code, []).append(f"`{kind.__name__}`")
    told = dict(re.findall(r"(\d+) ([^·.]+)", (cli.__doc__ or "").partition("Exit codes:")[2]))
    rows = []
    for code, names in sorted(codes.items()):
        meaning = _NOT_AN_ERROR.get(code) or " ".join(told[str(code)].split())
        rows.append((str(code), meaning, ", ".join(names) or NOTHING))
    return _table(("code", "meaning", "errors"), rows)


# ---------------------------------------------------------------- rooms


def _rooms() -> str:
    """Every module at the top and every shelf, with the first line of its docstring."""
    package = Path(gatepass.__file__).parent
    names = [
        path.stem for path in package.glob("*.py") if path.stem not in {"__init__", "__main__"}
    ]
    names += [path.parent.name for path in package.glob("*/__init__.py")]
    rows = []
    for name in sorted(names, key=lambda name: name.strip("_")):
        module = importlib.import_module(f"gatepass.{name}")
        rows.append((f"`{name}`", _first_line(module)))
    return _table(("module", "what it is for"), rows)


def _floors() -> str:
    """The floors as the test of the imports names them, the roof first."""
    tree = ast.parse((DOCS.parent / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    floors = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS"
    )
    lines = ["    ".join(sorted(floor, key=lambda name: name.strip("_"))) for floor in floors]
    return "```text\n" + "\n".join(lines) + "\n```"


# ---------------------------------------------------------------- testing


def _fixtures() -> str:
    return "\n\n".join(
        f"### {name}\n\n{_prose(inspect.getdoc(value) or '')}"
        for name, value in vars(_plugin).items()
        if isinstance(value, FixtureFunctionDefinition)
    )


def _checks(contract: type) -> str:
    names = [name for name in vars(contract) if name.startswith("test_")]
    return "\n".join(f"- {name.removeprefix('test_').replace('_', ' ')}" for name in names)


# ---------------------------------------------------------------- messages


def _certificate_messages() -> str:
    return _table(
        ("message", "next step"),
        ((f"`{each.cause}`", each.hint.format(address="url")) for each in translate.VERDICTS),
    )


def _kerberos_messages() -> str:
    rows = ((f"`{each.message}`", str(each.kind.exit_code), each.hint) for each in _kerberos.CAUSES)
    return _table(("message", "exit code", "next step"), rows)


def _status_messages() -> str:
    steps: dict[str, list[str]] = {}
    for status, hint in sorted(refused.OF_STATUS.items()):
        steps.setdefault(hint, []).append(str(status))
    return _table(
        ("status", "next step"), ((", ".join(found), hint) for hint, found in steps.items())
    )


PARTS: Final[dict[str, Callable[..., str]]] = {
    "api": _api,
    "certificate-messages": _certificate_messages,
    "kerberos-messages": _kerberos_messages,
    "status-messages": _status_messages,
    "fixtures": _fixtures,
    "scheme-checks": lambda: _checks(SchemeContract),
    "source-checks": lambda: _checks(SourceContract),
    "floors": _floors,
    "rooms": _rooms,
    "profile": lambda: _keys(ProfileKeys),
    "tls": lambda: _keys(TlsSettings),
    "proxy": lambda: _keys(Proxy),
    "machine": lambda: _keys(MachineSettings),
    "vault": lambda: _keys(RedisVault),
    "scheme-keys": _scheme_sections,
    "sources": _sources,
    "commands": _commands,
    "tree": _tree,
    "errors": _errors,
    "exit-codes": _exit_codes,
}


def main() -> None:
    """Write every page that has changed."""
    for path, text in pages():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
