"""Kerberos by GSSAPI outside of Windows, for the scheme autologon."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gatepass._system.findings import Finding
from gatepass._system.text import local_time, printable, quoted
from gatepass._value import Value
from gatepass.auth._negotiate import (
    NAME_HINT,
    Context,
    KdcUnreachable,
    MakeContext,
    TranslatedContext,
)
from gatepass.errors import CannotLogOn, GatepassError, LoginRequired

# MIT: "Server HTTP/host@REALM not found in Kerberos database"; Heimdal: "Server (...) unknown".
_NO_SUCH_SERVER: Final = re.compile(r"\bserver\b.*\b(?:not found|unknown)\b")
_KERBEROS_FAILS: Final = "Kerberos cannot make a ticket for"


def context_maker(
    principal: str | None, *, delegate: bool, service: str | None = None
) -> MakeContext:
    """Return what starts logins by Kerberos.

    Args:
        principal: whose ticket or keytab entry; None is the first.
        delegate: lets the server act in the user's name.
        service: the server's service principal; None is that of the host.

    Raises:
        GatepassError: GSSAPI is not installed.
    """
    gssapi = _import_gssapi()
    flags = [
        gssapi.RequirementFlag.mutual_authentication,
        gssapi.RequirementFlag.out_of_sequence_detection,
    ]
    if delegate:
        flags.append(gssapi.RequirementFlag.delegate_to_peer)

    def make_context(host: str, binding: bytes | None) -> Context:
        target = service or f"HTTP/{host}"
        bindings = gssapi.raw.ChannelBindings(application_data=binding) if binding else None
        try:
            context: Context = gssapi.SecurityContext(
                name=_name_of(gssapi, target),
                creds=_credentials(gssapi, principal),
                flags=flags,
                mech=gssapi.OID.from_int_seq("1.3.6.1.5.5.2"),  # SPNEGO
                channel_bindings=bindings,
                usage="initiate",
            )
        except gssapi.exceptions.GSSError as error:
            failure = _translate_error(error, target)
        else:
            return _KerberosContext(context, gssapi.exceptions.GSSError, target, _translate_error)
        raise failure

    return make_context


def _name_of(gssapi: Any, service: str) -> Any:
    """Return the name of a service principal, ``HTTP/host`` or ``HTTP/host@REALM``."""
    if "@" in service:
        return gssapi.Name(service, gssapi.NameType.kerberos_principal)
    # By the host, Kerberos finds the realm too.
    return gssapi.Name(service.replace("/", "@", 1), gssapi.NameType.hostbased_service)


def _credentials(gssapi: Any, principal: str | None) -> Any:
    """The ticket to use: of a ticket cache, or of the keytab that KRB5_CLIENT_KTNAME names."""
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    kerberos = gssapi.MechType.kerberos
    found = gssapi.Credentials(name=name, usage="initiate", mechs=[kerberos])
    _ = found.lifetime  # raises where the ticket has expired
    spnego = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
    if not hasattr(gssapi.raw, "set_neg_mechs"):
        # macOS. Heimdal's SPNEGO has no credentials of its own and offers the mechanisms of those
        # that it gets. MIT's would take the first ticket, whatever the name, without its own.
        return gssapi.Credentials(name=name, usage="initiate", mechs=[kerberos, spnego])
    # SPNEGO credentials limited to Kerberos: with other mechanisms installed, GSSAPI might offer
    # them too.
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


class _Cause(NamedTuple):
    """What a message of Kerberos means."""

    signs: str  # a pattern of MIT's words and of Heimdal's, in lower case
    message: str
    hint: str
    kind: type[GatepassError] = LoginRequired


_ANEW: Final = "make the keytab anew: it ends with each change of the account's password"
_ADMINISTRATOR: Final = (
    "ask the administrator of the domain; another account's keytab works at once"
)
# By the minor message: the major one is "no credentials" for all that fails with a keytab.
CAUSES: Final = (
    _Cause(
        r"decrypt integrity check failed|preauthentication failed|password incorrect",
        "the KDC does not take the key of the keytab: it is outdated",
        _ANEW,
    ),
    _Cause(
        r"\bclient\b.*\b(?:not found|unknown)\b",
        "there is no such account any more",
        "check the principal, and make a keytab of an account that exists",
    ),
    _Cause(
        r"client's entry .* expired|client .*has expired|client expired",
        "the account has expired",
        _ADMINISTRATOR,
    ),
    _Cause(
        r"(?:password|key) has expired|password .*must be changed",
        "the password of the account has expired",
        f"set a new one, then {_ANEW}",
    ),
    _Cause(
        r"credentials have been revoked|locked out|account .*disabled",
        "the account is disabled or locked",
        _ADMINISTRATOR,
    ),
    _Cause(
        r"cannot contact any kdc|unable to reach any kdc|cannot find kdc|cannot resolve .*\bkdc",
        "no domain controller (KDC) answers",
        "check the network to it (VPN, port 88), and its name in krb5.conf or in DNS",
        KdcUnreachable,
    ),
    _Cause(
        r"clock skew|clocks? .*(?:skew|differ)",
        "this computer's clock differs from the domain's by more than Kerberos allows",
        "let the system set it: timedatectl set-ntp true",
    ),
    _Cause(
        r"encryption type|etype",
        "the domain does not take the kind of encryption of this key",
        "make the keytab with a kind that it takes, such as aes256-cts-hmac-sha1-96",
    ),
)


def _translate_error(error: Exception, service: str) -> GatepassError:
    """Turn an error of GSSAPI into one with a next step. It holds names, no secret."""
    major, minor = _statuses(error)
    text = minor or major
    for cause in CAUSES:
        if re.search(cause.signs, minor.lower()):
            return cause.kind(f"{cause.message} ({text})", hint=cause.hint)
    if _NO_SUCH_SERVER.search(minor.lower()):
        hint = f"{NAME_HINT}; where it takes NTLM alone, use ntlm or credentials"
        return GatepassError(f"{_KERBEROS_FAILS} {service}: {text}", hint=hint)
    if type(error).__name__ == "ExpiredCredentialsError" or "expired" in major.lower():
        return LoginRequired(f"the Kerberos ticket has expired ({text})", hint="run: kinit")
    none = ("no credentials", "no kerberos credentials", "cache file", "credentials cache")
    if type(error).__name__ == "MissingCredentialsError" or any(
        sign in f"{major} {minor}".lower() for sign in none
    ):
        return _no_ticket(text)
    return GatepassError(
        f"{_KERBEROS_FAILS} {service}: {text}",
        hint="check the clock, the network to the domain controller, and krb5.conf",
    )


def _statuses(error: Any) -> tuple[str, str]:
    """Return the major and the minor message of an error of GSSAPI, in one printable line each."""
    try:
        major = error.get_all_statuses(error.maj_code, True)
        minor = error.get_all_statuses(error.min_code, False)
    except Exception:  # noqa: BLE001 - whatever another Kerberos raises here; its text remains
        major, minor = [str(error)], []
    texts = ["; ".join(each for each in found if each != "Success") for found in (major, minor)]
    one, other = (printable(" ".join(text.replace("\0", " ").split())) for text in texts)
    return one, other


def _no_ticket(text: str) -> LoginRequired:
    """Return the error for no ticket: what is wrong with the keytab, where one is named."""
    keytab = os.environ.get("KRB5_CLIENT_KTNAME")
    if keytab is None:
        return LoginRequired(
            f"there is no Kerberos ticket here ({text})",
            hint="run: kinit USER@REALM\nor, for a run without a person, name a keytab: "
            "KRB5_CLIENT_KTNAME=FILE:/path/to/robot.keytab",
        )
    file = Path(keytab.removeprefix("FILE:"))
    why = (
        "is not there"
        if not file.exists()
        else "holds no key that fits"
        if os.access(file, os.R_OK)
        else "cannot be read by this user"
    )
    return LoginRequired(
        f"there is no Kerberos ticket here, and the keytab {printable(keytab)} {why} ({text})",
        hint="correct KRB5_CLIENT_KTNAME, which names it; look into it with: klist -k "
        + quoted(keytab),
    )


class _KerberosContext(TranslatedContext):
    """A login that has nothing but Kerberos to offer."""

    def step(self, token: bytes | None = None) -> bytes | None:
        """Take the server's message and return the next one; see :class:`TranslatedContext`."""
        if token is not None and _is_ntlm(token):
            raise CannotLogOn(
                "this server takes NTLM alone, whatever Negotiate offers, and autologon has "
                "Kerberos alone here",
                hint='use   scheme = "ntlm"   or   "credentials"   with a user name and a password',
            )
        return super().step(token)


