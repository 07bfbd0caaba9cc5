"""``gatepass init``: a new profile, and not a byte of the file lost."""

import contextlib
import re
import shlex
import stat
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatepass.cli._context import Context
from gatepass.sandbox.provider import IdentityProvider
from gatepass.sandbox.server import Server
from tests.support.home import Home, ended, screen
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.need import need_program
from tests.support.result import Cli

NEW = ["init", "new", "--url", "https://mi.example.com/mi", "--scheme", "anonymous"]
MEANT = {"url": "https://mi.example.com/mi", "auth": {"scheme": "anonymous"}}
DEV = '[profiles.dev]\nurl = "https://dev.example.com/mi"\nauth = { scheme = "anonymous" }\n'

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


# ---------------------------------------------------------------- questions


def _answer(child: Any, *answers: tuple[str, str], code: int = 0) -> str:
    for question, answer in answers:
        child.expect(question)
        child.sendline(answer)
    assert ended(child) == code
    return screen(child)


def test_a_person_answers_a_few_questions(home: Home) -> None:
    with home.sit("init", "--offline") as child:
        shown = _answer(
            child,
            ("name of the profile", "prod"),
            ("URL of the server", "https://mi.example.com/mi"),
            ("scheme", "basic"),
            ("user name", "alice"),
            ("Windows domain", "CORP"),
            ("where the password comes from", "env:MI_PASSWORD"),
        )

    assert "gatepass show prod" in shown
    assert "gatepass check prod" in shown
    assert tomllib.loads(home.user_file.read_text()) == {
        "default_profile": "prod",
        "profiles": {
            "prod": {
                "url": "https://mi.example.com/mi",
                "auth": {
                    "scheme": "basic",
                    "user_name": "alice",
                    "password": "env:MI_PASSWORD",
                    "domain": "CORP",
                },
            }
        },
    }
    assert "prod is the default profile now" in shown
    assert home.run("show").returncode == 0


def test_a_person_who_mistypes_is_told_and_asked_again(home: Home) -> None:
    home.user(DEV)
    with home.sit("init", "--offline", columns=300) as child:
        _answer(
            child,
            ("name of the profile", "My Prod"),
            ("is made of a-z[^$]*name of the profile", "dev"),
            ("has a profile dev already[^$]*name of the profile", "prod"),
            ("URL of the server", "mi.example.com"),
            (
                "did you mean https://mi.example.com [^$]*URL of the server",
                "https://mi.example.com/mi",
            ),
            ("scheme", "anonymos"),
            (r'did you mean "anonymous"\?[^$]*scheme', "anonymous"),
        )

    assert tomllib.loads(home.user_file.read_text())["profiles"]["prod"] == MEANT


def test_who_has_a_malformed_file_gets_the_lines_to_add_by_hand(home: Home) -> None:
    home.user("[profiles.dev")
    with home.sit("init", "--offline", columns=300) as child:
        shown = _answer(
            child,
            ("name of the profile", "prod"),
            ("URL of the server", "https://mi.example.com/mi"),
            ("scheme", "anonymous"),
            code=2,
        )

    assert "[profiles.prod]" in shown
    assert "add the lines above" in shown


@pytest.mark.parametrize("more", [[], ["--url", "https://dev.example.com/"]])
def test_nobody_answers_questions_for_a_name_that_is_taken(home: Home, more: list[str]) -> None:
    home.user(DEV)
    with home.sit("init", "dev", *more, columns=300) as child:
        assert ended(child) == 2
        shown = screen(child)

    assert "has a profile dev already; choose another name" in shown
    assert "asking" not in shown


def test_a_person_who_types_the_password_itself_does_not_see_it_again(home: Home) -> None:
    arguments = ("prod", "--url", "https://x.y/", "--scheme", "bearer")
    with home.sit("init", *arguments) as child:
        child.expect("where the token comes from")
        child.sendline("hunter2")
        assert ended(child) == 2
        shown = screen(child)

    assert shown.count("hunter2") == 1  # the terminal's own echo
    assert not home.user_file.exists()


