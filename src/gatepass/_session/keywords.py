"""The keywords of ``Session(url, ...)``: what users of the Scripting Toolkit already write."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

from gatepass._config import fields, profile, suggest
from gatepass.errors import ProfileError
from gatepass.secrets import Secret, SecretRef

_WAYS: Final = (
    "give one of: autologon=True; user_name= and password=; oidc=True; anonymous=True.\n"
    "(A variable that is not set is None when it is read with os.getenv.)"
)


class ProfileKeywords(TypedDict, total=False):
    """The keys of a profile that ``Session(url, ...)`` takes beside the login.

    A table is a mapping with the same keys as in a file.
    """

    description: str
    check_path: str
    timeout: float | tuple[float, float] | list[float]
    retries: int
    headers: Mapping[str, str | SecretRef | Secret]
    proxy: str | Mapping[str, Any]
    tls: Mapping[str, Any]
    allow_http: bool


def check_url(url: str) -> None:
    """Tell a profile's name from a URL. Repeats the text only where it looks like a name.

    Raises:
        ProfileError: it is not a URL.
    """
    if "://" in url:
        return
    if url.replace("-", "").replace("_", "").isalnum():
        raise ProfileError(
            f"{url!r} is not a URL", hint=f'did you mean Session.from_profile("{url}")?'
        )
    raise ProfileError("the first argument is not a URL", hint="it starts with https://")


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Find a misspelt keyword before its absence is complained about.

    Args:
        names: the keywords that the constructor does not know itself.
        known: those that it does know.

    Raises:
        ProfileError: one of them is no key of a profile either.
    """
    allowed = {*known, *fields.types_of(profile.ProfileKeys)} - {"auth"}
    for name in names:
        if name not in allowed:
            raise ProfileError(f"{name}=: {suggest.unknown_name(name, allowed, 'keyword')}")


def auth_table(
    switches: Mapping[str, bool], login: Mapping[str, Any], token: Mapping[str, Any]
) -> dict[str, Any]:
    """Turn the keywords of the constructor into the table ``auth`` of a profile.

    Args:
        switches: name → whether it was given as True.
        login: user name, password and domain; None where not given.
        token: what goes with ``oidc`` only; None where not given.

    Raises:
        ProfileError: no way to log on is given, or more than one, or half of one.
    """
    login = {name: value for name, value in login.items() if value is not None}
    token = {name: value for name, value in token.items() if value is not None}
    ways = [name for name, on in switches.items() if on] + (["user_name"] if login else [])
    if len(ways) > 1:
        raise ProfileError(f"more than one way to log on: {', '.join(ways)}", hint=_WAYS)
    if not ways:
        raise ProfileError("no way to log on is given", hint=_WAYS)
    if token and ways != ["oidc"]:
        raise ProfileError(f"{' and '.join(token)}: goes with oidc=True only", hint=_WAYS)
    if not login:
        return {"scheme": ways[0], **token}
    if not {"user_name", "password"} <= set(login):
        raise ProfileError("user_name= and password= belong together", hint=_WAYS)
    return {"scheme": "credentials", **login}
