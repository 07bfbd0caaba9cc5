"""Schemes and sources of other packages, really installed: what they can do, and what they cannot.

The good one is the package of docs/how-to/write-a-scheme.md and write-a-source.md. The hostile one
stands in tests/support/third_party/hostile.py.
"""

import json
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from gatepass import AuthContext, SecretContext
from gatepass._system import plugins
from gatepass.cli._context import Context
from gatepass.errors import PluginError
from gatepass.sandbox import Server
from tests.support.echo import Answer, Echo, Seen, echo, refused
from tests.support.home import Home
from tests.support.third_party.hostile import SCHEMES, SOURCES
from tests.support.third_party.server import acme_server

KEY: Final = "hunter2-of-acme"

CANARY: Final = "hunter2"


# ---------------------------------------------------------------- the good one


@pytest.fixture
def acme_user(home: Home, acme: str) -> Home:
    """A person who has installed acme-gatepass, and keeps a key in its vault."""
    vault = home.write(Path(home.environ["HOME"]) / "vault.json", json.dumps({"team": {"mi": KEY}}))
    return replace(home.having(ACME_VAULT=str(vault)), path=[acme])


def _told(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


def _acme(url: str, more: str = "") -> str:
    return (
        f'[profiles.dev]\nurl = "{url}"\nproxy = "none"\nretries = 0\n'
        '[profiles.dev.auth]\nscheme = "acme-hmac"\nkey_id = "k1"\nkey = "acmevault:team/mi"\n'
        f"{more}\n"
    )


@pytest.fixture
def server() -> Iterator[Echo]:
    """A server that checks signatures."""
    with acme_server("k1", KEY) as running:
        yield running


def test_a_scheme_of_another_package_is_listed_shown_and_validated(acme_user: Home) -> None:
    acme_user.user(_acme("https://acme.example.com"))

    listed = acme_user.run("profiles", "--json")
    shown = acme_user.run("show", "dev")
    validated = acme_user.run("validate", "--all")

    assert json.loads(listed.stdout)[0]["scheme"] == "acme-hmac"
    auth = tomllib.loads(shown.stdout)["profiles"]["dev"]["auth"]
    assert auth["key"] == "acmevault:team/mi"
    assert auth["scheme"] == "acme-hmac"
    assert (validated.returncode, validated.stdout) == (0, "ok: 1 profile\n")
    assert KEY not in listed.stdout + shown.stdout


def test_the_schema_knows_a_scheme_of_another_package_and_source_like_our_own(
    acme_user: Home,
) -> None:
    document = json.loads(acme_user.run("schema", "--print").stdout)
    checker = jsonschema.Draft202012Validator(document)
    jsonschema.Draft7Validator.check_schema(document)
    keys = document["$defs"]["auth.acme-hmac"]["properties"]

    assert keys["lifetime"]["description"].startswith("seconds for which")
    assert keys["lifetime"]["default"] == 60
    good = tomllib.loads(_acme("https://acme.example.com"))
    assert list(checker.iter_errors(good)) == []
    for wrong in (
        {"key": KEY},
        {"key": "acmevaul:team/mi"},
        {"key": "acmevault:"},
        {"lifetime": "60"},
        {"kee": "env:X"},
        {"key_id": "a:b"},
        {"password": "env:X"},
        {"scheme": "acme-hmca"},
    ):
        auth = good["profiles"]["dev"]["auth"] | wrong
        file = {"profiles": {"dev": good["profiles"]["dev"] | {"auth": auth}}}
        assert not checker.is_valid(file), wrong
    del good["profiles"]["dev"]["auth"]["key"]
    assert not checker.is_valid(good)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            'kye_id = "k2"',
            (
                '9:1: profiles.dev.auth.kye_id: unknown key; did you mean "key_id"?',
                "    kye_id =\n",
            ),
        ),
        ("lifetime = 0", ("profiles.dev.auth: lifetime should be 1 to 3600 seconds",)),
        ("lifetime = true", ("9:1: profiles.dev.auth.lifetime: should be", "integer")),
    ],
)
def test_a_mistake_in_the_keys_of_a_scheme_of_another_package_is_told_like_one_in_ours(
    acme_user: Home, line: str, words: tuple[str, ...]
) -> None:
    file = acme_user.user(_acme("https://acme.example.com", line))

    done = acme_user.run("validate", "--all")

    assert done.returncode == 2
    assert f"{file}:" in _told(done)
    for each in words:
        assert each in _told(done)


