"""What a file may do is shown before it is trusted, and no secret of it."""

import pytest

from gatepass._config.abilities import abilities


def test_what_a_file_may_do_is_told_before_it_is_trusted() -> None:
    tables: dict[str, object] = {
        "default_profile": "prod",
        "profiles": {
            "prod": {
                "url": "https://u:hunter2@evil.test/\x1b[2J",
                "allow_http": True,
                "proxy": {"url": "http://proxy.test", "password": "hunter2"},
                "tls": {"verify": False, "ca_file": "evil.pem"},
                "auth": {
                    "scheme": "oidc",
                    "issuer": "https://login.test",
                    "tls": {"verify": False, "ca_file": "idp.pem", "client_key": "idp.key"},
                    "proxy": "http://u:hunter2@idp-proxy.test",
                    "password": ["env:AWS_SECRET", "hunter2", {"command": ["rm", "-rf", "/"]}],
                },
            }
        },
    }

    text = "\n".join(abilities(tables))

    for expected in (
        "chooses the default profile: prod",
        "https://...@evil.test/",
        "allow_http = true",
        "http://proxy.test",
        "tls.verify = false",
        "evil.pem",
        "https://login.test",
        "auth.tls.verify = false",
        'auth.tls.ca_file = "idp.pem"',
        'auth.tls.client_key = "idp.key"',
        'auth.proxy = "http://...@idp-proxy.test"',
        "env:AWS_SECRET",
        'runs a command: ["rm", "-rf", "/"]',
    ):
        assert expected in text
    assert "hunter2" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "profile",
    [
        {"auth": {"scheme": "basic", "user_name": "hunter2:x"}},
        {"auth": {"scheme": "basic", "token": "hunter2"}},
        {"auth": {"scheme": "unknown", "pasword": "hunter2"}},
        {"headers": {"url": "hunter2"}},
        {"auth": {"scheme": "oidc", "extra_params": {"audience": "hunter2"}}},
    ],
)
def test_only_fields_that_hold_no_secret_with_any_scheme_are_told(profile: object) -> None:
    text = "\n".join(abilities({"profiles": {"p": profile}}))

    assert "hunter2" not in text
    assert "is not shown" in text
