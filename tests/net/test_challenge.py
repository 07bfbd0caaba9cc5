"""WWW-Authenticate headers, friendly and hostile."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass._net.challenge import _QUOTED, Challenge, _Reader, parse, server_mode

TOKEN_CHARACTERS = "!#$%&'*+.^_`|~0123456789abcdefghijklmnopqrstuvwxyz-"
tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=12)
values = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20)
blanks = st.text(" \t", max_size=2)


def shown(challenge: Challenge) -> tuple[str, str | None, dict[str, str]]:
    return challenge.scheme, challenge.token68, dict(challenge.params)


def read(header: str) -> list[tuple[str, str | None, dict[str, str]]]:
    return [shown(challenge) for challenge in parse(header)]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("Negotiate", [("negotiate", None, {})]),
        ("Negotiate, NTLM", [("negotiate", None, {}), ("ntlm", None, {})]),
        ("NTLM,Negotiate", [("ntlm", None, {}), ("negotiate", None, {})]),
        ("Negotiate abc==, NTLM", [("negotiate", "abc==", {}), ("ntlm", None, {})]),
        ("Bearer a=", [("bearer", "a=", {})]),
        ('Basic realm="a, b"', [("basic", None, {"realm": "a, b"})]),
        (
            "Basic realm = x ,, charset=UTF-8 ,",
            [("basic", None, {"realm": "x", "charset": "UTF-8"})],
        ),
        ("Bearer , k=v", [("bearer", None, {"k": "v"})]),
        ('"Basic" realm="x", realm=x, a=1, A=2', [("basic", None, {"realm": "x"})]),
        (r'Digest a="q\"\\"', [("digest", None, {"a": 'q"\\'})]),
        (
            "Bearer authority=https://idp/r?x=1, client_id=c, x-y=1, Basic realm=r",
            [
                ("bearer", None, {"authority": "https://idp/r?x=1", "client_id": "c", "x-y": "1"}),
                ("basic", None, {"realm": "r"}),
            ],
        ),
    ],
)
def test_a_header_is_read_as_rfc_9110_says(
    header: str, expected: list[tuple[str, str | None, dict[str, str]]]
) -> None:
    assert read(header) == expected


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ("=x", []),
        ('"quoted" k=v w', ["quoted"]),
        ('"two words", "NTLM', []),
        ('Basic"x"', ["basic"]),
        ('Basic;realm="x"', ["basic"]),
        ("Basic: realm=x", ["basic"]),
        ("Basic foo bar", ["basic"]),
        ("Basic realm=Granta MI", ["basic"]),
        ('Basic realm="open', ["basic"]),
        ('Basic realm="x" foo="y"', ["basic"]),
        ('Basic realm="x"; charset="UTF-8"', ["basic"]),
        ("Bearer k=v, K=w, k=v", ["bearer"]),
        ("Bearer cost=(£35)\u2028, £=1", ["bearer"]),
    ],
)
def test_of_a_malformed_challenge_its_scheme_is_left_at_most_and_the_next_one_is_read(
    header: str, schemes: list[str]
) -> None:
    expected: list[tuple[str, str | None, dict[str, str]]] = [(name, None, {}) for name in schemes]

    assert read(header) == expected
    assert read(f"{header}, NTLM, Negotiate abc=") == [
        *expected,
        ("ntlm", None, {}),
        ("negotiate", "abc=", {}),
    ]
    assert [each.scheme for each in parse("Negotiate", header, "NTLM")] == [
        "negotiate",
        *schemes,
        "ntlm",
    ]


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ("Bearer a=, b=c, NTLM", ["bearer", "ntlm"]),
        ('Basic realm=Granta MI, charset="UTF-8", NTLM', ["basic", "ntlm"]),
        ('Basic realm=Granta MI, note="use NTLM, Negotiate, please", Bearer', ["basic", "bearer"]),
        ('Digest nonce=, qop="auth,auth-int", Basic realm=x', ["digest", "basic"]),
        ("Negotiate,\r\n NTLM", ["negotiate", "ntlm"]),
        ("Basic\r\n\trealm=x\n", ["basic"]),
    ],
)
def test_what_belongs_to_a_malformed_challenge_is_no_scheme(
    header: str, schemes: list[str]
) -> None:
    assert [each.scheme for each in parse(header)] == schemes


def test_a_line_that_is_too_long_is_read_up_to_its_last_comma_before_the_limit() -> None:
    assert parse("x" * 16_385) == ()
    assert parse("Negotiate " + "A" * 16_385, "NTLM") == (Challenge("ntlm"),)
    assert [each.scheme for each in parse(f'NTLM, Basic realm="{"x" * 16_384}"')] == ["ntlm"]


_OPEN_QUOTE = re.compile(r'"(?:[^"\\]|\\.)*+')


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


class _Counting(_Reader):
    """Counts the characters that its patterns look at, also where one gives up."""

    looked_at = 0

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        begin, found = self._at, super()._take(pattern)
        what_is_read, _, _ = pattern.pattern.partition("(?=")  # and this must follow
        end = _end(re.compile(what_is_read), self._text, begin)
        if _QUOTED.pattern in pattern.pattern:  # a quote that nothing closes is read to the end
            end = _end(_OPEN_QUOTE, self._text, end)
        self.looked_at += 1 + end - begin
        return found


@pytest.mark.parametrize(
    "piece",
    ['"', '"\\', ',"\\', ',\\"', ',a b="\\', 'a b="x",', "a b,", "a=", ",,=", "a b=c d,", 'a b="'],
)
def test_each_character_is_looked_at_a_few_times_at_most(piece: str) -> None:
    """A server chooses the line: in quadratic time it would stop the client."""
    reader = _Counting((piece * 4_000)[:4_000])

    list(reader.challenges())
    assert reader.looked_at < 8 * 4_000


@st.composite
def parameters(draw: st.DrawFn) -> tuple[dict[str, str], list[str]]:
    """Parameters, and a correct way to write each of them."""
    wanted = draw(st.dictionaries(tokens, values, min_size=1, max_size=4))
    written = []
    for name, value in wanted.items():
        text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if value and all(character in TOKEN_CHARACTERS for character in value):
            text = draw(st.sampled_from([text, value]))
        name_as_sent = draw(st.sampled_from([name, name.upper()]))
        written.append(f"{name_as_sent}{draw(blanks)}={draw(blanks)}{text}")
    return wanted, written


@st.composite
def headers(draw: st.DrawFn) -> tuple[list[tuple[str, str | None, dict[str, str]]], str]:
    """Challenges, and a correct header for them."""
    expected: list[tuple[str, str | None, dict[str, str]]] = []
    elements: list[str] = []
    for scheme in draw(st.lists(tokens, max_size=4)):
        form = draw(st.sampled_from(["alone", "token68", "parameters"]))
        if form == "alone":
            expected.append((scheme, None, {}))
            elements.append(scheme)
        elif form == "token68":
            token = draw(st.from_regex(r"\A[A-Za-z0-9._~+/-]{1,20}={0,2}\Z"))
            expected.append((scheme, token, {}))
            elements.append(f"{scheme} {token}")
        else:
            wanted, written = draw(parameters())
            expected.append((scheme, None, wanted))
            elements += [f"{scheme} {written[0]}", *written[1:]]
    commas = draw(st.sampled_from([",", ", ", " , ", ",, ", "\t,"]))
    return expected, draw(st.sampled_from(["", ", "])) + commas.join(elements)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(headers())
def test_what_was_written_correctly_is_read_back(
    case: tuple[list[tuple[str, str | None, dict[str, str]]], str],
) -> None:
    expected, header = case

    assert read(header) == expected


@given(st.text() | st.text('aB=,"\\ \t') | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_gives_challenges(header: str) -> None:
    for challenge in parse(header):
        assert challenge.scheme == challenge.scheme.lower()
        assert challenge.token68 is None or not challenge.params


@pytest.mark.parametrize(
    ("header", "mode"),
    [
        ("Negotiate, NTLM", "Windows"),
        ("NTLM", "Windows"),
        ("Negotiate, NTLM, Basic realm=x", "mixed"),
        ("Basic realm=x", "standalone"),
        ("Bearer authority=https://idp/", "OIDC"),
        ("Digest realm=x", None),
        ("", None),
    ],
)
def test_the_challenge_tells_the_configuration_of_the_server(header: str, mode: str | None) -> None:
    assert server_mode(parse(header), "https://mi.example.com/mi_servicelayer/x") == mode
    assert server_mode(parse(header), "https://mi.example.com/MI_ServiceLayer") == mode
    assert server_mode(parse(header), "https://wiki.example.com/x") is None