def test_where_nobody_is_all_missing_options_are_named(home: Home) -> None:
    nothing = home.apart.run("init")
    half = home.apart.run("init", "prod", "--url", "https://x.y/", "--scheme", "basic")

    assert nothing.returncode == 2
    assert "missing: NAME, --url, --scheme; nobody" in nothing.stderr
    assert "asking" not in nothing.stderr, "without a URL nobody can be asked"
    assert half.returncode == 2
    assert "missing: --user-name, --password-from; nobody" in half.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Prod", *NEW[2:]], "a profile's name is made of"),
        (["a__b", *NEW[2:]], "no double _"),
        (["new", "--url", "ftp://x", "--scheme", "anonymous"], "the URL should be"),
        (["new", "--url", "https://x.y/", "--scheme", "bsic"], 'did you mean "basic"?'),
        ([*NEW[1:], "--user-name", "alice"], "takes no --user-name"),
        ([*NEW[1:], "--password-from", "keyring"], "takes no --password-from"),
        ([*NEW[1:], "--project", "--file", "x.toml"], "exclude each other"),
        (
            "new --url http://far.example.com/ --scheme bearer --password-from env:X".split(),
            "plain http would send credentials",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    cli: Cli, arguments: list[str], said: str
) -> None:
    done = cli("init", *arguments)

    assert done.code == 2
    assert said in done.err
    assert not cli.context.locations.user.exists()


def test_several_references_are_alternatives(cli: Cli) -> None:
    words = ["env:MI_PASSWORD", "keyring", "prompt", "prompt:MI password"]
    options = [each for word in words for each in ("--password-from", word)]

    assert cli("init", "new", "--url", "https://x.y/", "--scheme", "bearer", *options).code == 0

    written = tomllib.loads(cli.context.locations.user.read_text())["profiles"]["new"]
    assert written["auth"]["token"] == [
        "env:MI_PASSWORD",
        "keyring:",
        "prompt:",
        "prompt:MI password",
    ]


# ---------------------------------------------------------------- all the way


def test_it_ends_with_a_request_that_proves_the_login(home: Home, server: Server) -> None:
    with home.having(MI_PASSWORD="sesame").sit("init", "prod", columns=300) as child:
        shown = _answer(
            child,
            ("URL of the server", server.url),
            (r"scheme .*\[credentials\]", "basic"),
            ("user name", "alice"),
            ("Windows domain", ""),
            (r"a keyring cannot be offered.*\[prompt\]", "env:MI_PASSWORD"),
            ("log on now", ""),
        )

    assert "as alice" in shown
    assert shown.rstrip().endswith("gatepass show prod")
    assert len(server.requests) == 3  # asked, logged on, and asked without the login


def test_it_offers_to_keep_the_password_where_there_is_a_keyring(
    desk: Home, server: Server
) -> None:
    with desk.having(GATEPASS_NO_INPUT="0").sit("init", "prod", columns=300) as child:
        shown = _answer(
            child,
            ("URL of the server", server.url),
            (r"scheme", ""),
            ("user name", "alice"),
            ("Windows domain", ""),
            (r"comes from.*\[keyring\]", ""),
            ("store the password in the keyring now", "y"),
            ("password of alice at http", "sesame"),
        )

    assert "as alice" in shown
    assert desk.run("check").returncode == 0


def test_a_login_is_stored_also_where_there_is_no_keyring(home: Home) -> None:
    need_program("curl", "curl")
    with (
        IdentityProvider(users={"alice": "sesame"}, auto_login="alice") as idp,
        Server(mode="oidc", provider=idp) as server,
        home.having(BROWSER="curl -sLo /dev/null %s", DISPLAY=":0").sit(
            "init", "sso", columns=300
        ) as child,
    ):
        shown = _answer(
            child,
            ("URL of the server", server.url),
            (r"scheme .*\[oidc\]", ""),
            ("log in now, and store the login", ""),
            ("keep the key of stored logins in", ""),
        )
        again = home.run("check", "sso")

    assert "logged in as alice" in shown
    assert shown.rstrip().endswith("gatepass show sso")
    assert again.returncode == 0, again.stderr
    assert 'vault_key = "file:vault.key"' in home.user_file.read_text()


