"""Mode ``open``: every request is admitted."""

import requests

from gatepass.sandbox import Server
from tests.sandbox.conftest import basic


def test_open_mode_asks_nobody_and_knows_nobody(
    open_server: Server, client: requests.Session
) -> None:
    answer = client.get(open_server.url + "Health/v2.svc", headers=basic("alice", "anything"))
    assert answer.json() == {"status": "Healthy", "user": None}
    assert open_server.requests[-1].scheme == "basic"
