"""``gatepass secret``: into the keyring, out of it, and never onto the screen."""

import ast
import json
from pathlib import Path

import pytest

from tests.support.home import Home, ended, screen

SECRET = "Gr\u00f6\u00dfe 42!"  # not ASCII, with a blank
PROD = """\
[profiles.prod]
url = "https://mi.example.com/mi"
[profiles.prod.auth]
scheme = "basic"
user_name = "{user}"
password = {password}
domain = "CORP"
"""


def _prod(password: str = '"keyring:"', user: str = "alice") -> str:
    return PROD.format(password=password, user=user)


def _states(home: Home, *arguments: str) -> dict[str, str]:
    listed = home.run("secret", "list", "--json", *arguments)
    assert listed.returncode == 0
    return {
        f"{each['field']} {each['reference']}": each["state"] for each in json.loads(listed.stdout)
    }


# ---------------------------------------------------------------- set and delete


def test_a_person_types_it_hidden_and_can_delete_it_again(desk: Home) -> None:
    desk.user(_prod())
    with desk.sit("secret", "set", "prod") as child:
        child.expect("password .*: ")
        child.sendline(SECRET)
        assert ended(child) == 0
        shown = screen(child)

    assert SECRET not in shown
    assert r"entry CORP\alice of service gatepass:https://mi.example.com" in shown
    assert _states(desk) == {"password keyring:": "answers"}

    assert desk.run("secret", "delete", "prod").returncode == 0
    assert _states(desk) == {"password keyring:": "no answer"}
    assert desk.run("secret", "delete", "prod").returncode == 3


def test_a_script_pipes_it(desk: Home) -> None:
    desk.user(_prod('["env:MI_PASSWORD", "keyring:team/shared"]'))

    done = desk.run("secret", "set", "prod", "--stdin", stdin=f"{SECRET}\r\n")

    assert done.returncode == 0
    assert done.stdout == ""
    assert "entry shared of service team" in done.stderr
    assert _read(desk, "team", "shared") == SECRET


def _read(home: Home, service: str, account: str) -> str:
    script = f"import keyring; print(ascii(keyring.get_password({service!r}, {account!r})))"
    done = home.python(script)
    return str(ast.literal_eval(done.stdout))


def test_a_session_finds_what_was_stored(desk: Home) -> None:
    """The entry is the one that a session looks for, also for fields that are not the password."""
    desk.user(
        _prod(user="env:WHO")
        + '[profiles.prod.proxy]\nurl = "http://p:1"\nuser_name = "me"\npassword = "keyring:"\n'
    )
    there = desk.having(WHO="bob")

    for field in ("password", "proxy.password"):
        assert there.run("secret", "set", "prod", field, stdin=f"{field}-secret").returncode == 0

    done = there.python(
        "from gatepass import Session; s = Session.from_profile('prod'); "
        "print(sorted(v.reveal() for (k, _), v in s._secrets._found.items() if 'pass' in k))"
    )
    assert done.stdout.strip() == "['password-secret', 'proxy.password-secret']"
    assert _states(there)["proxy.password keyring:"] == "answers"


def test_the_providers_proxy_has_an_entry_of_its_own(desk: Home) -> None:
    """Not that of the server's proxy: the password of one never goes to the other."""
    table = '{ url = "http://p:1", user_name = "me", password = "keyring:" }'
    desk.user(
        '[profiles.nightly]\nurl = "https://mi.example.com"\n'
        f"proxy = {table}\n"
        f'[profiles.nightly.auth]\nscheme = "oidc"\nproxy = {table}\n'
        'tls = { client_cert = "c.pem", client_key_password = "keyring:" }\n'
    )
    fields = ("proxy.password", "auth.proxy.password", "auth.tls.client_key_password")

    for field in fields:
        assert desk.run("secret", "set", "nightly", field, stdin=f"of {field}").returncode == 0

    for field in fields:
        assert _read(desk, "gatepass:https://mi.example.com", field) == f"of {field}"
        assert _states(desk)[f"{field} keyring:"] == "answers"
    done = desk.python(
        "import gatepass\n"
        "from gatepass._session import network, resolve\n"
        "from gatepass._system.context import RunContext\n"
        "profile, run = gatepass.load_profile('nightly'), RunContext.of()\n"
        "found = resolve.ResolvedSecrets(profile, run)\n"
        "network.network_of(profile, run, found)\n"
        "network.network_of_provider(profile, run, found)\n"
        "print(sorted(v.reveal() for (k, _), v in found._found.items()))"
    )
    assert done.stdout.strip() == str(sorted(f"of {field}" for field in fields)), done.stderr


