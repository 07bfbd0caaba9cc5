"""pydantic is used without what other packages plug into it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.config_files import ANONYMOUS


def test_plug_ins_of_pydantic_see_no_profile_and_their_damage_ends_no_start(
    tmp_path: Path,
) -> None:
    """Such a plug-in is handed what is validated, and may write it to a log of its own."""
    spy = tmp_path / "spy-1.0.dist-info"
    spy.mkdir()
    (spy / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1.0\n")
    (spy / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\nno equals sign\n")
    (tmp_path / "spy.py").write_text("print('the spy is here')\nplugin = None\n")
    file = tmp_path / "profiles.toml"
    file.write_text(ANONYMOUS)
    file.chmod(0o600)
    code = (
        "import gatepass, os\n"
        f"gatepass.load_profile('p', config_file={str(file)!r})\n"
        "print([name for name in os.environ if 'PYDANTIC' in name])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )

    assert done.stdout == "[]\n"
