"""PyGranta's own clients, as installed from PyPI, over a gatepass session."""

import copy
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from importlib import import_module
from importlib.metadata import distributions, version
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
from ansys.grantami import bomanalytics, jobqueue, recordlists
from ansys.grantami.bomanalytics import queries
from ansys.grantami.bomanalytics_openapi.v2 import api as bom_api
from ansys.grantami.bomanalytics_openapi.v2 import models as bom_models
from ansys.grantami.serverapi_openapi.v2026r1 import api, models
from ansys.openapi.common import ApiClient, ApiClientFactory, SessionConfiguration
from requests.structures import CaseInsensitiveDict

from gatepass._session.exceptions import LoginRefused, TimedOut, Unreachable
from gatepass._session.session import Session
from gatepass.auth._oidc.status import create_vault_key
from gatepass.errors import LoginRequired, PluginError, ProfileError
from gatepass.integrations import pygranta
from gatepass.integrations.pygranta import connect
from gatepass.sandbox import IdentityProvider, Server
from tests.support.echo import Answer, Seen, basic, echo, refused
from tests.support.peers.need import absent
from tests.support.peers.waiting import wait_for
from tests.support.service_layer import (
    LARGE,
    LICENSES,
    REPORT,
    SERVER_API,
    VERSION,
    granta,
    service_layer,
)
from tests.support.sessions import NOWHERE, PASSWORD, USER, session_for

BomConnection: Any = bomanalytics.Connection  # type: ignore[attr-defined]  # public, not declared
ROOT = Path(__file__).resolve().parents[2]
USERS = {USER: PASSWORD, f"CORP\\{USER}": PASSWORD}


# ---------------------------------------------------------------- clients, and what they do


class OwnClient(ApiClient):
    """A client as its author would write it against ansys-openapi-common alone."""

    def health(self) -> Any:
        return self.call_api(
            "/Health/v2.svc",
            "GET",
            _return_http_data_only=True,
            response_type_map={200: "dict(str, str)"},
        )


class OwnConnection(ApiClientFactory):
    """Its Connection: its URL is that of a service below the Service Layer."""

    def connect(self) -> OwnClient:
        self._validate_builder()
        return OwnClient(self._session, self._api_url, self._session_configuration)


def list_names(client: Any) -> list[str]:
    return [each.name for each in client.get_all_lists()]


def job_names(client: Any) -> list[str]:
    return [each.name for each in client.jobs]


def substances(client: Any) -> list[str]:
    query = queries.MaterialImpactedSubstancesQuery()
    query = query.with_material_ids(["plastic-abs"]).with_legislation_ids(["REACH"])
    return [each.cas_number for each in client.run(query).impacted_substances]


def health(client: Any) -> list[str]:
    return [client.health()["status"]]


CLIENTS: dict[Any, tuple[Callable[[Any], list[str]], str]] = {
    recordlists.Connection: (list_names, "steels"),
    jobqueue.Connection: (job_names, "nightly export"),
    BomConnection: (substances, "7439-92-1"),
    OwnConnection: (health, "Healthy"),
}
every_client = pytest.mark.parametrize(
    "connection", CLIENTS, ids=lambda each: each.__module__.split(".")[-2]
)
granta_clients = pytest.mark.parametrize(
    "connection", list(CLIENTS)[:3], ids=lambda each: each.__module__.split(".")[-2]
)


def operate(connection: Any, client: Any) -> None:
    operation, result = CLIENTS[connection]
    assert operation(client) == [result]


# ---------------------------------------------------------------- every way to log on


PASSWORD_MODES = [
    ("standalone", "basic"),
    ("standalone", "credentials"),
    ("windows", "ntlm"),
    ("windows", "credentials"),
    ("mixed", "credentials"),
]


