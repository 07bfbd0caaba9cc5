"""``gatepass token``: an access token for another program."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import click

from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import ASKING, OIDC, login_of
from gatepass.cli._options import config_file_option, name_argument, store_option, verb
from gatepass.errors import ProfileError

_VERSION: Final = "client.authentication.k8s.io/v1"


@verb(
    "gatepass token nightly",
    "gatepass token nightly --json",
    "gatepass token nightly --format exec-credential",
)
@name_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the token, and when it ends.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "exec-credential"]),
    help="text; json, as --json; or what kubectl expects of a credential plug-in.",
)
@store_option
@config_file_option
def token(context: Context, name: str | None, as_json: bool, form: str | None) -> None:
    """Print an access token of the scheme oidc, and nothing else.

    It is renewed first where that is needed. Anyone who sees it can use it until it ends.
    """
    if as_json and form not in {None, "json"}:
        raise click.UsageError("--json and --format do not go together")
    profile = context.profile(name)
    if profile.scheme != OIDC:
        raise ProfileError(
            f"token is for the scheme oidc; {profile.name} uses {profile.scheme}",
            hint=f"where its secret comes from: gatepass secret list {profile.name}",
        )
    with login_of(context, profile) as login, _output.waiting_for(ASKING):
        access, ends = login.access_token().reveal(), login.expires_at
    if form == "exec-credential":
        _output.json(_exec_credential(access, ends, context.environ.get("KUBERNETES_EXEC_INFO")))
    elif as_json or form == "json":
        _output.json({"access_token": access, "token_type": "Bearer", "expires_at": _iso(ends)})
    else:
        _output.data(access)


def _iso(ends: float | None) -> str | None:
    """Return a time as RFC 3339 has it, which kubectl reads; None where it is not known."""
    return None if ends is None else datetime.fromtimestamp(int(ends), UTC).strftime("%FT%TZ")


def _exec_credential(access: str, ends: float | None, info: str | None) -> dict[str, Any]:
    """Return what kubectl reads, in the version that it asks for by KUBERNETES_EXEC_INFO."""
    version = _VERSION
    try:
        asked = json.loads(info or "{}").get("apiVersion")
        version = asked if isinstance(asked, str) and asked.startswith(_VERSION) else version
    except (ValueError, AttributeError, RecursionError):
        pass  # an odd variable: kubectl says what it does not like about the version
    status = {"token": access} | ({"expirationTimestamp": _iso(ends)} if ends else {})
    return {"apiVersion": version, "kind": "ExecCredential", "spec": {}, "status": status}
