"""Who the identity provider is: metadata and challenges, friendly, odd and hostile."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gatepass._net.challenge import Challenge, parse
from gatepass._session.adapter import Network
from gatepass._vault.records import Client, Provider
from gatepass.auth._oidc import discovery
from gatepass.auth._oidc.discovery import DiscoveryFailed, discover_from_challenge, fetch_metadata
from gatepass.auth._oidc.endpoint import EndpointRefused, endpoint_of
from gatepass.auth._oidc.http import InvalidResponse, NoResponse
from gatepass.auth._oidc.redirect_server import RedirectServer
from gatepass.errors import GatepassError
from tests.support.echo import Answer, Answers, Echo, Seen, echo
from tests.support.peers.waiting import free_port

API = "http://localhost/mi_servicelayer/"
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


def http() -> requests.Session:
    return Network({}, retries=0).plain_session()


def pages(found: dict[str, Any]) -> Answers:
    """Serve JSON documents by their path; everything else is not there."""

    def answers(seen: Seen) -> Answer:
        if seen.path not in found:
            return Answer(404, body=b"<html>")
        return Answer(body=json.dumps(found[seen.path]).encode())

    return answers


def described(issuer: str, **more: object) -> dict[str, object]:
    root = "https://idp.example.com"
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{root}/authorize?x=1",
        "token_endpoint": f"{root}/token",
        **more,
    }


def serve(server: Echo, path: str = "", **more: Any) -> str:
    """Let a server be an issuer at this path."""
    issuer = server.root + path
    where = f"{path.rstrip('/')}{OPENID}"
    server.answers = pages({where: described(issuer, **more)})
    return issuer


def bearer(**params: str) -> str:
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in params.items())


def granta(authority: str, **more: str) -> str:
    return bearer(
        **{
            "authority": authority,
            "clientid": "mi",
            "redirecturi": "http://localhost:1729/callback",
            **more,
        }
    )


# Metadata.


def test_everything_of_use_is_read_and_the_rest_passed_over() -> None:
    root = "https://idp.example.com"
    with echo() as server:
        issuer = serve(
            server,
            device_authorization_endpoint=f"{root}/device",
            revocation_endpoint=f"{root}/revoke",
            jwks_uri=f"{root}/keys",
            token_endpoint_auth_methods_supported=["none", "client_secret_post"],
            id_token_signing_alg_values_supported=["RS256", "none"],
            authorization_response_iss_parameter_supported=True,
            code_challenge_methods_supported=["plain", "S256"],
            claims_supported=17,
            userinfo_signing_alg_values_supported=17,
            userinfo_endpoint="file:///etc/passwd",
        )

        assert fetch_metadata(http(), issuer) == Provider(
            issuer=issuer,
            token_endpoint=f"{root}/token",
            authorization_endpoint=f"{root}/authorize?x=1",
            device_authorization_endpoint=f"{root}/device",
            revocation_endpoint=f"{root}/revoke",
            jwks_uri=f"{root}/keys",
            auth_methods=("none", "client_secret_post"),
            id_token_algorithms=("RS256", "none"),
            challenge_methods=("plain", "S256"),
            answers_carry_iss=True,
        )
        assert server.paths == [OPENID]


def test_null_is_the_same_as_absent() -> None:
    with echo() as server:
        issuer = serve(
            server,
            authorization_endpoint=None,
            device_authorization_endpoint=None,
            jwks_uri=None,
            token_endpoint_auth_methods_supported=None,
            id_token_signing_alg_values_supported=None,
            authorization_response_iss_parameter_supported=None,
            code_challenge_methods_supported=None,
        )

        assert fetch_metadata(http(), issuer) == Provider(issuer, "https://idp.example.com/token")


@pytest.mark.parametrize("path", ["", "/", "/auth/realms/x", "/auth/realms/x/"])
def test_the_document_lies_below_the_path_of_the_issuer(path: str) -> None:
    with echo() as server:
        issuer = serve(server, path)

        assert fetch_metadata(http(), issuer).issuer == issuer


@pytest.mark.parametrize("path", ["", "/tenant/1"])
def test_a_provider_of_plain_oauth_is_found_too(path: str) -> None:
    """RFC 8414, section 3.1 puts the well-known part before the path."""
    with echo() as server:
        issuer = server.root + path
        server.answers = pages({f"{OAUTH}{path}": described(issuer)})

        assert fetch_metadata(http(), issuer).issuer == issuer
        assert server.paths == [f"{path}{OPENID}", f"{OAUTH}{path}"]


@pytest.mark.parametrize(("status", "hint"), [(404, "check   issuer"), (500, "try again later")])
def test_no_document_at_all_is_told_with_both_addresses(status: int, hint: str) -> None:
    with (
        echo(lambda _: Answer(status)) as server,
        pytest.raises(InvalidResponse, match=f"status {status}") as caught,
    ):
        fetch_metadata(http(), server.root)

    assert hint in caught.value.hint
    assert OPENID in str(caught.value)
    assert OAUTH in str(caught.value)


def test_a_provider_that_is_not_there_is_not_taken_for_one_without_document() -> None:
    with pytest.raises(NoResponse, match="connection refused"):
        fetch_metadata(http(), f"http://localhost:{free_port()}")


@pytest.mark.parametrize(
    "change",
    [
        lambda issuer: issuer + "/",
        lambda issuer: issuer.replace("localhost", "LOCALHOST"),
        lambda issuer: issuer.replace("localhost", "127.0.0.1"),
        lambda issuer: issuer + ":443",
        lambda _: "https://evil.example.com",
        lambda _: None,
        lambda issuer: [issuer],
    ],
)
def test_an_issuer_of_another_name_is_refused_and_both_are_shown(
    change: Callable[[str], object],
) -> None:
    with echo() as server:
        issuer = serve(server)
        other = change(issuer)
        server.answers = pages({OPENID: described(issuer) | {"issuer": other}})

        with pytest.raises(DiscoveryFailed, match="calls itself") as caught:
            fetch_metadata(http(), issuer)

    assert f'"{issuer}"' in str(caught.value)
    assert not isinstance(other, str) or f'"{other}"' in str(caught.value)


@pytest.mark.parametrize(
    "issuer",
    ["http://idp.example.com", "https://a@b/", "https://idp/#x", "https://idp/?x", "file:///x", ""],
)
def test_an_issuer_that_nobody_can_be_sure_of_is_refused(issuer: str) -> None:
    with pytest.raises(EndpointRefused, match="the issuer"):
        fetch_metadata(http(), issuer)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://idp.example.com/x", "must begin with https"),
        ("https://u:canary@idp/x", "user name"),
        ("javascript:x", "host or port is malformed"),
        (["https://idp/x"], "host or port is malformed"),
        ("", "names no token_endpoint"),
        (None, "names no token_endpoint"),
    ],
)
def test_an_endpoint_is_judged_where_it_is_needed(url: Any, why: str) -> None:
    """One that this login does not use may be anything, and so may the other members."""
    odd: dict[str, Any] = {
        "token_endpoint_auth_methods_supported": "none",
        "id_token_signing_alg_values_supported": [1],
        "code_challenge_methods_supported": {},
        "authorization_response_iss_parameter_supported": "false",
    }
    others = (
        "authorization_endpoint",
        "device_authorization_endpoint",
        "revocation_endpoint",
        "jwks_uri",
    )
    with echo() as server:
        issuer = serve(server, **odd, **dict.fromkeys(others, url))
        provider = fetch_metadata(http(), issuer)
        assert provider.auth_methods == provider.challenge_methods == ()
        for name in others:
            with pytest.raises(GatepassError, match=name) as caught:
                endpoint_of(provider, name)
            assert "canary" not in str(caught.value)
        issuer = serve(server, token_endpoint=url)
        with pytest.raises(GatepassError, match=why) as caught:
            fetch_metadata(http(), issuer)
        assert "canary" not in str(caught.value)


def test_an_endpoint_over_http_is_told_with_the_proxy_that_makes_it_so() -> None:
    with pytest.raises(EndpointRefused, match="token_endpoint") as caught:
        discovery._to_provider("https://idp.corp", {"token_endpoint": "http://idp.corp/token"})

    assert "ends TLS" in caught.value.hint


def test_an_issuer_that_differs_by_one_final_slash_is_taken_where_the_server_names_it() -> None:
    with echo() as server:
        for named, own in (("", "/"), ("/", ""), ("/realm", "/realm/"), ("/realm/", "/realm")):
            document = described(server.root + own)
            server.answers = pages({f"{own.rstrip('/')}{OPENID}": document})
            challenges = parse(granta(server.root + named))

            found, _ = discover_from_challenge(http(), API, challenges)
            assert found.issuer == server.root + own  # which the tokens carry

            with pytest.raises(DiscoveryFailed, match="calls itself") as caught:
                fetch_metadata(http(), server.root + named)
            assert f'issuer = "{server.root}{own}"' in caught.value.hint


def test_the_issuer_of_all_tenants_is_told_to_be_replaced_by_ones_own() -> None:
    with echo() as server:
        issuer = serve(server, "/common/v2.0")
        document = described(f"{server.root}/{{tenantid}}/v2.0")
        server.answers = pages({f"/common/v2.0{OPENID}": document})

        with pytest.raises(DiscoveryFailed, match="tenantid") as caught:
            fetch_metadata(http(), issuer, named_by_server=True)

    assert f'issuer = "{server.root}/TENANT-ID/v2.0"' in caught.value.hint


def test_metadata_that_lies_elsewhere_is_found_by_its_url_and_must_name_the_issuer() -> None:
    with echo() as server:
        where = f"{server.root}/tenants/7/openid"
        server.answers = pages({"/tenants/7/openid": described("https://idp.example.com")})

        found = fetch_metadata(http(), "https://idp.example.com", metadata_url=where)
        assert found.issuer == "https://idp.example.com"
        assert server.paths == ["/tenants/7/openid"]

        with pytest.raises(DiscoveryFailed, match="calls itself"):
            fetch_metadata(http(), "https://idp.example.org", metadata_url=where)
        with pytest.raises(InvalidResponse, match="status 404") as caught:
            fetch_metadata(http(), f"{server.root}/tenants/7")
        assert "metadata_url" in caught.value.hint


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.lists(st.text(max_size=9) | st.none(), max_size=2)
    | st.sampled_from(["https://idp/x", "http://idp/x", "http://localhost/"])
)
_NAMES = [
    "token_endpoint",
    "authorization_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "jwks_uri",
    "token_endpoint_auth_methods_supported",
    "id_token_signing_alg_values_supported",
    "code_challenge_methods_supported",
    "authorization_response_iss_parameter_supported",
]


@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES))
def test_any_metadata_gives_a_provider_or_our_errors(found: dict[str, Any]) -> None:
    with suppress(GatepassError):
        provider = discovery._to_provider("https://idp", found)
        assert provider.token_endpoint.startswith(("https://", "http://localhost"))
        assert all(isinstance(each, str) for each in provider.auth_methods)
        for name in ("authorization_endpoint", "jwks_uri"):
            with suppress(GatepassError):
                assert endpoint_of(provider, name).startswith("https://")


# Challenges.


def test_granta_names_provider_and_client() -> None:
    with echo() as server:
        issuer = serve(server)
        header = granta(issuer, scope="openid  offline_access openid", apiAudience="https://api/x")

        provider, client = discover_from_challenge(http(), API, parse(f"Negotiate, {header}, NTLM"))

        assert provider.issuer == issuer
        assert client == Client(
            "mi",
            scopes=("openid", "offline_access"),
            audience="https://api/x",
            redirect_uri="http://localhost:1729/callback",
        )


def test_a_challenge_without_scope_wants_none() -> None:
    """As ansys-openapi-common does; the usual ones would be refused by some providers."""
    with echo() as server:
        challenges = parse(bearer(authority=serve(server), clientid="mi"))

        _, client = discover_from_challenge(http(), API, challenges)

        assert client == Client("mi", scopes=())


def test_what_the_profile_says_wins_over_the_challenge() -> None:
    with echo() as server:
        issuer = serve(server)
        challenges = parse(granta(f"{issuer}/", clientid="theirs"))

        provider, client = discover_from_challenge(
            http(), API, challenges, issuer=issuer, client_id="ours"
        )

        assert (provider.issuer, client.client_id) == (issuer, "ours")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic realm=x",
        "Negotiate, NTLM",
        "Bearer",
        'Bearer error="invalid_token"',
        'Digest authority="https://idp", clientid="mi"',
    ],
)
def test_a_server_without_identity_provider_is_explained(header: str) -> None:
    challenges = parse(header)
    with pytest.raises(DiscoveryFailed, match="no identity provider") as caught:
        discover_from_challenge(http(), API, challenges)

    assert all(each.scheme in str(caught.value) for each in challenges)
    assert "client_id" in caught.value.hint


def test_a_challenge_about_the_token_does_not_disturb_the_other() -> None:
    with echo() as server:
        issuer = serve(server)
        header = f'Bearer error="invalid_token", scope="x", {granta(issuer)}, {granta(issuer)}'

        assert discover_from_challenge(http(), API, parse(header))[0].issuer == issuer


@pytest.mark.parametrize("name", ["authority", "clientid", "redirecturi", "scope"])
def test_two_challenges_that_disagree_are_refused_and_both_are_shown(name: str) -> None:
    one = {"authority": "https://a", "clientid": "c", "redirecturi": "http://[::1]/", "scope": "s"}
    with pytest.raises(DiscoveryFailed, match=f"disagree about {name}") as caught:
        discover_from_challenge(
            http(), API, parse(f"{bearer(**one)}, {bearer(**one | {name: 'other'})}")
        )

    assert f'"{one[name]}" and "other"' in str(caught.value)


@pytest.mark.parametrize(
    "authority",
    [
        "http://idp.example.com",
        "file:///etc/passwd",
        "https://user@idp.example.com",
        "https://idp.example.com/#x",
        "https://idp.example.com/?x",
        "https://\u0131dp.example.com",
        "http://localhost:80@evil/",
    ],
)
def test_an_authority_that_nobody_can_be_sure_of_is_refused(authority: str) -> None:
    with pytest.raises(EndpointRefused, match="the issuer"):
        discover_from_challenge(
            http(), API, (Challenge("bearer", params={"authority": authority}),), **WHO
        )


WHO: dict[str, Any] = {"client_id": "mi"}


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:80/", "http://[::1]:9/x", "http://LOCALHOST/a/b", "http://localhost:1023/"],
)
def test_a_redirect_uri_on_this_computer_is_honoured_to_the_letter(uri: str) -> None:
    with echo() as server:
        challenges = parse(granta(serve(server), redirecturi=uri))

        assert discover_from_challenge(http(), API, challenges)[1].redirect_uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "https://localhost:1729/",
        "https://evil.example.com/",
        "http://evil.example.com/",
        "http://127.8.9.1/",
        "http://localhost/?x",
        "http://localhost/#x",
        "urn:ietf:wg:oauth:2.0:oob",
        "http://localhost:80@evil/",
    ],
)
def test_a_redirect_uri_elsewhere_is_refused_where_it_would_be_listened_on(uri: str) -> None:
    """It is where the code arrives; a login on another device does not need it."""
    with echo() as server:
        challenges = parse(granta(serve(server), redirecturi=uri))
        _, client = discover_from_challenge(http(), API, challenges)

    with pytest.raises(GatepassError, match="redirect_uri .* cannot be listened on") as caught:
        RedirectServer("state", client.redirect_uri)
    assert "http://127.0.0.1/callback" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clientid", "a\x1b[31m"),
        ("clientid", "x" * 513),
        ("clientid", ""),
        ("clientid", "ü"),
        ("scope", "a\\b"),
        ("scope", "a ü"),
        ("scope", " ".join(map(str, range(101)))),
        ("apiaudience", "a b"),
        ("apiaudience", ""),
    ],
)
def test_odd_values_are_refused_before_anything_is_asked(name: str, value: str) -> None:
    params = {"authority": "https://idp", "clientid": "c", name: value}
    with pytest.raises(DiscoveryFailed) as caught:
        discover_from_challenge(http(), API, (Challenge("bearer", params=params),))

    assert caught.value.message.isprintable()


# RFC 9728.


def protected(server: Echo, **more: object) -> str:
    """Let a server be an issuer and describe the API; return the challenge."""
    issuer = server.root
    server.answers = pages(
        {
            OPENID: described(issuer),
            "/api": {"resource": API, "authorization_servers": [issuer], **more},
        }
    )
    return bearer(resource_metadata=f"{issuer}/api")


@pytest.mark.parametrize(
    "resource",
    [
        API,
        API.rstrip("/"),
        "http://localhost",
        "http://LOCALHOST:80/",
    ],
)
def test_the_document_of_the_api_names_the_provider(resource: str) -> None:
    with echo() as server:
        challenges = parse(protected(server, resource=resource))

        provider, client = discover_from_challenge(http(), API, challenges, client_id="us")

        assert provider.issuer == server.root
        assert client == Client("us")
        assert server.paths == ["/api", OPENID]


def test_its_challenge_may_name_scopes() -> None:
    with echo() as server:
        challenges = parse(f'{protected(server)}, scope="a b"')

        assert discover_from_challenge(http(), API, challenges, **WHO)[1].scopes == ("a", "b")


@pytest.mark.parametrize(
    "resource",
    [
        "http://localhost/mi_service",
        f"{API}deeper",
        "https://localhost/",
        "http://localhost:8443/",
        "https://evil.example.com/",
        f"{API}?x",
        f"{API}#x",
        "http://localhost:x/",
        None,
        [API],
    ],
)
def test_a_document_about_another_api_is_refused(resource: object) -> None:
    with echo() as server:
        challenges = parse(protected(server, resource=resource))
        with pytest.raises(DiscoveryFailed, match="not about"):
            discover_from_challenge(http(), API, challenges, **WHO)

        assert server.paths == ["/api"]


@pytest.mark.parametrize("servers", [[], None, ["https://a", "https://b"]])
def test_one_provider_must_be_named(servers: object) -> None:
    with echo() as server:
        challenges = parse(protected(server, authorization_servers=servers))
        with pytest.raises(DiscoveryFailed, match="identity providers, not one") as caught:
            discover_from_challenge(http(), API, challenges, **WHO)

    assert not servers or "https://a, https://b" in str(caught.value)


def test_several_providers_do_not_matter_where_the_profile_names_one() -> None:
    with echo() as server:
        challenges = parse(protected(server, authorization_servers=["https://a", "https://b"]))

        found, _ = discover_from_challenge(http(), API, challenges, issuer=server.root, **WHO)

        assert found.issuer == server.root


def test_the_client_must_come_from_the_profile_there() -> None:
    with echo() as server:
        challenges = parse(protected(server))
        with pytest.raises(DiscoveryFailed, match="client_id") as caught:
            discover_from_challenge(http(), API, challenges)

        assert "client_id" in caught.value.hint
        assert server.seen == []


def test_the_document_of_the_api_is_not_fetched_from_just_anywhere() -> None:
    with pytest.raises(EndpointRefused, match="resource_metadata"):
        discover_from_challenge(
            http(), API, parse(bearer(resource_metadata="http://mi/api")), **WHO
        )


@given(
    st.dictionaries(
        st.sampled_from(["authority", "clientid", "redirecturi", "scope", "apiaudience", "x"]),
        st.text(max_size=20) | st.sampled_from(["http://localhost/", "http://evil/"]),
    )
)
def test_any_challenge_is_refused_with_our_errors(params: dict[str, str]) -> None:
    params["authority"] = "http://" + params.get("authority", "")  # leads nowhere
    with pytest.raises(GatepassError) as caught:
        discover_from_challenge(http(), API, (Challenge("bearer", params=params),), seconds=0.01)
    assert caught.value.message.isprintable()
