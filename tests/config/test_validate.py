"""Each mistake in a profile names its place and the next step, and no secret."""

import re
from typing import Any

import pytest

from gatepass._config.explain import explain
from gatepass._config.locations import Locations
from gatepass._config.profile import references
from gatepass._net.tls import TlsSettings
from gatepass.errors import ProfileError
from gatepass.secrets import SecretRef
from tests.support.config_files import CANARY, HEAD, OPEN, URL, ConfigFiles, Load, one, problem_of


def test_relative_paths_start_at_their_file(config: ConfigFiles) -> None:
    auth = 'auth = { scheme = "bearer", token = "file:token.txt" }'
    path = config.user(one(URL, auth, 'tls.ca_file = "ca.pem"'))

    loaded = config.load("p")

    assert loaded.tls.ca_file == str(path.parent / "ca.pem")
    assert loaded.auth.token.base_dir == str(path.parent)  # type: ignore[attr-defined]
    assert loaded.auth.token.layer == "user"  # type: ignore[attr-defined]


def test_a_wrong_machine_setting_is_placed(config: ConfigFiles) -> None:
    config.user('allow_commands = "yes"\nvault_key = "hunter2"\n' + one(OPEN))

    message = config.refusal()

    assert "profiles.toml:1:1: allow_commands: should be a boolean" in message
    assert "profiles.toml:2:1: vault_key" in message


def test_a_complete_profile_passes_with_all_its_keys(try_load: Load) -> None:
    loaded = try_load(
        """
[profiles.base]
url = "https://base.test"
auth.scheme = "anonymous"

[profiles.p]
url = "https://MI.example.com:8443/mi_servicelayer"
extends = "base"
protected = true
description = "The production server"
check_path = "Health/v2.svc"
timeout = [3, 4.5]
retries = 0
headers = { X-Tenant = "a" }
proxy = { url = "http://proxy.test:3128", user_name = "env:U", password = "env:P" }
allow_http = false

[profiles.p.tls]
ca_file = "ca.pem"
client_cert = "c.pem"
client_key = "k.pem"
client_key_password = "env:K"

[profiles.p.auth]
scheme = "basic"
user_name = "env:MI_USERNAME"
password = ["env:MI_PASSWORD", "keyring:", { command = ["op", "read"] }, "prompt:Password"]
domain = "CORP"
"""
    )

    assert loaded.url == "https://mi.example.com:8443/mi_servicelayer/"
    assert loaded.origin == "https://mi.example.com:8443"
    assert loaded.timeout == (3.0, 4.5)
    assert [key for key, _ in references(loaded)] == [
        "auth.user_name",
        "auth.password",
        "proxy.user_name",
        "proxy.password",
        "tls.client_key_password",
    ]
    assert str(loaded.auth.password) == (  # type: ignore[attr-defined]  # a Basic
        "env:MI_PASSWORD | keyring: | command op | prompt:Password"
    )


def test_a_typo_in_a_key_is_placed_shown_and_guessed(try_load: Load, locations: Locations) -> None:
    message = problem_of(
        try_load,
        HEAD + 'auth = { scheme = "bearer", tokn = "hunter2" }\ndesciption = "hunter2"\n',
    )

    assert (
        f'{locations.user}:3:29: profiles.p.auth.tokn: unknown key; did you mean "token"?'
        in message
    )
    assert "... tokn =\n        ^" in message
    assert f"{locations.user}:4:1: profiles.p.desciption: unknown key" in message
    assert "desciption =\n    ^" in message
    assert "allowed here: allow_http, auth, check_path" in message


@pytest.mark.parametrize(
    ("table", "line", "belongs"),
    [
        ("", 'password = "hunter2"', "a key of auth: write it below [profiles.NAME.auth]"),
        ("", 'ca_file = "ca.pem"', "a key of tls: write it below [profiles.NAME.tls]"),
        ("", 'vault = "x"', "a machine setting: write it into your own file, above its first"),
        ("[profiles.p.auth]", "timeout = 5", "the profile itself: write it above [profiles.NAME.a"),
        ("[profiles.p.auth]", "nonsense = 5", ""),
    ],
)
def test_a_key_in_the_wrong_table_is_told_where_it_belongs(
    try_load: Load, table: str, line: str, belongs: str
) -> None:
    auth = "" if table else 'auth = { scheme = "anonymous" }\n'
    scheme = 'scheme = "anonymous"\n' if table else ""

    message = problem_of(try_load, f"{HEAD}{auth}{table}\n{scheme}{line}\n")

    assert "unknown key" in message
    assert belongs in message
    assert ("write it" in message) == bool(belongs)


