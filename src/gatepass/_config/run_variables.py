"""The table ``run``: which variables ``gatepass run`` sets for a program, and to what."""

from collections.abc import Iterator, Mapping
from typing import Final

from gatepass._config.fields import RUN_FIELDS
from gatepass._config.layer import Layer
from gatepass._system.text import pattern
from gatepass._value import has_fields
from gatepass.auth import value_of
from gatepass.secrets import Secret, SecretRef

_NAME: Final = pattern(r"[!-<>-~]+")  # no "=", no blank
_NAME_IN_PROJECT: Final = pattern(r"[A-Z][A-Z0-9_]*")

# Variables of loaders, shells, interpreters, build tools and clients of other services: a value
# that a project chooses, such as its url, would run code there or send other secrets elsewhere.
_BEGINNINGS: Final = tuple(
    "ANSIBLE_ AWS_ AZURE_ BASH BUN_ BUNDLE_ BW_ CARGO_ CLOUDSDK_ CMAKE_ COMPLUS_ CONDA_ COR_ "
    "CORECLR_ COVERAGE_ CURL_ DBUS_ DENO_ DOCKER_ DOTNET_ DYLD_ GATEPASS_ GCONV_ GEM_ GIO_ GIT_ "
    "GLIBC_ GOOGLE_ GRADLE_ GSS GTK_ HELM_ JAVA_ JDK_ JULIA_ JVM_ KRB5 LC_ LD_ LESS LUA_ MAKE "
    "MALLOC_ MAVEN_ MSBUILD NODE_ NPM_ OP_ OPENSSL_ PERL PG PHP PIP_ PYTEST_ PYTHON QT_ REQUESTS_ "
    "RES_ RUBY RUST R_ SSH_ SSL_ SUDO_ TF_ UV_ VAULT_ VIM XDG_".split()
)
_ENDINGS: Final = tuple(
    "ALIASES ARGS ASKPASS BACKEND BROWSER CA_BUNDLE CERT_FILE COMMAND CONFIG CONFIG_FILE DIR "
    "EDITOR FLAGS HOME KEYLOGFILE LIBRARY MODULE OPENER OPTIONS OPTS PAGER PATH PRELOAD PROXY "
    "ROOT SHELL SHELLOPTS STARTUP _INIT _RC RCFILE".split()
)
_NAMES: Final = frozenset(
    "APPDATA CC CL COMSPEC CPP CXX DISPLAY ENV FLASK_APP GOENV GOSUMDB GOTOOLCHAIN HISTFILE IFS "
    "INPUTRC KUBECONFIG LANG LANGUAGE LINK LOCALAPPDATA LOCALDOMAIN LOGNAME MAIL NETRC NULLCMD "
    "ODBCINI ODBCSYSINI OLDPWD PATHEXT PROGRAMDATA PROGRAMFILES PROMPT PS0 PS1 PS2 PS3 PS4 PWD "
    "READNULLCMD RPROMPT SYSTEMDRIVE TEMP TERM TERMCAP TERMINFO TMP TNS_ADMIN TZ USER USERPROFILE "
    "VIRTUAL_ENV VISUAL WGETRC WINDIR".split()
)


def run_problems(
    run: Mapping[str, str], scheme: str, auth: object
) -> Iterator[tuple[str, str, str]]:
    """Yield each variable that no file may set so, with what is wrong and a hint.

    Args:
        run: the table, whose values are names of fields.
        scheme: the name of the scheme.
        auth: the scheme; one that has problems of its own is no value, and not asked.
    """
    for name, field in run.items():
        if not _NAME.fullmatch(name):
            yield name, "cannot be the name of a variable", ""
        elif has_fields(auth) and not _has_field(scheme, auth, field):
            there = (f'"{each}"' for each in RUN_FIELDS if _has_field(scheme, auth, each))
            message = f"asks for the {field}, which auth does not have"
            yield name, message, f"it can be {' or '.join(there)}"


def _has_field(scheme: str, auth: object, field: str) -> bool:
    if field == "url" or (field == "token" and scheme == "oidc"):
        return True
    return isinstance(value_of(auth, field), str | SecretRef | Secret)


def is_restricted(layer: Layer) -> bool:
    """Say whether a layer is a file, and not the user's own or the system's."""
    return layer.is_file and not layer.is_own


def is_refused_in_project(name: str) -> bool:
    """Say whether a variable may be set by no file but the user's own."""
    is_plain = _NAME_IN_PROJECT.fullmatch(name) is not None
    return not is_plain or (
        name.startswith(_BEGINNINGS) or name.endswith(_ENDINGS) or name in _NAMES
    )
