"""A header of a profile that came by reference is a credential."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import requests
import tomli_w

from gatepass import explain, load_profile, ref
from gatepass._session.session import Session
from gatepass.errors import GatepassError, ProfileError, SecretUnavailable
from tests.support.echo import Answer, Seen, basic, echo, redirects, wants

CANARY = "canary-of-a-header"
LOGIN = basic("alice", "sesame")
AUTH = {"scheme": "basic", "user_name": "alice", "password": "env:P"}
ENVIRON = {"P": "sesame", "API_KEY": CANARY}


def _ok(_: Seen) -> Answer:
    return Answer()


def _session(folder: Path, url: str, environ: dict[str, str] = ENVIRON, **keys: Any) -> Session:
    file = folder / "profiles.toml"
    table = {"url": url, "auth": AUTH, "headers": {"X-Key": "env:API_KEY", "X-Team": "a"}, **keys}
    file.write_text(tomli_w.dumps({"profiles": {"p": table}}))
    file.chmod(0o600)
    return Session.from_profile("p", config_file=file, environ=environ)


@pytest.mark.parametrize("auth", [AUTH, {"scheme": "anonymous"}])
def test_it_is_sent_and_seen_nowhere(tmp_path: Path, auth: dict[str, str]) -> None:
    with echo(wants(LOGIN) if auth is AUTH else _ok) as server:
        mi = _session(tmp_path, server.url, auth=auth)
        answer = mi.get("x")

    assert answer.ok
    assert [each.headers["x-key"] for each in server.seen] == [CANARY]
    assert [each.headers["x-team"] for each in server.seen] == ["a"]
    assert "X-Key" not in answer.request.headers
    assert CANARY not in repr(mi.headers) + repr(vars(answer)) + repr(mi.profile)
    assert "env:API_KEY" in repr(explain(mi.profile))


def test_it_goes_to_no_other_server_also_by_a_redirect(tmp_path: Path) -> None:
    with (
        echo(_ok) as other,
        echo(lambda _: Answer(302, [("Location", f"{other.url}y")])) as server,
    ):
        mi = _session(tmp_path, server.url)
        mi.get("x")
        mi.get(f"{other.url}z")

    assert [each.headers.get("x-key") for each in server.seen] == [CANARY]
    for name in ("x-key", "x-team"):
        assert [each.headers.get(name) for each in other.seen] == [None, None]


def test_the_next_request_of_a_redirect_to_another_server_holds_no_header_of_the_profile(
    tmp_path: Path,
) -> None:
    """A session that is not ours, which a caller sends it with, takes nothing away."""
    with echo() as other, echo(redirects({"/mi/away": f"{other.url}x"})) as server:
        answer = _session(tmp_path, server.url).get("away", allow_redirects=False)
        assert answer.next is not None
        with requests.Session() as plain:
            plain.trust_env = False
            plain.send(answer.next)

    assert server.seen[0].headers["x-team"] == "a"
    assert not {"x-team", "x-key", "authorization"} & {
        each.lower() for each in other.seen[0].headers
    }


def test_it_goes_along_with_the_callers_own_login_and_the_callers_own_value_wins(
    tmp_path: Path,
) -> None:
    with echo(_ok) as server:
        mi = _session(tmp_path, server.url)
        answer = mi.get("x", auth=("bob", "x"))
        mi.get("x", headers={"x-key": "mine"})

    assert [each.headers["x-key"] for each in server.seen] == [CANARY, "mine"]
    assert "X-Key" not in answer.request.headers


def test_a_pickle_carries_the_reference(tmp_path: Path) -> None:
    with echo(_ok) as server:
        mi = _session(tmp_path, server.url)
        state = pickle.dumps(mi)

    assert CANARY.encode() not in state
    assert b"API_KEY" in state


def test_what_is_missing_or_cannot_be_sent_is_told_without_the_value(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match=r"profiles\.p\.headers\.X-Key: env:API_KEY"):
        _session(tmp_path, "https://a.test", {"P": "x"})
    with pytest.raises(GatepassError, match="header X-Key .*cannot be sent") as caught:
        _session(tmp_path, "https://a.test", {"P": "x", "API_KEY": f"{CANARY}\n"})
    assert CANARY not in str(caught.value)


def test_it_crosses_no_network_by_plain_http(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="plain http would send credentials"):
        _session(tmp_path, "http://a.test", auth={"scheme": "anonymous"})
    with pytest.raises(ProfileError, match="plain http would send credentials"):
        Session("http://a.test", anonymous=True, headers={"X-Key": ref("env:API_KEY")})


def test_a_file_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(CANARY)
    with echo(_ok) as server:
        mi = _session(tmp_path, server.url, headers={"X-Key": "file:key"})
        mi.get("x")

    assert server.seen[0].headers["x-key"] == CANARY
    assert load_profile("p", config_file=tmp_path / "profiles.toml", environ={}).headers