def test_what_a_profile_cannot_do_without_is_shown_as_it_is_written(try_load: Load) -> None:
    nothing = problem_of(try_load, '[profiles.p]\ndescription = ""\n')
    text = problem_of(try_load, HEAD + 'auth = "basic"\nproxy = 8080\nheaders = 3\n')

    assert 'write   url = "https://mi.example.com/mi_servicelayer"' in nothing
    assert 'write   auth = { scheme = "credentials", ... }' in nothing
    assert "profiles.p.auth: should be a table, not a string\n" in text
    assert 'write   auth = { scheme = "credentials", ... }' in text
    assert "profiles.p.proxy: should be a string or a table" in text
    assert "profiles.p.headers: should be a table" in text


def test_all_complaints_come_at_once_by_place_and_then_what_is_missing(
    try_load: Load,
) -> None:
    message = problem_of(
        try_load,
        """
[profiles.p]
urll = "x"
retries = "many"
timeout = [1]
headers = 3
tls = { verify = "no", unknown = 1 }
protected = 1
auth = { scheme = "basic", user_name = 3 }
""",
    )

    lines = [int(line) for line in re.findall(r"profiles\.toml:(\d+):", message)]
    assert lines == [*sorted(lines[:-1]), 9]
    assert set(lines) == {3, 4, 5, 6, 7, 8, 9}


_TOKEN = 'url = "https://a.test"\nauth = { scheme = "bearer", token = %s }'
_PROVIDER = 'auth = { scheme = "oidc", %s }'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('auth = { scheme = "anonymous" }', r"profiles\.p\.url: missing"),
        ('url = "https://a.test"', r"profiles\.p\.auth: missing"),
        ('url = "https://a.test"\nauth = { }', r"auth\.scheme: missing"),
        ('url = "https://a.test"\nauth = { scheme = 3 }', r"auth\.scheme: should be a string"),
        ('auth = { scheme = "basc" }', r'auth\.scheme: unknown scheme; did you mean "basic"\?'),
        (_TOKEN % '"evn:X"', r"auth\.token: a secret field takes a reference"),
        (_TOKEN % '"hunter2"', r"gatepass secret set p token"),
        (_TOKEN % '["env:X", "hunter2"]', r"auth\.token: a secret field takes a reference"),
        (_TOKEN % "[]", r"an empty list"),
        (_TOKEN % '{ command = "op read" }', r"a list of strings"),
        (_TOKEN % '"command:op"', r"a command is written as a list"),
        (_TOKEN % '"env:"', r"env: needs something after the colon"),
        ('proxy = "http://u:hunter2@x.test"', r"proxy\.url: holds a user name or password"),
        ('proxy = { url = "http://x.test", user_name = "u" }', r"user_name and password belong"),
        ('headers = { Cookie = "hunter2" }', r"headers\.Cookie: not here"),
        ('headers = { authorization = "hunter2" }', r"headers\.authorization: not here"),
        ('headers = { "Proxy-Authorization" = "hunter2" }', r"Proxy-Authorization: not here"),
        ('headers = { "X A" = "1" }', r"not the name of a header"),
        ('headers = { X-A = "é" }', r"plain ASCII"),
        ('headers = { X-A = " x" }', r"headers\.X-A: begins with a blank"),
        ('headers = { content-length = "3" }', r"headers\.content-length: not here"),
        ("retries = 21", r"retries: should be an integer from 0 to 20"),
        ("retries = true", r"retries: should be an integer"),
        ("timeout = 0", r"timeout: should be seconds"),
        ("timeout = [1, 2, 3]", r"timeout: should be seconds"),
        ("timeout = inf", r"timeout: should be seconds"),
        ("timeout = true", r"timeout: should be seconds"),
        ('tls = { client_key = "k.pem" }', r"tls\.client_key: needs client_cert too"),
        ('tls = { client_key_password = "hunter2" }', r"secret set p tls.client_key_password"),
        (_PROVIDER % 'tls = { client_key = "k.pem" }', r"auth\.tls\.client_key: needs client_cert"),
        ('tls = { client_key_password = "env:X" }', r"client_key_password: needs client_cert too"),
        (
            'proxy = { url = "none", user_name = "u", password = "env:X" }',
            r"proxy\.url: is no proxy at all",
        ),
        (
            _PROVIDER % 'tls = { client_key_password = "hunter2" }',
            r"gatepass secret set p auth\.tls\.client_key_password",
        ),
        (_PROVIDER % 'tls = { ca_fil = "x" }', r'ca_fil: unknown key; did you mean "ca_file"'),
        (_PROVIDER % 'proxy = "http://u:hunter2@x.test"', r"auth\.proxy\.url: holds a user name"),
        (
            _PROVIDER % 'proxy = { url = "http://x.test", user_name = "u" }',
            r"auth\.proxy: user_name and password belong together",
        ),
        (
            _PROVIDER % 'proxy = { url = "http://x.test", password = "hunter2" }',
            r"gatepass secret set p auth\.proxy\.password",
        ),
        (_PROVIDER % "proxy = 3", r"auth\.proxy: should be a string or a table"),
        ('auth = { scheme = "basic", tls = {} }', r"auth\.tls: unknown key"),
        ('check_path = "https://evil.test/"', r"check_path: should be a path"),
        ("extends = 3", r"extends: should be"),
        ('extends = "none"', r"extends: unknown profile"),
    ],
)
def test_each_mistake_is_explained(try_load: Load, body: str, expected: str) -> None:
    message = problem_of(try_load, f"[profiles.p]\n{body}\n")

    assert re.search(expected, message), message
    assert re.search(r"profiles\.toml:\d+:\d+: ", message)