def test_a_login_that_fails_leaves_the_profile_and_the_real_next_step(
    home: Home, server: Server
) -> None:
    arguments = ("prod", "--url", server.url, "--scheme", "basic", "--user-name", "alice")
    with home.having(MI_PASSWORD="wrong").sit(
        "init", *arguments, "--password-from", "env:MI_PASSWORD", columns=300
    ) as child:
        shown = _answer(child, ("Windows domain", ""), ("log on now", "y"), code=4)

    assert "refused" in shown
    assert shown.rstrip().endswith("gatepass check prod")
    assert home.run("show", "prod").returncode == 0


def test_an_authority_of_ones_own_is_asked_for_and_written(
    home: Home, apache: Apache, ca: CertificateAuthority
) -> None:
    with home.sit("init", "prod", columns=300) as child:
        shown = _answer(
            child,
            ("URL of the server", apache.standalone.https),
            ("unknown authority[^$]*--ca-file[^$]*file of your org", "/gone.pem"),
            ("/gone.pem: No such file[^$]*file of your org", str(ca.ca_file)),
            (r"offers Basic[^$]*scheme", "basic"),
            ("user name", "alice"),
            ("Windows domain", ""),
            ("comes from", "env:UNSET"),
            ("log on now", "n"),
        )

    assert "Basic (" not in shown, "only a Granta MI server has such a mode"
    assert tomllib.loads(home.user_file.read_text())["profiles"]["prod"]["tls"] == {
        "ca_file": str(ca.ca_file)
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--url", "http://far.example.com/"], "plain http would send credentials"),
        (["--url", "mi.example.com"], "did you mean https://mi.example.com ?"),
        (["--url", "https://x.y/", "--ca-file", "/gone.pem"], "/gone.pem"),
        (["--url", "https://x.y/", "--scheme", "basic", "--issuer", "https://z/"], "takes no"),
    ],
)
def test_what_is_wrong_is_told_before_the_last_question(
    cli: Cli, options: list[str], said: str
) -> None:
    login = ["--user-name", "alice", "--password-from", "env:X", "--offline"]

    done = cli("init", "new", *options, *login)

    assert done.code == 2
    assert said in done.err
    assert not cli.context.locations.user.exists()


def test_options_become_keys(cli: Cli, ca: CertificateAuthority) -> None:
    options = ["--proxy", "none", "--allow-http", "--issuer", "https://login.test", "--client-id"]
    project = ["--project", "--ca-file", "ca.pem", "--offline", "--scheme", "oidc"]
    work = cli.work
    (work / "ca.pem").write_bytes(ca.ca_file.read_bytes())

    with contextlib.chdir(work):
        assert cli("init", "p", "--url", "https://x.y/", *options, "c", *project).code == 0

    assert tomllib.loads((work / "gatepass.toml").read_text()) == {
        "default_profile": "p",
        "profiles": {
            "p": {
                "url": "https://x.y/",
                "proxy": "none",
                "allow_http": True,
                "tls": {"ca_file": "ca.pem"},
                "auth": {"scheme": "oidc", "issuer": "https://login.test", "client_id": "c"},
            }
        },
    }


# ---------------------------------------------------------------- the default


def test_the_first_profile_is_the_default_and_another_one_may_become_it(cli: Cli) -> None:
    path = cli.user("# mine\n")
    assert cli(*NEW).code == cli("init", "second", *NEW[2:]).code == 0
    first = tomllib.loads(path.read_text())["default_profile"]

    assert cli("init", "second", "--default").code == 0
    assert cli("init", "third", *NEW[2:], "--default").code == 0

    text = path.read_text()
    assert first == "new"
    assert tomllib.loads(text)["default_profile"] == "third"
    assert text.startswith('# mine\n\ndefault_profile = "third"\n')
    assert text.count("default_profile") == 1


@pytest.mark.parametrize("old", ['default_profile = """dev\n"""\n', '"default_profile" = "dev"\n'])
def test_a_default_in_an_odd_form_is_left_alone(cli: Cli, old: str) -> None:
    path = cli.user(old + DEV)

    assert cli("init", "dev", "--default").code == 2

    assert path.read_text() == old + DEV


