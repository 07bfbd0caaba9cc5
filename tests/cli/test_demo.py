"""``gatepass demo``: the whole way, and nothing left."""

import re
from pathlib import Path

from tests.support.home import Home, ended, screen


def test_it_logs_on_with_each_source_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    done = home.having(TMPDIR=str(temporary)).run("demo")

    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert done.returncode == 0, done.stderr
    assert rows["env"][1:4] == ["200", "alice", "1"]
    assert rows["file"][1:4] == ["200", "alice", "1"]
    assert rows["command"][1:4] == ["200", "alice", "1"]
    assert 'password = "env:MI_PASSWORD"' in done.stdout
    assert "Session.from_profile(" in done.stdout
    assert list(temporary.iterdir()) == []


def _results(output: str) -> str:
    """What follows the texts that hold paths, which may be long."""
    return output.partition("What came of it")[2]


def test_it_shows_which_scheme_works_at_which_server(home: Home) -> None:
    done = home.run("demo")

    rows = [re.split(" {2,}", line) for line in done.stdout.splitlines()]
    start = rows.index(["SCHEME", "STANDALONE", "MIXED", "WINDOWS"])
    assert rows[start + 1 : start + 4] == [
        ["basic", "200, 1 request", "200, 1 request", "no"],
        ["ntlm", "no", "200, 3 requests", "200, 3 requests"],
        ["credentials", "200, 2 requests", "200, 3 requests", "200, 3 requests"],
    ]
    told = " ".join(_results(done.stdout).split())
    assert "basic, windows: this server offers Negotiate, NTLM (Windows mode); the profile" in told
    assert "uses basic. Use autologon, credentials or ntlm." in told
    assert "ntlm, standalone: this server offers Basic (standalone mode); the profile" in told
    assert "uses ntlm. Use basic or credentials." in told


def test_it_shows_what_a_stored_login_costs_and_what_to_write_for_it(home: Home) -> None:
    done = home.run("demo")

    rows = [re.split(" {2,}", line) for line in done.stdout.splitlines()]
    start = rows.index(["SESSION", "STATUS", "USER", "TO THE SERVER", "TO THE PROVIDER"])
    assert rows[start + 1 : start + 4] == [
        ["first login", "200", "alice", "2", "3"],
        ["warm start", "200", "alice", "1", "0"],
        ["renewal", "200", "alice", "1", "2"],
    ]
    assert 'auth = { scheme = "oidc", use_stored_token = true }' in done.stdout
    assert done.stdout.count("persist_oidc_token()") == 1
    assert done.stdout.count('Session.from_profile("nightly")') == 1


def test_a_missing_part_of_openid_connect_is_told_and_is_no_failure(
    home: Home, tmp_path: Path
) -> None:
    broken = home.write(tmp_path / "without" / "joserfc.py", "raise ImportError(name='joserfc')")
    home.path.append(str(broken.parent))

    done = home.run("demo")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^first login +skipped +- +0 +0$", done.stdout, re.MULTILINE)
    assert "first login: it needs joserfc" in done.stdout


def test_its_results_fit_into_eighty_columns_and_its_output_stays_short(home: Home) -> None:
    done = home.run("demo")

    assert [line for line in _results(done.stdout).splitlines() if len(line) > 80] == []
    assert len(done.stdout.splitlines()) < 115


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
    assert re.search(r"^credentials  200, 2 requests +failed \(401\) ", done.stdout, re.MULTILINE)
    assert "ntlm, windows: the server's NTLM messages cannot be understood" in done.stdout


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
    assert re.search(r"^first login +\S+ +\S+ +[12] +3$", done.stdout, re.MULTILINE)
    assert "first login: the token is in use by another process" in done.stdout
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

    assert re.search(r"SOURCE +STATUS +USER +REQUESTS +REFERENCE", shown)
    assert re.search(r"SCHEME +STANDALONE +MIXED +WINDOWS", shown)
    assert re.search(r"SESSION +STATUS +USER +TO THE SERVER +TO THE PROVIDER", shown)


def test_a_person_is_asked_on_request(home: Home) -> None:
    with home.sit("demo", "--ask") as child:
        child.expect("What came of it")
        child.expect("it is: sesame.*: ")
        child.sendline("sesame")
        assert ended(child) == 0
        shown = screen(child)

    assert shown.count("skipped") == 1  # the keyring, which this home has not


def test_ctrl_c_leaves_nothing(home: Home, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with home.having(TMPDIR=str(temporary)).sit("demo", "--ask") as child:
        child.expect("What came of it")
        child.expect("it is: sesame.*: ")
        child.sendintr()
        assert ended(child) == 130

    assert list(temporary.iterdir()) == []
