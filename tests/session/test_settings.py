"""The settings of a session in pickles and copies."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from gatepass._session.session import Session, _open_pickle
from gatepass.errors import (
    ProfileError,
)
from gatepass.secrets import may_be_secret
from tests.support import worker_tasks
from tests.support.echo import echo
from tests.support.sessions import (
    NOWHERE,
    PASSWORD,
    session_for,
)


def reopened(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own


def test_what_was_set_on_a_session_travels_but_no_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MI_PASSWORD", PASSWORD)
    with echo() as server:
        mi = session_for(server.url)
        mi.headers["X-Tenant"] = "t2"
        mi.headers["Authorization"] = None  # type: ignore[assignment]  # no login at all
        mi.params = {"page": "1"}
        mi.hooks["response"].append(worker_tasks.shout)
        mi.proxies = {"https": "http://proxy:3128"}
        mi.verify, mi.stream, mi.max_redirects = False, True, 3
        mi.cookies.set("sid", "canary-cookie")
        mine = HTTPAdapter(max_retries=7)
        mi.mount("https://elsewhere.example.com/", mine)

        content = pickle.dumps(mi)
        again = reopened(content)
        answer = again.get("x")

    assert b"canary" not in content
    assert answer.headers["X-Hooked"] == "yes"
    (seen,) = server.seen
    assert (seen.headers["x-tenant"], seen.path) == ("t2", "/mi/x?page=1")
    assert (seen.authorization, seen.headers.get("cookie")) == (None, None)
    assert (again.verify, again.stream, again.max_redirects) == (False, True, 3)
    assert again.proxies == {"https": "http://proxy:3128"}
    assert len(again.cookies) == 0
    assert again.adapters["https://elsewhere.example.com/"].max_retries.total == 7


def test_what_is_set_before_the_first_use_stays() -> None:
    with echo() as server:
        again = reopened(pickle.dumps(session_for(server.url, "anonymous")))
        again.headers["X-Tenant"] = "t3"
        again.cookies.set("c", "1")
        mine = HTTPAdapter()
        again.mount("http://", mine)
        assert again.get("x").ok

    assert (server.seen[0].headers["x-tenant"], server.seen[0].headers["cookie"]) == ("t3", "c=1")
    assert again.adapters["http://"] is mine


def _with_header(mi: Session) -> None:
    mi.headers["X-Api-Key"] = "canary"


def _with_authorization(mi: Session) -> None:
    mi.headers["authorization"] = "Bearer canary"


def _with_auth(mi: Session) -> None:
    mi.auth = ("me", "canary")


def _with_parameter(mi: Session) -> None:
    mi.params = {"access_token": "canary"}


def _with_pairs(mi: Session) -> None:
    mi.params = [("page", "1"), ("access_token", "canary")]


def _with_bytes(mi: Session) -> None:
    mi.params = b"page=1&access_token=canary"


def _with_bare_proxy(mi: Session) -> None:
    mi.proxies = {"https": "me:canary@proxy:3128"}


def _with_proxy(mi: Session) -> None:
    mi.proxies = {"https": "http://me:canary@proxy:3128"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_with_header, "header X-Api-Key"),
        (_with_authorization, "header authorization"),
        (_with_auth, "its auth"),
        (_with_parameter, "parameter access_token"),
        (_with_pairs, "parameter access_token"),
        (_with_bytes, "parameter access_token"),
        (_with_proxy, "proxy for https"),
        (_with_bare_proxy, "proxy for https"),
    ],
)
def test_a_setting_that_may_be_a_secret_stops_the_pickle(
    change: Callable[[Session], None], named: str
) -> None:
    """Left out in silence, the worker would log on as somebody else, or not at all."""
    mi = session_for(NOWHERE)
    change(mi)

    with pytest.raises(TypeError, match=named) as caught:
        pickle.dumps(mi)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["X-Author", "X-Keyword", "Compass", "X-Bypass-Cache", "Accept"])
def test_a_harmless_header_is_not_taken_for_a_secret(name: str) -> None:
    assert not may_be_secret(name)


@pytest.mark.parametrize(
    "name",
    "Authorization X-Auth-Token Cookie X-API-KEY apikey X-Secret Ocp-Apim-Subscription-Key "
    "X-CSRF-Token password X-Session-Id jsid X-Amz-Signature client_secret Proxy-Authorization "
    "X-Authorization passphrase x_pass X-Pass X-Api-Keys X-Pwd".split(),
)
def test_a_name_that_sounds_like_a_secret_is_taken_for_one(name: str) -> None:
    assert may_be_secret(name)


def test_a_header_of_the_profile_may_be_called_anything() -> None:
    """The profile is shared; what stands there is no secret."""
    mi = session_for(NOWHERE, headers={"X-Key-Id": "7"})

    assert reopened(pickle.dumps(mi)).headers["X-Key-Id"] == "7"


_WITHOUT_CLOUDPICKLE = """
import pickle, sys
from gatepass import Session
mi = Session("https://mi.example.com", anonymous=True)
mi.hooks["response"].append(lambda *_, **__: None)
assert "cloudpickle" not in sys.modules
pickle.dumps(mi)
"""


def test_a_hook_that_holds_arguments_does_not_travel() -> None:
    """They may be secrets, as in ``functools.partial(sign, key=...)``."""
    with session_for(NOWHERE, "anonymous") as mi:
        mi.hooks["response"].append(partial(worker_tasks.shout, key="canary"))
        with pytest.raises(TypeError, match="its hook holds arguments") as caught:
            pickle.dumps(mi)
    assert "canary" not in str(caught.value)


def test_a_hook_that_no_worker_can_find_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_CLOUDPICKLE],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("TypeError: this session cannot be pickled: its hook <lambda> cannot")


class _MadeLater:
    """What a session of a later version may leave in a pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_pickle, (Session, {"version": "9.9.9"}), {"headers": 1, "unheard_of": 2}


