"""``gatepass trust``: exactly the bytes that were shown."""

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass.cli._context import Context
from tests.support.home import Home, ended, screen
from tests.support.result import DEV, Cli

FILE = """\
default_profile = "dev"
[profiles.dev]
url = "https://mi.example.com/mi"
tls = { verify = false }
[profiles.dev.auth]
scheme = "bearer"
token = { command = ["cat", "/etc/passwd"] }
"""


def test_a_person_sees_what_the_file_may_do_and_says_y(home: Home) -> None:
    home.project(FILE)
    with home.sit("trust") as child:
        child.expect("trust this file")
        shown = screen(child)
        child.sendline("y")
        assert ended(child) == 0

    assert "chooses the default profile: dev" in shown
    assert 'url = "https://mi.example.com/mi"' in shown
    assert "tls.verify = false" in shown
    assert 'auth.token runs a command: ["cat", "/etc/passwd"]' in shown
    assert home.run("show").returncode == 0


def test_an_empty_answer_is_a_no(home: Home) -> None:
    home.project(FILE)
    with home.sit("trust") as child:
        child.expect("trust this file")
        child.sendline("")
        assert ended(child) == 1

    assert home.run("show").returncode == 2


def test_where_nobody_is_it_ends_with_3_and_trusts_nothing(home: Home) -> None:
    home.project(FILE)

    done = home.run("trust")

    assert done.returncode == 3
    assert "--yes" in done.stderr
    assert home.run("show").returncode == 2


def test_a_yes_from_a_pipe_is_nobodys_yes(home: Home) -> None:
    """Also where GATEPASS_NO_INPUT=0 says that a person is there."""
    home.project(FILE)

    done = home.having(GATEPASS_NO_INPUT="0").run("trust", stdin="y\n")

    assert done.returncode == 3
    assert "standard input is not a terminal" in done.stderr


def test_another_content_is_not_trusted(cli: Cli) -> None:
    cli.project(FILE)
    trusted = cli("trust", "--yes")
    assert trusted.code == cli("show").code == 0
    assert "auth.token runs a command" in trusted.err

    cli.project(FILE + "\n")
    assert cli("show").code == 2


def test_both_files_of_a_project_are_trusted_from_a_folder_below(cli: Cli) -> None:
    cli.project(FILE)
    (cli.work / "gatepass.local.toml").write_text("[profiles.dev]\nretries = 1\n")
    below = cli.work / "deep" / "down"
    below.mkdir(parents=True)
    places = replace(cli.context.locations, working=below)

    first = cli.within(Context({}, cli.context.terminal, places))("trust", "--yes")
    second = cli("trust", "--yes")

    assert (first.code, second.code) == (0, 0)
    assert first.err.count("\ntrusted: ") == second.err.count("is trusted already") == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file\ncheck the path"),
        ("[profiles.dev", ""),
        ("[profiles.dev]\n[other]\n", "unknown key"),
    ],
)
def test_what_cannot_be_used_cannot_be_trusted(cli: Cli, content: str | None, said: str) -> None:
    file = cli.work / "other.toml"
    if content is not None:
        file.write_text(content)

    done = cli("trust", "--yes", str(file))
    assert done.code == 2
    assert said in done.err


def test_outside_of_a_project_it_asks_for_a_file(cli: Cli) -> None:
    done = cli("trust")
    assert done.code == 2
    assert "gatepass trust FILE" in done.err


def test_trusting_the_users_own_file_shows_its_machine_settings(cli: Cli) -> None:
    """It admits a file whose permissions cannot be changed."""
    user = cli.user("allow_commands = true\n" + FILE)
    user.chmod(0o666)

    assert cli("show").code == 2
    done = cli("trust", "--yes", str(user))
    assert done.code == cli("show").code == 0
    assert "sets the machine setting allow_commands" in done.err


# ---------------------------------------------------------------- what it shows at the end


def _shown(cli: Cli, text: str) -> str:
    """What trusting a project's file with this content shows."""
    cli.project(text)
    done = cli("trust", "--yes")
    assert done.code == 0
    return done.err


def _profile(name: str, url: str, more: str = "") -> str:
    return (
        f'[profiles.{name}]\nurl = "{url}"\n{more}'
        'auth = { scheme = "bearer", token = "env:MI_TOKEN" }\n'
    )