# 1.3.6.1.4.1.311.2.2.10; Kerberos, and as Windows writes it.
_NTLM_OID: Final = bytes.fromhex("060a2b06010401823702020a")
_KERBEROS_OIDS: Final = (
    bytes.fromhex("06092a864886f712010202"),
    bytes.fromhex("06092a864882f712010202"),
)


def _is_ntlm(token: bytes) -> bool:
    """Whether a server's message is one of NTLM, or chooses NTLM (RFC 4178, section 4.2.2)."""
    chooses = _NTLM_OID in token and not any(oid in token for oid in _KERBEROS_OIDS)
    return b"NTLMSSP\0" in token or chooses


_ENDS_HINT: Final = (
    "name a keytab: KRB5_CLIENT_KTNAME=FILE:/path/to/robot.keytab\nor let the job first run "
    "kinit -R, if the ticket is renewable (flag R of klist -f)"
)

_KINIT_HINT: Final = "let the job first run: kinit -k -t /path/to/robot.keytab PRINCIPAL"


def check_ticket(
    principal: str | None, environ: Mapping[str, str], *, now: float, until: float
) -> Iterator[Finding]:
    """Say whether what a run has just used lasts. Asks the KDC where a keytab has to.

    A ticket that was made from a keytab hides for hours that the keytab is outdated.

    Raises:
        LoginRequired: there is no ticket, or it has expired.
        GatepassError: the KDC does not take the keytab's key; or GSSAPI is not installed.
    """
    gssapi = _import_gssapi()
    ticket, keytab = _find_ticket(gssapi, principal), _keytab_of(environ)
    if _ends(ticket, now) >= until or keytab is None:
        yield _judge_ticket(ticket, now, until)
        return
    holds_key = _holds_key(gssapi, keytab, principal)
    if holds_key:
        _make_ticket(gssapi, keytab, principal)
        yield Finding("ok", "keytab", f"{keytab} logs on")
        return
    if holds_key is None:
        yield Finding("warning", "keytab", _cannot_tell(keytab), _KINIT_HINT)
    yield _judge_ticket(ticket, now, until)


