"""``gatepass demo``: what it prints, its exit code, and nothing left."""

import re
from pathlib import Path

from tests.support.home import Home, ended, screen


def _rows(output: str) -> list[list[str]]:
    return [re.split(" {2,}", line) for line in output.splitlines()]


def test_it_logs_on_in_each_way_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    done = home.having(TMPDIR=str(temporary)).run("demo")

    assert done.returncode == 0, done.stderr
    rows = _rows(done.stdout)
    start = rows.index(["CHANGED LINE", "SERVER", "RESULT", "REQUESTS"])
    sources, schemes = rows[start + 1 : start + 5], rows[start + 5 : start + 14]
    assert sources[:2] == [
        ['password = "env:MI_PASSWORD"', "standalone", "200 alice", "1"],
        ['password = "file:password.txt"', "standalone", "200 alice", "1"],
    ]
    assert sources[2] == ["password = { command = [ ...", "standalone", "200 alice", "1"]
    assert schemes == [
        ['scheme = "basic"', "standalone", "200 alice", "1"],
        ['scheme = "basic"', "mixed", "200 alice", "1"],
        ['scheme = "basic"', "windows", "not offered", "1"],
        ['scheme = "ntlm"', "standalone", "not offered", "1"],
        ['scheme = "ntlm"', "mixed", "200 alice", "3"],
        ['scheme = "ntlm"', "windows", "200 alice", "3"],
        ['scheme = "credentials"', "standalone", "200 alice", "2"],
        ['scheme = "credentials"', "mixed", "200 alice", "3"],
        ['scheme = "credentials"', "windows", "200 alice", "3"],
    ]
    start = rows.index(["SESSION", "RESULT", "TO THE SERVER", "TO THE PROVIDER"])
    assert rows[start + 1 : start + 4] == [
        ["first login", "200 alice", "2", "3"],
        ["warm start", "200 alice", "1", "0"],
        ["renewal", "200 alice", "1", "1"],
    ]
    assert "gatepass demo --ask tries it" in " ".join(done.stdout.split())
    assert (
        "\nok: 13 of 13 logins succeeded; 1 skipped, 2 not offered by that server\n" in done.stdout
    )
    assert done.stdout.splitlines()[-2] == "next:"
    assert done.stdout.count("[profiles.") == 2  # the base profile and its auth, once
    assert len(done.stdout.splitlines()) <= 45
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert list(temporary.iterdir()) == []


def test_a_missing_part_of_openid_connect_is_told_and_is_no_failure(
    home: Home, tmp_path: Path
) -> None:
    broken = home.write(tmp_path / "without" / "joserfc.py", "raise ImportError(name='joserfc')")
    home.path.append(str(broken.parent))

    done = home.run("demo")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^first login +skipped +0 +0$", done.stdout, re.MULTILINE)
    assert "first login, oidc: it needs joserfc" in done.stdout


_BROKEN = """
class HttpNtlmAuth:
    def __init__(self, *arguments, **keywords): ...
    def response_hook(self, response, **keywords):
        raise ValueError
"""


def test_a_scheme_that_fails_is_shown_and_told_by_the_exit_code(home: Home, tmp_path: Path) -> None:
    broken = home.write(tmp_path / "broken" / "requests_ntlm.py", _BROKEN)
    home.path.append(str(broken.parent))

    done = home.run("demo")

    assert done.returncode == 1
    assert ['scheme = "credentials"', "mixed", "failed (401)"] in [
        row[:3] for row in _rows(done.stdout)
    ]
    printed = " ".join(done.stdout.split())
    assert 'scheme = "ntlm", windows: the server\'s NTLM messages cannot be understood' in printed
    assert re.search(r"^problem: \d+ of 13 logins succeeded", done.stdout, re.MULTILINE)


_BUSY = """
class Timeout(TimeoutError): ...
class FileLock:
    def __init__(self, *arguments, **keywords): ...
    def acquire(self, *arguments, **keywords):
        raise Timeout
"""


def test_a_login_that_fails_is_shown_and_told_by_the_exit_code(home: Home, tmp_path: Path) -> None:
    busy = home.write(tmp_path / "busy" / "filelock.py", _BUSY)
    home.path.append(str(busy.parent))

    done = home.run("demo")

    assert done.returncode == 1
    assert re.search(r"^first login +failed \(-\) +0 +0$", done.stdout, re.MULTILINE)
    assert "first login, oidc: the token is in use by another process" in done.stdout
    assert "warm start" not in done.stdout  # it would fail only for want of the first


def test_into_a_pipe_it_needs_no_rich(home: Home, tmp_path: Path) -> None:
    broken = home.write(tmp_path / "without" / "rich.py", "raise ImportError")
    home.path.append(str(broken.parent))

    done = home.run("demo")

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


def test_a_person_sees_all_tables(home: Home) -> None:
    with home.having(NO_COLOR="1").sit("demo") as child:
        assert ended(child) == 0
        shown = screen(child)

    assert re.search(r"CHANGED LINE +SERVER +RESULT +REQUESTS", shown)
    assert re.search(r"SESSION +RESULT +TO THE SERVER +TO THE PROVIDER", shown)


def test_a_person_is_asked_on_request(home: Home) -> None:
    with home.sit("demo", "--ask") as child:
        child.expect("profiles.env.auth")
        child.expect("it is: sesame.*: ")
        child.sendline("sesame")
        assert ended(child) == 0
        shown = screen(child)

    assert "14 of 14 logins succeeded; 0 skipped" in shown


def test_ctrl_c_leaves_nothing(home: Home, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with home.having(TMPDIR=str(temporary)).sit("demo", "--ask") as child:
        child.expect("profiles.env.auth")
        child.expect("it is: sesame.*: ")
        child.sendintr()
        assert ended(child) == 130

    assert list(temporary.iterdir()) == []
