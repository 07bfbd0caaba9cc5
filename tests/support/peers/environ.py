"""An environment for subprocesses that inherits nothing by accident."""

import os
import sys
from pathlib import Path

# Without these, Python on Windows cannot open a socket or find its temporary folder.
_WINDOWS = ("SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP")
_FOLDERS = {
    "HOME": "",
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "XDG_RUNTIME_DIR": "run",
}


def is_root() -> bool:
    """Tell whether the tests run as root, so that servers need another user to step down to."""
    return sys.platform != "win32" and os.geteuid() == 0


def clean_environ(home: Path, /, **extra: str) -> dict[str, str]:
    """Return an environment whose personal folders lie below `home`, with `extra` added.

    It has no CA bundle, proxy, display, D-Bus, `CI` or `GATEPASS_*` of the calling shell.
    """
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    if sys.platform == "win32":
        environ |= {name: os.environ[name] for name in _WINDOWS if name in os.environ}
        environ |= {"USERPROFILE": str(home), "PYTHONUTF8": "1"}
        environ |= {name: str(home / name) for name in ("APPDATA", "LOCALAPPDATA")}
    for name, below in _FOLDERS.items():
        folder = home / below
        folder.mkdir(parents=True, exist_ok=True)
        environ[name] = str(folder)
    (home / _FOLDERS["XDG_RUNTIME_DIR"]).chmod(0o700)
    return environ | extra