def test_the_providers_certificates_and_proxy_are_those_of_the_profile_once_more(
    try_load: Load, locations: Locations
) -> None:
    proxy = 'proxy = { url = "http://proxy.test:3128", user_name = "env:U", password = "env:P" }'
    tls = 'tls = { ca_file = "ca.pem", client_cert = "c.pem", client_key_password = "env:K" }'
    loaded = try_load(f'{HEAD}[profiles.p.auth]\nscheme = "oidc"\n{proxy}\n{tls}\n')

    folder = str(locations.user.parent)
    auth: Any = loaded.auth
    assert (auth.tls.ca_file, auth.tls.client_cert) == (f"{folder}/ca.pem", f"{folder}/c.pem")
    assert auth.proxy.url == "http://proxy.test:3128"
    assert (loaded.tls, loaded.proxy) == (TlsSettings(), None)
    found = {key: getattr(each, "base_dir", None) for key, each in references(loaded)}
    keys = ("proxy.user_name", "proxy.password", "tls.client_key_password")
    assert found == {f"auth.{key}": folder for key in keys}
    explained = {key.key: key.value for key in explain(loaded).keys}
    assert explained["auth.tls.ca_file"] == "ca.pem"
    assert explained["auth.proxy.password"] == "env:P"


def test_no_proxy_at_all_is_a_word_for_the_provider_too(try_load: Load) -> None:
    loaded: Any = try_load(HEAD + 'auth = { scheme = "oidc", proxy = "none" }\n')

    assert loaded.auth.proxy.url == "none"


@pytest.mark.parametrize(
    "url",
    "mi.example.com/x ftp://a.test/ https:// https://user:hunter2@a.test/ https://hunter2@a.test/"
    " https://a.test/?q=hunter2 https://a.test/#hunter2 https://a.test:port/ https://a.test:99999/"
    " https://a..test/ https://.a.test/ https://256.1.1.1/ https://1.2.3.4.5/"
    " https://[::1/ https://a.test\\@evil.test/ https://a%2etest/ ${MI_URL}".split(),
)
def test_a_bad_url_is_refused_and_never_repeated(try_load: Load, url: str) -> None:
    message = problem_of(try_load, f"[profiles.p]\nurl = '{url}'\nauth.scheme = 'anonymous'\n")

    assert "profiles.p.url: " in message
    assert "a.test" not in message.replace("mi.example.com", "")


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://mi.example.com/", True),
        ("http://localhost.evil.test/", True),
        ("http://localhost:8080/", False),
        ("http://127.0.0.5/", False),
        ("http://[::1]:80/", False),
        ("https://[::ffff:192.0.2.1]/", False),
        ("https://mi.example.com/", False),
    ],
)
def test_plain_http_needs_loopback_or_permission(try_load: Load, url: str, refused: bool) -> None:
    text = f'[profiles.p]\nurl = "{url}"\nauth = {{ scheme = "bearer", token = "env:T" }}\n'
    if refused:
        assert "allow_http = true" in problem_of(try_load, text)
        assert try_load(text + "allow_http = true\n").allow_http
        anonymous = text.replace('"bearer", token = "env:T"', '"anonymous"')
        assert try_load(anonymous).url == url
    else:
        assert try_load(text).url == url


def test_a_backspace_in_a_domain_name_is_explained(try_load: Load) -> None:
    r"""``"CORP\bob"`` is valid TOML and holds a backspace."""
    message = problem_of(
        try_load,
        HEAD + 'auth = { scheme = "basic", user_name = "CORP\\bob", password = "env:P" }',
    )

    assert "user_name: holds a control character" in message
    assert "single quotes" in message


def test_a_secret_with_a_control_character_is_not_repeated(try_load: Load) -> None:
    problem_of(try_load, HEAD + 'auth = { scheme = "bearer", token = "hunter2\\u0007" }')


def test_a_user_name_may_be_plain_or_a_known_reference(try_load: Load) -> None:
    def user_name(text: str) -> object:
        auth = f"auth = {{ scheme = 'basic', user_name = {text}, password = 'env:P' }}"
        return try_load(HEAD + auth).auth.user_name  # type: ignore[attr-defined]  # a Basic

    assert user_name("'alice'") == "alice"
    assert user_name(r"'CORP\alice'") == r"CORP\alice"
    assert isinstance(user_name("'env:U'"), SecretRef)
    assert isinstance(user_name("['env:U', 'prompt:']"), SecretRef)
    for wrong in ("'hunter2:x'", "3", "{ x = 1 }"):
        with pytest.raises(ProfileError) as caught:
            user_name(wrong)
        assert CANARY not in str(caught.value)
