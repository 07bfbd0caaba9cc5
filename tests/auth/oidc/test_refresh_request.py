"""One refresh request, and when it is sent once more."""

import time
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from gatepass._vault.records import Client
from gatepass.auth._oidc import refresh_request
from gatepass.auth._oidc.http import ResponseLost
from gatepass.secrets import Secret
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.vaults import PROVIDER


class _LostThenGone(BaseAdapter):
    """Takes the first request and gives no answer; then nobody is there any more."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.times += 1
        if self.times == 1:
            request.body.read()  # type: ignore[union-attr]
        raise requests.ConnectionError

    def close(self) -> None:
        pass


def test_a_second_question_that_never_left_does_not_undo_the_first() -> None:
    """The token may be used up, and the journal must go on saying so."""
    http, adapter = requests.Session(), _LostThenGone()
    http.mount("https://", adapter)
    request = refresh_request.RefreshContext(http, Client(""), time.time, "")

    with pytest.raises(ResponseLost):
        refresh_request.post_refresh(PROVIDER, "client", Secret("token"), request)
    assert adapter.times == 2
