"""Servers that name addresses: none of this computer is asked or opened for one elsewhere."""

import dataclasses
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
import requests
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass._config.profile import Profile
from gatepass._net.urls import is_this_computer
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.auth._oidc.endpoint import EndpointRefused
from gatepass.errors import GatepassError
from gatepass.sandbox.provider import IdentityProvider
from tests.support.echo import Answer, Echo, Seen, echo, refused
from tests.support.sessions import profile_for
from tests.support.small_provider import in_json

CLIENT: Final = "farm"
SECRET: Final = "open sesame"
FLOWS: Final = ("browser", "device", "client_credentials")
pytestmark = pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token")


def person(idp: IdentityProvider | None = None, opened: list[str] | None = None) -> Terminal:
    """Somebody who logs in as alice, in a browser or with a code, at whatever is shown."""

    def browse(url: str) -> None:
        if opened is not None:
            opened.append(url)
        if idp is not None:
            address = idp.sign_in(url, "alice")
            Thread(target=lambda: requests.get(address, timeout=30)).start()

    def read(text: str) -> None:
        if opened is not None:
            opened.extend(re.findall(r"https?://\S+/activate\S*", text))
        code = re.search(r"\b[A-Z0-9]{4}-[A-Z0-9]{4}\b", text)
        if code and idp is not None:
            idp.approve(code[0])

    return Terminal({}, interactive=True, write=read, open_url=browse, open_console=lambda _: None)


def talk(profile: Profile, terminal: Terminal, environ: dict[str, str]) -> requests.Response:
    with Session._from_checked(profile, RunContext.of(environ=environ, terminal=terminal)) as mi:
        return mi.get("x")


# ---------------------------------------------------------------- addresses of this computer


_SPELLINGS: Final = (
    "http://127.0.0.1:{port}",
    "http://127.8.9.1:{port}",
    "http://localhost:{port}",
    "http://LOCALHOST:{port}",
    "http://[::1]:{port}",
    "https://127.0.0.1:{port}",
    "https://a.b.localhost:{port}",
    "https://localhost.localdomain:{port}",
    "https://ip6-localhost:{port}",
    "https://127.1:{port}",
    "https://2130706433:{port}",
    "https://0x7f.1:{port}",
    "https://017700000001:{port}",
    "https://0.0.0.0:{port}",
    "https://0:{port}",
    "https://[::]:{port}",
    "https://[::ffff:127.0.0.1]:{port}",
    "https://[0:0:0:0:0:ffff:7f00:1]:{port}",
    "https://[::ffff:0.0.0.0]:{port}",
)


@dataclasses.dataclass
class World:
    """A server ``mi.test`` and its provider ``idp.test``, on other computers behind a proxy.

    Attributes:
        ours: a server on this computer that nobody else should reach.
        far: what answers for the two.
        proxy: the way to them.
        authorities: the certificates to trust.
        challenge: what the server answers.
        metadata: what the provider says, over what is usual.
        offer: what it answers to a device, likewise.
        opened: the addresses that a person was led to.
    """

    ours: Echo
    far: Echo
    proxy: Echo
    authorities: Path
    challenge: str = 'Bearer authority="https://idp.test", clientid="farm"'
    resource: dict[str, Any] = dataclasses.field(default_factory=dict)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    offer: dict[str, Any] = dataclasses.field(default_factory=dict)
    opened: list[str] = dataclasses.field(default_factory=list)

    def answer(self, seen: Seen) -> Answer:
        root = "https://idp.test"
        if seen.headers["host"] == "mi.test":
            if seen.path == "/resource":
                return in_json({"resource": "https://mi.test/", **self.resource})
            return Answer() if seen.authorization else refused(self.challenge)
        if seen.path == "/.well-known/openid-configuration":
            names = ("authorization", "token", "device_authorization")
            usual = {"issuer": root} | {f"{name}_endpoint": f"{root}/{name}" for name in names}
            return in_json(usual | self.metadata)
        if seen.path == "/device_authorization":
            codes = {"device_code": "d", "user_code": "WDJB-MJHT", "interval": "1"}
            return in_json({**codes, "verification_uri": f"{root}/activate", **self.offer})
        return in_json({"access_token": "at", "token_type": "Bearer", "expires_in": 60})

    def get(self, idp: IdentityProvider | None = None, **auth: Any) -> requests.Response:
        """Ask the server for a page, as a person who may log in."""
        tls = {"ca_file": str(self.authorities)}
        auth.setdefault("login_timeout", 30)  # where it is led elsewhere, nobody comes back
        profile = profile_for("https://mi.test/", "oidc", auth={**auth, "tls": tls}, tls=tls)
        environ = {"https_proxy": self.proxy.root, "http_proxy": self.proxy.root}
        return talk(profile, person(idp, self.opened), environ)

    def spelt(self, spelling: str) -> str:
        return spelling.format(port=self.ours.url.split(":")[2].split("/")[0])

    def assert_untouched(self) -> None:
        assert self.ours.connections == 0
        assert set(self.proxy.paths) <= {"mi.test:443", "idp.test:443"}
        assert self.opened == []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    found = authority.issue_cert("mi.test", "idp.test")
    found.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with ExitStack() as stack:
        far = stack.enter_context(echo(tls=context))
        proxy, ours = stack.enter_context(echo()), stack.enter_context(echo())
        port = int(far.url.split(":")[2].split("/")[0])
        proxy.leads = {"mi.test:443": port, "idp.test:443": port}
        running = World(ours, far, proxy, tmp_path / "ca.pem")
        far.answers = running.answer
        yield running