def test_a_literal_in_a_secret_field_of_a_scheme_of_another_package_is_not_repeated(
    acme_user: Home,
) -> None:
    acme_user.user(_acme("https://acme.example.com").replace("acmevault:team/mi", KEY))

    done = acme_user.run("validate", "--all")

    assert done.returncode == 2
    assert "8:1: profiles.dev.auth.key: a secret field takes a reference" in _told(done)
    assert "gatepass secret set dev key" in _told(done)
    assert KEY not in _told(done) + done.stdout


def test_a_misspelt_plug_in_scheme_is_guessed(acme_user: Home) -> None:
    acme_user.user(_acme("https://acme.example.com").replace("acme-hmac", "acme-hmca"))

    assert 'unknown scheme; did you mean "acme-hmac"?' in _told(acme_user.run("validate", "--all"))


def test_a_scheme_of_another_package_and_source_log_on(acme_user: Home, server: Echo) -> None:
    acme_user.user(_acme(server.url))

    done = acme_user.run("check", "dev")

    assert (done.returncode, done.stdout.split(" answers ")[1]) == (0, "200 OK to acme-hmac\n")
    # The second one shows that the server asks for it.
    assert [bool(each.authorization) for each in server.seen] == [True, False]
    assert KEY not in str(server.seen)


def test_a_scheme_of_another_packages_refusal_is_told_like_one_of_ours(
    acme_user: Home, server: Echo
) -> None:
    acme_user.user(_acme(server.url).replace('"k1"', '"k2"'))

    done = acme_user.run("check", "dev")

    assert done.returncode == 4
    assert "refused the login" in _told(done)
    assert "acme-hmac" in _told(done)
    assert len(server.seen) == 1


def test_what_a_plug_in_source_says_is_told_with_the_place_of_the_reference(
    acme_user: Home,
) -> None:
    file = acme_user.user(_acme("https://acme.example.com").replace("team/mi", "team/other"))

    done = acme_user.run("check", "dev")

    assert done.returncode == 3
    assert f"{file}:8:1: profiles.dev.auth.key: acmevault:team/other: there is no" in _told(done)
    assert "acme vault put team/other" in _told(done)


def test_a_body_is_signed_too_and_a_pickled_session_signs_in_another_process(
    acme_user: Home, server: Echo
) -> None:
    acme_user.user(_acme(server.url))
    script = (
        "import pickle, sys; from gatepass import GatepassError, Session\n"
        "mi = Session.from_profile('dev')\n"
        "assert mi.post('a', data='words').status_code == 200\n"
        "try: mi.post('a', data=iter([b'x']))\n"
        "except GatepassError as error: assert 'stream' in str(error)\n"
        "sys.stdout.write(pickle.dumps(mi).hex())\n"
    )
    done = acme_user.python(script)
    assert done.returncode == 0, done.stderr
    assert KEY.encode() not in bytes.fromhex(done.stdout)

    other = acme_user.python(
        f"import pickle; mi = pickle.loads(bytes.fromhex('{done.stdout}'))\n"
        "assert mi.put('b', json={}).status_code == 200"
    )

    assert other.returncode == 0, other.stderr
    assert [(each.method, each.body) for each in server.seen] == [
        ("POST", b"words"),
        ("PUT", b"{}"),
    ]


# ---------------------------------------------------------------- names


@pytest.fixture
def victim(home: Home, hostile: str) -> Home:
    """A person who has installed two packages that mean no good."""
    log = Path(home.environ["HOME"]) / "hostile.log"
    return replace(
        home.having(HOSTILE_LOG=str(log), TOKEN=CANARY, OTHER="innocent"), path=[hostile]
    )


