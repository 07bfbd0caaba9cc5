"""Everything a contributor runs, on a machine that has only Python and this checkout.

    python3 dev.py demo [ARGUMENTS]    try gatepass against its own sandbox
    python3 dev.py check               lint, format, types, documentation
    python3 dev.py test                the checks, then all tests
    python3 dev.py test --quick        the tests that need no browser, KDC, notebook or cluster
    python3 dev.py test ARGUMENTS      pytest alone, with these arguments
    python3 dev.py oldest [ARGUMENTS]  pytest with the oldest packages that pyproject.toml allows

`test` without arguments builds the distributions, checks them, and tests the installed wheel; with
arguments it tests the checkout as it lies there.

It keeps a virtual environment in `.venv`, and the tests' npm packages in there. On Debian and
Ubuntu, `test` also installs the servers that the tests talk to, where it may: as root, or with a
sudo that asks for no password. Without them, those tests skip.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# All of this file must parse on Python 3.6, so that an old Python gets as far as this line.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(f"dev.py needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")

ROOT = Path(__file__).resolve().parent
OLDEST = sys.argv[1:2] == ["oldest"]
VENV = ROOT / (".venv-oldest" if OLDEST else ".venv")
WINDOWS = os.name == "nt"
BIN = VENV / ("Scripts" if WINDOWS else "bin")
PYTHON = BIN / ("python.exe" if WINDOWS else "python")

TEST_EXTRAS = "[test,docs]"
TOOLS = ROOT / "tests" / "constraints.txt"
PIP_INSTALL = ("install", "-qq", "--disable-pip-version-check")
CHECKS = {
    "lint": ["ruff", "check"],
    "format": ["ruff", "format", "--check"],
    "types": ["mypy"],
    # Each with a cache of its own: with another's, mypy would begin anew.
    **{
        f"types of src on {system}": ["mypy", "--platform", system, "--cache-dir", cache, "src"]
        for system in ("linux", "darwin", "win32")
        if system != sys.platform
        for cache in [f".mypy_cache/{system}"]
    },
    "documentation": ["sphinx", "-q", "-W", "-b", "html", "docs"],  # and where the pages go
}
# What the tests' servers and desktops need. apache2-bin is Apache without its service.
PEERS = [
    "apache2-bin",
    "curl",
    "dbus-bin",
    "dbus-daemon",
    "gnome-keyring",
    "gss-ntlmssp",
    "iproute2",
    "krb5-admin-server",
    "krb5-kdc",
    "krb5-user",
    "libapache2-mod-auth-gssapi",
    "libapache2-mod-auth-openidc",
    "nginx-light",  # a balancer that ends TLS
    "python3",  # for the programs that Apache runs
    "python3-gssapi",  # Kerberos for autologon; from PyPI it would be compiled
    "redis-tools",  # on Debian the server itself; redis-server would start a service
    "squid",
]
# Packages that are not needed where one of these programs is, from wherever it comes: many have a
# newer Node than Debian's, and Ubuntu has no package with a browser.
PEER_PROGRAMS = {
    "chromium": ["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"],
    "nodejs": ["node"],
    "npm": ["npm"],
}
OLDEST_NODE = 20  # Debian 12 has 18
# Names and versions of the npm packages for the tests' Node programs.
NPM_PACKAGES = ROOT / "tests" / "support" / "peers" / "node" / "package.json"


def main(arguments: list[str]) -> int:
    verb, rest = (arguments or [""])[0], arguments[1:]
    if verb == "demo":
        prepare("")
        return demo(rest)
    if verb == "check" and not rest:
        prepare(TEST_EXTRAS)
        return check()
    if verb == "test" and rest == ["--quick"]:
        prepare(TEST_EXTRAS)
        return run("pytest", "-m", "not slow")
    if verb == "test":
        prepare_tests()
        failed = 0 if rest else check() or install_wheel()
        # Tests come last, so that the last line is pytest's own summary.
        return run("pytest", *rest) or failed
    if verb == "oldest":
        prepare_tests()
        return run("pytest", *rest)
    print(__doc__, file=sys.stderr)
    return 2


def demo(arguments: list[str]) -> int:
    # The script, not `-m gatepass`: that one looks for modules in the caller's folder first.
    command = [str(BIN / "gatepass"), "demo", *arguments]
    if not WINDOWS:
        # In our place, so that Ctrl-C reaches the demo alone.
        os.execv(command[0], command)  # noqa: S606
    return subprocess.call(command)


def check() -> int:
    """Run every check, also after one has failed; return 1 if any has."""
    failed = []
    with tempfile.TemporaryDirectory() as pages:
        for name, command in CHECKS.items():
            say(name)
            if run(*command, *([pages] if name == "documentation" else [])):
                failed.append(name)
    say("failed: " + ", ".join(failed) if failed else "all checks passed")
    return int(bool(failed))


def install_wheel() -> int:
    """Build the distributions, check them, and put the wheel in the place of the checkout."""
    say("building and checking the distributions")
    with tempfile.TemporaryDirectory() as folder:
        failed = run("build", "--no-isolation", "--outdir", folder) or run(
            "twine", "check", "--strict", *map(str, Path(folder).iterdir())
        )
        if not failed:
            (VENV / "wheel").touch()
            wheels = map(str, Path(folder).glob("*.whl"))
            failed = run("pip", *PIP_INSTALL, "--no-deps", "--force-reinstall", *wheels)
    return failed


def run(module: str, *arguments: str) -> int:
    """Run a module of the virtual environment, in the checkout."""
    return subprocess.call([str(PYTHON), "-m", module, *arguments], cwd=ROOT)


def run_with_progress(module: str, *arguments: str) -> int:
    """As `run`; on a terminal one line shows meanwhile how long it has taken."""
    begin, watched = time.monotonic(), sys.stderr.isatty()
    with subprocess.Popen([str(PYTHON), "-m", module, *arguments], cwd=ROOT) as process:
        while True:
            try:
                code = process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if watched:
                    seconds = time.monotonic() - begin
                    print(f"\rdev.py: {seconds:.0f} s", end="", file=sys.stderr, flush=True)
    if watched:
        print("\r" + " " * 20 + "\r", end="", file=sys.stderr, flush=True)
    return code


def say(line: str) -> None:
    print("dev.py:", line, file=sys.stderr, flush=True)


# --- the virtual environment ---


def prepare_tests() -> None:
    """Install what the tests need."""
    prepare(TEST_EXTRAS)
    install_peers()
    install_npm_packages()
    provide_gssapi()


def prepare(extras: str) -> None:
    """Make the virtual environment and install the project, unless nothing has changed.

    The project is installed such that the checkout is what runs.
    """
    wanted = fingerprint()
    complete, small = VENV / "installed-for-tests", VENV / "installed"
    enough = [complete] if extras else [complete, small]
    unchanged = venv_works() and any(
        path.exists() and path.read_text() == wanted for path in enough
    )
    wheel = VENV / "wheel"
    if unchanged and not wheel.exists():
        return
    make_venv()
    say("installing gatepass and what it needs (the first time takes a minute)")
    code = run_with_progress(
        "pip", *PIP_INSTALL, *constraints(extras), "--editable", f"{ROOT}{extras}"
    )
    if code:
        sys.exit(code)
    wheel.unlink(missing_ok=True)
    enough[-1].write_text(wanted)


def constraints(extras: str) -> list[str]:
    """Return pip's options that hold the tests' tools, and for `oldest` each dependency."""
    tools = ["--constraint", str(TOOLS)] if extras else []
    if not OLDEST:
        return tools
    path = VENV / "oldest.txt"
    names = requirements("dependencies")
    for extra in ("httpx", "redis", "socks"):
        names += requirements("optional-dependencies", extra)
    path.write_text("".join(f"{name.replace('>=', '==')}\n" for name in names))
    return [*tools, "--constraint", str(path)]


def requirements(*key: str) -> list[str]:
    """Return what a list in `pyproject.toml` requires, without the conditions."""
    import tomllib

    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in key:
        found = found[name]
    return [line.partition(";")[0].strip() for line in found]


def fingerprint() -> str:
    """Return what an installation depends on: what it asks for, Python, and the place."""
    asked = [(ROOT / "pyproject.toml").read_bytes(), TOOLS.read_bytes()]
    parts = [*asked, sys.version.encode(), os.fsencode(ROOT)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def venv_works() -> bool:
    """Tell whether `.venv` has pip and runs the Python that runs this file."""
    if not PYTHON.exists():
        return False
    code = "import pip, sys; print(*sys.version_info[:2])"
    done = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.split() == [str(number) for number in sys.version_info[:2]]


def make_venv() -> None:
    if venv_works():
        return
    if importlib.util.find_spec("ensurepip") is None:
        # Debian packs it apart from Python.
        package = f"python3.{sys.version_info[1]}-venv"
        if apt_install([package]):
            sys.exit(
                f"dev.py: {sys.executable} cannot make virtual environments: on Debian and Ubuntu "
                f"that takes the package {package}.\n"
                f"Run, or ask the administrator to run: sudo apt-get install {package}"
            )
    code = subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if code:
        sys.exit(code)


# --- Debian packages ---


def install_peers() -> None:
    """Install the tests' servers, or say in one line which are missing."""
    if not is_debian():
        say("the servers for the tests come from Debian packages; without them, their tests skip")
        return
    installed = installed_packages(PEERS)
    missing = [name for name in PEERS if name not in installed]
    missing += [
        package
        for package, programs in PEER_PROGRAMS.items()
        if not any(map(shutil.which, programs))
    ]
    absent = apt_install(missing)
    if absent:
        say("some tests skip without these Debian packages: " + " ".join(absent))


