"""Log in with a browser: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636, RFC 8252).

A person logs in on a page of the identity provider, and the browser brings the answer to a
server on loopback. Where the browser is on another machine, its last page does not load there;
then the person pastes that page's address. Either way the same is checked: the state, so that the
answer is to this login (RFC 6749, section 10.12), the issuer, so that it is from this provider
(RFC 9207), and the provider checks the verifier, so that a code is of no use to anybody else.
"""

import time
from collections.abc import Callable, Mapping
from math import ceil
from typing import Final

from gatepass._system.terminal import Terminal, Waiting
from gatepass._value import Value
from gatepass._vault.records import Client, Provider, Tokens
from gatepass.auth._oidc.callback import Callback, parse_callback
from gatepass.auth._oidc.endpoint import endpoint_of
from gatepass.auth._oidc.foreign_text import printable
from gatepass.auth._oidc.redirect_page import PageKind
from gatepass.auth._oidc.redirect_server import RedirectServer
from gatepass.auth._oidc.token_request import form_of_code
from gatepass.auth._oidc.token_response import ABOUT_THE_CLIENT, HINTS, Denied, InvalidGrant
from gatepass.errors import GatepassError, LoginRequired, NobodyThere
from gatepass.secrets import Secret

Send = Callable[[Mapping[str, str]], Tokens]
"""Sends a form to the token endpoint, adds who the client is, and reads the response."""

Accept = Callable[[Tokens, str], PageKind]
"""Checks tokens and the nonce of their ID token, and returns what the browser is to show; raises
where they must not be used."""

# What people and programs put around an address that is copied.
_AROUND: Final = " \t\"'`<>()[]\u201c\u201d\u2018\u2019\u00ab\u00bb"
_POLL_SECONDS: Final = (
    0.2  # seconds; until a countdown moves, a typed line is seen, Windows sees Ctrl-C
)


class _LoginValues(Value):
    """The three random values of one login, 256 bits each."""

    state: str
    nonce: str
    verifier: Secret

    @classmethod
    def generate(cls) -> "_LoginValues":
        from secrets import token_urlsafe

        return cls(token_urlsafe(32), token_urlsafe(32), Secret(token_urlsafe(32)))


def _accept_any(_tokens: Tokens, _nonce: str) -> PageKind:
    """Accept any tokens."""
    return "done"


def log_in(
    provider: Provider,
    client: Client,
    *,
    send: Send,
    terminal: Terminal,
    timeout: float = 300.0,
    accept: Accept = _accept_any,
    hint: str = "",
) -> tuple[Tokens, str]:
    """Let a person log in, in a browser, and return the tokens and the nonce of the ID token.

    Opens a browser and a port on loopback, asks and tells the person, sends one token request.
    All of it is gone afterwards, also after Ctrl-C.

    Args:
        provider: the identity provider, with an authorization endpoint.
        client: who we are, and what we ask for.
        send: sends the token request and reads its answer.
        terminal: the way to the person.
        timeout: seconds until the person must have logged in.
        accept: checks the tokens, with the nonce, before the browser says that all is well.
        hint: what to run instead where nobody is there.

    Raises:
        LoginRequired: nobody is there, nobody logged in in time, or the provider refused.
        GatepassError: the redirect address cannot be listened on, or the answer is from another
            provider; and whatever ``send`` and ``accept`` raise.
    """
    nobody = terminal.why_not_browse()
    if nobody is not None:
        raise LoginRequired(f"a person must log in, and {nobody}", hint=hint)
    values = _LoginValues.generate()
    with RedirectServer(values.state, client.redirect_uri) as redirect_server:
        address = _authorization_url(provider, client, values, redirect_server.redirect_uri)
        callback = _CallbackWait(redirect_server, terminal, values.state, timeout).get_callback(
            provider, address
        )
        if callback is None:
            raise LoginRequired(f"nobody logged in within {timeout:.0f} s", hint=hint)
        try:
            code = _code_of(callback, provider, hint)
            form = form_of_code(
                client, code, verifier=values.verifier, redirect_uri=redirect_server.redirect_uri
            )
            tokens = _exchange(form, send, hint)
            page = accept(tokens, values.nonce)
        except BaseException:
            redirect_server.send_page("failed")
            raise
        redirect_server.send_page(page)
    return tokens, values.nonce


# --- what is sent --------------------------------------------------------------------------


