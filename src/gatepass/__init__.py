"""gatepass: a profile name in, an authenticated session out.

    from gatepass import Session

    mi = Session.from_profile("prod")

Names are loaded when they are first used, so that ``import gatepass`` costs next to nothing.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatepass._config.explain import ExplainedKey, Explanation, Overridden, explain
    from gatepass._config.layer import FileSeen
    from gatepass._config.load import load_profile, profiles
    from gatepass._config.profile import Profile, references
    from gatepass._session.check import CheckResult
    from gatepass._session.exceptions import (
        LoginRefused,
        ProxyRefused,
        SchemeNotOffered,
        TimedOut,
        TLSFailed,
        Unreachable,
    )
    from gatepass._session.probe import Answer, Probed, probe
    from gatepass._session.session import Session
    from gatepass._system.findings import Finding
    from gatepass._version import __version__
    from gatepass.auth import AuthContext, Scheme, SchemeBase
    from gatepass.errors import (
        GatepassError,
        GatepassWarning,
        LoginRequired,
        NobodyThere,
        PluginError,
        Problem,
        ProfileError,
        ProfileNotFound,
        SecretUnavailable,
        TokenLockTimeout,
        TokenNotPersisted,
        UnsafePermissions,
        UntrustedFile,
        VaultError,
    )
    from gatepass.integrations.stk import stk_arguments
    from gatepass.secrets import (
        Secret,
        SecretContext,
        SecretField,
        SecretRef,
        SecretSource,
        TextField,
        ref,
    )

_HOME = {
    "_version": ("__version__",),
    "_session.probe": ("Answer", "Probed", "probe"),
    "_config.profile": ("Profile", "references"),
    "_config.load": ("load_profile", "profiles"),
    "_config.explain": ("explain", "ExplainedKey", "Explanation", "Overridden"),
    "_session.check": ("CheckResult",),
    "_session.session": ("Session",),
    "_config.layer": ("FileSeen",),
    "_session.exceptions": (
        "LoginRefused",
        "ProxyRefused",
        "SchemeNotOffered",
        "TLSFailed",
        "TimedOut",
        "Unreachable",
    ),
    "_system.findings": ("Finding",),
    "auth": ("AuthContext", "Scheme", "SchemeBase"),
    "integrations.stk": ("stk_arguments",),
    "errors": (
        "GatepassError",
        "GatepassWarning",
        "LoginRequired",
        "NobodyThere",
        "PluginError",
        "Problem",
        "ProfileError",
        "ProfileNotFound",
        "SecretUnavailable",
        "TokenLockTimeout",
        "TokenNotPersisted",
        "UnsafePermissions",
        "UntrustedFile",
        "VaultError",
    ),
    "secrets": (
        "Secret",
        "SecretContext",
        "SecretField",
        "SecretRef",
        "SecretSource",
        "TextField",
        "ref",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Answer",
    "AuthContext",
    "CheckResult",
    "ExplainedKey",
    "Explanation",
    "FileSeen",
    "Finding",
    "GatepassError",
    "GatepassWarning",
    "LoginRefused",
    "LoginRequired",
    "NobodyThere",
    "Overridden",
    "PluginError",
    "Probed",
    "Problem",
    "Profile",
    "ProfileError",
    "ProfileNotFound",
    "ProxyRefused",
    "Scheme",
    "SchemeBase",
    "SchemeNotOffered",
    "Secret",
    "SecretContext",
    "SecretField",
    "SecretRef",
    "SecretSource",
    "SecretUnavailable",
    "Session",
    "TLSFailed",
    "TextField",
    "TimedOut",
    "TokenLockTimeout",
    "TokenNotPersisted",
    "Unreachable",
    "UnsafePermissions",
    "UntrustedFile",
    "VaultError",
    "__version__",
    "explain",
    "load_profile",
    "probe",
    "profiles",
    "ref",
    "references",
    "stk_arguments",
]


if not TYPE_CHECKING:  # type checkers know the names above, and refuse all others

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return list(__all__)


if os.environ.get("GATEPASS_LOG"):
    from gatepass._system import log

    log.show_on_stderr(os.environ["GATEPASS_LOG"])