def test_the_end_says_where_each_secret_would_go_however_many_profiles_there_are(cli: Cli) -> None:
    good = "".join(_profile(f"p{number}", "https://mi.example.com/") for number in range(60))
    evil = _profile("evil", "https://\u0435vil.example.com/")
    shown = _shown(cli, good + evil)

    short = shown.partition("in short:\n")[2].splitlines()
    assert short[0] == (
        "  env:MI_TOKEN would go to https://mi.example.com, "
        "https://\u0435vil.example.com (that is xn--vil-qdd.example.com)"
    )
    assert short[1].startswith("trusted: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            _profile("up", "https://a.test/")
            + '[profiles.dev]\nextends = "up"\nurl = "https://b.test/"',
            "env:MI_TOKEN would go to https://a.test, https://b.test",
        ),
        (
            _profile(
                "p", "https://a.test/", 'proxy = { url = "http://x.test:1", password = "env:P" }\n'
            ),
            "env:P would go to http://x.test:1",
        ),
        (
            (
                '[profiles.p]\nurl = "https://a.test/"\nauth = { scheme = "oidc", '
                'issuer = "https://login.test/", client_id = "c", client_secret = "keyring:" }\n'
            ),
            "keyring: would go to https://login.test",
        ),
        (
            (
                '[profiles.p]\nurl = "https://a.test/"\nauth = { scheme = "bearer", '
                "token = { command = [1979-05-27] } }\n"
            ),
            'runs ["1979-05-27"]',
        ),
        (
            _profile(
                "p", "https://a.test/", 'tls = { ca_file = "/etc/ca.pem", client_cert = "c.pem" }\n'
            ),
            "files outside of its folder, which may change: /etc/ca.pem",
        ),
    ],
    ids=["a parent's", "the proxy's", "the provider's", "a date", "files"],
)
def test_the_end_names_what_a_person_must_judge(cli: Cli, text: str, said: str) -> None:
    assert said in _shown(cli, text).partition("in short:\n")[2]


def test_a_url_that_is_not_shown_names_its_server(cli: Cli) -> None:
    """A sign that no login needs must not hide whom a file means."""
    shown = _shown(cli, _profile("p", "https://\u0435vil.example.com/x@y", "timeout = 3\n"))

    assert 'url = "(not shown)": https://\u0435vil.example.com (that is xn--' in shown
    plain = _shown(cli, _profile("q", "https://evil.example.com/x@y"))
    assert 'url = "(not shown)": https://evil.example.com' in plain


def test_a_local_file_is_judged_together_with_the_file_beside_it(cli: Cli) -> None:
    _shown(cli, _profile("dev", "https://a.test/"))
    (cli.work / "gatepass.local.toml").write_text('[profiles.dev]\nurl = "https://b.test/"\n')

    done = cli("trust", "--yes")

    assert done.code == 0
    assert "env:MI_TOKEN would go to https://b.test" in done.err


def test_after_a_change_it_shows_what_changed(cli: Cli) -> None:
    _shown(cli, _profile("dev", "https://a.test/") + _profile("qa", "https://q.test/"))

    shown = _shown(cli, _profile("dev", "https://b.test/") + _profile("qa", "https://q.test/"))

    changes = [line for line in shown.splitlines() if line.startswith("changed since")]
    assert changes == [
        'changed since you trusted it: -  url = "https://a.test/"',
        'changed since you trusted it: +  url = "https://b.test/"',
    ]


_TLS = _profile("dev", "https://a.test/", 'tls = { ca_file = "certs/ca.pem" }\n')


@pytest.mark.parametrize("change", ["replaced", "deleted", "a link out", "a device"])
def test_trust_covers_the_certificates_below_the_folder(
    cli: Cli, tmp_path: Path, change: str
) -> None:
    work = cli.work
    file = work / "certs" / "ca.pem"
    file.parent.mkdir()
    file.write_text("one")
    shown = _shown(cli, _TLS)
    assert "trusted with it, as they are now: certs/ca.pem" in shown
    assert cli("show", "dev").code == 0

    file.unlink()
    if change == "replaced":
        file.write_text("two")
    elif change != "deleted":
        outside = tmp_path / "outside.pem"
        outside.write_text("one")
        file.symlink_to(outside if change == "a link out" else "/dev/zero")

    done = cli("show", "dev")
    assert done.code == 2
    assert "gatepass trust" in done.err
    if "link" in change or "device" in change:
        done = cli("trust", "--yes")
        assert done.code == 2
        assert "is a link that leads out of the folder" in done.err
    else:
        assert cli("trust", "--list").out.splitlines()[1].startswith("changed")
        done = cli("trust", "--yes")
        assert done.code == 0
        assert "changed since you trusted it: certs/ca.pem" in done.err
        assert cli("show", "dev").code == 0