@pytest.mark.parametrize("password", ['"hunter2"', None])
def test_the_command_that_a_complaint_names_moves_a_literal_out(
    desk: Home, password: str | None
) -> None:
    """While the literal still stands there, and also after it was taken out."""
    text = _prod(password) if password else _prod().replace('password = "keyring:"\n', "")
    desk.user(text)
    assert desk.run("show", "prod").returncode == 2

    done = desk.run("secret", "set", "prod", "password", stdin="hunter2\n")

    assert done.returncode == 0
    assert 'password = "keyring:"' in done.stderr
    assert "[profiles.prod.auth]" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    desk.user(_prod())
    assert _states(desk) == {"password keyring:": "answers"}


def test_another_literal_is_not_in_the_way(desk: Home) -> None:
    """Else nobody could move two of them."""
    desk.user(
        _prod('"hunter2"')
        + '[profiles.prod.tls]\nclient_cert = "c"\nclient_key_password = "hunter3"\n'
    )

    for field in ("password", "tls.client_key_password"):
        done = desk.run("secret", "set", "prod", field, stdin="x")
        assert done.returncode == 0, done.stderr


def test_what_else_is_wrong_with_the_profile_is_told(home: Home) -> None:
    home.user(_prod('"hunter2"') + "other = 1\n")

    done = home.run("secret", "set", "prod", stdin="x")

    assert done.returncode == 2
    assert "profiles.prod.auth.other: unknown key" in done.stderr


def test_a_field_without_a_keyring_reference_tells_the_line_to_write(home: Home) -> None:
    home.user(_prod('"env:MI_PASSWORD"'))

    done = home.run("secret", "set", "prod", stdin="x")

    assert done.returncode == 2
    assert "has no keyring reference" in done.stderr
    assert 'password = ["env:MI_PASSWORD", "keyring:"]' in done.stderr


def test_an_unknown_field_lists_those_that_exist(home: Home) -> None:
    home.user(_prod())

    done = home.run("secret", "set", "prod", "pasword", stdin="x")

    assert done.returncode == 2
    assert "password, proxy.password, tls.client_key_password" in done.stderr


def test_a_secret_as_an_argument_is_refused_and_not_repeated(home: Home) -> None:
    home.user(_prod())

    done = home.run("secret", "set", "prod", "password", "hunter2")

    assert done.returncode == 2
    assert "never given as one" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("stdin", "said"),
    [("", "empty"), ("\n", "empty"), ("a\nb\n", "more than one line"), ("x" * 70000, "more than")],
)
def test_what_is_no_secret_is_not_stored(home: Home, stdin: str, said: str) -> None:
    home.user(_prod())

    done = home.run("secret", "set", "prod", stdin=stdin)

    assert done.returncode == 3
    assert said in done.stderr


def test_without_a_keyring_it_says_what_to_use_instead(home: Home) -> None:
    home.user(_prod())

    done = home.run("secret", "set", "prod", stdin="x")

    assert done.returncode == 3
    assert "file:PATH" in done.stderr


def test_a_proxy_that_is_a_plain_url_has_no_password_to_set(home: Home) -> None:
    home.user(_prod() + '[profiles.other]\nextends = "prod"\nproxy = "http://p:1"\n')

    done = home.run("secret", "set", "other", "proxy.password", stdin="x")

    assert done.returncode == 2
    assert "proxy is a plain URL" in done.stderr


# ---------------------------------------------------------------- list


def test_each_alternative_is_asked_but_no_person_and_no_program(home: Home, tmp_path: Path) -> None:
    file = home.write(tmp_path / "secret.txt", "hunter2\n")
    witness = tmp_path / "witness"
    home.user(
        _prod(
            f'["env:SET", "env:UNSET", "file:{file}", "file:none", "keyring:", "prompt:Who?", '
            f'{{ command = ["touch", "{witness}"] }}]'
        )
    )

    there = home.having(SET="hunter2")
    done = there.run("secret", "list")

    assert _states(there, "prod") == {
        "password env:SET": "answers",
        "password env:UNSET": "no answer",
        f"password file:{file}": "answers",
        "password file:none": "no answer",
        "password keyring:": "no answer",
        "password prompt:Who?": "asks a person",
        "password command touch": "not run",
    }
    assert "hunter2" not in done.stdout + done.stderr
    assert not witness.exists()


def test_a_broken_profile_does_not_hide_the_others(home: Home) -> None:
    home.user(_prod('"env:X"') + _prod('"hunter2"').replace(".prod", ".bad"))

    everything = home.run("secret", "list")
    named = home.run("secret", "list", "bad")

    assert everything.returncode == 0
    assert "env:X" in everything.stdout
    assert "gatepass validate bad" in everything.stderr
    assert named.returncode == 2


def test_where_a_command_may_not_run_it_says_so(home: Home) -> None:
    file = home.write(home.work / "other.toml", _prod('{ command = ["true"] }'))

    done = home.run("secret", "list", "--config-file", str(file))

    assert "not run" in done.stdout
    assert "not allowed" in done.stdout
