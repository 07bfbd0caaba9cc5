"""What a client of httpx raises where the connection fails."""

from threading import Event

import httpx
import pytest

from tests.integrations.test_httpx import both, fetch
from tests.support.echo import Answer, Seen, echo
from tests.support.sessions import NOWHERE, session_for


@both
def test_trouble_of_the_connection_is_httpxs_own_with_the_words_of_gatepass(kind: str) -> None:
    words = "connection refused.*\n.*the port in url"
    with session_for(NOWHERE, retries=0) as session, pytest.raises(httpx.ConnectError, match=words):
        fetch(kind, session, "x")
    released = Event()

    def slow(_: Seen) -> Answer:
        released.wait()
        return Answer()

    with echo(slow) as server, session_for(server.url, timeout=[10, 0.1]) as session:
        with pytest.raises(httpx.ReadTimeout, match="longer timeout in the profile"):
            fetch(kind, session, "x")
        released.set()
