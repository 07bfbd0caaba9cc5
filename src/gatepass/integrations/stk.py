"""A profile as the keyword arguments of the Scripting Toolkit's own session, ``mpy.Session``."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gatepass._config.profile import Profile
from gatepass._session.resolve import Field, ResolvedSecrets
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.errors import ProfileError
from gatepass.secrets import Secret

Resolve = Callable[..., Mapping[str, Secret]]


class StkArguments(Mapping[str, Any]):
    """Keyword arguments for ``mpy.Session(**arguments)``. Does not print its secrets.

    Each value is a plain ``str`` or ``True``, so a copy, such as ``dict(arguments)``, prints them.
    It cannot be pickled where it holds a secret.
    """

    def __init__(self, values: Mapping[str, str | bool | Secret]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str | bool:
        value = self._values[name]
        return value.reveal() if isinstance(value, Secret) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = (
            f"{name}=..." if isinstance(value, Secret) else f"{name}={value!r}"
            for name, value in self._values.items()
        )
        return f"<mpy.Session({', '.join(shown)})>"


def stk_arguments(
    profile: Profile,
    *,
    environ: Mapping[str, str] | None = None,
    interactive: bool | None = None,
    terminal: Terminal | None = None,
) -> StkArguments:
    """Return what ``mpy.Session(**arguments)`` of the MI Scripting Toolkit takes.

    Resolves the profile's secrets, which may touch the keyring, files and a person, each time. They
    are handed over in plain text, as ``mpy.Session`` takes them; only the URL and the login, not
    ``tls``, ``proxy``, ``timeout``, ``retries`` or ``headers``.

    Args:
        profile: the profile.
        environ: the environment variables; ``os.environ`` when not given.
        interactive: whether a person may be asked; None looks.
        terminal: the way to a person; made from ``environ`` and ``interactive`` by default.

    Raises:
        ProfileError: the Scripting Toolkit cannot log on as the profile says.
        SecretUnavailable: names every reference that did not answer.
    """
    resolve = ResolvedSecrets(profile, RunContext.of(environ, interactive, terminal))
    way = _WAYS.get(profile.scheme)
    if way is None:
        raise _impossible(profile, "scheme", _OTHER_WAY.get(profile.scheme, _ANOTHER_PROFILE))
    return StkArguments({"service_layer_url": profile.url.rstrip("/"), **way(profile, resolve)})


Keywords = Mapping[str, str | bool | Secret]


def _autologon(profile: Profile, _resolve: Resolve) -> Keywords:
    if _field(profile, "principal"):
        raise _impossible(profile, "principal", "it logs on as who is logged on to Windows")
    return {"autologon": True}


def _password(profile: Profile, resolve: Resolve) -> Keywords:
    names = ("user_name", "password", "domain")
    return resolve(**{name: _field(profile, name) for name in names})


def _oidc(profile: Profile, resolve: Resolve) -> Keywords:
    if _field(profile, "flow") != "browser":
        raise _impossible(profile, "flow", "it logs in with a browser or with a token")
    if _field(profile, "account"):
        raise _impossible(profile, "account", "it keeps one login for each server")
    # What is written goes before what lies in the Scripting Toolkit's own store.
    token = resolve(refresh_token=_field(profile, "refresh_token"))
    stored = not token and _field(profile, "use_stored_token")
    return {"oidc": True, **token, **({"use_stored_token": True} if stored else {})}


def _field(profile: Profile, name: str) -> Any:
    value: Field | bool = getattr(profile.auth, name, None)
    return value


# The guide's three ways. Names of built-in schemes: they always mean the built-in.
_WAYS: Final[Mapping[str, Callable[[Profile, Resolve], Keywords]]] = {
    "autologon": _autologon,
    "basic": _password,
    "credentials": _password,
    "oidc": _oidc,
}
_ANOTHER_PROFILE: Final = "it can do autologon, basic, credentials and oidc: use another profile"
_OTHER_WAY: Final = {
    "ntlm": "with user name and password it uses NTLM or HTTP Basic as it sees fit; where that is "
    'good enough, write   scheme = "credentials"',
    "bearer": 'it takes no fixed token; to run unattended, write   scheme = "oidc"',
}


def _impossible(profile: Profile, key: str, hint: str) -> ProfileError:
    place = profile.place_of("auth", key)
    value = profile.scheme if key == "scheme" else _field(profile, key)
    return ProfileError(
        f'{place}{": " if place else ""}the Scripting Toolkit cannot log on with {key} = "{value}"',
        hint=hint,
    )