@every_client
@pytest.mark.parametrize(("mode", "scheme"), PASSWORD_MODES)
def test_a_profile_name_is_all_that_a_client_needs(
    connection: Any, mode: str, scheme: str, tmp_path: Path
) -> None:
    with service_layer(mode, users=USERS) as server:
        file = tmp_path / "profiles.toml"
        file.write_text(
            f'[profiles.prod]\nurl = "{server.url}"\n[profiles.prod.auth]\nscheme = "{scheme}"\n'
            f'user_name = "{USER}"\npassword = "env:MI_PASSWORD"\ndomain = "CORP"\n'
        )
        file.chmod(0o600)

        client = connect(connection, "prod", config_file=file, environ={"MI_PASSWORD": PASSWORD})
        operate(connection, client)
        client.rest_client.close()

    assert {each.user for each in server.requests if each.status == 200} == {f"CORP\\{USER}"}
    assert "//" not in "".join(each.path for each in server.requests)


class Office:
    """A Service Layer in OIDC mode, its identity provider, and a vault."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.ahead = 0.0  # so many seconds the provider and the server are ahead of the client
        self.idp = stack.enter_context(
            IdentityProvider(
                users={"alice": "pw"},
                access_token_seconds=600,
                id_token=False,  # it would come from the future
                clock=lambda: time.time() + self.ahead,
            )
        )
        self.server = stack.enter_context(service_layer("oidc", provider=self.idp))
        self.file = folder / "profiles.toml"
        self.file.write_text(
            f'[profiles.nightly]\nurl = "{self.server.url}"\n[profiles.nightly.auth]\n'
            f'scheme = "oidc"\nissuer = "{self.idp.issuer}"\nuse_stored_token = true\n'
            'refresh_token = "env:TOKEN"\n'
        )
        self.file.chmod(0o600)
        key = folder / "vault.key"
        create_vault_key(key)
        self.environ = {
            "GATEPASS_VAULT": str(folder / "vault"),
            "GATEPASS_VAULT_KEY": f"file:{key}",
            "TOKEN": self.idp.issue()["refresh_token"],
        }

    def session(self) -> Session:
        return Session.from_profile("nightly", config_file=self.file, environ=self.environ)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with ExitStack() as stack:
        yield Office(stack, tmp_path)


@every_client
def test_a_stored_token_is_enough_and_is_renewed_while_a_client_works(
    connection: Any, office: Office
) -> None:
    """The server refuses the access token in mid-session; the client does not notice."""
    with office.session() as session:
        client = connect(connection, session)
        operate(connection, client)
        before = office.idp.counts.refreshes
        office.ahead = 3600
        operate(connection, client)

    assert office.idp.counts.refreshes == before + 1
    assert office.idp.counts.token_requests.keys() == {"refresh_token"}
    assert {each.user for each in office.server.requests if each.status == 200} == {"alice"}


def test_without_a_stored_token_the_error_says_what_to_run(office: Office) -> None:
    office.file.write_text(office.file.read_text().replace('refresh_token = "env:TOKEN"\n', ""))
    with office.session() as session, pytest.raises(LoginRequired, match="gatepass login nightly"):
        connect(recordlists.Connection, session)


# ---------------------------------------------------------------- nothing more than the client asks


def test_only_the_clients_own_questions_are_asked() -> None:
    """The builder's own login, which asks up to three times, is left out."""
    with service_layer("standalone", users=USERS) as server, session_for(server.url) as session:
        connect(ApiClientFactory, session)
        connect(OwnConnection, session)
        assert list(server.requests) == []

        connect(recordlists.Connection, session)
        connect(BomConnection, session)

    paths = [each.path.removeprefix("/mi_servicelayer/") for each in server.requests]
    assert paths == [VERSION, LICENSES]


def test_plain_openapi_common_gets_the_profiles_url() -> None:
    with session_for(NOWHERE) as session:
        client = connect(ApiClientFactory, session)

    assert type(client) is ApiClient
    assert client.api_url == NOWHERE.rstrip("/")
    assert repr(client.rest_client) == repr(session)


def test_the_client_for_administrators_works_as_the_others_do() -> None:
    try:
        connection: Any = import_module("ansys.grantami.system").Connection
    except ImportError:
        absent("ansys-grantami-system is not installed (the extra test)")
    with service_layer("windows", users=USERS) as server:
        with session_for(server.url, "credentials") as session:
            client = connect(connection, session)
            shown = str(client.get_granta_mi_version())
        users = {each.user for each in server.requests if each.status == 200}

    assert shown.startswith("26.1")
    assert users == {USER}


