"""``gatepass demo``: the whole way, and nothing left."""

from pathlib import Path

from tests.cli.home import Home, ended, screen


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
