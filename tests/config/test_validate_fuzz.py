"""Any file at all is a profile or a complaint, and no complaint holds a secret."""

import warnings
from collections.abc import Callable
from typing import Any, Final

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass._config import fields
from gatepass._config.layer import MACHINE_KEYS, TOP_KEYS
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import MachineSettings, Profile, ProfileKeys
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._system import plugins
from gatepass.errors import GatepassWarning, ProfileError

Load = Callable[[bytes], "Profile | ProfileError"]

CANARY: Final = "hunter2-canary"
SECRET_FIELDS: Final = ("password", "token", "client_secret", "refresh_token", "vault_key")

COMPLETE: Final = f"""\
default_profile = "base"
vault_key = "file:key"

[profiles.base]
url = "https://base.test"
auth.scheme = "anonymous"

[profiles.p]
url = "https://mi.example.com:8443/mi_servicelayer"
extends = "base"
description = "The production server"
timeout = [3, 4.5]
headers = {{ X-Tenant = "a" }}
proxy = {{ url = "http://proxy.test:3128", user_name = "env:U", password = "{CANARY}" }}

[profiles.p.tls]
client_cert = "c.pem"
client_key_password = '''
{CANARY}==
'''

[profiles.p.auth]
scheme = "basic"
user_name = "env:MI_USERNAME" # of the job
password = ["env:MI_PASSWORD", "{CANARY}", {{ command = ["op", "read"] }}]
domain = 'CORP'
"""


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Return a function that takes the profile p from a user's file with this content."""
    folder = tmp_path_factory.mktemp("validate")
    file = folder / "profiles.toml"
    file.touch(mode=0o600)
    locations = Locations((), file, folder / "state", None, None)

    def load(content: bytes) -> Profile | ProfileError:
        file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GatepassWarning)
            try:
                return load_profile("p", environ={}, locations=locations)
            except ProfileError as error:
                return error

    return load


# ---------------------------------------------------------------- documents


_KINDS: Final = tuple(plugins.load(plugins.AUTH, name) for name in plugins.BUILT_IN[plugins.AUTH])
_VALUES: Final = st.recursive(
    st.none().map(lambda _: CANARY)
    | st.sampled_from(["env:X", "keyring:", "prompt:", "file:x", "https://a.test", "none", ""])
    | st.sampled_from([*plugins.BUILT_IN[plugins.AUTH], "base", "p", "browser"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.times(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["command", "url", "scheme", "password"]), inner)
        | st.lists(st.text("ab", max_size=3), max_size=2).map(lambda argv: {"command": argv})
    ),
    max_leaves=5,
)


def _table(*names: str) -> "st.SearchStrategy[dict[str, Any]]":
    odd = st.text("abc-_ =\"'.\n#[]é", max_size=4)
    return st.dictionaries(st.sampled_from(names) | odd, _VALUES, max_size=6)


def _keys(kind: Any) -> tuple[str, ...]:
    return tuple(fields.types_of(kind))


@st.composite
def _profile(draw: st.DrawFn) -> dict[str, Any]:
    table = draw(_table(*_keys(ProfileKeys)))
    parts = {
        "auth": _table("scheme", *(key for kind in _KINDS for key in _keys(kind))),
        "proxy": _table(*_keys(Proxy)),
        "tls": _table(*_keys(TlsSettings)),
    }
    for name, strategy in parts.items():
        if draw(st.booleans()):
            table[name] = draw(strategy)
    if draw(st.booleans()) and isinstance(table.get("auth"), dict):
        table["auth"]["scheme"] = draw(st.sampled_from([*plugins.BUILT_IN[plugins.AUTH]]))
        table["url"] = "https://a.test"
    return table


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document = draw(_table(*TOP_KEYS, *MACHINE_KEYS, *_keys(MachineSettings)))
    document["profiles"] = draw(
        st.fixed_dictionaries({"p": _profile()}, optional={"base": _profile()})
    )
    return document


@given(documents())
@example({"profiles": {"p": {"url": "https://a.test", "auth": {"scheme": "anonymous"}}}})
def test_any_document_is_a_profile_or_a_complaint(take: Load, document: dict[str, Any]) -> None:
    found = take(tomli_w.dumps(document).encode())

    if isinstance(found, ProfileError):
        assert str(found)
    else:
        assert found.name == "p"


@given(documents(), st.sampled_from(SECRET_FIELDS[:-1]), st.sampled_from(["auth", "proxy"]))
def test_no_complaint_about_a_document_repeats_a_secret(
    take: Load, document: dict[str, Any], field: str, table: str
) -> None:
    """Only what stands in a field for secrets counts; elsewhere a value may be shown."""
    for profile in document["profiles"].values():
        _without_canary(profile)
        holder = profile.get(table)
        if isinstance(holder, dict):
            holder[field] = CANARY

    found = take(tomli_w.dumps({"profiles": document["profiles"]}).encode())

    assert CANARY not in str(found)


def _without_canary(value: Any) -> None:
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in [*pairs]:
        if inner == CANARY:
            value[key] = "x"
        elif isinstance(inner, dict | list):
            _without_canary(inner)


# ---------------------------------------------------------------- damage


_TOKENS: Final = st.sampled_from(
    [b"\n", b'"', b"'", b'"""', b"'''", b"=", b"[", b"]", b"{", b"}", b",", b"#", b".", b"\\",
     b"\0", b"\xff", b"\xe2\x80\xa8", b"\r", b"[[", b"x = 1\n", b"[profiles.p]\n"]
) | st.binary(min_size=1, max_size=4)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file in which some bytes were changed, lost or added, as a bad merge or editor does."""
    content = COMPLETE.encode()
    for _ in range(draw(st.integers(1, 4))):
        # Where TOML is built, damage does more than inside of a word.
        joints = [at for at, byte in enumerate(content) if byte in b"\"'=\n[]{},"]
        start = draw(st.sampled_from(joints or [0]) | st.integers(0, len(content)))
        lost = draw(st.sampled_from([0, 1, 2, 3, 7]))
        token = draw(st.just(b"") | _TOKENS)
        if CANARY.encode() in content[start : start + lost + len(CANARY)]:
            lost = 0  # not half of a secret, which nobody could find again
        content = content[:start] + token + content[start + lost :]
    return content[: draw(st.none() | st.integers(0, len(content)))]


@given(damaged())
@example(COMPLETE.encode())
def test_a_damaged_file_is_a_profile_or_a_complaint_without_a_secret(
    take: Load, content: bytes
) -> None:
    found = take(content)

    assert CANARY not in str(found)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_complaint(take: Load, content: bytes) -> None:
    assert isinstance(take(content), ProfileError)


def test_the_literal_secrets_of_the_file_that_is_damaged_are_all_complained_about(
    take: Load,
) -> None:
    """The file without damage is refused for its literal secrets, all of them at once."""
    found = take(COMPLETE.encode())

    assert str(found).count("takes a reference, not the secret itself") == 3