def test_a_folder_of_certificates_is_covered_too_and_a_link_to_itself_ends(cli: Cli) -> None:
    work = cli.work
    (work / "certs").mkdir()
    (work / "certs" / "loop").symlink_to(work / "certs")
    _shown(cli, _TLS.replace("certs/ca.pem", "certs"))
    assert cli("show", "dev").code == 0

    (work / "certs" / "0123abcd.0").write_text("evil")

    assert cli("show", "dev").code == 2


def test_no_link_leads_out_whatever_the_record_says(cli: Cli, tmp_path: Path) -> None:
    work = cli.work
    _shown(cli, _TLS)
    (record,) = (cli.context.locations.state / "trust").glob("*.json")
    entry = json.loads(record.read_text())
    entry["files"] = {}
    record.write_text(json.dumps(entry))
    record.with_suffix(".txt").unlink()

    assert cli("show", "dev").code == 0

    (work / "certs").symlink_to(tmp_path)
    done = cli("show", "dev")
    assert done.code == 2
    assert "profiles.dev.tls.ca_file: is a link that leads out" in done.err


# ---------------------------------------------------------------- list and revoke


def _trusted(cli: Cli, name: str, content: str = FILE) -> Path:
    path = cli.work / name
    path.write_text(content)
    assert cli("trust", "--yes", str(path)).code == 0
    return path


def _listed(cli: Cli) -> dict[str, dict[str, str]]:
    return {Path(each["path"]).name: each for each in cli("trust", "--list", "--json").json}


def test_the_list_tells_of_each_file_since_when_and_whether_it_is_still_the_same(cli: Cli) -> None:
    same, changed, gone, odd = (_trusted(cli, f"{name}.toml") for name in "abcd")
    changed.write_text(FILE + "\n")
    gone.unlink()
    odd.unlink()
    odd.mkdir()
    for record in (cli.context.locations.state / "trust").iterdir():
        os.utime(record, (1_000_000_000, 1_000_000_000))

    listed = _listed(cli)
    lines = cli("trust", "--list").out.splitlines()

    digest = hashlib.sha256(FILE.encode()).hexdigest()
    assert listed["a.toml"] == {
        "path": str(same),
        "sha256": digest,
        "since": "2001-09-09T01:46:40+00:00",
        "state": "unchanged",
    }
    states = [each["state"] for each in listed.values()]
    assert states == ["unchanged", "changed", "absent", "unreadable"]
    assert lines[0].split() == ["STATE", "SINCE", "SHA-256", "FILE"]
    assert [line.split()[0] for line in lines[1:]] == states
    assert digest[:12] in lines[1]
    assert lines[1].endswith(str(same))


def test_a_record_that_is_damaged_or_lies_at_the_wrong_place_is_listed_and_can_go(cli: Cli) -> None:
    _trusted(cli, "a.toml")
    folder = cli.context.locations.state / "trust"
    (record,) = folder.glob("*.json")
    (folder / f"{'0' * 64}.json").write_bytes(record.read_bytes())
    record.write_text("{")

    listed = _listed(cli)
    for name in listed:
        assert cli("trust", "--revoke", str(folder / name)).code == 0

    assert [each["state"] for each in listed.values()] == ["damaged record"] * 2
    assert _listed(cli) == {}


def test_where_nothing_is_trusted_the_list_is_empty(cli: Cli) -> None:
    listed = cli("trust", "--list")
    assert (listed.code, listed.out, listed.err) == (0, "", "no file is trusted\n")
    done = cli("trust", "--revoke", "x.toml")
    assert done.code == 2
    assert "no file is trusted" in done.err


def test_a_revoked_file_takes_no_part_any_more(cli: Cli) -> None:
    path = _trusted(cli, "gatepass.toml")
    other = _trusted(cli, "other.toml")
    assert cli("show").code == 0

    assert cli("trust", "--revoke", str(path)).code == 0

    assert cli("show").code == 2
    assert list(_listed(cli)) == [other.name]