def check_ticket_offline(
    principal: str | None, environ: Mapping[str, str], *, now: float, until: float
) -> Iterator[Finding]:
    """Say the same without asking the KDC.

    Raises:
        LoginRequired: there is no keytab and no ticket, or the ticket has expired.
        GatepassError: GSSAPI is not installed.
    """
    gssapi = _import_gssapi()
    keytab = _keytab_of(environ)
    holds_key = False if keytab is None else _holds_key(gssapi, keytab, principal)
    if holds_key:
        message = f"{keytab} holds a key; whether the KDC takes it was not asked"
        yield Finding("warning", "keytab", message)
        return
    if holds_key is None:
        yield Finding("warning", "keytab", _cannot_tell(keytab), _KINIT_HINT)
    yield _judge_ticket(_find_ticket(gssapi, principal), now, until)


def _judge_ticket(ticket: "Ticket", now: float, until: float) -> Finding:
    if ticket.seconds is None:
        return Finding("ok", "ticket", f"a ticket of {ticket.principal} is there")
    when = local_time(now + ticket.seconds)
    if _ends(ticket, now) < until:
        message = f"the ticket of {ticket.principal} ends at {when}"
        return Finding("problem", "ticket", message, _ENDS_HINT)
    return Finding("ok", "ticket", f"a ticket of {ticket.principal} is there until {when}")


def _ends(ticket: "Ticket", now: float) -> float:
    return math.inf if ticket.seconds is None else now + ticket.seconds


def _make_ticket(gssapi: Any, keytab: str, principal: str | None) -> None:
    """Make a ticket from a keytab and forget it. Asks the KDC."""
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    store = {"client_keytab": keytab, "ccache": "MEMORY:gatepass-check"}
    try:
        found = gssapi.Credentials(
            name=name, usage="initiate", mechs=[gssapi.MechType.kerberos], store=store
        )
        _ = found.lifetime  # asks the KDC
    except gssapi.exceptions.GSSError as error:
        cause = _translate_error(error, "")
        failure = type(cause)(f"{keytab} does not log on: {cause.message}", hint=cause.hint)
    else:
        return
    raise failure


def _keytab_of(environ: Mapping[str, str]) -> str | None:
    return environ.get("KRB5_CLIENT_KTNAME") or _default_keytab()


def _default_keytab() -> str | None:
    """Return the keytab that MIT Kerberos uses by default; None where that is not known.

    The package gssapi cannot tell it without a login, which would ask the KDC for a ticket.
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


def _holds_key(gssapi: Any, keytab: str, principal: str | None) -> bool | None:
    """Whether a keytab holds a key of a principal, or any key; None where that cannot be told.

    Asks no KDC for a ticket: credentials with the usage "accept" read a keytab and nothing else.
    """
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    mechs = [gssapi.MechType.kerberos]
    try:
        gssapi.Credentials(name=name, usage="accept", mechs=mechs, store={"keytab": keytab})
    except gssapi.exceptions.GSSError:
        return False
    except NotImplementedError:  # macOS: no credential stores
        return None
    return True


def _cannot_tell(keytab: str | None) -> str:
    return f"whether {keytab} logs on cannot be told here: GSSAPI has no credential stores"


class Ticket(Value):
    """A ticket of Kerberos on this computer.

    Attributes:
        principal: whose it is.
        seconds: how long it lasts; None without end.
    """

    principal: str
    seconds: float | None


def _find_ticket(gssapi: Any, principal: str | None) -> Ticket:
    """Return the ticket of a principal, or the first. Asks no KDC.

    Raises:
        LoginRequired: there is none, or it has expired.
    """
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    kerberos = gssapi.MechType.kerberos
    try:
        found = gssapi.Credentials(name=name, usage="initiate", mechs=[kerberos])
        return Ticket(str(found.name), found.lifetime)
    except gssapi.exceptions.GSSError as error:
        failure = _translate_error(error, "")
    raise failure
