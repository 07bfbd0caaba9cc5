"""``gatepass sandbox``: a practice server in the foreground, and the profile for it."""

from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import click

from gatepass._config import trust
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._edit import FileEdit
from gatepass.cli._options import verb
from gatepass.cli.init import snippet, with_profile
from gatepass.errors import GatepassError
from gatepass.sandbox.demo import PASSWORD, USER


@verb(
    "gatepass sandbox",
    "gatepass sandbox --mode oidc --write practice",
    "gatepass sandbox --answers recorded/",
    short_help="Serve a practice server, and show the profile for it.",
)
@click.option(
    "--mode",
    type=click.Choice(["standalone", "mixed", "windows", "oidc"]),
    default="standalone",
    show_default=True,
    help="Which login it takes, in the words of Granta MI.",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Serve the files of this folder, below the URL.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; a free one.")
@click.option("--write", "name", metavar="NAME", help="Write the profile into your own file.")
def sandbox(context: Context, mode: str, answers: Path | None, port: int, name: str | None) -> int:
    """Serve a practice server on this computer until Ctrl-C, and show the profile for it.

    It listens on 127.0.0.1 alone, knows one account, and stands in for a Granta Service Layer: it
    takes the same logins, and has pages to try them. Nobody's data is there.
    """
    from gatepass.sandbox.provider import IdentityProvider
    from gatepass.sandbox.server import Server

    users = {USER: PASSWORD}
    with ExitStack() as stack:
        more: dict[str, Any] = {"users": users}
        try:
            if mode == "oidc":
                more = {"provider": stack.enter_context(IdentityProvider(users=users))}
            server = stack.enter_context(Server(mode=mode, port=port, answers=answers, **more))
        except OSError as error:
            raise GatepassError(
                f"the port {port} cannot be used: {error.strerror}", hint="leave --port out"
            ) from None
        _show(context, _profile(server.url, mode), name or "practice", write=name is not None)
        try:
            Event().wait()
        except KeyboardInterrupt:
            _output.say("\nended")
    return 0


def _profile(url: str, mode: str) -> dict[str, Any]:
    if mode == "oidc":
        auth: dict[str, Any] = {"scheme": "oidc"}
    else:
        password = ["env:MI_PASSWORD", "prompt:"]
        auth = {"scheme": "credentials", "user_name": USER, "password": password}
    return {"url": url, "proxy": "none", "check_path": "Health/v2.svc", "auth": auth}


def _show(context: Context, profile: dict[str, Any], name: str, *, write: bool) -> None:
    if write:
        edit = FileEdit.of(context.locations.user, "user")
        edit.replace(with_profile(edit, name, profile), trust.TrustStore(context.locations.state))
    _output.toml(snippet(name, profile))
    _output.finish()
    _output.tell(f"serving {profile['url']} until Ctrl-C")
    _output.tell(f"account: user {USER}, password {PASSWORD}")
    if write:
        _output.tell(f"the profile is in {context.locations.user}")
    else:
        _output.tell(f"paste the profile above into {context.locations.user}")
    _output.tell(f"then, in another terminal:\n    gatepass check {name}")