def test_a_file_that_is_gone_with_its_folder_can_be_revoked(cli: Cli, tmp_path: Path) -> None:
    """Also where the folder was a link: the list names the file as it was found."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("a.toml", "b.toml"):
        (tmp_path / "real" / name).write_text(FILE)
        assert cli("trust", "--yes", str(tmp_path / "link" / name)).code == 0

    assert cli("trust", "--revoke", str(tmp_path / "link" / "a.toml")).code == 0
    (tmp_path / "real" / "b.toml").unlink()
    (tmp_path / "real" / "a.toml").unlink()
    (tmp_path / "real").rmdir()
    assert cli("trust", "--revoke", _listed(cli)["b.toml"]["path"]).code == 0

    assert _listed(cli) == {}


def test_a_file_whose_folder_was_replaced_by_a_link_can_be_revoked(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    file = tmp_path / "old" / "a.toml"
    file.write_text(FILE)
    assert cli("trust", "--yes", str(file)).code == 0
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "old").symlink_to(tmp_path / "new")

    assert cli("trust", "--revoke", str(file)).code == 0

    assert _listed(cli) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_record_that_others_can_write_counts_as_damaged(cli: Cli) -> None:
    _trusted(cli, "a.toml")
    (record,) = (cli.context.locations.state / "trust").glob("*.json")
    record.chmod(0o666)

    assert [each["state"] for each in _listed(cli).values()] == ["damaged record"]


def test_an_unknown_file_is_an_error_that_lists_the_others(cli: Cli) -> None:
    path = _trusted(cli, "a.toml")

    done = cli("trust", "--revoke", "b.toml")

    assert done.code == 2
    assert "b.toml is not among the files that are trusted" in done.err
    assert f"trusted are:\n    {path}\n" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--list", "x.toml"], "--list takes no FILE"),
        (["--revoke"], "--revoke needs a FILE"),
        (["--list", "--revoke", "x.toml"], "do not go together"),
        (["--json"], "--json goes with --list"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    cli: Cli, arguments: list[str], said: str
) -> None:
    done = cli("trust", *arguments)
    assert done.code == 2
    assert said in done.err


STRANGER = 4711

OTHER = 4712

THEIRS = """
[profiles.prod]
url = "https://evil.example.com/"
auth = { scheme = "anonymous" }
"""

as_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="needs root, to give files away"
)


@as_root
def test_the_command_admits_an_owner_only_where_the_file_is_named(home: Home) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    path = home.project(THEIRS)
    os.chown(path, STRANGER, STRANGER)

    unnamed = home.run("trust", "--yes")
    assert unnamed.returncode == 1
    assert f"not trusted: {path} belongs to another user, number {STRANGER}" in unnamed.stderr

    named = home.run("trust", "--yes", str(path))
    assert named.returncode == 0
    assert f"{path} belongs to another user, number {STRANGER}, who can change it" in named.stderr
    assert "https://evil.example.com/" in home.run("show", "prod").stdout
    assert "unchanged" in home.run("trust", "--list").stdout
    assert "trusted already" in home.run("trust").stderr

    os.chown(path, OTHER, OTHER)
    assert "other owner" in home.run("trust", "--list").stdout
    assert f"gatepass trust {path}" in home.run("doctor").stdout
    assert home.run("trust", "--yes", str(path)).returncode == 0
    assert "https://evil.example.com/" in home.run("show", "prod").stdout


@as_root
def test_the_doctor_tells_it_and_names_nobody_in_a_report(home: Home) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    path = home.project(THEIRS)
    os.chown(path, STRANGER, STRANGER)

    full = home.run("doctor")
    redacted = home.run("doctor", "--redacted")

    assert f"belongs to another user, number {STRANGER}" in full.stdout
    assert f"gatepass trust {path}" in full.stdout
    assert str(STRANGER) not in redacted.stdout


@pytest.mark.parametrize(
    "words",
    ["check", "check --unattended", "show", "status", "secret list", "secret set", "validate"],
)
def test_an_untrusted_file_is_told_once_by_each_verb(cli: Cli, words: str) -> None:
    cli.project(DEV)

    done = cli(*words.split(), "dev")

    assert done.code == 2
    assert (done.out + done.err).count("not trusted") == 1
