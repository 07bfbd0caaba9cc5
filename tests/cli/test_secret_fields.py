"""Which fields of a profile hold secrets, also of one that is not usable yet."""

import pytest

from tests.support.home import Home
from tests.support.secret_profiles import prod, read_entry, states_of


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
        assert read_entry(desk, "gatepass:https://mi.example.com", field) == f"of {field}"
        assert states_of(desk)[f"{field} keyring:"] == "answers"
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
    text = prod(password) if password else prod().replace('password = "keyring:"\n', "")
    desk.user(text)
    assert desk.run("show", "prod").returncode == 2

    done = desk.run("secret", "set", "prod", "password", stdin="hunter2\n")

    assert done.returncode == 0
    assert 'password = "keyring:"' in done.stderr
    assert "[profiles.prod.auth]" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    desk.user(prod())
    assert states_of(desk) == {"password keyring:": "answers"}


def test_another_literal_is_not_in_the_way(desk: Home) -> None:
    """Else nobody could move two of them."""
    desk.user(
        prod('"hunter2"')
        + '[profiles.prod.tls]\nclient_cert = "c"\nclient_key_password = "hunter3"\n'
    )

    for field in ("password", "tls.client_key_password"):
        done = desk.run("secret", "set", "prod", field, stdin="x")
        assert done.returncode == 0, done.stderr


def test_what_else_is_wrong_with_the_profile_is_told(home: Home) -> None:
    home.user(prod('"hunter2"') + "other = 1\n")

    done = home.run("secret", "set", "prod", stdin="x")

    assert done.returncode == 2
    assert "profiles.prod.auth.other: unknown key" in done.stderr


def test_an_unknown_field_lists_those_that_exist(home: Home) -> None:
    home.user(prod())

    done = home.run("secret", "set", "prod", "pasword", stdin="x")

    assert done.returncode == 2
    assert "password, proxy.password, tls.client_key_password" in done.stderr


def test_a_proxy_that_is_a_plain_url_has_no_password_to_set(home: Home) -> None:
    home.user(prod() + '[profiles.other]\nextends = "prod"\nproxy = "http://p:1"\n')

    done = home.run("secret", "set", "other", "proxy.password", stdin="x")

    assert done.returncode == 2
    assert "proxy is a plain URL" in done.stderr
