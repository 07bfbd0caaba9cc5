"""``gatepass validate``: every complaint, and nothing called ok that was not seen."""

from dataclasses import replace

import pytest

from tests.support.result import BROKEN, DEV, PROD, Cli


def test_validate_counts_what_is_right(cli: Cli) -> None:
    cli.user(DEV + PROD)

    result = cli("validate", "--all")

    assert result.code == 0
    assert result.out == "ok: 2 profiles\n"


def test_a_file_that_is_skipped_is_named_and_nothing_of_it_is_called_ok(cli: Cli) -> None:
    path = cli.project(BROKEN)
    at_home = replace(cli.context, places=replace(cli.context.locations, home=cli.work))

    barred = cli.within(at_home)("validate")
    untrusted = cli("validate", "--all")

    for result, why in ((barred, "the home folder"), (untrusted, "not trusted")):
        assert result.code == 2
        assert "ok:" not in result.out
        assert f"{path} (skipped: {why}" in result.out


def test_validate_of_one_profile_ignores_its_neighbours(cli: Cli) -> None:
    cli.user(DEV + BROKEN)

    assert cli("validate", "dev").code == 0
    assert cli("validate", "broken").code == 2
    assert cli("validate", "nix").code == 2


def test_a_malformed_file_is_a_complaint_like_any_other(cli: Cli) -> None:
    path = cli.user("[profiles.dev\n")

    result = cli("validate", "--all", "--json")

    assert result.code == 2
    assert result.json[0]["place"].startswith(f"{path}:1:")


def test_a_file_that_nobody_trusts_is_only_warned_of(cli: Cli) -> None:
    cli.user(DEV)
    path = cli.project(BROKEN)

    result = cli("validate", "--all")

    assert result.code == 0
    assert f"warning: {path} is not trusted" in result.err


_URL = 'url = "https://mi.example.com/"\n'
_BASIC = _URL + 'auth = { scheme = "basic", user_name = "alice", password = "env:P" }\n'


def _user(name: str, scheme: str = "basic", more: str = "") -> str:
    return (
        f"{_URL}auth = {{ scheme = '{scheme}', user_name = '{name}', password = 'env:P'{more} }}\n"
    )


def _password(reference: str) -> str:
    return f"{_URL}auth = {{ scheme = 'basic', user_name = 'alice', password = {reference} }}\n"


def _oidc(keys: str) -> str:
    return f"{_URL}auth = {{ scheme = 'oidc', {keys} }}\n"


@pytest.mark.parametrize("tenant", ["commonwealth.example", "consumers2", "organizations-of-it"])
def test_a_tenant_may_be_called_like_what_is_none(cli: Cli, tenant: str) -> None:
    issuer = f"https://login.microsoftonline.com/{tenant}/v2.0"
    keys = _oidc(f"client_id = 'c', issuer = '{issuer}'")
    cli.user(f"[profiles.dev]\n{keys}")

    assert cli("validate", "dev").out == "ok: dev\n"


def _host(name: str) -> str:
    return _BASIC.replace("mi.example.com", name)


_IMPOSSIBLE = {
    "url": [
        _host("-mi.example.com"),
        _host("mi-.example.com"),
        _host("---"),
        _host("a..example.com"),
        _host(".".join(["a" * 60] * 5)),
        _host("224.0.0.1"),
        _host("255.255.255.255"),
        _host("mi.example.com:0"),
    ],
    "auth.user_name": [
        *map(_user, ("", " ", " alice", "alice ", "@", "@example.com", "alice@", "CORP\\")),
        _user("@", "ntlm"),
        _user("", "credentials"),
    ],
    "auth.domain": [_user("alice", "ntlm", f", domain = '{it}'") for it in (" ", "a@b", "a\\b")],
    "auth.principal": [
        f"{_URL}auth = {{ scheme = 'autologon', principal = '{it}' }}\n"
        for it in ("", " ", "@", "robot@", "@EXAMPLE.COM", "robot ", "a@b@c")
    ],
    "auth.service": [
        f"{_URL}auth = {{ scheme = 'autologon', service = '{it}' }}\n"
        for it in ("", "HTTP/", "HTTP/-", "HTTP/@R", "HTTP/mi@", "mi.example.com")
    ],
    "auth.password": [
        *(_password(f"'env:{it}'") for it in ("A=B", "A B", " A", "$P", "${P}", "%P%")),
        *(_password(f"'keyring:{it}'") for it in ("service", "service/", "/account")),
        *(_password(f"'file:{it}'") for it in ("/", "folder/", " ", "name ")),
        *(_password(f"{{ command = {it} }}") for it in ("[]", "['']", "[' ']")),
    ],
    "auth.issuer": [
        _oidc(f"client_id = 'c', issuer = '{it}'")
        for it in (
            "https://-id.example.com",
            "https://login.microsoftonline.com/common/v2.0",
            "https://login.microsoftonline.com/organizations/v2.0",
            "https://login.microsoftonline.us/consumers/v2.0",
        )
    ],
    "auth.client_id": [
        _oidc(f"issuer = 'https://id.example.com', client_id = '{it}'")
        for it in ("", " ", "<client id>")
    ],
    "check_path": [
        f"{_BASIC}check_path = '{it}'\n" for it in ("a:b", "javascript:x", "//evil.example.com")
    ],
    "tls.ca_file": [f"{_BASIC}tls = {{ ca_file = {it} }}\n" for it in ("[]", "['']")],
    "tls.client_cert": [f"{_BASIC}tls = {{ client_cert = '{'a' * 5000}' }}\n"],
    "proxy.user_name": [
        f"{_BASIC}proxy = {{ url = 'http://p:3128', user_name = '{it}', password = 'env:P' }}\n"
        for it in ("", " ")
    ],
    "proxy.url": [f"{_BASIC}proxy = 'http://-p:3128'\n"],
}


@pytest.mark.parametrize(
    ("key", "profile"), [(key, each) for key, all_of in _IMPOSSIBLE.items() for each in all_of]
)
def test_what_cannot_work_is_refused_at_its_key(cli: Cli, key: str, profile: str) -> None:
    cli.user(f"[profiles.dev]\n{profile}")

    result = cli("validate", "dev", "--json")

    assert result.code == 2
    assert [each["key"] for each in result.json] == [f"profiles.dev.{key}"]