def install_npm_packages() -> None:
    """Install what the tests' Node programs import, beside the Python packages."""
    folder, wanted = VENV / "npm", NPM_PACKAGES.read_text()
    marker, npm = folder / "installed", shutil.which("npm")
    if marker.exists() and marker.read_text() == wanted:
        return
    if npm is None:
        say("some tests skip without npm, which brings an OpenID provider for them")
        return
    folder.mkdir(exist_ok=True)
    shutil.copy(NPM_PACKAGES, folder)
    say("npm install")
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]
    newer = newer_node()
    if quiet([npm, "install", "--prefix", str(folder), *options, *newer]):
        say("some tests skip without the npm packages of " + str(NPM_PACKAGES.relative_to(ROOT)))
    else:
        marker.write_text(wanted)


def newer_node() -> list[str]:
    """Return the npm package that holds a newer Node, where Debian's is too old for the tests."""
    node, kind = shutil.which("node"), platform.machine().lower()
    arch = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(kind)
    if node is None or arch is None or not sys.platform.startswith("linux"):
        return []
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = done.stdout.lstrip("v").partition(".")[0]
    return [] if major.isdigit() and int(major) >= OLDEST_NODE else [f"node-linux-{arch}@22.21.1"]


def provide_gssapi() -> None:
    """Give the virtual environment GSSAPI: Debian's, if it is built for this Python."""
    if (
        sys.platform == "win32"
        or subprocess.call([str(PYTHON), "-c", "import gssapi"], stderr=-3) == 0
    ):
        return
    debian = Path("/usr/lib/python3/dist-packages")
    module = next(debian.glob(f"gssapi/raw/misc.cpython-3{sys.version_info[1]}-*.so"), None)
    if module is not None:
        code = "import sysconfig; print(sysconfig.get_path('platlib'))"
        done = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=True)
        for source in debian.glob("gssapi*"):
            target = Path(done.stdout.strip()) / source.name
            target.unlink(missing_ok=True)
            target.symlink_to(source)
        return
    if not apt_install(["gcc", "libkrb5-dev"]):
        say("compiling gssapi for this Python (about a minute)")
        run("pip", *PIP_INSTALL, *requirements("optional-dependencies", "kerberos"))