def _log(home: Home) -> list[str]:
    log = Path(home.environ["HOSTILE_LOG"])
    return log.read_text().splitlines() if log.exists() else []


def _profile(scheme: str, more: str = "", token: str = "env:TOKEN", url: str = "") -> str:
    return (
        f'[profiles.dev]\nurl = "{url or "https://mi.example.com/"}"\nproxy = "none"\nretries = 0\n'
        f'[profiles.dev.auth]\nscheme = "{scheme}"\ntoken = "{token}"\n{more}\n'
        '[profiles.fine]\nurl = "https://fine.example.com/"\nauth = { scheme = "anonymous" }\n'
    )


def test_a_package_that_claims_our_names_gets_no_password_and_is_not_even_imported(
    desk: Home, hostile: str, tmp_path: Path
) -> None:
    """All our schemes and sources are claimed; a login by ours never runs a line of theirs."""
    log = str(tmp_path / "hostile.log")
    home = replace(desk.having(HOSTILE_LOG=log, MI_PASSWORD="sesame"), path=[hostile])
    with Server(mode="standalone", users={"alice": "sesame"}) as server:
        home.user(
            f'[profiles.prod]\nurl = "{server.url}"\nproxy = "none"\n'
            '[profiles.prod.auth]\nscheme = "basic"\nuser_name = "alice"\n'
            'password = ["keyring:", "file:none", { command = ["false"] }, "env:MI_PASSWORD"]\n'
            f'[profiles.oidc]\nurl = "{server.url}"\nauth = {{ scheme = "oidc" }}\n'
        )
        for arguments, code in (
            (("check", "prod"), 0),
            (("show", "prod"), 0),
            (("profiles",), 0),
            (("status", "oidc"), 3),
            (("secret", "list", "--all"), 0),
            (("validate", "prod"), 0),
        ):
            done = home.run(*arguments)
            assert done.returncode == code, (arguments, done.stderr)

    assert [line for line in _log(home) if "thief" in line or "stolen" in line] == []


def test_validate_names_the_package_that_claims_our_names(victim: Home) -> None:
    victim.user(_profile("bearer"))

    done = victim.run("validate", "--all")

    assert done.returncode == 2
    for group, names in plugins.BUILT_IN.items():
        for name in names:
            assert (
                f"the package hostile-gatepass claims the built-in name '{name}' of {group}; "
                "the built-in is used" in _told(done)
            )
    assert _log(victim) == []


@pytest.mark.parametrize("verb", ["validate", "show", "check"])
def test_a_name_that_two_packages_claim_means_neither(victim: Home, verb: str) -> None:
    victim.user(_profile("claimed"))

    done = victim.run(verb, "dev")

    assert done.returncode == 2
    assert (
        "'claimed' is claimed by more than one package: hostile-gatepass, rival-gatepass"
        in _told(done)
    )
    assert victim.run(verb.replace("check", "show"), "fine").returncode == 0
    assert _log(victim) == []


def test_validate_tells_of_a_name_that_two_claim_though_nobody_uses_it(victim: Home) -> None:
    victim.user(_profile("bearer"))

    assert (
        "the name 'claimed' of gatepass.auth is claimed by more than one package: "
        "hostile-gatepass, rival-gatepass" in _told(victim.run("validate", "--all"))
    )


def test_another_name_for_our_own_class_works(victim: Home) -> None:
    """Their entry point names our code, so ours it is that runs."""
    with Server(mode="standalone", users={"alice": "sesame"}) as server:
        victim.user(
            f'[profiles.dev]\nurl = "{server.url}"\nproxy = "none"\nauth = {{ scheme = '
            '"house-basic", user_name = "alice", password = "env:PW" }\n'
        )

        done = victim.having(PW="sesame").run("check", "dev")

    assert done.returncode == 0, done.stderr
    assert "house-basic" in done.stdout


ODD_NAMES: Final = (
    "Basic",
    "ntlm ",
    "\u001b[2J",
    "b\u00e4sic",
    "a b",
    "__x__",
    "env:",
    "-x",
    "a(b",
    "\u202ebasic",
)


