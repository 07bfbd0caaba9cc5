"""Writes the list of files that one start passes into `docs/explanation/how-it-works.md`.

    python docs/_start.py

It opens a session of a profile and makes one request, in a process of its own, and notes when each
file of gatepass is entered for the first time. A test compares the page with a fresh run.
"""  # noqa: INP001 - a script beside the pages

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import gatepass

PAGE: Final = Path(__file__).resolve().parent / "explanation" / "how-it-works.md"
PACKAGE: Final = Path(gatepass.__file__).parent

_PART: Final = re.compile(r"(<!-- one start -->\n).*?(<!-- end -->)", re.DOTALL)

# Everything is imported before, so that what importing runs is not counted.
_START: Final = """
import importlib, os, pathlib, pkgutil, sys, tempfile
import gatepass
from gatepass.sandbox import Server

skipped = ("gatepass.cli", "gatepass.testing", "gatepass.integrations", "gatepass.__main__")
for module in pkgutil.walk_packages(gatepass.__path__, "gatepass."):
    if not module.name.startswith(skipped):
        importlib.import_module(module.name)
package = os.path.dirname(gatepass.__file__) + os.sep
passed = {}

def note(frame, event, _argument):
    path = frame.f_code.co_filename
    if event == "call" and path.startswith(package) and frame.f_code.co_name != "<module>":
        passed.setdefault(path.removeprefix(package).replace(os.sep, "/"))

server = Server("standalone", users={"alice": "sesame"})
with tempfile.TemporaryDirectory() as home, server:
    os.environ.clear()
    os.environ.update(HOME=home, MI_PASSWORD="sesame", NO_PROXY="*")
    path = pathlib.Path(home, "profiles.toml")
    path.write_text(
        f'[profiles.dev]\\nurl = "{server.url}"\\n[profiles.dev.auth]\\nscheme = "basic"\\n'
        'user_name = "alice"\\npassword = "env:MI_PASSWORD"\\n'
    )
    path.chmod(0o600)
    os.environ["GATEPASS_CONFIG_FILE"] = str(path)
    sys.setprofile(note)
    with gatepass.Session.from_profile("dev") as session:
        session.get("").raise_for_status()
        sys.setprofile(None)
print(*passed, sep="\\n")
"""


def page() -> str:
    """Return the text that the page should have."""
    rows = [f"| `{path}` | {_purpose(path)} |" for path in _files()]
    table = "\n".join(["| file | what is in it |", "| --- | --- |", *rows])
    return _PART.sub(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", PAGE.read_text("utf-8"))


def _files() -> list[str]:
    command = [sys.executable, "-c", _START]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.splitlines()


def _purpose(path: str) -> str:
    """Return the first line of a file's docstring, as a Markdown cell."""
    text = (PACKAGE / path).read_text(encoding="utf-8")
    line = text.removeprefix("r").removeprefix('"""').partition("\n")[0]
    return line.removesuffix('"""').replace("``", "`").replace("|", r"\|")


def main() -> None:
    """Write the page if it has changed."""
    text = page()
    if text != PAGE.read_text(encoding="utf-8"):
        PAGE.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {PAGE.name}\n")


if __name__ == "__main__":
    main()