REFUSED: Final = "on this very computer, and https://{host}, which names it, is not"


@pytest.mark.parametrize("flow", ["browser", "device"])
@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_no_authority_on_this_computer_is_asked_for_a_server_elsewhere(
    world: World, spelling: str, flow: str
) -> None:
    world.challenge = f'Bearer authority="{world.spelt(spelling)}", clientid="farm"'

    with pytest.raises(EndpointRefused, match=REFUSED.format(host="mi.test")):
        world.get(flow=flow)

    world.assert_untouched()


@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_nor_is_its_description_of_itself_or_the_provider_that_it_names(
    world: World, spelling: str
) -> None:
    """RFC 9728: the metadata of the resource, and the authorization server in it."""
    place = world.spelt(spelling)
    world.challenge = f'Bearer resource_metadata="{place}/resource"'
    with pytest.raises(EndpointRefused, match=REFUSED.format(host="mi.test")):
        world.get(client_id="farm")
    world.challenge = 'Bearer resource_metadata="https://mi.test/resource"'
    world.resource = {"authorization_servers": [place]}
    with pytest.raises(EndpointRefused, match=REFUSED.format(host="mi.test")):
        world.get(client_id="farm")

    assert "/resource" in world.far.paths
    world.assert_untouched()


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize(
    ("name", "flow"),
    [
        *(("token_endpoint", flow) for flow in FLOWS),
        ("authorization_endpoint", "browser"),
        ("device_authorization_endpoint", "device"),
    ],
)
def test_no_endpoint_on_this_computer_is_asked_or_opened_for_a_provider_elsewhere(
    world: World, name: str, flow: str, written: bool
) -> None:
    """Also where the profile itself names that provider."""
    auth: dict[str, Any] = {"flow": flow}
    if written or flow == "client_credentials":
        auth |= {"issuer": "https://idp.test", "client_id": CLIENT, "client_secret": SECRET}
    for spelling in _SPELLINGS[::6]:
        world.metadata = {name: f"{world.spelt(spelling)}/activate"}
        with pytest.raises(EndpointRefused, match=f"{name}.*" + REFUSED.format(host="idp.test")):
            world.get(**auth)

    world.assert_untouched()


@pytest.mark.parametrize("spelling", _SPELLINGS[::9])
def test_nobody_is_led_to_this_computer_by_a_provider_elsewhere_that_logs_in_a_device(
    world: World, spelling: str
) -> None:
    place = f"{world.spelt(spelling)}/activate"
    world.offer = {"verification_uri": place}
    with pytest.raises(GatepassError, match="verification_uri that is not an address to open"):
        world.get(flow="device", scopes=[])
    world.assert_untouched()
    world.offer = {"verification_uri_complete": place}

    assert world.get(flow="device", scopes=[]).ok

    assert world.opened == ["https://idp.test/activate"]
    assert world.ours.connections == 0


@pytest.mark.parametrize("client_id", [None, CLIENT])
def test_a_written_issuer_on_this_computer_serves_a_server_elsewhere(
    world: World, client_id: str | None
) -> None:
    with IdentityProvider(users={"alice": "pw"}, clients={CLIENT: None}, auto_login="alice") as idp:
        assert world.get(idp, issuer=idp.issuer, client_id=client_id).ok
        assert idp.counts.logins == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example.com",
        "https://localhost.example.com",
        "https://mylocalhost",
        "https://127.0.0.1.example.com",
        "https://128.0.0.1",
        "https://1.127.0.0",
        "https://2147483648",
        "https://[2001:db8::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[1::1]",
        "https://[::1",
        "",
    ],
)
def test_another_computer_is_not_taken_for_this_one(url: str) -> None:
    assert not is_this_computer(url)


_PART: Final = st.sampled_from(["{}", "0x{:x}", "0X{:X}", "0{:o}"])


@given(
    st.one_of(st.integers(0x7F00_0000, 0x7FFF_FFFF), st.integers(0, 0xFFFF_FFFF)),
    st.integers(1, 4),
    st.tuples(_PART, _PART, _PART, _PART),
)
@example(0, 1, ("{}",) * 4)
def test_every_spelling_that_the_resolver_takes_for_this_computer_is_found(
    number: int, parts: int, forms: tuple[str, ...]
) -> None:
    numbers = [(number >> 8 * (3 - place)) & 0xFF for place in range(parts - 1)]
    numbers.append(number & (1 << 8 * (5 - parts)) - 1)
    host = ".".join(form.format(each) for form, each in zip(forms, numbers, strict=False))
    found = socket.getaddrinfo(host, 443, socket.AF_INET, flags=socket.AI_NUMERICHOST)[0][4][0]

    first = str(found).split(".")[0]
    assert is_this_computer(f"https://{host}/") == (first in {"127", "0"})