def test_a_name_that_no_profile_should_write_is_never_used_and_cannot_steer_a_terminal(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "packages" / "odd-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: od\u001b[2Jd\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = odd:X" for name in ODD_NAMES)
    (info / "entry_points.txt").write_text(
        f"[gatepass.auth]\n{lines}\n[gatepass.secrets]\n{lines}\n", encoding="utf-8"
    )
    (tmp_path / "packages" / "odd.py").write_text("raise SystemExit('imported')")
    home.path.append(str(tmp_path / "packages"))
    home.user(_profile("Basic"))

    done = home.run("validate", "--all")

    assert done.returncode == 2
    assert "unknown scheme" in _told(done)
    assert _told(done).count("which is never used") >= 2 * (len(ODD_NAMES) - 2)
    assert "\u001b" not in _told(done)
    assert "\u202e" not in _told(done)
    document = json.loads(home.run("schema", "--print").stdout)
    assert document["$defs"]["auth"]["properties"]["scheme"]["enum"] == sorted(
        plugins.BUILT_IN[plugins.AUTH]
    )
    jsonschema.Draft202012Validator.check_schema(document)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    with pytest.raises(PluginError, match="no installed package provides 'Basic'"):
        plugins.load(plugins.AUTH, "Basic")
    assert [each for each in plugins.conflicts() if not each.isprintable()] == []


# ---------------------------------------------------------------- classes that are none


# Scheme → what the error says after the name of package and entry point.
BROKEN: Final = {
    "raises": "cannot be imported: RuntimeError at auth_raises.py:",
    "missing": "cannot be imported: ModuleNotFoundError at auth_missing.py:",
    "gone": "cannot be imported: AttributeError",
    "number": "is not a dataclass",
    "plain": "is not a dataclass",
    "mute": "has no method authenticator",
    "control": "has a field called scheme",
    "picky": "cannot check its keys: RuntimeError at auth_picky.py:",
}

# These need a key that only they have.
BROKEN_KEYS: Final = {
    "alien": "cannot check its keys: PydanticSchemaGenerationError",
    "hooked": "cannot check its keys: RuntimeError at auth_hooked.py:",
}


@pytest.mark.parametrize("scheme", [*BROKEN, *BROKEN_KEYS])
def test_a_scheme_that_cannot_be_used_is_told_with_its_package_and_entry_point(
    victim: Home, scheme: str
) -> None:
    victim.user(_profile(scheme, "odd = 1" * (scheme in BROKEN_KEYS)))

    done = victim.run("validate", "dev")

    assert done.returncode == 2
    assert (
        f"the scheme '{scheme}' of the package hostile-gatepass "
        f"(entry point hostile.auth_{scheme}:X) {(BROKEN | BROKEN_KEYS)[scheme]}" in _told(done)
    )
    assert CANARY not in _told(done)
    assert "bug in gatepass" not in _told(done)
    assert victim.run("show", "fine").returncode == 0


def test_broken_schemes_are_open_in_the_schema_and_leave_the_others_as_they_are(
    victim: Home,
) -> None:
    done = victim.run("schema", "--print")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    checker = jsonschema.Draft202012Validator(document)

    def good(auth: dict[str, Any]) -> bool:
        profile = {"url": "https://x.y/", "auth": auth}
        return bool(checker.is_valid({"profiles": {"a": profile}}))

    checker.check_schema(document)
    jsonschema.Draft7Validator.check_schema(document)
    for scheme in {*BROKEN, *BROKEN_KEYS, "lax"} - {"mute", "picky"}:
        assert good({"scheme": scheme, "anything": {"at": "all"}}), scheme
    assert good({"scheme": "basic", "user_name": "a", "password": "env:X"})
    assert not good({"scheme": "basic", "user_name": "a", "password": "literal"})
    assert not good({"scheme": "basic", "user_name": "a", "pasword": "env:X"})
    assert not good({"scheme": "no-such"})
    assert good({"scheme": "endless", "token": "env:X"})
    assert not good({"scheme": "endless", "token": "env:X", "unknown": 1})
    assert CANARY not in done.stdout


