"""The house rules of the layout, checked by machine."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import gatepass
from gatepass._system import plugins

PACKAGE = Path(gatepass.__file__).parent
ROOT = Path(__file__).resolve().parent.parent

# The floors of the house, from the roof down. A package imports from lower floors only: files that
# are imported for type checking count, and so do imports inside functions.
FLOORS = (
    {"__main__"},
    {"cli", "testing", "integrations"},
    {"sandbox"},
    {"_session"},
    {"_config"},
    {"auth"},
    {"_vault"},
    {"_net"},
    {"secrets"},
    {"_system"},
    {"errors"},
    {"_value", "_version"},
)

HEAVY = (
    "click",
    "cryptography",
    "filelock",
    "joserfc",
    "keyring",
    "oauthlib",
    "pydantic",
    "pydantic_settings",
    "redis",
    "requests",
    "requests_ntlm",
    "rich",
    "spnego",
    "tree_sitter",
    "truststore",
)


def _modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def _test_file(path: Path) -> Path:
    """Where the tests of a file of the package are: the same names, without underscores."""
    *folders, name = path.relative_to(PACKAGE).with_suffix("").parts
    below = [folder.lstrip("_") for folder in folders]
    return ROOT.joinpath("tests", *below, f"test_{name.lstrip('_')}.py")


def _floor(module: str) -> int:
    top = module.split(".", maxsplit=1)[0]
    return next(number for number, floor in enumerate(FLOORS) if top in floor)


def _imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.removeprefix("gatepass.") for name in names if name.startswith("gatepass")}
    return found


def test_every_module_stands_on_a_floor() -> None:
    assert [module for module in _modules() if module] != []
    for module in _modules():
        if module:
            _floor(module)


def test_imports_go_downward_only() -> None:
    wrong = []
    for module, path in _modules().items():
        if not module:
            continue
        top = module.split(".")[0]
        for target in _imports(path):
            other = target.split(".")[0]
            if other == top:
                continue
            if _floor(other) <= _floor(module):
                wrong.append(f"{module} imports {target}")

    assert wrong == []


# Files that make no claim of their own, each with who uses what is in it.
WITHOUT_TESTS_OF_THEIR_OWN = {
    "__main__": "it calls gatepass.cli.run, as the tests of the command line do",
    "_version": "a constant",
    "_system.findings": "a value without behaviour; each examination makes its own",
    "_session.probe": "what show --origin --resolve and secret list print; their tests try it",
    "_session.unattended": "it needs a process apart; cli/test_unattended starts that",
    "cli._init_questions": "they are asked by init; cli/test_init answers them",
    "cli._machine": "the parts of the doctor; cli/test_doctor tries each",
    "sandbox._response": "a value; the server and the provider answer with it",
    "auth._oidc.lasting": "part of the same run; cli/test_unattended tries each of its findings",
}


def test_each_file_has_a_test_file_of_its_own() -> None:
    """So the tests of a line are found by its file's name: `_net/urls` in `tests/net/test_urls`."""
    files = {name: path for name, path in _modules().items() if path.name != "__init__.py"}
    without = {name for name, path in files.items() if not _test_file(path).exists()}

    assert without - WITHOUT_TESTS_OF_THEIR_OWN.keys() == set()
    assert (WITHOUT_TESTS_OF_THEIR_OWN.keys() & files.keys()) - without == set()


# Where a distribution has another name than what is imported.
DISTRIBUTION_OF = {"spnego": "pyspnego"}

# Who imports these has them already: gatepass works without.
OF_THE_CALLER = {
    "IPython": "a kernel has loaded it where it is asked",
    "ansys": "integrations.pygranta serves those who use PyGranta",
    "pytest": "it loads gatepass.testing as its plugin",
}


