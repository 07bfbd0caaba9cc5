"""Accounts without a home folder: a number in a container, a service."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gatepass.sandbox import IdentityProvider, Server
from tests.support.home import ARGV, Home
from tests.support.peers.environ import clean_environ
from tests.support.peers.terminal import without_terminal

pytestmark = pytest.mark.skipif(shutil.which("unshare") is None, reason="it takes Linux")

_AS_A_NUMBER = ("unshare", "--user", "--map-user=54321", "--map-group=54321")

_BASIC = """
[profiles.p]
url = "{url}"
auth = {{ scheme = "basic", user_name = "alice", password = "{password}" }}
"""
_CLIENT = """
[profiles.p]
url = "{url}"
[profiles.p.auth]
scheme = "oidc"
issuer = "{issuer}"
client_id = "svc"
client_secret = "env:SECRET"
flow = "client_credentials"
"""


class Container(Home):
    """Where an unknown number runs the command."""

    def run(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        argv = (*_AS_A_NUMBER, *ARGV, *arguments)
        return without_terminal(argv, self._environ(), stdin=stdin, cwd=self.work)


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A job of an account that nobody knows, without HOME and what stands beside it."""
    if subprocess.run([*_AS_A_NUMBER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace can be made here")
    environ = clean_environ(tmp_path / "home")
    for name in [name for name in environ if name == "HOME" or name.startswith("XDG_")]:
        del environ[name]
    (tmp_path / "work" / ".git").mkdir(parents=True)
    return Container(environ, tmp_path / "work")


@pytest.fixture
def profile(container: Container, tmp_path: Path) -> Callable[[str], Home]:
    """Return a function that writes the profiles that the job is given."""

    def write(content: str) -> Home:
        file = container.write(tmp_path / "given" / "profiles.toml", content)
        return container.having(GATEPASS_CONFIG_FILE=str(file))

    return write


def test_a_job_without_a_home_logs_on_with_what_it_is_given(
    profile: Callable[[str], Home], server: Server
) -> None:
    job = profile(_BASIC.format(url=server.url, password="env:PW")).having(PW="sesame")

    assert "answers 200 OK to basic as alice" in job.run("check", "p").stdout
    for command in (["profiles"], ["show", "p", "--origin"], ["status"], ["trust", "--list"]):
        done = job.run(*command)
        assert done.returncode == 0, done.stderr


def test_a_client_logs_on_by_itself_without_a_home(profile: Callable[[str], Home]) -> None:
    with (
        IdentityProvider(users={}, clients={"svc": "s3cret", "public": None}) as idp,
        Server(mode="oidc", provider=idp) as server,
    ):
        job = profile(_CLIENT.format(url=server.url, issuer=idp.issuer)).having(SECRET="s3cret")
        done = job.run("check", "p")

    assert done.returncode == 0, done.stderr
    assert "answers 200 OK to oidc" in done.stdout


@pytest.mark.parametrize("reference", ["file:~/pw", "~/bin/pass"])
def test_a_reference_to_the_home_says_that_there_is_none(
    profile: Callable[[str], Home], server: Server, reference: str
) -> None:
    text = _BASIC.format(url=server.url, password="@")
    written = f'"{reference}"' if ":" in reference else f'{{ command = ["{reference}"] }}'
    job = profile(text.replace('"@"', written)).having(GATEPASS_ALLOW_COMMANDS="1")

    done = job.run("check", "p")

    assert done.returncode == 3
    assert "~ means nothing here: HOME is not set, and the account has no home" in done.stderr
    assert "set HOME, or write the whole path" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["trust", "--yes", "gatepass.toml"],
        ["init", "new", "--url", "https://x.test", "--scheme", "anonymous", "--offline"],
    ],
    ids=["trust", "init"],
)
def test_what_must_be_remembered_says_what_is_missing_and_writes_nowhere(
    container: Container, server: Server, command: list[str]
) -> None:
    container.project(_BASIC.format(url=server.url, password="env:PW"))

    done = container.run(*command)

    assert done.returncode == 1
    assert "HOME is not set" in done.stderr
    assert "this is a bug" not in done.stderr
    assert sorted(path.name for path in container.work.iterdir()) == [".git", "gatepass.toml"]


def test_the_doctor_says_set_home(container: Home) -> None:
    done = container.run("doctor")

    assert "there is no home folder" in done.stdout
    assert "set HOME" in done.stdout
    assert "this is a bug" not in done.stderr


def test_folders_that_variables_name_are_used_and_checked(
    container: Container, tmp_path: Path
) -> None:
    file = container.write(tmp_path / "own" / "gatepass" / "profiles.toml", _BASIC)
    file.parent.chmod(0o777)
    job = container.having(XDG_CONFIG_HOME=str(tmp_path / "own"))

    printed = job.run("doctor").stdout

    assert "there is no home folder" in printed
    assert "chmod go-w" in printed


def test_a_relative_home_is_none(container: Container) -> None:
    """It would lie below the working directory, which may be another's."""
    container.write(container.work / ".config" / "gatepass" / "profiles.toml", _BASIC)

    done = container.having(HOME=".").run("profiles")

    assert "HOME is not set" in done.stderr
    assert done.stdout == ""