# ---------------------------------------------------------------- failures when they are used


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("blurts", "cannot make its login: RuntimeError at auth_blurts.py:"),
        ("blurts-ours", "cannot make its login: GatepassError at "),
        ("empty", "makes no callable"),
        ("forgets", "cannot log a request on: AttributeError at "),
        ("blurts-late", "cannot log a request on: KeyError at auth_blurts_late.py:"),
        ("blurts-request", "cannot log a request on: ConnectionError at auth_blurts_request.py:"),
        ("blurts-answering", "cannot answer the server: KeyError at auth_blurts_answering.py:"),
    ],
)
def test_a_failure_with_a_secret_in_its_words_tells_who_failed_and_not_the_words(
    victim: Home, scheme: str, words: str
) -> None:
    """On the command line, and in the traceback of a script."""
    with echo() as server:
        victim.user(_profile(scheme, url=server.url))

        checked = victim.run("check", "dev")
        script = victim.python("from gatepass import Session; Session.from_profile('dev').get('x')")

    assert checked.returncode == 2
    assert f"the scheme '{scheme}' of the package hostile-gatepass" in checked.stderr
    assert words in checked.stderr
    assert "gatepass.errors.PluginError: the scheme" in script.stderr
    assert words in script.stderr
    for printed in (checked.stdout, checked.stderr, script.stderr):
        assert CANARY not in printed


# ---------------------------------------------------------------- odd manners that do no harm


def _asks(seen: Seen) -> Answer:
    """Take any login."""
    return Answer() if seen.authorization else refused("Bearer")


@pytest.mark.parametrize("scheme", ["traits", "derived", "endless"])
def test_odd_manners_are_no_obstacle(victim: Home, scheme: str) -> None:
    """Odd class variables, fields that no key fills or that nest."""
    with echo(_asks) as server:
        victim.user(_profile(scheme, url=server.url))
        for words in ("validate dev", "show dev --origin", "profiles", "check dev"):
            arguments = words.split()
            done = victim.run(*arguments)
            assert done.returncode == 0, (arguments, done.stderr)
        done = victim.python(
            "import pickle; from gatepass import Session\n"
            "mi = pickle.loads(pickle.dumps(Session.from_profile('dev')))\n"
            "assert mi.get('x').status_code == 200"
        )

    assert done.returncode == 0, done.stderr
    assert server.authorizations == [f"Hostile {CANARY}", None, f"Hostile {CANARY}"]


def test_class_variables_of_the_wrong_kind_count_as_the_careful_answer(victim: Home) -> None:
    victim.user(_profile("traits", url="http://mi.example.com/"))

    assert "plain http would send credentials" in _told(victim.run("validate", "dev"))


def test_hooks_for_pydantic_let_no_unknown_key_pass_and_see_their_own_value_only(
    victim: Home,
) -> None:
    victim.user(_profile("lax", 'taken = "mine"\npasword = "env:OTHER"'))

    done = victim.run("validate", "dev")

    assert done.returncode == 2
    assert "profiles.dev.auth.pasword: unknown key" in _told(done)
    assert [line for line in _log(victim) if line.startswith("took")] == ["took 'mine'"]


def test_a_key_for_a_field_that_no_key_fills_is_unknown(victim: Home) -> None:
    victim.user(_profile("derived", 'made = "x"'))

    assert "profiles.dev.auth.made: unknown key" in _told(victim.run("validate", "dev"))


# ---------------------------------------------------------------- sources


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("nothing", 3, "nothing:x: it is empty"),
        ("null", 3, "answered with something that is not text"),
        ("rawbytes", 3, "answered with something that is not text"),
        ("faulty", 3, "failed: ValueError at source_faulty.py:"),
        ("uncallable", 3, "failed: TypeError at "),
        ("spyglass", 2, "of the package rival-gatepass (entry point rival:X) cannot be imported"),
    ],
)
def test_a_source_may_answer_in_any_way(victim: Home, source: str, code: int, words: str) -> None:
    victim.user(_profile("bearer", token=f"{source}:x"))

    done = victim.run("check", "dev")

    assert done.returncode == code
    assert words in _told(done)
    if "answered with" in words or "failed" in words:
        assert f"the source '{source}' of the package hostile-gatepass" in _told(done)
        assert f"(entry point hostile.source_{source}:X)" in _told(done)
    assert CANARY not in _told(done)


