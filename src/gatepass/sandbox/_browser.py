"""A person whose browser logs in by itself, for the demo and for ``gatepass.testing``."""

from collections.abc import Mapping
from typing import Final

from gatepass._system.terminal import Terminal
from gatepass.sandbox.provider import IdentityProvider

PATIENCE: Final = 30.0  # seconds for a login that takes a fraction of one


def person_who_logs_in(
    environ: Mapping[str, str], idp: IdentityProvider, user: str | None = None
) -> Terminal:
    """Return the terminal of a person who sees nothing and logs in with OpenID Connect.

    Args:
        environ: the environment variables.
        idp: where the browser goes.
        user: who logs in; the first user of the provider by default.
    """

    def browse(url: str) -> None:
        import requests

        with requests.Session() as browser:
            browser.trust_env = False  # a proxy of the environment would not find this machine
            browser.get(idp.sign_in(url, user), timeout=PATIENCE)

    return Terminal(
        environ,
        interactive=True,
        write=lambda _: None,
        open_url=browse,
        open_console=lambda _: None,
    )
