"""``gatepass check`` without a name: the whole report, and its end."""

from collections.abc import Iterator
from threading import Event
from typing import Any

from gatepass._system.findings import Finding
from gatepass.cli._context import Context
from gatepass.cli._doctor import diagnose_machine
from tests.support.doctor import ANONYMOUS, BY_KEYRING, diagnosed, one
from tests.support.echo import Answer, echo
from tests.support.home import Home


def test_a_machine_in_order_has_no_problem(desk: Home) -> None:
    desk.user(BY_KEYRING)

    code, found = diagnosed(desk)

    assert [each for each in found if each["verdict"] == "problem"] == []
    assert code == 0
    assert one(found, "keyring")["message"] == (
        "keyring.backends.SecretService.Keyring answers, and is unlocked"
    )
    assert {"gatepass", "Python", "packages", "person", "browser", "files"} <= {
        each["subject"] for each in found
    }


def test_a_person_sees_each_finding_and_the_end(home: Home) -> None:
    home.user(BY_KEYRING)

    done = home.run("check")

    assert done.returncode == 1
    assert done.stderr == ""
    assert "\nproblem keyring: " in done.stdout
    assert done.stdout.endswith("\n1 problem\n")


def test_an_doctor_changes_nothing_and_asks_no_server(home: Home) -> None:
    with echo(lambda _: Answer()) as server:
        home.user(ANONYMOUS.replace("https://mi.example.com/mi", server.url))
        home.project(ANONYMOUS)
        root = home.work.parent
        before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}

        code, _ = diagnosed(home)

        assert code == 0
        assert server.seen == []
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_redacted_is_for_the_check_of_the_machine(home: Home) -> None:
    done = home.run("check", "dev", "--redacted")

    assert done.returncode == 2
    assert "leave NAME out" in done.stderr


def test_a_part_that_hangs_or_breaks_does_not_keep_the_others_from_being_told(
    context: Context,
) -> None:
    never = Event()

    def hangs(_: Any) -> Iterator[Finding]:
        never.wait()
        yield Finding("ok", "never", "")

    def breaks(_: Any) -> Iterator[Finding]:
        yield Finding("ok", "half", "")
        raise RuntimeError("hunter2")

    def works(_: Any) -> Iterator[Finding]:
        yield Finding("ok", "good", "told")

    parts = [("first", 0.01, hangs), ("second", 60.0, breaks), ("third", 60.0, works)]
    found = list(diagnose_machine(context, (), redacted=False, parts=parts))
    never.set()

    assert [(each.verdict, each.subject, each.message) for each in found] == [
        ("problem", "first", "this check did not end within 0.01 s"),
        ("problem", "second", "this check failed with RuntimeError"),
        ("ok", "good", "told"),
    ]