def test_an_api_package_alone_works_below_the_service_layer() -> None:
    """They have no Connection: ``ApiClientFactory`` makes the client, and its URL is completed."""
    with service_layer("standalone", users=USERS) as server, session_for(server.url) as session:
        client = connect(ApiClientFactory, session)
        client.api_url += f"/{SERVER_API}"
        client.setup_client(models)

        assert api.SchemaApi(client).get_version().version == "26.1.0.0"


def test_the_api_package_of_bom_analytics_works_alone() -> None:
    with service_layer("standalone", users=USERS) as server, session_for(server.url) as session:
        client = connect(ApiClientFactory, session)
        client.api_url += f"/{LICENSES.removesuffix('/licenses')}"
        client.setup_client(bom_models)

        assert bom_api.LicensesApi(client).get_licenses().restricted_substances is True


def test_the_page_names_each_package_that_runs_here_and_its_version() -> None:
    """``tests/constraints.txt`` holds them: who raises one runs these tests, and adds it there."""
    page = (ROOT / "docs/how-to/pygranta.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(ansys-[a-z-]+)` \| (.+) \|$", page, re.MULTILINE))
    here = {each.metadata["Name"]: each.version for each in distributions()}
    here = {name: number for name, number in here.items() if name.startswith("ansys-")}

    assert here.keys() == rows.keys()
    assert [each for each in here.items() if each[1] not in rows[each[0]].split(", ")] == []


def test_each_client_is_known_to_the_server_by_its_own_name() -> None:
    """Also where several share one session, whose own headers stay as they are."""
    with echo(granta) as server, session_for(server.url) as session:
        plain = session.headers["User-Agent"]
        clients: dict[Any, Any] = {}
        for connection in list(CLIENTS)[:3]:
            clients[connection] = connect(connection, session)
        server.seen.clear()
        for connection, client in clients.items():
            operate(connection, client)
        session.get("")
        seen = [each.headers for each in server.seen]

    names = ["recordlists", "jobqueue", "bomanalytics"]
    for name, headers in zip(names, seen, strict=False):
        package = f"ansys-grantami-{name}"
        assert headers["user-agent"].startswith(f"{package}/{version(package)} CPython/")
        assert headers["x-granta-applicationname"].startswith("PyGranta ")
    assert seen[2]["x-granta-actasreaduser"] == "true"
    assert seen[3]["user-agent"] == plain == session.headers["User-Agent"]
    assert "x-granta-applicationname" not in seen[3]


class OnTheSession(OwnConnection):
    """Puts its headers where requests looks for them."""

    def __init__(self, url: str, configuration: Any = None) -> None:
        super().__init__(url, configuration)
        self._session.headers["X-Client"] = "1"


class OfItsOwn(OwnConnection):
    """Takes the URL alone, and makes its configuration itself."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SessionConfiguration(headers=CaseInsensitiveDict({"X-Client": "1"})))


class ByKeyword(OwnConnection):
    """Takes its configuration by another name."""

    def __init__(self, url: str, *, settings: SessionConfiguration | None = None) -> None:
        super().__init__(url, settings)
        self._session_configuration.headers["X-Client"] = "1"


@pytest.mark.parametrize("connection", [OnTheSession, OfItsOwn, ByKeyword])
def test_a_client_may_take_its_headers_from_anywhere(connection: Any) -> None:
    with echo(granta) as server, session_for(server.url) as session:
        connect(connection, session).rest_client.get("")
        [headers] = [each.headers for each in server.seen]

    assert headers["x-client"] == "1"
    assert headers["user-agent"].startswith("ansys-openapi-common/")
    assert "X-Client" not in session.headers


def test_the_profiles_timeout_counts_where_a_call_names_none() -> None:
    """And not ansys-openapi-common's 31 seconds."""
    released = Event()

    def slow(_: Seen) -> Answer:
        released.wait()
        return Answer()

    with echo(slow) as server, session_for(server.url, timeout=[10, 0.1]) as session:
        client = connect(ApiClientFactory, session)
        with pytest.raises(TimedOut):
            client.call_api("/x", "GET")
        released.set()
        client.call_api("/x", "GET", _request_timeout=30)


