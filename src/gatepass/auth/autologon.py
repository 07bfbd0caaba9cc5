"""``scheme = "autologon"``: the logged-on user, by Negotiate (RFC 4559).

SSPI on Windows: Kerberos, or NTLM where Windows falls back to it. GSSAPI elsewhere: Kerberos with
a ticket of ``kinit`` or a keytab.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from gatepass._system.findings import Finding
from gatepass._system.fork import undisturbed
from gatepass._system.text import local_time
from gatepass.auth import AuthContext, SchemeBase, UnattendedContext
from gatepass.auth._handshake import (
    REFUSED,
    OneConnection,
    again,
    certificate_binding,
    keep_tokens_out_of_logs,
    may_answer,
    offered_schemes,
    serve_again,
    token_of,
    written,
)
from gatepass.errors import GatepassError, LoginRequired

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from gatepass.auth import Authenticator

_T = TypeVar("_T")
_Explain = Callable[[Exception, str], GatepassError]  # an error, and the host
_MOST_MESSAGES: Final = 6  # NTLM within Negotiate takes two
_NAME_HINT: Final = (
    "use the name under which the server is known to Kerberos in the url, or ask the "
    "administrator for a service principal of that name"
)
# MIT: "Server HTTP/host@REALM not found in Kerberos database"; Heimdal: "Server (...) unknown".
_NO_SUCH_SERVER: Final = re.compile(r"\bserver\b.*\b(?:not found|unknown)\b")
_KERBEROS_FAILS: Final = "Kerberos cannot make a ticket for"


class _Context(Protocol):
    """One login in progress; pyspnego and gssapi agree on these names."""

    @property
    def complete(self) -> bool: ...

    def step(self, token: bytes | None = None) -> bytes | None: ...


class _Begin(Protocol):
    """Starts a login at a host, bound to a TLS connection."""

    def __call__(self, host: str, binding: bytes | None) -> _Context: ...


@dataclass(frozen=True)
class Autologon(SchemeBase):
    """No name and no password: who is logged on at this computer logs on at the server.

    Attributes:
        principal: whose Kerberos ticket or keytab entry, such as ``robot@EXAMPLE.COM``; by
            default the first. Not on Windows.
        delegate: lets the server act in the user's name at other servers.
        channel_binding: binds the login to the TLS connection, which servers may demand
            (Extended Protection); false where a balancer in between ends TLS.
    """

    principal: str | None = None
    delegate: bool = False
    channel_binding: bool = True

    answers: ClassVar[frozenset[str]] = frozenset({"negotiate"})
    connection_bound: ClassVar[bool] = True

    def authenticator(self, context: AuthContext) -> "Authenticator":  # noqa: ARG002 - no secret
        """Return an auth that answers the server's challenge.

        Raises:
            GatepassError: what it needs is not installed, or not for this system.
        """
        begin = _sspi(self) if sys.platform == "win32" else _gssapi(self)
        return _Negotiating(begin, channel_binding=self.channel_binding)

    def unattended(self, context: UnattendedContext) -> Iterable[Finding]:
        """Look for what logs on: the account on Windows; elsewhere a keytab, or a ticket."""
        if sys.platform == "win32":
            return _predicted_sspi(self)
        return _predicted_gssapi(self, context)


class _Negotiating:
    """Answers Negotiate.

    The first request of a session asks the server. Once the server has accepted a Kerberos
    ticket, one goes along with each request: it costs no round trip, it works with servers that
    ask for each request anew, and no body meets a 401.
    """

    def __init__(self, begin: _Begin, *, channel_binding: bool) -> None:
        self._begin = begin
        self._channel_binding = channel_binding
        self._at_once = False
        self._binding: bytes | None = None

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        context = None
        if self._at_once:
            binding = self._binding
            context = self._begin(_host(request), binding)
            token = context.step() or b""
            if _is_ntlm(token):  # it would take more messages
                context = None
            else:
                request.headers["Authorization"] = written("Negotiate", token)
        request.register_hook("response", partial(self._answer, context))  # type: ignore[no-untyped-call]
        return request

    def _answer(self, context: _Context | None, response: "Response", **kwargs: Any) -> "Response":
        if context is not None and response.status_code != REFUSED:
            try:
                _verify(context, response)
            except GatepassError:
                response.close()
                raise
            return response
        binding = certificate_binding(response) if self._channel_binding else None
        if context is not None and binding == self._binding:
            return response  # refused; another attempt would be the same
        if not may_answer(response) or "negotiate" not in offered_schemes(response):
            return response
        return self._shake(response, binding, kwargs)

    def _shake(
        self, response: "Response", binding: bytes | None, kwargs: dict[str, Any]
    ) -> "Response":
        context = self._begin(_host(response.request), binding)
        first = message = context.step() or b""
        connection = OneConnection()
        for _ in range(_MOST_MESSAGES):
            header = written("Negotiate", message)
            response = connection.send(partial(again, response, header, kwargs))
            try:
                if response.status_code != REFUSED:
                    _verify(context, response)
                    self._binding = binding
                    self._at_once = not _is_ntlm(first)
                    return response
                token = token_of(response, "negotiate")
                if token is None or context.complete:
                    return response
                serve_again(response)
                message = context.step(token) or b""
            except GatepassError:
                response.close()
                raise
        return response


def _verify(context: _Context, response: "Response") -> None:
    """Let the server prove itself by its last token (mutual authentication).

    Raises:
        GatepassError: it does not, although it claims success.
    """
    token = token_of(response, "negotiate")
    if token is not None and not context.complete:
        context.step(token)
    if not context.complete and response.ok:
        raise GatepassError(
            f"{_host(response.request)} answers, but does not prove that it is the right server "
            "(Kerberos mutual authentication)",
            hint="a balancer or proxy in between may remove the WWW-Authenticate header",
        )


def _is_ntlm(token: bytes) -> bool:
    return b"NTLMSSP\0" in token


def _host(request: "PreparedRequest") -> str:
    return urlsplit(request.url or "").hostname or ""


# ---------------------------------------------------------------- Windows


def _sspi(scheme: Autologon) -> _Begin:
    if scheme.principal is not None:
        raise GatepassError(
            "principal is for Kerberos outside of Windows; here autologon is the logged-on user",
            hint="remove principal, and run the task as the user who is to log on",
        )
    import spnego
    from spnego.channel_bindings import GssChannelBindings

    keep_tokens_out_of_logs()
    flags = spnego.ContextReq.mutual_auth | spnego.ContextReq.sequence_detect
    if scheme.delegate:
        flags |= spnego.ContextReq.delegate

    def begin(host: str, binding: bytes | None) -> _Context:
        bindings = GssChannelBindings(application_data=binding) if binding else None
        try:
            context: _Context = spnego.client(
                hostname=host,
                service="HTTP",
                protocol="negotiate",
                channel_bindings=bindings,
                context_req=flags,
            )
        except spnego.exceptions.SpnegoError as error:  # no credentials may show already here
            failure = _explain_sspi(error, host)
        else:
            return _Explained(context, spnego.exceptions.SpnegoError, host, _explain_sspi)
        raise failure

    return begin


def _explain_sspi(error: Exception, host: str) -> GatepassError:
    """Turn an error of SSPI into one with a next step. It holds names, no secret.

    By its code (winerror.h), since Windows writes the text in its own language.
    """
    code = getattr(getattr(error, "base_error", None), "winerror", None) or 0
    text = " ".join(str(error).split())
    if code & 0xFFFFFFFF in _NO_LOGON:
        return LoginRequired(
            f"Windows has no credentials for the network in this kind of logon ({text})",
            hint='in the Task Scheduler do not tick "Do not store password"; over SSH or WinRM use '
            "the scheme ntlm or credentials, with a user name and a password",
        )
    hint = _NAME_HINT if code & 0xFFFFFFFF in _NO_SUCH_NAME else _LOGON_HINT
    return GatepassError(f"Windows cannot log on at HTTP/{host}: {text}", hint=hint)


_LOGON_HINT: Final = (
    "check the clock, the network to the domain controller (VPN), and whether your password has "
    "changed since you logged on: lock the screen and unlock it"
)
# SEC_E_UNKNOWN_CREDENTIALS, SEC_E_NO_CREDENTIALS; ERROR_NO_SUCH_LOGON_SESSION, also as HRESULT.
_NO_LOGON: Final = frozenset({0x8009030D, 0x8009030E, 1312, 0x80070520})
# SEC_E_TARGET_UNKNOWN, SEC_E_WRONG_PRINCIPAL
_NO_SUCH_NAME: Final = frozenset({0x80090303, 0x80090322})


class _Explained:
    """A login whose errors are ours."""

    def __init__(
        self, context: _Context, kind: type[Exception], host: str, explain: _Explain
    ) -> None:
        self._context = context
        self._kind = kind
        self._host = host
        self._explain = explain

    @property
    def complete(self) -> bool:
        """Whether both sides are content. May raise as :meth:`step` does, for the step before."""
        return self._ours(lambda: self._context.complete)

    def step(self, token: bytes | None = None) -> bytes | None:
        """Take the other side's message, return ours.

        Raises:
            LoginRequired: there is no ticket, or it has expired.
            GatepassError: anything else that the library says.
        """
        return self._ours(lambda: self._context.step(token))

    def _ours(self, action: Callable[[], _T]) -> _T:
        failure: GatepassError
        try:
            with undisturbed():
                return action()
        except self._kind as error:
            failure = self._explain(error, self._host)
        except Exception as error:  # noqa: BLE001 - a hostile server brings any error out of it
            failure = GatepassError(
                f"the Negotiate messages of {self._host} cannot be understood "
                f"({type(error).__name__})"
            )
        raise failure


# ---------------------------------------------------------------- elsewhere


def _gssapi(scheme: Autologon) -> _Begin:
    gssapi = _import_gssapi()
    flags = [
        gssapi.RequirementFlag.mutual_authentication,
        gssapi.RequirementFlag.out_of_sequence_detection,
    ]
    if scheme.delegate:
        flags.append(gssapi.RequirementFlag.delegate_to_peer)

    @undisturbed()
    def begin(host: str, binding: bytes | None) -> _Context:
        bindings = gssapi.raw.ChannelBindings(application_data=binding) if binding else None
        try:
            context: _Context = gssapi.SecurityContext(
                name=gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service),
                creds=_credentials(gssapi, scheme.principal),
                flags=flags,
                mech=gssapi.OID.from_int_seq("1.3.6.1.5.5.2"),  # SPNEGO
                channel_bindings=bindings,
                usage="initiate",
            )
        except gssapi.exceptions.GSSError as error:
            failure = _explain(error, host)
        else:
            return _Explained(context, gssapi.exceptions.GSSError, host, _explain)
        raise failure

    return begin


def _credentials(gssapi: Any, principal: str | None) -> Any:
    """The ticket to use: of a ticket cache, or of the keytab that KRB5_CLIENT_KTNAME names."""
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    kerberos = gssapi.MechType.kerberos
    found = gssapi.Credentials(name=name, usage="initiate", mechs=[kerberos])
    _ = found.lifetime  # raises where the ticket has expired
    # SPNEGO credentials limited to Kerberos: with other mechanisms installed, GSSAPI might offer
    # them too.
    spnego = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
    credentials = gssapi.Credentials(name=name, usage="initiate", mechs=[spnego])
    gssapi.raw.set_neg_mechs(credentials, [kerberos])
    return credentials


def _import_gssapi() -> Any:
    try:
        import gssapi
    except (ImportError, OSError):
        raise GatepassError(
            "autologon needs GSSAPI for Kerberos, which is not installed",
            hint="pip install 'gatepass[kerberos]'   (compiles; needs libkrb5-dev and a C "
            "compiler)\nor, without compiling, on Debian and Ubuntu:   sudo apt-get install "
            "python3-gssapi   and a virtual environment made with --system-site-packages",
        ) from None
    return gssapi


def _explain(error: Exception, host: str) -> GatepassError:
    """Turn an error of GSSAPI into one with a next step. It holds names, no secret."""
    text = " ".join(str(error).split())
    lower = text.lower()
    if "expired" in lower:
        return LoginRequired(f"the Kerberos ticket has expired ({text})", hint="run: kinit")
    none = ("no credentials", "no kerberos credentials", "cache file", "credentials cache")
    if any(sign in lower for sign in none) or type(error).__name__ == "MissingCredentialsError":
        return LoginRequired(
            f"there is no Kerberos ticket here ({text})",
            hint="run: kinit USER@REALM\nor, for a run without a person, name a keytab: "
            "KRB5_CLIENT_KTNAME=FILE:/path/to/robot.keytab",
        )
    if _NO_SUCH_SERVER.search(lower):
        return GatepassError(
            f"{_KERBEROS_FAILS} HTTP/{host}: {text}",
            hint=_NAME_HINT,
        )
    return GatepassError(
        f"{_KERBEROS_FAILS} HTTP/{host}: {text}",
        hint="check the clock, the network to the domain controller, and krb5.conf",
    )


# ---------------------------------------------------------------- without a person


_ENDS_HINT: Final = (
    "name a keytab: KRB5_CLIENT_KTNAME=FILE:/path/to/robot.keytab\nor let the job first run "
    "kinit -R, if the ticket is renewable (flag R of klist -f)"
)


def _predicted_sspi(scheme: Autologon) -> Iterator[Finding]:
    try:
        _sspi(scheme)
    except GatepassError as error:
        yield Finding("problem", "principal", error.message, error.hint)
    except ImportError:
        yield Finding(
            "problem", "spnego", "the package pyspnego is missing", "pip install pyspnego"
        )
    else:
        message = (
            "the account of the job logs on, so its password must be stored: in the Task "
            'Scheduler do not tick "Do not store password"'
        )
        yield Finding("info", "account", message)


def _predicted_gssapi(scheme: Autologon, context: UnattendedContext) -> Iterator[Finding]:
    try:
        gssapi = _import_gssapi()
    except GatepassError as error:
        yield Finding("problem", "gssapi", error.message, error.hint)
        return
    named = context.environ.get("KRB5_CLIENT_KTNAME")
    keytab = named or _usual_keytab()
    logs_on = keytab is not None and _opens(gssapi, keytab, scheme.principal)
    for variable in ("KRB5_CONFIG", "KRB5_CLIENT_KTNAME" if logs_on else "KRB5CCNAME"):
        if context.environ.get(variable):
            yield Finding("info", variable, "it is set here; the job must set it too")
    if logs_on:
        yield Finding("ok", "keytab", f"{keytab} logs on")
        return
    if named:
        message = f"KRB5_CLIENT_KTNAME names {named}, which holds no key that can be used"
        yield Finding("info", "keytab", message)
    yield _ticket(gssapi, scheme, context)


@undisturbed()
def _usual_keytab() -> str | None:
    """Return the keytab that MIT Kerberos takes by itself, by its own rules; None where unknown.

    The package gssapi does not tell it, and a login would not only look at it: it gets a ticket.
    """
    import ctypes

    context, keytab, name = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.create_string_buffer(4096)
    try:
        krb5 = ctypes.CDLL("libkrb5.so.3")  # gssapi has loaded it already
        failed = (
            krb5.krb5_init_context(ctypes.byref(context))
            or krb5.krb5_kt_client_default(context, ctypes.byref(keytab))
            or krb5.krb5_kt_get_name(context, keytab, name, len(name))
        )
        if keytab.value:
            krb5.krb5_kt_close(context, keytab)
        if context.value:
            krb5.krb5_free_context(context)
    except (OSError, AttributeError):  # another Kerberos
        return None
    return None if failed else os.fsdecode(name.value)


@undisturbed()
def _opens(gssapi: Any, keytab: str, principal: str | None) -> bool:
    """Whether a keytab holds a key of whom is wanted. Asks no KDC for a ticket, as a login would.

    Credentials that accept read a keytab and nothing else.
    """
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    mechs = [gssapi.MechType.kerberos]
    try:
        gssapi.Credentials(name=name, usage="accept", mechs=mechs, store={"keytab": keytab})
    except gssapi.exceptions.GSSError:
        return False
    return True


def _ticket(gssapi: Any, scheme: Autologon, context: UnattendedContext) -> Finding:
    try:
        found = _found(gssapi, scheme.principal)
    except GatepassError as error:
        return Finding("problem", "ticket", error.message, error.hint)
    if found.seconds is None:
        return Finding("ok", "ticket", f"a ticket of {found.principal} is there")
    ends = context.clock() + found.seconds
    when = local_time(ends)
    if ends < context.until:
        message = f"the ticket of {found.principal} ends at {when}"
        return Finding("problem", "ticket", message, _ENDS_HINT)
    return Finding("ok", "ticket", f"a ticket of {found.principal} is there until {when}")


# ---------------------------------------------------------------- what is there now


@dataclass(frozen=True, slots=True)
class Ready:
    """What would log on by Kerberos.

    Attributes:
        principal: whose ticket; empty for a keytab.
        seconds: how long it lasts; None without end.
        keytab: the keytab that is used instead of a ticket.
    """

    principal: str
    seconds: float | None = None
    keytab: str = ""


def ready(environ: Mapping[str, str]) -> Ready:
    """Return what would log on; not on Windows. Reads keytab and ticket cache, asks no KDC.

    Raises:
        LoginRequired: there is no ticket, or it has expired.
        GatepassError: GSSAPI is not installed.
    """
    gssapi = _import_gssapi()
    keytab = environ.get("KRB5_CLIENT_KTNAME") or _usual_keytab()
    if keytab is not None and _opens(gssapi, keytab, None):
        return Ready("", keytab=keytab)
    return _found(gssapi, None)


@undisturbed()
def _found(gssapi: Any, principal: str | None) -> Ready:
    """Return the ticket of a principal, or the first; raises as :func:`ready` does."""
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    kerberos = gssapi.MechType.kerberos
    try:
        found = gssapi.Credentials(name=name, usage="initiate", mechs=[kerberos])
        return Ready(str(found.name), found.lifetime)
    except gssapi.exceptions.GSSError as error:
        failure = _explain(error, "")
    raise failure