def _authorization_url(
    provider: Provider, client: Client, values: _LoginValues, redirect_uri: str
) -> str:
    from oauthlib.oauth2 import WebApplicationClient

    endpoint = endpoint_of(provider, "authorization_endpoint")
    if provider.challenge_methods and "S256" not in provider.challenge_methods:
        raise GatepassError(
            f"{provider.issuer} does not know S256 for PKCE (RFC 9700, section 2.1.1); it offers "
            + printable(", ".join(provider.challenge_methods)),
            hint="ask its administrator to allow it for this client",
        )
    more = {"audience": client.audience} if client.audience else {}
    if "offline_access" in client.scopes:
        # Without it a provider may leave the refresh token out (OIDC Core, section 11).
        more["prompt"] = client.extra_params.get("prompt", "consent")
    oauth = WebApplicationClient(client.client_id)
    # oauthlib refuses http even on loopback; what may be http was decided at discovery.
    scheme, _, rest = endpoint.partition("://")
    built: str = oauth.prepare_request_uri(
        f"https://{rest}",
        redirect_uri=redirect_uri,
        scope=list(client.scopes),
        state=values.state,
        code_challenge=oauth.create_code_challenge(values.verifier.reveal(), "S256"),
        code_challenge_method="S256",
        nonce=values.nonce,
        **{**client.extra_params, **more},
    )
    return f"{scheme}://{built.removeprefix('https://')}"


# --- the person ----------------------------------------------------------------------------


class _CallbackWait(Value):
    """The wait for the answer, from the browser or from the person."""

    redirect_server: RedirectServer
    terminal: Terminal
    state: str
    timeout: float

    def get_callback(self, provider: Provider, address: str) -> Callback | None:
        """Tell the person what to do and wait; None when the time is over."""
        opened = self.terminal.open_browser(address) is None
        with self.terminal.waiting(typing=True) as line:
            self._show_address(provider, address, opened=opened, typing=line.takes_answers)
            if not opened and not line.takes_answers:
                pasted = self._ask_for_address()
                if pasted is not None:
                    return pasted
            return self._poll(line)

    def _show_address(
        self, provider: Provider, address: str, *, opened: bool, typing: bool
    ) -> None:
        first = f"Logging in at {provider.issuer}.\n"
        if opened:
            first += "A browser opens; if none does, open this address:"
        else:
            first += "Open this address in a browser:"
        last = f"Waiting for at most {_duration(self.timeout)}; Ctrl-C gives up."
        if typing:
            last += (
                "\nIs the browser on another machine? Then its last page does not load: copy\n"
                "the address of that page and paste it here."
            )
        self.terminal.tell(f"{first}\n\n  {address}\n\n{last}")

    def _poll(self, line: Waiting) -> Callback | None:
        deadline = time.monotonic() + self.timeout
        what = ", or paste the address here: " if line.takes_answers else " to log in "
        while (left := deadline - time.monotonic()) > 0:
            line.show(f"{_clock(left)} left{what}")
            callback = self.redirect_server.wait(min(left, _POLL_SECONDS))
            answer = line.answer()
            if callback is None and answer:
                callback = self._parse_pasted(answer)
            if callback is not None:
                return callback
        return None

    def _ask_for_address(self) -> Callback | None:
        """Ask in a notebook, where a question holds up everything, and no browser could open."""
        label = "The address on which the browser ended (or only Enter, to wait for the browser)"
        try:
            while answer := self.terminal.ask_line(label):
                callback = self._parse_pasted(answer)
                if callback is not None:
                    return callback
        except NobodyThere:
            pass  # a page that opens on this machine may still answer
        return None

    def _parse_pasted(self, answer: str) -> Callback | None:
        before, _, query = answer.strip(_AROUND).partition("?")
        callback = parse_callback((query or before).partition("#")[0], self.state)
        if callback is None:
            self.terminal.tell(
                "That is not the address on which this login ended. It starts with "
                f"{self.redirect_server.redirect_uri}?"
            )
        return callback


def _clock(seconds: float) -> str:
    minutes, rest = divmod(ceil(seconds), 60)
    return f"{minutes}:{rest:02}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if minutes and not rest else f"{seconds:.0f} s"


# --- the answer ----------------------------------------------------------------------------


def _code_of(callback: Callback, provider: Provider, hint: str) -> Secret:
    """Return the code of a callback that is this provider's and no error."""
    if callback.iss is None and provider.answers_carry_iss:
        raise _mixed_up(provider, "does not say which provider it is from (RFC 9207)")
    if callback.iss not in {None, provider.issuer}:
        raise _mixed_up(provider, "is from another provider")
    if callback.code is None:
        said = f": {callback.description}" if callback.description else ""
        error = callback.error or ""
        refused = f"{provider.issuer} refused the login ({error}{said})"
        if error in ABOUT_THE_CLIENT:
            raise Denied(refused, hint=HINTS[error], error=error)
        raise LoginRequired(refused, hint=f"{HINTS.get(error, '')}\n{hint}".strip())
    return callback.code


def _exchange(form: Mapping[str, str], send: Send, hint: str) -> Tokens:
    try:
        return send(form)
    except InvalidGrant as error:
        raise LoginRequired(
            f"the identity provider did not take the code of this login ({error.message})",
            hint=f"{hint}\nif this comes again, tell its administrator: the code may have arrived "
            "late, or twice, or with another redirect_uri than the registered one",
        ) from None


def _mixed_up(provider: Provider, why: str) -> GatepassError:
    return GatepassError(
        f"the answer to the login at {provider.issuer} {why}; it was not used",
        hint="log in once more; if this comes again, tell those who run the identity provider",
    )