# ---------------------------------------------------------------- the guard stays in place


@every_client
def test_no_other_server_sees_the_login(connection: Any) -> None:
    with echo() as other, echo(granta) as server:
        with session_for(server.url) as session:
            rest = connect(connection, session).rest_client
            rest.get(other.url)
            rest.send(rest.prepare_request(requests.Request("GET", other.url)))
        server.answers = lambda _: Answer(302, [("Location", other.url)])
        with session_for(server.url) as session:
            connect(OwnConnection, session).call_api("/x", "GET")

    assert other.authorizations == [None, None, None]
    assert set(server.authorizations) == {basic(USER, PASSWORD)}


def test_a_login_among_the_headers_of_a_client_is_for_its_server() -> None:
    """As one among the session's own. One that a request itself brings along may go anywhere."""
    with echo() as other, echo() as server, session_for(server.url) as session:
        client = connect(OwnConnection, session)
        client.configuration.headers["Authorization"] = "Bearer canary"
        rest = client.rest_client
        rest.get("x")
        rest.get(server.url.upper().replace("/MI/", "/mi/"))
        rest.get(other.url)
        rest.send(rest.prepare_request(requests.Request("GET", other.url)))
        rest.get(other.url, headers={"Authorization": "Bearer theirs"})

    assert server.authorizations == ["Bearer canary"] * 2
    assert other.authorizations == [None, None, "Bearer theirs"]


def test_the_response_that_a_client_keeps_shows_no_login() -> None:
    with echo(granta) as server, session_for(server.url) as session:
        client = connect(recordlists.Connection, session)
        client.get_all_lists()
        assert "Authorization" not in client.last_response.request.headers
    assert set(server.authorizations) == {basic(USER, PASSWORD)}


@granta_clients
def test_a_refused_password_is_said_and_sent_once(connection: Any) -> None:
    """Not "check that SSL certificates have been configured", as the clients would say."""
    users = {USER: "another"}
    with service_layer("standalone", users=users) as server, session_for(server.url) as session:
        with pytest.raises(LoginRefused) as caught:
            connect(connection, session)
        with pytest.raises(LoginRefused):
            connect(connection, session)

    assert server.attempts(USER) == 1
    assert PASSWORD not in str(caught.value)
    assert caught.value.exit_code == 4


@granta_clients
def test_a_server_that_is_away_is_said(connection: Any) -> None:
    with session_for(NOWHERE, retries=0) as session, pytest.raises(Unreachable):
        connect(connection, session)


def test_a_password_that_ends_while_a_client_works_is_sent_twice_at_most() -> None:
    """Once may be a server that has its bad moment; the second refusal in a row is final."""
    with echo(granta) as server, session_for(server.url) as session:
        client = connect(recordlists.Connection, session)
        server.answers = lambda _: refused('Basic realm="x"')
        before = len(server.seen)
        for _ in range(3):
            with pytest.raises(LoginRefused):
                client.get_all_lists()

    assert len([each for each in server.seen[before:] if each.authorization]) == 2


def test_what_a_client_says_itself_stays() -> None:
    def no_version(seen: Seen) -> Answer:
        return Answer(404) if "mi-version" in seen.path else granta(seen)

    with echo(no_version) as server, session_for(server.url) as session:
        try:
            connect(recordlists.Connection, session, environ={})
        except ProfileError:  # not a reason of what follows
            with pytest.raises(ConnectionError, match="Cannot find the Server API definition"):
                connect(recordlists.Connection, session)


# ---------------------------------------------------------------- large bodies