def test_each_package_that_is_imported_is_declared() -> None:
    """Otherwise it is there only as long as another package happens to need it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [extras[each] for each in ("httpx", "kerberos", "redis")]
    requirements = sum(named, project["dependencies"])
    declared = {re.split(r"[>;\[]", line)[0].replace("-", "_") for line in requirements}
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    foreign = imported - sys.stdlib_module_names - {"gatepass"} - OF_THE_CALLER.keys()

    assert "requests" in foreign
    assert {DISTRIBUTION_OF.get(name, name) for name in foreign} - declared == set()


def test_nothing_inside_imports_the_package_itself() -> None:
    own = [module for module, path in _modules().items() if module and "gatepass" in _imports(path)]

    assert own == []


def test_of_the_schemes_only_oidc_looks_into_the_oidc_package() -> None:
    curious = [
        module
        for module, path in _modules().items()
        if not module.startswith("auth._oidc")
        and any(target.startswith("auth._oidc") for target in _imports(path))
    ]

    outside = {module.split(".")[0] for module in curious} - {"auth"}
    assert outside <= {"_session", "cli", "sandbox", "testing"}
    assert {module for module in curious if module.startswith("auth")} <= {"auth.oidc"}


def test_public_packages_have_no_underscore_and_private_packages_no_private_files() -> None:
    wrong = []
    for module in _modules():
        *folders, name = module.split(".")
        if any(folder.startswith("_") for folder in folders) and name.startswith("_"):
            wrong.append(module)

    assert wrong == []


def test_one_file_is_one_entry_point() -> None:
    """Module name, entry-point name and the word in the profile are the same."""
    for group, shelf in ((plugins.AUTH, "auth"), (plugins.SECRETS, "secrets")):
        files = {path.stem for path in (PACKAGE / shelf).glob("[!_]*.py")}

        assert files == set(plugins.BUILT_IN[group])
        for name, target in plugins.BUILT_IN[group].items():
            assert target.startswith(f"gatepass.{shelf}.{name}:")


def test_the_table_of_built_in_names_equals_the_entry_points() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(declared.pop("pytest11")) == {"gatepass"}

    assert declared == plugins.BUILT_IN
    for group, names in plugins.BUILT_IN.items():
        installed = {entry.name for entry in entry_points(group=group)}
        assert set(names) <= installed or not installed


def test_every_built_in_name_can_be_loaded() -> None:
    for group, names in plugins.BUILT_IN.items():
        for name in names:
            assert callable(plugins.load(group, name))


_LOUD = {"print", "sys.exit", "os._exit", "exit", "sys.stdout.write", "sys.stderr.write"}


def test_only_cli_prints_or_exits() -> None:
    loud = []
    for module, path in _modules().items():
        if module.split(".")[0] in {"cli", "__main__"}:
            continue
        loud += [
            f"{module}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _LOUD
        ]

    assert loud == []


def test_only_the_console_reads_from_a_person() -> None:
    curious = [
        module
        for module, path in _modules().items()
        if re.search(r"getpass\.getpass\(|(?<![\w.])input\(", path.read_text())
    ]

    assert curious == ["_system.console"]


def test_public_names_are_declared_sorted_and_loadable() -> None:
    assert gatepass.__all__ == sorted(gatepass.__all__)
    assert set(gatepass.__all__) == set(gatepass._MODULE_OF)
    for name in gatepass.__all__:
        assert getattr(gatepass, name).__class__ is not None


def test_type_checkers_see_the_public_names() -> None:
    """What is imported under TYPE_CHECKING is exactly what __all__ declares."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert seen == set(gatepass.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = gatepass.Sesion  # type: ignore[attr-defined]  # that is the point


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = f"import sys, gatepass; print(sorted(set({HEAVY!r}) & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_no_function_grows_past_sixty_lines() -> None:
    """Past about 40 lines a function is probably two; 60 is where it certainly is."""
    long = []
    for module, path in _modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = (ast.get_docstring(node) or "").count("\n")
                lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
                if lines > 60:
                    long.append(f"{module}.{node.name}: {lines}")

    assert long == []


def test_the_error_tree_in_the_docstring_is_the_real_one() -> None:
    from gatepass import errors
    from gatepass._session import exceptions as _failures

    drawn = errors.__doc__ or ""
    for module in (errors, _failures):
        for name, value in vars(module).items():
            public = isinstance(value, type) and issubclass(value, errors.GatepassError)
            if public and not name.startswith("_") and value.__module__ == module.__name__:
                assert name in drawn
