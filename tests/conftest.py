"""What every test shares: an environment of its own, and the real peers."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings

from gatepass._config.locations import Locations

# No property has a deadline: machines are slow for reasons of their own. In CI the same examples
# come in each run, so that a change is judged by itself; to find new ones is the work of each
# night, and of `pytest -m hypothesis --hypothesis-profile=nightly`.
settings.register_profile("usual", deadline=None, max_examples=30, derandomize="CI" in os.environ)
settings.register_profile(
    "nightly",
    deadline=None,
    max_examples=2_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

# A shell starts what it puts in the background (`... &`, nohup) with Ctrl-C ignored, and children
# inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each module is compiled once for all runs and processes, whatever the machine says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = ["tests.support.peers.fixtures", "tests.support.third_party.fixtures"]

# Whatever the machine says about certificates, proxies and people must not decide a test.
_FOREIGN = (
    "ALL_PROXY",
    "CI",
    "CREDENTIALS_DIRECTORY",
    "CURL_CA_BUNDLE",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PYTHON_KEYRING_BACKEND",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "WAYLAND_DISPLAY",
)


# What takes seconds to start, or minutes to prove.
_SLOW_PEERS = {
    "apache",
    "browser",
    "kdc",
    "keyring_folder",
    "locked_keyring",
    "oidc_provider",
    "redis",
    "squid",
    "unlocked_keyring",
}
# What starts a process for nearly each test, or files of many megabytes.
_SLOW_MODULES = {
    "tests/cli/test_completion.py",
    "tests/cli/test_demo.py",
    "tests/cli/test_doctor.py",
    "tests/cli/test_homeless.py",
    "tests/cli/test_narrow.py",
    "tests/cli/test_output.py",
    "tests/cli/test_run_program.py",
    "tests/cli/test_unattended.py",
    "tests/config/test_toml_bounds.py",
    "tests/sandbox/test_demo.py",
    "tests/secrets/test_keyring.py",
    "tests/secrets/test_managers.py",
    "tests/test_package.py",
    "tests/testing/test_plugin.py",
    "tests/vault/test_file_lock.py",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the order of the tests be another one: it must not matter."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in another order")


# First, so that plug-ins choose from the tests with all their marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs such a peer, and each story, as slow: `dev.py test --quick` leaves it out.

    With ``--shuffle`` the modules come in another order, and so do the tests in each.
    """
    for item in items:
        module = item.location[0]
        slow = "stories" in item.path.parts or module in _SLOW_MODULES
        if slow or _SLOW_PEERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    seed = config.getoption("--shuffle")
    if seed is not None:
        random = Random(seed)  # noqa: S311 - an order, not a secret
        places = {path: random.random() for path in dict.fromkeys(item.path for item in items)}
        items.sort(key=lambda item: (places[item.path], random.random()))


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test a home of its own and none of the machine's settings."""
    for name in list(os.environ):
        if name.upper() in _FOREIGN or name.startswith(("GATEPASS_", "XDG_", "KRB5")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))


@pytest.fixture
def locations(tmp_path: Path) -> Locations:
    """Places for files of a user who has none yet; the working directory is a repository."""
    work = tmp_path / "work"
    (work / ".git").mkdir(parents=True)
    return Locations(
        system=(tmp_path / "etc" / "profiles.toml",),
        user=tmp_path / "config" / "profiles.toml",
        state=tmp_path / "state",
        working=work,
        home=tmp_path / "home",
    )


@pytest.fixture
def write() -> Callable[[Path, str | bytes], Path]:
    """Return a function that writes a file with its folders, mode 0644."""

    def write_file(path: Path, content: str | bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o644)
        return path

    return write_file