@pytest.mark.parametrize("mode", ["standalone", "windows"])
def test_a_large_file_arrives_whole(mode: str, tmp_path: Path) -> None:
    """By the client, into the folder of its configuration; and piece by piece."""
    with (
        service_layer(mode, users=USERS) as server,
        session_for(server.url, "credentials") as session,
    ):
        client = connect(ApiClientFactory, session)
        client.configuration.temp_folder_path = str(tmp_path)
        path = client.call_api(
            f"/{REPORT}",
            "GET",
            _return_http_data_only=True,
            response_type_map={200: "file"},
        )
        with client.rest_client.get(f"{client.api_url}/{REPORT}", stream=True) as answer:
            pieces = sha256()
            for piece in answer.iter_content(65536):
                pieces.update(piece)

    assert Path(str(path)) == tmp_path / "report.bin"
    assert sha256(Path(str(path)).read_bytes()).digest() == pieces.digest()
    assert pieces.digest() == sha256(LARGE).digest()


@pytest.mark.parametrize("mode", ["standalone", "windows"])
def test_a_body_arrives_whole_with_the_first_request(mode: str, tmp_path: Path) -> None:
    """Before any login of the connection: an upload, and a body that the client serializes."""
    file = tmp_path / "upload.bin"
    file.write_bytes(LARGE)
    with service_layer(mode, users=USERS) as server:
        for number in range(2):
            with session_for(server.url, "credentials") as session:
                client = connect(ApiClientFactory, session)
                if number:
                    client.call_api("/upload", "POST", files={"file": str(file)})
                else:
                    client.call_api("/query", "POST", body={"text": "ä" * 100_000})
        json_body, upload = [each for each in server.requests if each.method == "POST"][-2:]

    assert (json_body.status, upload.status) == (200, 200)
    assert json_body.body_length > 200_000
    assert upload.body_length > len(LARGE)


# ---------------------------------------------------------------- the session behind a client


def test_a_client_shows_the_session_that_it_uses() -> None:
    with session_for(NOWHERE) as session:
        rest = connect(OwnConnection, session).rest_client
        rest.max_redirects = 3

        assert isinstance(rest, requests.Session)
        assert repr(rest) == repr(session)
        assert (session.max_redirects, rest.cookies) == (3, session.cookies)


def test_a_request_may_replace_or_leave_out_a_header_of_its_client() -> None:
    """Also one that is prepared and sent in two steps, which is logged on as well."""
    with echo() as server, session_for(server.url) as session:
        rest = connect(OwnConnection, session).rest_client
        for headers in ({"user-agent": "mine"}, {"user-agent": None}, {}):
            request = requests.Request("GET", server.url, headers=headers)
            rest.get(server.url, headers=headers)
            rest.send(rest.prepare_request(request))
            assert request.headers is headers
        agents = [each.headers.get("user-agent", "") for each in server.seen]

    assert agents[:2] == ["mine", "mine"]
    assert not any("ansys" in each for each in agents[2:4])
    assert all(each.startswith("ansys-openapi-common/") for each in agents[4:])
    assert set(server.authorizations) == {basic(USER, PASSWORD)}


def test_a_copy_and_a_pickle_of_it_are_good_and_hold_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MI_PASSWORD", PASSWORD)
    with echo(granta) as server, session_for(server.url) as session:
        rest = connect(OwnConnection, session).rest_client
        pickled = pickle.dumps(rest)
        for each in (pickle.loads(pickled), copy.copy(rest), copy.deepcopy(rest)):  # noqa: S301 - our own
            each.get("x")
            each.close()
        agents = [each.headers["user-agent"] for each in server.seen]

    assert PASSWORD.encode() not in pickled
    assert all(each.startswith("ansys-openapi-common/") for each in agents)


def test_closing_a_client_closes_the_connections_of_its_session() -> None:
    with service_layer("open") as server, session_for(server.url, "anonymous") as session:
        for _ in range(2):
            client = connect(recordlists.Connection, session)
            client.rest_client.close()

    assert [each.connection for each in server.requests] == [1, 2]


def test_where_connecting_fails_the_session_of_a_profile_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    with Server(mode="open") as server:  # answers, but is no Service Layer
        file.write_text(
            f'[profiles.dev]\nurl = "{server.url}"\nauth = {{ scheme = "anonymous" }}\n'
        )
        file.chmod(0o600)
        with pytest.raises(AssertionError, match="server_version") as caught:
            connect(recordlists.Connection, "dev", config_file=file, environ={})
        wait_for(lambda: not server._listener._open, 10, "the end of the connection")

    assert caught.value.__traceback__ is not None  # holds the session, so nobody else closed it