def test_settings_of_another_version_do_not_stop_the_opening() -> None:
    with pytest.raises(ProfileError, match="cannot open it"):
        reopened(pickle.dumps(_MadeLater())).get("x")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_what_is_changed_on_a_copy_does_not_change_the_original(
    duplicate: Callable[[Session], Session],
) -> None:
    mi = session_for(NOWHERE)
    mi.headers["X-Mine"] = "1"
    mi.cookies.set("c", "1")
    mi.params = {"p": "1"}
    mi.proxies = {"https": "http://one"}
    mi.hooks["response"].append(worker_tasks.shout)
    mine = HTTPAdapter(max_retries=7)
    mi.mount("https://mine.example.com/", mine)

    duplicated = duplicate(mi)

    assert (duplicated.headers["X-Mine"], duplicated.cookies["c"], duplicated.params) == (
        "1",
        "1",
        {"p": "1"},
    )
    assert (duplicated.proxies, duplicated.hooks["response"]) == (
        {"https": "http://one"},
        [worker_tasks.shout],
    )
    its = duplicated.adapters["https://mine.example.com/"]
    assert its is not mine
    assert its.max_retries.total == 7  # type: ignore[attr-defined]

    duplicated.headers["X-Mine"] = "2"
    duplicated.cookies.set("c", "2")
    duplicated.params["p"] = "2"  # type: ignore[index]
    duplicated.proxies["https"] = "http://two"
    duplicated.hooks["response"].clear()
    duplicated.mount("https://other.example.com/", HTTPAdapter())

    assert (mi.headers["X-Mine"], mi.cookies["c"], mi.params) == ("1", "1", {"p": "1"})
    assert (mi.proxies, mi.hooks["response"]) == ({"https": "http://one"}, [worker_tasks.shout])
    assert "https://other.example.com/" not in mi.adapters
    assert mi.adapters["http://"] is not duplicated.adapters["http://"]
