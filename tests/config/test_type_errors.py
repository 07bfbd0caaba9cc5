"""A value of the wrong type is told with what stood there, unless it may be a secret."""

import pytest

from gatepass.errors import ProfileError
from tests.support.config_files import ANONYMOUS, HEAD, ConfigFiles, Load, problem_of


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('retries = "5"', 'retries: should be an integer from 0 to 20, not the string "5"'),
        ("retries = 2.5", "retries: should be an integer from 0 to 20, not 2.5"),
        ("retries = 2026-01-01", "0 to 20, not a date or time"),
        ('protected = "yes"', 'protected: should be a boolean, not the string "yes"'),
        ("protected = 1", "protected: should be a boolean, not 1"),
        ('timeout = "10 s"', "or [connect, read], not a string"),
        ("timeout = [1]", "or [connect, read], not a list"),
        ("description = true", "description: should be a string, not true"),
        ('headers = "hunter2"', "headers: should be a table, not a string"),
        ("headers = { X-A = 1 }", "headers.X-A: takes a string, env:NAME or file:PATH, not 1"),
        (
            "headers = { X-Api-Key = 4711 }",
            "X-Api-Key: takes a string, env:NAME or file:PATH, not a number",
        ),
        ("tls = { verify = 'hunter2' }", "tls.verify: should be a boolean, not a string"),
        ("tls = 'hunter2'", "tls: should be a table, not a string"),
        ("tls = { ca_file = ['a', 1] }", "tls.ca_file: entry 2 should be a string, not 1"),
    ],
)
def test_what_stood_there_is_told(try_load: Load, line: str, told: str) -> None:
    assert told in problem_of(try_load, ANONYMOUS + line)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('flow = "brwser"', "or 'client_credentials'; did you mean \"browser\"?"),
        ("flow = 1", "or 'client_credentials', not 1"),
        ("scopes = 'openid'", "auth.scopes: should be a list, not a string"),
        ("scopes = ['a', 2]", "auth.scopes: entry 2 should be a string, not 2"),
    ],
)
def test_a_word_of_several_is_guessed(try_load: Load, keys: str, told: str) -> None:
    assert told in problem_of(try_load, HEAD + f'[profiles.p.auth]\nscheme = "oidc"\n{keys}\n')


@pytest.mark.parametrize("value", ["4711", "true", '"hunter2"', '["hunter2"]', "{ a = 'hunter2' }"])
def test_nothing_of_a_secret_field_is_told(try_load: Load, value: str) -> None:
    message = problem_of(try_load, HEAD + f'auth = {{ scheme = "bearer", token = {value} }}\n')

    assert "4711" not in message
    assert "not " + value not in message


_BASIC = HEAD + '[profiles.p.auth]\nscheme = "basic"\npassword = "env:P"\n'
_WAY = "GATEPASS_PROFILES__P__"
_OIDC = HEAD + '[profiles.p.auth]\nscheme = "oidc"\n'


@pytest.mark.parametrize(
    ("text", "way"),
    [
        (_OIDC + 'issuer = "env:ISSUER"', _WAY + "AUTH__ISSUER"),
        (_OIDC + 'issuer = "https://login.test/${TENANT}"', _WAY + "AUTH__ISSUER"),
        (_OIDC + 'scopes = ["openid", "keyring:a/b"]', _WAY + "AUTH__SCOPES"),
        (_OIDC + 'token_params = { resource = "$RESOURCE" }', "AUTH__TOKEN_PARAMS__RESOURCE"),
        (_OIDC + 'tls = { ca_file = "$HOME/ca.pem" }', _WAY + "AUTH__TLS__CA_FILE"),
        (ANONYMOUS + 'tls = { ca_file = "file:ca.pem" }', _WAY + "TLS__CA_FILE"),
        (ANONYMOUS + "tls = { ca_file = '%HOME%\\ca.pem' }", _WAY + "TLS__CA_FILE"),
        (ANONYMOUS + "tls = { ca_file = ['system', '$CA'] }", _WAY + "TLS__CA_FILE"),
        (ANONYMOUS + 'check_path = "prompt:Page"', "GATEPASS_PROFILES__P__CHECK_PATH"),
        (ANONYMOUS + 'proxy = "${PROXY}"', _WAY + "PROXY"),
        ('vault = "$HOME/tokens"\n' + ANONYMOUS, "GATEPASS_VAULT"),
        (_BASIC + 'user_name = "$USER"', 'write   user_name = "env:NAME"'),
    ],
)  # fmt: skip
def test_a_reference_where_none_is_taken_is_told_with_the_way(
    try_load: Load, text: str, way: str
) -> None:
    """It would go out as it stands, and the server would refuse it without a reason."""
    message = problem_of(try_load, text + "\n")

    assert "is taken as it stands, and no variable is put in" in message
    assert way in message


@pytest.mark.parametrize("text", ["%TENANT%", "${TENANT}", "prompt:Tenant", "keyring:"])
def test_a_header_takes_two_kinds_of_references_and_no_others(try_load: Load, text: str) -> None:
    message = problem_of(try_load, f'{ANONYMOUS}headers.X-Tenant = "{text}"\n')

    assert "headers.X-Tenant: takes the text itself, env:NAME or file:PATH; nothing else" in message
    assert "not a string" not in message


@pytest.mark.parametrize(
    "line",
    [
        'check_path = "$metadata"',
        'check_path = "a%20b%20c"',
        'description = "env:NAME and ${this}"',
        'tls = { ca_file = "envoy.pem" }',
        'headers = { X-Price = "5$", X-Link = "file://server/x" }',
    ],
)
def test_what_only_looks_like_a_reference_passes(try_load: Load, line: str) -> None:
    assert try_load(ANONYMOUS + line).name == "p"


def test_a_reference_in_a_variable_is_told_to_be_the_value(config: ConfigFiles) -> None:
    config.user(ANONYMOUS)
    variable = "GATEPASS_PROFILES__P__CHECK_PATH"

    with pytest.raises(ProfileError, match=f"{variable}: .*as it stands") as caught:
        config.load("p", environ={variable: "env:PAGE"})

    assert "put the value itself into the variable" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cause", "consequence"),
    [
        (HEAD + 'auth = { scheme = "basic", pasword = "env:P" }', "pasword", "password"),
        (HEAD + 'auth = { schem = "basic" }', "schem", "scheme"),
        ('[profiles.p]\nulr = "https://a.test"\nauth = { scheme = "anonymous" }', "ulr", "url"),
        (HEAD + 'atuh = { scheme = "anonymous" }', "atuh", "auth"),
        (HEAD + '[profiles.p.auth]\nscheme = "bearer"\n\n\ntokne = "env:T"', "tokne", "token"),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_not_told_to_be_missing_too(
    try_load: Load, text: str, cause: str, consequence: str
) -> None:
    message = problem_of(try_load, text)

    assert f".{cause}: unknown key; did you mean" in message
    assert f".{consequence}: missing" not in message


def test_what_a_misspelt_key_does_not_mean_is_missing_after_it(try_load: Load) -> None:
    """Also where it stands in a later line than the table that lacks the key."""
    message = problem_of(try_load, '[profiles.p]\nextend = "base"\n[profiles.base]\nurl = "x"')

    assert message.index(".extend: unknown key") < message.index(".url: missing")
