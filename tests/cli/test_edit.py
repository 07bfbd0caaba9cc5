"""A file of profiles is changed without losing a byte of it."""

import os
import re
import stat
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass._config import trust
from gatepass._config.locations import Locations
from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from gatepass.cli._edit import FileEdit
from gatepass.errors import ProfileError
from tests.support.peers.environ import is_root

NEW = ["init", "new", "--url", "https://mi.example.com/mi", "--scheme", "anonymous"]
MEANT = {"url": "https://mi.example.com/mi", "auth": {"scheme": "anonymous"}}
DEV = '[profiles.dev]\nurl = "https://dev.example.com/mi"\nauth = { scheme = "anonymous" }\n'

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@pytest.mark.parametrize(
    "old",
    [
        b"",
        b"\xef\xbb\xbf",
        b"# a comment only",
        DEV.encode(),
        DEV.encode().rstrip(),
        DEV.encode() + b"\n\n# the end",
        DEV.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + DEV.replace("\n", "\r\n").encode().rstrip(),
        b'[profiles."quoted"]\nurl = "https://x.y/"\n',
        b'profiles.dotted.url = "https://x.y/"\n',
        b'profiles.dotted = { url = "https://x.y/" }\n',
        b"vault_key = 'env:KEY'\n[profiles]\n",
        b'[profiles.last]\ndescription = """\n[profiles.new]\n"""',
    ],
)
def test_the_old_bytes_come_first_and_mean_the_same(
    context: Context, user: Callable[[bytes], Path], old: bytes
) -> None:
    path = user(old)

    assert run(NEW, context) == 0

    new = path.read_bytes()
    before = tomllib.loads(old.decode("utf-8-sig").replace("\r\n", "\n"))
    after = tomllib.loads(new.decode("utf-8-sig").replace("\r\n", "\n"))
    if not before.get("profiles") and "default_profile" not in before:
        assert after.pop("default_profile") == "new"
    assert _without_default(new, before).startswith(old)
    assert new.count(b"\xef\xbb\xbf") == old.count(b"\xef\xbb\xbf")
    assert after["profiles"].pop("new") == MEANT
    assert after == {"profiles": {}, **before}
    if b"\r\n" in old:
        assert new.count(b"\n") == new.count(b"\r\n")


def _without_default(new: bytes, before: dict[str, Any]) -> bytes:
    """The new bytes without the line that the first profile of a file brings."""
    if "default_profile" in before:
        return new
    return re.sub(rb'default_profile = "new"\r?\n((?:\r?\n)(?=\s*\[))?', b"", new, count=1)


_names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True).filter(lambda name: name != "new")
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)

_values: Any = st.recursive(
    st.one_of(
        _text,
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.datetimes(),
        st.dates(),
        st.times(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)

_files = st.fixed_dictionaries(
    {"profiles": st.dictionaries(_names, st.dictionaries(_text, _values, max_size=3), max_size=3)},
    optional={"default_profile": _text, "root": st.booleans()},
)


@given(
    tables=_files,
    head=st.sampled_from([b"", b"\xef\xbb\xbf", b"# comment\n", b"\n\n"]),
    tail=st.sampled_from([b"", b"\n", b"# comment", b"  \t"]),
    crlf=st.booleans(),
    multiline=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_valid_file_keeps_its_bytes_and_its_meaning(
    tables: dict[str, Any], head: bytes, tail: bytes, crlf: bool, multiline: bool
) -> None:
    old = head + tomli_w.dumps(tables, multiline_strings=multiline).encode() + tail
    if crlf:
        old = old.replace(b"\n", b"\r\n")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "user", "profiles.toml")
        path.parent.mkdir()
        path.write_bytes(old)
        places = Locations((), path, Path(name, "state"), None, None)

        code = run(NEW, Context({}, Terminal({}, interactive=False), places))
        new = path.read_bytes()

    before = tomllib.loads(old.decode("utf-8-sig").replace("\r\n", "\n"))
    after = tomllib.loads(new.decode("utf-8-sig").replace("\r\n", "\n"))
    assert code == 0
    if not before.get("profiles") and "default_profile" not in before:
        assert after.pop("default_profile") == "new"
    assert _without_default(new, before).startswith(old)
    assert after["profiles"].pop("new") == MEANT
    assert repr(after) == repr(before if "profiles" in before else {**before, "profiles": {}})


@posix
def test_permissions_stay_and_a_link_stays_a_link(
    context: Context, user: Callable[[bytes], Path], tmp_path: Path
) -> None:
    path = user(DEV.encode())
    real = tmp_path / "dotfiles" / "real.toml"
    real.parent.mkdir()
    path.rename(real)
    real.chmod(0o640)
    path.symlink_to(real)

    assert run(NEW, context) == 0

    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert b"[profiles.new]" in real.read_bytes()


@posix
@pytest.mark.skipif(not is_root(), reason="only root can give files away")
def test_the_owner_stays(context: Context, user: Callable[[bytes], Path]) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    path = user(DEV.encode())
    os.chown(path, 12345, 54321)

    assert run(NEW, context) == 2  # it is written; but nobody uses a file of another user

    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


@pytest.mark.parametrize("before", [None, DEV.encode()])
def test_a_file_that_changed_meanwhile_is_left_alone(
    context: Context, user: Callable[[bytes], Path], before: bytes | None
) -> None:
    path = user(before or b"")
    if before is None:
        path.unlink()
    edit = FileEdit.of(path, "user")
    path.write_bytes(b"# somebody else was here\n")

    with pytest.raises(ProfileError, match="changed by somebody else"):
        edit.replace(b"mine", trust.TrustStore(context.locations.state))

    assert path.read_bytes() == b"# somebody else was here\n"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_is_told_as_an_error(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    code = run([*NEW, "--file", str(tmp_path / "file" / "profiles.toml")], context)

    assert code == 1
    told = capsys.readouterr().err
    assert "cannot write" in told
    assert "or write elsewhere: --file PATH" in told
