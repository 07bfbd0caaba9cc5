"""``gatepass secret``: into the keyring, out of it, and never onto the screen."""

from pathlib import Path

import pytest

from tests.support.home import Home, ended, screen
from tests.support.secret_profiles import prod, read_entry, states_of

SECRET = "Gr\u00f6\u00dfe 42!"  # not ASCII, with a blank


# ---------------------------------------------------------------- set and delete


def test_a_person_types_it_hidden_and_can_delete_it_again(desk: Home) -> None:
    desk.user(prod())
    with desk.sit("secret", "set", "prod") as child:
        child.expect("password .*: ")
        child.sendline(SECRET)
        assert ended(child) == 0
        shown = screen(child)

    assert SECRET not in shown
    assert r"entry CORP\alice of service gatepass:https://mi.example.com" in shown
    assert states_of(desk) == {"password keyring:": "answers"}

    assert desk.run("secret", "delete", "prod").returncode == 0
    assert states_of(desk) == {"password keyring:": "no answer"}
    assert desk.run("secret", "delete", "prod").returncode == 3


def test_a_script_pipes_it(desk: Home) -> None:
    desk.user(prod('["env:MI_PASSWORD", "keyring:team/shared"]'))

    done = desk.run("secret", "set", "prod", "--stdin", stdin=f"{SECRET}\r\n")

    assert done.returncode == 0
    assert done.stdout == ""
    assert "entry shared of service team" in done.stderr
    assert read_entry(desk, "team", "shared") == SECRET


def test_a_session_finds_what_was_stored(desk: Home) -> None:
    """The entry is the one that a session looks for, also for fields that are not the password."""
    desk.user(
        prod(user="env:WHO")
        + '[profiles.prod.proxy]\nurl = "http://p:1"\nuser_name = "me"\npassword = "keyring:"\n'
    )
    there = desk.having(WHO="bob")

    for field in ("password", "proxy.password"):
        assert there.run("secret", "set", "prod", field, stdin=f"{field}-secret").returncode == 0

    done = there.python(
        "from gatepass import Session; s = Session.from_profile('prod'); "
        "print(sorted(v.reveal() for (k, _), v in s._login.secrets._found.items() if 'pass' in k))"
    )
    assert done.stdout.strip() == "['password-secret', 'proxy.password-secret']"
    assert states_of(there)["proxy.password keyring:"] == "answers"


def test_the_line_to_write_asks_the_keyring_before_a_person(home: Home) -> None:
    home.user(prod('"prompt:"'))

    assert '= ["keyring:", "prompt:"]' in home.run("secret", "set", "prod", stdin="x").stderr


def test_a_field_without_a_keyring_reference_tells_the_line_to_write(home: Home) -> None:
    home.user(prod('"env:MI_PASSWORD"'))

    done = home.run("secret", "set", "prod", stdin="x")

    assert done.returncode == 2
    assert "has no keyring reference" in done.stderr
    assert 'password = ["env:MI_PASSWORD", "keyring:"]' in done.stderr


@pytest.mark.parametrize(
    ("stdin", "said"),
    [("", "empty"), ("\n", "empty"), ("a\nb\n", "more than one line"), ("x" * 70000, "more than")],
)
def test_what_is_no_secret_is_not_stored(home: Home, stdin: str, said: str) -> None:
    home.user(prod())

    done = home.run("secret", "set", "prod", stdin=stdin)

    assert done.returncode == 3
    assert said in done.stderr


def test_without_a_keyring_it_says_what_to_use_instead(home: Home) -> None:
    home.user(prod())

    done = home.run("secret", "set", "prod", stdin="x")

    assert done.returncode == 3
    assert "file:PATH" in done.stderr


# ---------------------------------------------------------------- list


def test_each_is_asked_up_to_the_first_that_answers_but_no_person_and_no_program(
    home: Home, tmp_path: Path
) -> None:
    file = home.write(tmp_path / "secret.txt", "hunter2\n")
    witness = tmp_path / "witness"
    home.user(
        prod(
            '["env:UNSET", "file:none", "keyring:", "prompt:Who?", '
            f'{{ command = ["touch", "{witness}"] }}, "file:{file}", "env:SET"]'
        )
    )

    there = home.having(SET="hunter2")
    done = there.run("secret", "list", "--all")

    assert states_of(there, "prod") == {
        "password env:UNSET": "no answer",
        "password file:none": "no answer",
        "password keyring:": "no answer",
        "password prompt:Who?": "no answer",
        "password command touch": "not run",
        f"password file:{file}": "answers",
        "password env:SET": "not needed",
    }
    assert "hunter2" not in done.stdout + done.stderr
    assert not witness.exists()


def test_a_broken_profile_does_not_hide_the_others(home: Home) -> None:
    home.user(prod('"env:X"') + prod('"hunter2"').replace(".prod", ".bad"))

    everything = home.run("secret", "list", "--all")
    named = home.run("secret", "list", "bad")

    assert everything.returncode == 0
    assert "env:X" in everything.stdout
    assert "gatepass validate bad" in everything.stderr
    assert named.returncode == 2


def test_where_a_command_may_not_run_it_says_so(home: Home) -> None:
    file = home.write(home.work / "other.toml", prod('{ command = ["true"] }'))

    done = home.run("secret", "list", "--config-file", str(file))

    assert "not run" in done.stdout
    assert "not allowed" in done.stdout