# ---------------------------------------------------------------- which file


@posix
def test_a_new_file_of_the_user_is_private_and_so_is_its_folder(cli: Cli) -> None:
    assert cli(*NEW).code == 0

    user = cli.context.locations.user
    assert stat.S_IMODE(user.stat().st_mode) == 0o600
    assert stat.S_IMODE(user.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("before", ["new", "trusted", "unknown"])
def test_a_project_file_is_trusted_where_it_is_new_or_was_trusted_before(
    cli: Cli, before: str
) -> None:
    if before != "new":
        cli.project(DEV)
    if before == "trusted":
        assert cli("trust", "--yes").code == 0

    done = cli(*NEW, "--project")

    assert done.code == 0
    assert ("gatepass trust" in done.err) == (before == "unknown")
    assert cli("show", "new").code == (2 if before == "unknown" else 0)


def test_no_project_file_is_made_where_none_is_ever_read(cli: Cli) -> None:
    places = replace(cli.context.locations, system=(), working=cli.context.locations.home)

    done = cli.within(Context({}, cli.context.terminal, places))(*NEW, "--project")

    assert done.code == 2
    assert "never read" in done.err


@pytest.mark.parametrize("name", ["gatepass.toml", "gatepass.local.toml", "with blank.toml"])
def test_the_next_steps_work_as_they_are_printed(cli: Cli, name: str) -> None:
    for folder in (cli.work, cli.context.locations.state / "elsewhere"):
        done = cli(*NEW, "--file", str(folder / name))
        assert done.code == 0
        commands = re.findall(r"gatepass (show .*)", done.err)
        assert cli(*shlex.split(commands[0])).code == 0


def test_where_a_variable_names_the_files_the_new_one_is_named_in_the_next_steps(cli: Cli) -> None:
    done = cli.having({"GATEPASS_CONFIG_FILE": "other.toml"})(*NEW)

    assert done.code == 0
    assert f"--config-file {cli.context.locations.user}" in done.err


def test_the_users_own_file_may_be_named_and_keeps_its_machine_settings(cli: Cli) -> None:
    path = cli.user("allow_commands = true\n")

    assert cli(*NEW, "--file", str(path)).code == 0


# ---------------------------------------------------------------- where it cannot be added


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (b'profiles = { dev = { url = "https://x.y/" } }\n', "cannot be added to"),
        (b"[profiles.dev\n", "not valid"),
        (b"[other]\n", "unknown key"),
        (DEV.replace("dev", "new").encode(), "has a profile new already"),
        (b"\xff\xfe[\x00", "not UTF-8"),
        (DEV.encode().replace(b"\n", b"\r"), "not valid"),
    ],
)
def test_where_it_cannot_append_it_prints_the_lines_and_leaves_the_file_alone(
    cli: Cli, old: bytes, said: str
) -> None:
    path = cli.user(old)

    done = cli(*NEW)

    assert done.code == 2
    assert tomllib.loads(done.out) == {"profiles": {"new": MEANT}}
    assert said in done.err
    assert str(path) in done.err
    assert path.read_bytes() == old
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_twin_of_an_old_name_is_not_written(cli: Cli) -> None:
    path = cli.user(DEV.replace("dev", "a-b"))

    done = cli("init", "a_b", *NEW[2:])

    assert done.code == 2
    assert "one name to variables" in done.err
    assert "a_b" not in path.read_text()


@pytest.mark.parametrize("content", [None, ""])
def test_nothing_is_written_through_a_link_that_a_project_brought(
    cli: Cli, tmp_path: Path, content: str | None
) -> None:
    target = tmp_path / "target.toml"
    (cli.work / "gatepass.toml").symlink_to(target)
    if content is not None:
        target.write_text(content)

    done = cli("init", "x", *NEW[2:], "--project")

    assert done.code == 2
    assert "is a link, and a project may lead anywhere" in done.err
    assert (target.read_text() if target.exists() else None) == content
