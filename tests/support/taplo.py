"""Run taplo, which editors use to check TOML by a JSON Schema."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests.support.peers.need import absent


def marked_by_taplo(folder: Path, *files: str, schema: Path | None = None) -> dict[str, str]:
    """Let taplo check files of a folder; return those that it marks, with what it says.

    Offline: it asks for no catalogue.

    Args:
        folder: the folder.
        files: their names.
        schema: the schema; None is the one that the line in each file names.
    """
    program = shutil.which("taplo", path=sysconfig.get_path("scripts")) or shutil.which("taplo")
    if program is None:
        absent("taplo is not installed (the extra `test` has it)")
    options = ["--schema", schema.as_uri()] if schema else []
    done = subprocess.run(
        [program, "check", "--no-auto-config", "--colors", "never", *options, *files],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    names = set(re.findall(r"┌─ (.+):[0-9]+:[0-9]+$", done.stderr, re.MULTILINE))
    assert bool(names) == bool(done.returncode), done.stderr
    return {Path(name).name: done.stderr for name in names}
