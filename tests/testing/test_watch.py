"""What the contracts observe with sees what happens, and does nothing otherwise."""

import base64
import json
import socket
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote

import pytest

from gatepass.testing._watch import AskedError, in_time, shows, watching

SECRET = "c\u00e4n'ary\"/?-sec+ret"


def test_connections_of_every_thread_are_seen_while_they_are_watched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def connect() -> None:
            socket.create_connection(("127.0.0.1", port)).close()

        with watching() as watch:
            thread = Thread(target=connect)
            thread.start()
            thread.join()
            socket.getaddrinfo("localhost", 1)
        connect()

    assert watch.connections.count(f"127.0.0.1:{port}") == 2, "looked up, and connected"
    assert watch.connections[-1] == "localhost:1"
    assert watch.questions == []


def test_a_question_is_stopped_before_a_person_sees_it() -> None:
    with watching() as outer, watching() as watch:
        with pytest.raises(AskedError, match="input was used in a run without a person"):
            input("Password: ")
        with pytest.raises(AskedError, match="/dev/tty"):
            Path("/dev/tty").read_text()

    assert outer.questions == watch.questions == ["input", "/dev/tty"]


@pytest.mark.parametrize(
    "text",
    [
        f"it is {SECRET}!",
        f"https://x.y/?key={quote(SECRET, safe='')}",
        json.dumps({"key": SECRET}),
        repr([SECRET]),
        SECRET.encode().hex(),
        *[base64.b64encode(b"x" * before + SECRET.encode() + b"y").decode() for before in range(3)],
        base64.urlsafe_b64encode(SECRET.encode() + b"\n"),
        b"\xff" + SECRET.encode(),
    ],
)
def test_a_secret_is_found_in_every_form(text: str | bytes) -> None:
    assert shows(text, ["another-one", SECRET])
    assert not shows(text, ["another-one"])


def test_a_secret_that_shows_by_chance_is_no_test() -> None:
    with pytest.raises(ValueError, match="8 characters or more"):
        shows("any text", ["any"])


def test_work_that_hangs_fails_the_check_and_an_error_of_the_work_is_its_own() -> None:
    never = Event()

    def raises() -> None:
        raise LookupError

    assert in_time(lambda: 7, 60.0) == 7
    with pytest.raises(LookupError):
        in_time(raises, 60.0)
    with pytest.raises(pytest.fail.Exception, match="did not answer within 0.01 s"):
        in_time(never.wait, 0.01)
    never.set()
