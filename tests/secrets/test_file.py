"""The source `file:`."""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass.errors import SecretUnavailable
from gatepass.secrets.file import file
from tests.support.secret_context import context


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"hunter2\nsecond line\n", "hunter2"),
        (b" with blanks \n", " with blanks "),
        ("päss-€\n".encode(), "päss-€"),
        (b"\xef\xbb\xbfwritten by Notepad\n", "written by Notepad"),
        (b"-----BEGIN KEY-----\nab\n-----END\n", "-----BEGIN KEY-----\nab\n-----END"),
        (b"\xef\xbb\xbf-----BEGIN KEY-----\nab\n", "-----BEGIN KEY-----\nab"),
    ],
)
def test_the_first_line_or_a_whole_key_is_the_secret(
    tmp_path: Path, content: bytes, secret: str
) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert file(str(tmp_path / "secret"), context()) == secret


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "the first line of .* is empty", "put the secret into the first line"),
        (b"\xef\xbb\xbf\r\nhunter2", "the first line of .* is empty", "put the secret into the"),
        ("hunter2\r\n".encode("utf-16"), "not UTF-8 but UTF-16, as PowerShell", "save .* as UTF-8"),
        (b"hunter2\xff\n", r"is not UTF-8\n", "save the file as UTF-8"),
        (b"hunter2" * 10_000, "longer than 65536 bytes", "hold the secret and nothing else"),
    ],
)
def test_a_line_that_is_no_secret_is_told_with_the_next_step(
    tmp_path: Path, content: bytes, message: str, hint: str
) -> None:
    (tmp_path / "secret").write_bytes(content)

    with pytest.raises(SecretUnavailable, match=message) as caught:
        file(str(tmp_path / "secret"), context())

    assert re.search(hint, caught.value.hint)
    assert "hunter2" not in str(caught.value)


def test_a_folder_is_no_file_and_the_hint_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match="not a regular file") as caught:
        file(str(tmp_path), context())
    assert "put the secret into the first line" in caught.value.hint


def test_a_relative_path_starts_where_the_reference_was_written(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2", encoding="utf-8")
    assert file("secret", context(base_dir=tmp_path)) == "hunter2"


def test_a_home_that_is_relative_is_none() -> None:
    """Else a secret would be read below the working directory, which may be another's."""
    with pytest.raises(SecretUnavailable, match="~ means nothing here"):
        file("~/secret", context(environ={"HOME": "."}))


@pytest.mark.skipif(sys.platform == "win32", reason="few may make links there")
@pytest.mark.parametrize("layer", ["project", "local"])
def test_a_link_in_a_project_does_not_reach_the_users_own_files(tmp_path: Path, layer: str) -> None:
    """Trust covers the text of the profile; a link beside it can change with each ``git pull``."""
    project = tmp_path / "project"
    (project / "real").mkdir(parents=True)
    (project / "real" / "token").write_text("inside", encoding="utf-8")
    (tmp_path / "private").write_text("outside", encoding="utf-8")
    (project / "in").symlink_to(project / "real")
    (project / "out").symlink_to(tmp_path / "private")
    (project / "up").symlink_to(tmp_path)
    here = context(base_dir=project, layer=layer)

    assert file("in/token", here) == "inside"
    assert file("../private", here) == "outside", "is what gatepass trust shows"
    for text in ("out", "up/private"):
        with pytest.raises(SecretUnavailable, match="leads out of the project"):
            file(text, here)
        assert file(text, replace(here, layer="user")) == "outside"


def test_without_a_place_it_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("hunter2", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert file("secret", context()) == "hunter2"


@pytest.mark.parametrize("variable", ["HOME", "USERPROFILE"])
def test_a_tilde_is_the_home_folder_of_the_context(tmp_path: Path, variable: str) -> None:
    (tmp_path / "secret").write_text("hunter2", encoding="utf-8")
    assert file("~/secret", context(environ={variable: str(tmp_path)})) == "hunter2"


def test_the_credentials_folder_of_systemd_is_expanded(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2", encoding="utf-8")
    here = context(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert file("$CREDENTIALS_DIRECTORY/secret", here) == "hunter2"


def test_without_systemd_there_is_no_credentials_folder() -> None:
    with pytest.raises(SecretUnavailable, match="CREDENTIALS_DIRECTORY is not set") as caught:
        file("$CREDENTIALS_DIRECTORY/secret", context())
    assert "LoadCredential" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["$OTHER/secret", "${CREDENTIALS_DIRECTORY}/secret", "$CREDENTIALS_DIRECTORY_X/secret"]
)
def test_nothing_else_is_expanded(tmp_path: Path, text: str) -> None:
    place = tmp_path / text
    place.parent.mkdir()
    place.write_text("as written", encoding="utf-8")
    environ = {"OTHER": "/elsewhere", "CREDENTIALS_DIRECTORY": "/elsewhere"}
    assert file(text, context(environ=environ, base_dir=tmp_path)) == "as written"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SecretUnavailable, match=r"cannot read .*secret: \w.* not found|secret: No such file"
    ) as caught:
        file("secret", context(base_dir=tmp_path))
    assert str(tmp_path / "secret") in caught.value.hint


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match="not a regular file"):
        file(str(tmp_path), context())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecretUnavailable, match="not a regular file"):
        file("pipe", context(base_dir=tmp_path))


def test_a_long_first_line_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 65537)
    with pytest.raises(SecretUnavailable, match="longer than 65536 bytes"):
        file("log", context(base_dir=tmp_path))


def test_a_long_file_with_a_short_first_line_is_fine(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"hunter2\n" + b"x" * 100_000)
    assert file("secret", context(base_dir=tmp_path)) == "hunter2"


@pytest.mark.parametrize("content", ["hunter2".encode("utf-16"), b"hunter2\xff"])
def test_what_is_not_utf_8_is_refused_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SecretUnavailable, match="not UTF-8") as caught:
        file("secret", context(base_dir=tmp_path))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
