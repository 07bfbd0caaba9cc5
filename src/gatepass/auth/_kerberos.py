"""Kerberos by GSSAPI outside of Windows, for the scheme autologon."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gatepass._system.findings import Finding
from gatepass._system.text import local_time
from gatepass._value import Value
from gatepass.auth._negotiate import NAME_HINT, Context, MakeContext, TranslatedContext
from gatepass.errors import GatepassError, LoginRequired

# MIT: "Server HTTP/host@REALM not found in Kerberos database"; Heimdal: "Server (...) unknown".
_NO_SUCH_SERVER: Final = re.compile(r"\bserver\b.*\b(?:not found|unknown)\b")
_KERBEROS_FAILS: Final = "Kerberos cannot make a ticket for"


def context_maker(principal: str | None, *, delegate: bool) -> MakeContext:
    """Return what starts logins by Kerberos.

    Args:
        principal: whose ticket or keytab entry; None is the first.
        delegate: lets the server act in the user's name.

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
        bindings = gssapi.raw.ChannelBindings(application_data=binding) if binding else None
        try:
            context: Context = gssapi.SecurityContext(
                name=gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service),
                creds=_credentials(gssapi, principal),
                flags=flags,
                mech=gssapi.OID.from_int_seq("1.3.6.1.5.5.2"),  # SPNEGO
                channel_bindings=bindings,
                usage="initiate",
            )
        except gssapi.exceptions.GSSError as error:
            failure = _translate_error(error, host)
        else:
            return TranslatedContext(context, gssapi.exceptions.GSSError, host, _translate_error)
        raise failure

    return make_context


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


def _translate_error(error: Exception, host: str) -> GatepassError:
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
            hint=NAME_HINT,
        )
    return GatepassError(
        f"{_KERBEROS_FAILS} HTTP/{host}: {text}",
        hint="check the clock, the network to the domain controller, and krb5.conf",
    )


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
        GatepassError: the KDC does not take the keytab's key; and as :func:`find_login`.
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


def _judge_ticket(ticket: "KerberosLogin", now: float, until: float) -> Finding:
    if ticket.seconds is None:
        return Finding("ok", "ticket", f"a ticket of {ticket.principal} is there")
    when = local_time(now + ticket.seconds)
    if _ends(ticket, now) < until:
        message = f"the ticket of {ticket.principal} ends at {when}"
        return Finding("problem", "ticket", message, _ENDS_HINT)
    return Finding("ok", "ticket", f"a ticket of {ticket.principal} is there until {when}")


def _ends(ticket: "KerberosLogin", now: float) -> float:
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
        text = " ".join(str(error).split())
    else:
        return
    raise LoginRequired(
        f"the keytab {keytab} does not log on: {text}",
        hint="make it anew: a keytab ends with each change of the account's password",
    )


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


class KerberosLogin(Value):
    """What logs on by Kerberos on this computer, now.

    Attributes:
        principal: whose ticket; empty for a keytab.
        seconds: how long the ticket lasts; None without end.
        keytab: the keytab that is used instead of a ticket.
    """

    principal: str
    seconds: float | None = None
    keytab: str = ""


def find_login(environ: Mapping[str, str]) -> KerberosLogin:
    """Return what would log on; not on Windows. Reads keytab and ticket cache, asks no KDC.

    Raises:
        LoginRequired: there is no ticket, or it has expired.
        GatepassError: GSSAPI is not installed.
    """
    gssapi = _import_gssapi()
    keytab = _keytab_of(environ)
    logs_on = False if keytab is None else _holds_key(gssapi, keytab, None)
    if keytab is not None and logs_on:
        return KerberosLogin("", keytab=keytab)
    try:
        return _find_ticket(gssapi, None)
    except LoginRequired as error:
        if logs_on is not None:
            raise
        told = f"{error.message}; {_cannot_tell(keytab)}"
        failure = LoginRequired(told, hint=f"{error.hint}\n{_KINIT_HINT}")
    raise failure


def _find_ticket(gssapi: Any, principal: str | None) -> KerberosLogin:
    """Return the ticket of a principal, or the first; raises as :func:`find_login` does."""
    name = principal and gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    kerberos = gssapi.MechType.kerberos
    try:
        found = gssapi.Credentials(name=name, usage="initiate", mechs=[kerberos])
        return KerberosLogin(str(found.name), found.lifetime)
    except gssapi.exceptions.GSSError as error:
        failure = _translate_error(error, "")
    raise failure
