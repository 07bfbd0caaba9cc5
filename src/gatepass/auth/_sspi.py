"""The logged-on user of Windows by SSPI (pyspnego), for the scheme autologon."""

from typing import Final

from gatepass._system.text import printable
from gatepass.auth._handshake import keep_tokens_out_of_logs
from gatepass.auth._negotiate import (
    NAME_HINT,
    Context,
    KdcUnreachable,
    MakeContext,
    TranslatedContext,
)
from gatepass.errors import GatepassError, LoginRequired


def context_maker(
    principal: str | None, *, delegate: bool, service: str | None = None
) -> MakeContext:
    """Return what starts logins of the logged-on user.

    Args:
        principal: must be None; Windows knows who is logged on.
        delegate: lets the server act in the user's name.
        service: the server's service principal; None is that of the host.

    Raises:
        GatepassError: a principal is given.
    """
    if principal is not None:
        raise GatepassError(
            "principal is for Kerberos outside of Windows; here autologon is the logged-on user",
            hint="remove principal, and run the task as the user who is to log on",
        )
    import spnego
    from spnego.channel_bindings import GssChannelBindings

    keep_tokens_out_of_logs()
    flags = spnego.ContextReq.mutual_auth | spnego.ContextReq.sequence_detect
    if delegate:
        flags |= spnego.ContextReq.delegate

    def make_context(host: str, binding: bytes | None) -> Context:
        target = service or f"HTTP/{host}"
        kind, _, name = target.partition("/")
        bindings = GssChannelBindings(application_data=binding) if binding else None
        try:
            context: Context = spnego.client(
                hostname=name,
                service=kind,
                protocol="negotiate",
                channel_bindings=bindings,
                context_req=flags,
            )
        except spnego.exceptions.SpnegoError as error:  # no credentials may show already here
            failure = translate_error(error, target)
        else:
            return TranslatedContext(
                context, spnego.exceptions.SpnegoError, target, translate_error
            )
        raise failure

    return make_context


def translate_error(error: Exception, service: str) -> GatepassError:
    """Turn an error of SSPI into one with a next step. It holds names, no secret.

    By its code (winerror.h), since Windows writes the text in its own language.
    """
    code = (getattr(getattr(error, "base_error", None), "winerror", None) or 0) & 0xFFFFFFFF
    text = printable(" ".join(str(error).split()))
    if code == _NO_DOMAIN_CONTROLLER:
        return KdcUnreachable(
            f"no domain controller answers ({text})",
            hint="check the network to it (VPN)",
        )
    if code in _NO_LOGON:
        return LoginRequired(
            f"Windows has no credentials for the network in this kind of logon ({text})",
            hint='in the Task Scheduler do not tick "Do not store password"; over SSH or WinRM use '
            "the scheme ntlm or credentials, with a user name and a password",
        )
    hint = NAME_HINT if code in _NO_SUCH_NAME else _LOGON_HINT
    return GatepassError(f"Windows cannot log on at {service}: {text}", hint=hint)


_LOGON_HINT: Final = (
    "check the clock, the network to the domain controller (VPN), and whether your password has "
    "changed since you logged on: lock the screen and unlock it"
)
# SEC_E_UNKNOWN_CREDENTIALS, SEC_E_NO_CREDENTIALS; ERROR_NO_SUCH_LOGON_SESSION, also as HRESULT.
_NO_LOGON: Final = frozenset({0x8009030D, 0x8009030E, 1312, 0x80070520})
_NO_DOMAIN_CONTROLLER: Final = 0x80090311  # SEC_E_NO_AUTHENTICATING_AUTHORITY
# SEC_E_TARGET_UNKNOWN, SEC_E_WRONG_PRINCIPAL
_NO_SUCH_NAME: Final = frozenset({0x80090303, 0x80090322})