def test_the_next_alternative_is_asked_where_a_source_fails(victim: Home) -> None:
    with echo(_asks) as server:
        login = _profile("bearer", url=server.url)
        victim.user(login.replace('"env:TOKEN"', '["faulty:x", "env:OTHER"]'))

        done = victim.run("check", "dev")

    assert done.returncode == 0, done.stderr
    assert server.authorizations == ["Bearer innocent", None]


# ---------------------------------------------------------------- what a scheme is handed


def test_a_scheme_is_handed_its_own_profiles_fields_and_nothing_of_a_neighbours(
    victim: Home,
) -> None:
    """Not even asked for: the secrets of another profile, of a parent that lost, of the proxy."""
    victim.user(
        '[profiles.base]\nurl = "https://base.example.com/"\nproxy = "none"\n'
        'auth = { scheme = "bearer", token = "spy:of-the-parent" }\n'
        '[profiles.dev]\nextends = "base"\nurl = "https://mine.example.com/"\n'
        'proxy = { url = "http://127.0.0.1:1", user_name = "me", password = "spy:of-the-proxy" }\n'
        'auth = { scheme = "nosy", token = "spy:mine" }\n'
        '[profiles.neighbour]\nurl = "https://neighbour.example.com/"\n'
        'auth = { scheme = "nosy", token = "spy:of-the-neighbour" }\n'
    )

    done = victim.python("from gatepass import Session; Session.from_profile('dev')")

    assert done.returncode == 0, done.stderr
    printed = [line for line in _log(victim) if not line.startswith("imported")]
    assert printed == [
        "asked of-the-proxy for proxy.password",  # by the session, for the way out
        "asked mine for token",
        "resolved token",
        "sees ('dev', 'https://mine.example.com/', 'https://mine.example.com')",
    ]


@pytest.mark.parametrize("kind", [AuthContext, SecretContext, Context])
def test_what_is_handed_over_shows_no_variable_when_it_is_printed(kind: Any) -> None:
    """A debugger, or a report of a failed test, prints the arguments of a plug-in's function."""
    given = {each.name: None for each in fields(kind)} | {"environ": {"MI_PASSWORD": CANARY}}

    assert CANARY not in repr(kind(**given))


def test_every_hostile_module_is_used_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for name in {*SCHEMES, *SOURCES} - {"thief"}:
        assert f'"{name.replace("_", "-")}' in text or f'{name}"' in text or f'"{name}:' in text


# ---------------------------------------------------------------- very many names


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (b"[gatepass.auth]\nno equals sign\n", "cannot be read"),
        (b"[gatepass.auth]\nx = \xff\xfe:X\n", "cannot be read"),
        (b"[gatepass.auth]\nodd = !!!\n", "cannot be imported"),
        (b'[gatepass.auth]\nodd = a"; touch gone; ":X\n', "cannot be imported"),
    ],
)
def test_a_damaged_package_of_others_takes_nobody_along(
    acme_user: Home, server: Echo, tmp_path: Path, damage: bytes, expected: str
) -> None:
    """As an installation leaves it that was interrupted. It is told by ``validate`` alone."""
    info = tmp_path / "broken_one-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-one\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(damage)
    home = replace(acme_user, path=[*acme_user.path, str(tmp_path)])
    home.user(
        _acme(server.url)
        + '[profiles.bad]\nurl = "https://x.example.com"\nauth = { scheme = "odd" }\n'
    )

    done = home.run("validate", "--all")

    assert home.run("check", "dev").returncode == 0
    assert home.run("schema", "--print").returncode == 0
    assert done.returncode == 2
    assert "broken-one" in _told(done)
    assert expected in _told(done)
    assert "python -c" not in _told(done)  # nobody is told to paste such a name into a shell
