"""The certified OpenID provider `oidc-provider` (npm), with everything that a login needs.

Any user name and any password log on; the name is `sub`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.support.peers.access_log import AccessLog
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.daemon import running
from tests.support.peers.environ import clean_environ
from tests.support.peers.node_packages import need_node
from tests.support.peers.waiting import accepts, free_ports

AUDIENCE = "https://api.corp.test"
NATIVE = "native"  # public: authorization code, refresh token, device code
SERVICE = "service"  # client credentials by Basic
SERVICE_POST = "service-post"  # client credentials by a form
# Client credentials by a token that the client's key signs, and what makes the key.
SERVICE_KEYS: dict[str, Callable[[], RSAKey | ECKey | OKPKey]] = {
    "service-rsa": lambda: RSAKey.generate_key(2048),
    "service-ec": lambda: ECKey.generate_key("P-256"),
    "service-ed25519": lambda: OKPKey.generate_key("Ed25519"),
}
# Each of these characters goes wrong where a client forgets to encode (RFC 6749, section 2.3.1).
SECRETS = {SERVICE: "se:c%41r+t /&=?~", SERVICE_POST: "s3cret"}
CALLBACK = "/callback"  # at any port of each loopback address

_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_CLIENTS = [
    {
        "client_id": NATIVE,
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "grant_types": ["authorization_code", "refresh_token", _DEVICE],
        "redirect_uris": [
            f"http://{host}{CALLBACK}" for host in ("127.0.0.1", "[::1]", "localhost")
        ],
        "response_types": ["code"],
    },
    *(
        {
            "client_id": name,
            "client_secret": secret,
            "token_endpoint_auth_method": method,
            "grant_types": ["client_credentials"],
            "redirect_uris": [],
            "response_types": [],
        }
        for (name, secret), method in zip(
            SECRETS.items(), ("client_secret_basic", "client_secret_post"), strict=True
        )
    ),
]


@dataclass(frozen=True)
class OidcAddress:
    """Where the provider will be: known before it runs, so that Apache can be told."""

    port: int
    redirect_port: int

    @property
    def issuer(self) -> str:
        """The provider's name."""
        return f"https://localhost:{self.port}"

    @property
    def redirect_uri(self) -> str:
        """What a server may tell its clients to listen on."""
        return f"http://localhost:{self.redirect_port}{CALLBACK}"

    @classmethod
    def free(cls) -> "OidcAddress":
        """Return an address at which nobody is."""
        return cls(*free_ports(2))


@dataclass(frozen=True)
class Asked:
    """One request to the provider, or the end of a login (`event`)."""

    method: str
    path: str
    status: int
    grant: str
    event: str


@dataclass(frozen=True)
class OidcProvider(AccessLog[Asked]):
    """A running provider."""

    address: OidcAddress
    ca_file: Path
    client_keys: Mapping[str, Path]  # of SERVICE_KEYS, in PEM

    @property
    def issuer(self) -> str:
        """The provider's name and address."""
        return self.address.issuer

    def metadata(self) -> dict[str, Any]:
        """Ask for the metadata."""
        with self.browser() as client:
            found = client.get(self.issuer + "/.well-known/openid-configuration")
            return dict(found.json())

    def sign_in(
        self, authorization_url: str, user: str = "alice", browser: requests.Session | None = None
    ) -> str:
        """Log on at the forms as a browser would; return the client's address with the code.

        Without a browser, a new one does it, in which nobody is logged on yet.
        """
        if browser is not None:
            return self._walk(browser, authorization_url, user, _is_loopback_callback)
        with self.browser() as fresh:
            return self._walk(fresh, authorization_url, user, _is_loopback_callback)

    def approve(self, verification_url: str, user: str = "alice") -> None:
        """Log on and approve a device; the address is `verification_uri_complete`."""
        with self.browser() as client:
            self._walk(client, verification_url, user, lambda _: False)

    def token_requests(self, mark: int, grant: str = "refresh_token") -> list[int]:
        """Return the status of each token request with that grant since a mark."""
        return [
            line.status
            for line in self.log_since(mark)
            if (line.path, line.grant) == ("/token", grant)
        ]

    def browser(self) -> requests.Session:
        """Return something that keeps cookies and trusts the provider."""
        client = requests.Session()
        client.trust_env = False
        client.verify = str(self.ca_file)
        return client

    def _walk(self, client: requests.Session, url: str, user: str, ends: Any) -> str:
        """Follow redirects and send forms until the end, or until there is no form."""
        data: dict[str, str] | None = None
        for _ in range(20):
            method = "GET" if data is None else "POST"
            answer = client.request(method, url, data=data, allow_redirects=False, timeout=10)
            data = None
            if "Location" in answer.headers:
                url = urljoin(url, answer.headers["Location"])
                if ends(url):
                    return url
                continue
            answer.raise_for_status()
            form = _Form(answer.text)
            if form.action is None:
                return url
            url, data = urljoin(url, form.action), form.filled(user)
        raise RuntimeError("the login does not end")

    def _settle(self) -> None:
        """Nothing to wait for: the provider logs before it answers."""

    def _parsed(self, line: bytes) -> Asked:
        found = json.loads(line)
        return Asked(
            method=found.get("method", ""),
            path=found.get("path", ""),
            status=found.get("status", 0),
            grant=found.get("grant", ""),
            event=found.get("event", ""),
        )


class _Form(HTMLParser):
    """The first form of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action: str | None = None
        self._fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = given.get("action", "")
        elif tag == "input" and "name" in given:
            self._fields[given["name"]] = given.get("value", "")

    def filled(self, user: str) -> dict[str, str]:
        """Return what a person would send."""
        known: Mapping[str, str] = {"login": user, "password": "any"}
        return {name: known.get(name, value) for name, value in self._fields.items()}


def _is_loopback_callback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.path == CALLBACK


@contextmanager
def oidc_provider(
    folder: Path,
    authority: CertificateAuthority,
    address: OidcAddress,
    *,
    access_token_seconds: int = 60,
    refresh_token_seconds: int = 3600,
    rotate: bool = True,
) -> Iterator[OidcProvider]:
    """Run the provider. Several may use one folder: then they sign with the same key."""
    argv = need_node(folder, "provider.mjs", "oidc-provider")
    log, settings = (folder / f"{address.port}.{kind}" for kind in ("log", "json"))
    log.touch()
    keys, by_key = {}, []
    for name, make_key in SERVICE_KEYS.items():
        key = make_key()
        keys[name] = folder / f"{address.port}.{name}.pem"
        keys[name].write_bytes(key.as_pem(private=True))
        keys[name].chmod(0o600)
        client = {
            **_CLIENTS[-1],
            "client_id": name,
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [{**key.as_dict(private=False), "use": "sig"}]},
        }
        del client["client_secret"]
        by_key.append(client)
    content = {
        "accessTokenSeconds": access_token_seconds,
        "audience": AUDIENCE,
        "chain": str(authority.server.chain),
        "clients": [*_CLIENTS, *by_key],
        "issuer": address.issuer,
        "key": str(authority.server.key),
        "keys": str(folder / "keys.json"),
        "log": str(log),
        "port": address.port,
        "refreshTokenSeconds": refresh_token_seconds,
        "rotate": rotate,
    }
    settings.write_text(json.dumps(content), encoding="utf-8")
    with running(
        [*argv, str(settings)],
        environ=clean_environ(folder / "home"),
        log=folder / f"{address.port}.output",
        ready=lambda: accepts(address.port),
    ):
        yield OidcProvider(log, address, authority.ca_file, keys)
