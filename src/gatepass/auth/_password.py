"""User name and password: what the password schemes, the proxy and the keyring share."""

import re
from typing import Final

from gatepass.auth import AuthContext, KeyRefused
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, SecretRef

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_TWO_DOMAINS: Final = (
    r"names a domain itself (DOMAIN\user or user@domain), and domain names one too"
)
_TWO_DOMAINS_HINT: Final = "write the user name without its domain, or take the key domain out"

_ONE_DOMAIN_HINT: Final = r"write   user_name = 'DOMAIN\user'   or the key domain beside user_name"
_WHOLE_NAME_HINT: Final = r"write it as   user_name = 'alice'   , 'DOMAIN\alice' or 'alice@domain'"


def logon_name(user_name: str, domain: str | None) -> str:
    r"""Join user and domain the way Windows does: ``DOMAIN\user``, or ``user`` alone."""
    return f"{domain}\\{user_name}" if domain else user_name


def check_domain(
    user_name: str | SecretRef | Secret, domain: str | SecretRef | Secret | None
) -> None:
    r"""Refuse a user name that names its domain itself where ``domain`` is set too, or by halves.

    A reference passes: it is checked when it has been resolved.

    Raises:
        KeyRefused: Windows would be asked for a user ``CORP\CORP\alice``, or ``CORP\``, which
            there is not; or for nobody.
    """
    name, of_domain = (
        each.reveal() if isinstance(each, Secret) else each for each in (user_name, domain)
    )
    for key, text in (("user_name", name), ("domain", of_domain)):
        if isinstance(text, str) and text != text.strip():
            raise KeyRefused(key, "begins or ends with a blank", hint="take the blank out")
    if isinstance(name, str) and (not name or name.startswith("@") or name.endswith("@")):
        raise KeyRefused("user_name", "is no whole name", hint=_WHOLE_NAME_HINT)
    # A reference as the domain will have a value, or the login fails.
    if isinstance(name, str) and of_domain and ("\\" in name or "@" in name):
        raise KeyRefused("user_name", _TWO_DOMAINS, hint=_TWO_DOMAINS_HINT)
    if isinstance(name, str) and "\\" in name and not re.fullmatch(r"[^\\]+\\[^\\]+", name):
        raise KeyRefused("user_name", r"is not of the form DOMAIN\user", hint=_ONE_DOMAIN_HINT)
    if isinstance(of_domain, str) and ("\\" in of_domain or "@" in of_domain):
        raise KeyRefused("domain", r"holds a \ or @, as no domain does", hint=_ONE_DOMAIN_HINT)


def name_and_password(
    context: AuthContext,
    user_name: str | SecretRef | Secret,
    password: SecretRef | Secret,
    domain: str | SecretRef | Secret | None,
) -> tuple[str, Secret]:
    r"""Resolve the three fields of a password scheme: ``DOMAIN\user`` and the password.

    Raises:
        SecretUnavailable: names everything that is missing.
        GatepassError: the user name and the domain both name a domain.
    """
    found = context.resolve(user_name=user_name, password=password, domain=domain)
    try:
        check_domain(found["user_name"], found.get("domain"))
    except KeyRefused as error:
        raise GatepassError(str(error), hint=error.hint) from None
    of_domain = found["domain"].reveal() if "domain" in found else None
    return logon_name(found["user_name"].reveal(), of_domain), found["password"]


def basic_header(user_name: str, password: Secret) -> Secret:
    """Return the Authorization header of HTTP Basic, in UTF-8 (RFC 7617).

    No frame of a traceback holds the password: a test runner would show it.

    Raises:
        GatepassError: the name holds a colon, or either holds a control character: such a pair
            cannot be sent (RFC 7617, section 2).
    """
    from base64 import b64encode

    if ":" in user_name:
        raise GatepassError(
            "HTTP Basic cannot send a user name that holds a colon (RFC 7617)",
            hint="use another user name, or a scheme other than basic",
        )
    if _CONTROL.search(user_name) or _CONTROL.search(password.reveal()):
        raise GatepassError(
            "the user name or the password holds a control character, which HTTP Basic cannot "
            "send (RFC 7617)",
            hint="look for a line break or a tab in the variable, file or keyring entry",
        )
    pair = f"{user_name}:{password.reveal()}".encode()
    return Secret("Basic " + b64encode(pair).decode("ascii"))