# ---------------------------------------------------------------- what is refused, and how


@pytest.mark.parametrize(
    "connection",
    [OwnConnection(NOWHERE), requests.Session, "ansys.grantami.recordlists", None],
    ids=["made already", "another class", "a name", "nothing"],
)
def test_only_a_class_that_derives_from_the_factory_is_taken(connection: Any) -> None:
    with session_for(NOWHERE) as session, pytest.raises(PluginError, match="ApiClientFactory"):
        connect(connection, session)


def test_a_session_without_a_profile_is_refused() -> None:
    with requests.Session() as session, pytest.raises(ProfileError, match="gatepass.Session"):
        connect(OwnConnection, session)  # type: ignore[arg-type]  # that is the mistake


def test_what_belongs_to_a_profiles_name_is_refused_beside_a_session() -> None:
    with session_for(NOWHERE) as session, pytest.raises(ProfileError, match="^overrides, environ:"):
        connect(OwnConnection, session, overrides={}, environ={})


def test_an_unknown_profile_is_the_error_of_from_profile(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(f'[profiles.prod]\nurl = "{NOWHERE}"\nauth = {{ scheme = "anonymous" }}\n')
    file.chmod(0o600)
    with pytest.raises(ProfileError, match="prod"):
        connect(OwnConnection, "prodd", config_file=file, environ={})


def test_without_the_package_the_error_says_what_to_install() -> None:
    script = (
        "import sys\nsys.modules['ansys.openapi.common'] = None\n"
        "from gatepass.integrations.pygranta import connect\nconnect(object, 'prod')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(pygranta.__file__).parents[2])},
    )

    assert "PluginError" in done.stderr
    assert "pip install ansys-openapi-common" in done.stderr


# ---------------------------------------------------------------- names that are not public


COMMON = f"ansys-openapi-common {version('ansys-openapi-common')}"
PRIVATE = (pygranta._SESSION, pygranta._CONFIGURED, pygranta._CONFIGURATION)


def test_the_private_names_are_where_they_were() -> None:
    """Where this fails, those of the bridge need a new place."""
    names = vars(ApiClientFactory(NOWHERE))

    for name in PRIVATE:
        assert name in names, f"{COMMON} has no ApiClientFactory.{name} any more"
    assert isinstance(names[pygranta._SESSION], requests.Session), COMMON
    assert names[pygranta._CONFIGURED] is False, COMMON
    assert isinstance(names[pygranta._CONFIGURATION], SessionConfiguration), COMMON


def test_the_clients_log_on_below_the_url_under_which_their_tokens_lie() -> None:
    """``gatepass login --adopt`` looks for these accounts."""
    url = "https://mi.example.com/mi_servicelayer"
    for connection in list(CLIENTS)[:3]:
        assert connection(url)._api_url == f"{url}/Health/v2.svc"


@pytest.mark.parametrize("name", PRIVATE)
def test_where_a_name_has_moved_the_error_names_it_and_the_version(name: str) -> None:
    class Moved(OwnConnection):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            delattr(self, name)

    with session_for(NOWHERE) as session, pytest.raises(PluginError) as caught:
        connect(Moved, session)

    assert f"{COMMON}: Moved has no {name}" in str(caught.value)
    assert "pip install" in caught.value.hint


def test_a_client_with_a_session_of_its_own_is_refused() -> None:
    class Elsewhere(OwnConnection):
        def connect(self) -> OwnClient:
            return OwnClient(requests.Session(), self._api_url, SessionConfiguration())

    with session_for(NOWHERE) as session, pytest.raises(PluginError, match="of its own"):
        connect(Elsewhere, session)


def test_a_result_that_is_no_client_is_returned_as_it_is() -> None:
    class Other(ApiClientFactory):
        def connect(self) -> Any:
            return [self._session]

    with session_for(NOWHERE) as session:
        assert repr(connect(Other, session)) == f"[{session!r}]"
