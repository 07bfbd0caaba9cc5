"""Three ways to run a farm: what the page promises beyond what its commands print.

The profiles, the job and the commands are those of the page ``docs/how-to/run-a-farm.md``.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.stories.test_docs import TOLD_ELSEWHERE, Block, Story, blocks_of
from tests.stories.test_docs import story as story  # noqa: PLC0414 - a fixture
from tests.support.peers.apache import Apache
from tests.support.peers.kdc import Kdc
from tests.support.peers.terminal import without_terminal

(PAGE,) = TOLD_ELSEWHERE
SECTIONS = ("A service account", "A client with a secret of its own", "One login for all")
JOBS = 3


def blocks_below(heading: str) -> Iterator[Block]:
    """Yield the job and the blocks of one section."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(f"\n## {heading}\n") == 1
    first, _, rest = text.partition(f"\n## {heading}\n")
    begin = first.count("\n")
    end = begin + rest.partition("\n## ")[0].count("\n") + 2
    for block in blocks_of(PAGE):
        if block.file == "job.py" or begin < block.line <= end:
            yield block


@pytest.fixture
def farm(story: Callable[[Path], Story]) -> Callable[[str], Story]:
    """Return what does all that a section of the page says."""

    def make(heading: str) -> Story:
        setup = story(PAGE)
        setup.tell(PAGE, blocks_below(heading))
        return setup

    return make


def hosts_of(setup: Story, number: int) -> list[Path]:
    """Return the homes of other hosts: there are the profiles and the secrets, nothing else."""
    homes = [setup.home.parent / f"host{each}" for each in range(number)]
    for home in homes:
        for name in (".config", ".secrets", ".gatepass.key"):
            source = setup.home / name
            if source.is_dir():
                shutil.copytree(source, home / name)
            elif source.exists():
                home.mkdir(exist_ok=True)
                shutil.copy2(source, home / name)
    return homes


def environ_of(setup: Story, home: Path) -> dict[str, str]:
    """Return the variables of a job on a host."""
    moved = {
        name: value.replace(str(setup.home), str(home))
        for name, value in setup.surroundings().items()
        if name == "HOME" or name.startswith("XDG_")
    }
    return setup.surroundings() | moved


def run_all(setup: Story, homes: list[Path]) -> list[str]:
    """Run a job on each host, all at the same time; return what they print."""
    argv = [str(setup.bin / "python"), str(setup.work / "job.py")]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [*argv, str(number)],
                    env=environ_of(setup, home),
                    cwd=home,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,  # nobody is there
                )
            )
            for number, home in enumerate(homes)
        ]
        return [setup.shown(each.communicate(timeout=120)[0]) for each in running]


def kept(home: Path) -> list[str]:
    """Return what jobs have left in a home beside what was there, and beside checked profiles."""
    there = {".config", ".secrets", ".gatepass.key", ".cache"}
    files = (path for path in home.rglob("*") if path.is_file())
    return [str(path) for path in files if path.relative_to(home).parts[0] not in there]


def test_the_tests_tell_the_whole_page() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert tuple(headings) == SECTIONS
    assert {"job.py"} == {
        block.file
        for block in blocks_of(PAGE)
        if not any(block in blocks_below(heading) for heading in SECTIONS) or block.file == "job.py"
    }


def test_a_service_account_needs_a_keytab_and_leaves_nothing_behind(
    farm: Callable[[str], Story], windows_apache: Apache, kdc: Kdc
) -> None:
    setup = farm(SECTIONS[0])
    homes = hosts_of(setup, JOBS)
    start = windows_apache.mark()

    printed = run_all(setup, homes)

    seen = windows_apache.log_since(start)
    assert printed == [f"job {each} as svc-mi@CORP.EXAMPLE.COM\n" for each in range(JOBS)]
    assert {line.user for line in seen if line.status == 200} == {"svc-mi@CORP.TEST"}
    assert [file for home in homes for file in kept(home)] == [], "no ticket, no vault"
    assert not (kdc.files.folder / "nobody.ccache").exists()


def test_each_job_of_a_client_asks_the_provider_once_and_stores_nothing(
    farm: Callable[[str], Story],
) -> None:
    setup = farm(SECTIONS[1])
    (setup.home / ".secrets/farm").write_text("open-sesame\n")  # the page has spoilt it
    homes, idp = hosts_of(setup, JOBS), setup.peers.provider
    assert idp is not None
    before = idp.counts.token_requests["client_credentials"]

    printed = run_all(setup, homes)

    assert printed == [f"job {each} as farm\n" for each in range(JOBS)]
    assert idp.counts.token_requests["client_credentials"] == before + JOBS
    assert [file for home in homes for file in kept(home)] == []


def test_a_client_whose_token_has_ended_asks_again_by_itself(farm: Callable[[str], Story]) -> None:
    setup = farm(SECTIONS[1])
    (setup.home / ".secrets/farm").write_text("open-sesame\n")
    idp = setup.peers.provider
    assert idp is not None
    idp.inject("expires_in_zero")
    before = idp.counts.token_requests["client_credentials"]
    script = (
        "from gatepass import Session\n"
        "with Session.from_profile('farm') as mi:\n"
        "    print([mi.get('Health/v2.svc').json()['user'] for _ in range(3)])\n"
    )

    done = without_terminal([str(setup.bin / "python"), "-c", script], setup.surroundings())

    assert done.stdout == "['farm', 'farm', 'farm']\n", done.stderr
    assert idp.counts.token_requests["client_credentials"] == before + 3


def test_jobs_on_all_hosts_share_one_login_and_each_renewal(farm: Callable[[str], Story]) -> None:
    """The hosts have the key and the profile; the provider takes each refresh token once."""
    setup = farm(SECTIONS[2])
    homes, idp = hosts_of(setup, JOBS), setup.peers.provider
    assert idp is not None
    idp.inject("expires_in_zero")
    login = next(block for block in blocks_below(SECTIONS[2]) if "browser" in block)
    setup.tell(PAGE, [login])  # its access token has ended when it comes
    idp.inject()
    before = idp.counts

    printed = run_all(setup, homes)

    assert printed == [f"job {each} as alice\n" for each in range(JOBS)]
    assert idp.counts.rotations == before.rotations + 1
    assert idp.counts.reuses == idp.counts.forced_logins == 0
    assert [file for home in homes for file in kept(home)] == []