def is_debian() -> bool:
    return bool(shutil.which("dpkg-query") and shutil.which("apt-get"))


def installed_packages(packages: list[str]) -> set[str]:
    """Return those Debian packages that are installed."""
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    # It fails where one is unknown, and still names the others.
    lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return {line.split()[0] for line in lines if line.endswith(" installed")}


def apt_install(packages: list[str]) -> list[str]:
    """Install Debian packages if that needs no password; return those that are not there then."""
    if not packages or sys.platform == "win32" or not is_debian():
        return packages
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if rights and (not shutil.which("sudo") or quiet([*rights, "true"])):
        return packages
    # Run level 1 asks Debian's scripts not to start services; the tests start their own.
    settings = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    apt = [*rights, *settings, "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    quiet([*apt, "update"])  # without it the known packages may still do
    found = installable(packages)
    if found:
        say("apt-get install " + " ".join(found))
        quiet([*apt, "install", "-y", "--no-install-recommends", *found])
    installed = installed_packages(packages)
    return [name for name in packages if name not in installed]


def installable(packages: list[str]) -> list[str]:
    """Return those Debian packages that apt can install here; nothing is installed.

    Where it refuses them together each is tried alone: for one that it does not have, apt-get
    installs none.
    """
    apt = ["apt-get", "-qq", "--simulate", "--no-install-recommends", "install"]

    def works(names: list[str]) -> bool:
        done = subprocess.run([*apt, *names], capture_output=True, check=False)
        return done.returncode == 0

    return packages if works(packages) else [name for name in packages if works([name])]


def quiet(command: list[str]) -> int:
    """Run a command that asks nothing and shows only its errors."""
    silent = subprocess.DEVNULL
    return subprocess.call(command, stdin=silent, stdout=silent)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
