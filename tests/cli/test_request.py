"""``gatepass request`` is curl with a profile's login, and the login goes nowhere else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.echo import Answer, Echo, Seen, echo
from tests.support.home import Home, ended, screen

_PROFILE = """\
[profiles.mi]
url = "{url}/base/"
proxy = "none"
retries = 0
auth = {{ scheme = "basic", user_name = "alice", password = "env:PW" }}
"""
_OPENED = "Basic YWxpY2U6c2VzYW1l"  # alice:sesame


def _answer(request: Seen) -> Answer:
    if request.headers.get("authorization") != _OPENED:
        return Answer(401, headers=(("WWW-Authenticate", "Basic realm=x"),), body=b"who are you?")
    if "/status/" in request.path:
        return Answer(int(request.path.rpartition("/")[2]), body=b"sorry\n")
    if "/away" in request.path:
        return Answer(302, headers=(("Location", request.path.partition("?to=")[2]),))
    return Answer(200, body=b"\x00bin\xff\x1b[31m")


@pytest.fixture
def server() -> Iterator[Echo]:
    with echo(_answer) as running:
        yield running


@pytest.fixture
def person(home: Home, server: Echo) -> Home:
    """Somebody with a profile for the server."""
    home.user(_PROFILE.format(url=server.root))
    return home.having(PW="sesame")


def test_the_body_comes_as_it_is_and_goes_into_a_file(
    person: Home, server: Echo, tmp_path: Path
) -> None:
    file = tmp_path / "out.bin"

    done = person.apart.run("request", "/x?y=1", "-o", str(file))
    with person.sit("request", "x") as child:
        assert ended(child) == 0
        shown = screen(child)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert file.read_bytes() == b"\x00bin\xff\x1b[31m"
    assert server.seen[0].path == "/base/x?y=1"
    assert "\x1b[31m" not in shown
    assert "\\x1b[31m" in shown


@pytest.mark.parametrize(
    ("words", "method", "body", "kind"),
    [
        (["-d", "a=1", "-d", "b=2"], "POST", b"a=1&b=2", "application/x-www-form-urlencoded"),
        (["-d", "@in.txt", "-X", "PUT"], "PUT", b"from\na file", "application/x-www-form"),
        (["-d", "@-", "-H", "Content-Type: text/x"], "POST", b"piped", "text/x"),
        (["--json", '{"a": 1}'], "POST", b'{"a": 1}', "application/json"),
        (
            ["-F", "a=1", "-F", "f=@in.txt"],
            "POST",
            b"from\na file",
            "multipart/form-data",
        ),
        (["-X", "DELETE"], "DELETE", b"", ""),
    ],
)
def test_the_words_are_those_of_curl(
    person: Home, server: Echo, words: list[str], method: str, body: bytes, kind: str
) -> None:
    (person.work / "in.txt").write_bytes(b"from\na file")

    done = person.apart.run("request", "-p", "mi", *words, "-o", "out", "x", stdin="piped")

    assert done.returncode == 0, done.stderr
    last = server.seen[-1]
    assert last.method == method
    assert body in last.body
    assert last.headers.get("content-type", "").startswith(kind)


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [("status/404", 1, "404"), ("status/500", 1, "500"), ("status/401", 4, "")],
)
def test_an_error_prints_the_body_and_ends_with_its_code(
    person: Home, path: str, code: int, said: str
) -> None:
    done = person.run("request", path)

    assert done.returncode == code
    assert done.stdout == "sorry\n"
    assert said in done.stderr


def test_a_refused_login_ends_with_4_and_what_the_server_said(person: Home) -> None:
    done = person.having(PW="wrong").run("request", "x")

    assert done.returncode == 4
    assert done.stdout == "who are you?"
    assert "refused" in done.stderr


def test_redirects_are_followed_on_request_without_the_login_and_never_with_a_body(
    person: Home, server: Echo
) -> None:
    with echo(lambda _: Answer(200, body=b"elsewhere")) as other:
        away = f"away?to={other.root}/theirs"
        stays, goes = person.run("request", away), person.run("request", "-L", away)
        body = person.run("request", "-L", "-d", "secret", away)
        absolute = person.run("request", f"{other.root}/x")

        assert stays.returncode == 0
        assert (goes.returncode, goes.stdout) == (0, "elsewhere")
        assert [each.path for each in other.seen] == ["/theirs"]
        assert "authorization" not in other.seen[0].headers
    assert (body.returncode, absolute.returncode) == (2, 2)
    assert "never sent on" in body.stderr
    assert "another server gets no login" in absolute.stderr
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-H", "Authorization: Basic hunter2"], "the login is the profile's"),
        (["-H", "cookie: hunter2"], "the login is the profile's"),
        (["-H", "hunter2"], "NAME: VALUE"),
        (["-F", "hunter2"], "NAME=VALUE"),
        (["-d", "a", "--json", "{}"], "one body at a time"),
        (["-d", "@/gone"], "cannot use /gone"),
        (["-F", "a=@/gone"], "cannot use /gone"),
        (["-o", "/gone/x"], "cannot use /gone/x"),
    ],
)
def test_what_makes_no_sense_is_told(person: Home, words: list[str], said: str) -> None:
    done = person.run("request", *words, "x")

    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert "hunter2" not in done.stderr


def test_what_ends_in_the_middle_is_an_error_of_the_network(home: Home) -> None:
    with echo(lambda _: Answer(200, body=b"half", missing=5, closes=True)) as server:
        home.user(_PROFILE.format(url=server.root))

        done = home.having(PW="x").run("request", "x")

    assert done.returncode not in {0, 70}
    assert json.dumps(done.stderr)
