"""Home folders, each with what one system reads there."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.measure import SCRIPTS

PATH: Final = "Health/v2.svc"
PASSWORD: Final = "sesame"  # noqa: S105 - of a server that lives for seconds
CREDENTIALS: Final[Mapping[str, str]] = {"MI_USERNAME": "alice", "MI_PASSWORD": PASSWORD}

_REFERENCE: Final = "env:MI_PASSWORD"
_FROM_VARIABLES: Final = """
[profiles.prod]
url = "{url}"

[profiles.prod.auth]
scheme = "{scheme}"
user_name = "env:MI_USERNAME"
password = "{password}"
"""
_OIDC: Final = """
[profiles.prod]
url = "{url}"
auth = {{ scheme = "oidc" }}
"""


def user_file(home: Path) -> Path:
    """Return where gatepass looks for the user's profiles."""
    path = home / ".config" / "gatepass" / "profiles.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def with_variables(
    home: Path, url: str, *, scheme: str = "credentials", password: str = _REFERENCE
) -> Path:
    """Write a user's file with one profile; return it."""
    path = user_file(home)
    text = _FROM_VARIABLES.format(url=url, scheme=scheme, password=password)
    path.write_text(text, encoding="utf-8")
    return path


def with_project(home: Path, url: str) -> str:
    """Write a project of two files into the folder that is returned; they are not trusted yet."""
    folder = home / "work"
    folder.mkdir(parents=True, exist_ok=True)
    text = _FROM_VARIABLES.format(
        url="https://mi-shared.example.com/mi_servicelayer",
        scheme="credentials",
        password=_REFERENCE,
    )
    (folder / "gatepass.toml").write_text(text, encoding="utf-8")
    local = f'[profiles.prod]\nurl = "{url}"\ntimeout = 30\n'
    (folder / "gatepass.local.toml").write_text(local, encoding="utf-8")
    return folder.name


def with_oidc(home: Path, url: str) -> None:
    """Write a user's file with one profile of the scheme ``oidc``."""
    user_file(home).write_text(_OIDC.format(url=url), encoding="utf-8")


def file_keyring(home: Path) -> dict[str, str]:
    """Return the variables of a keyring in a file of a home folder."""
    return {
        "PYTHONPATH": str(SCRIPTS),
        "PYTHON_KEYRING_BACKEND": "file_keyring.Keyring",
        "FILE_KEYRING": str(home / "keyring.json"),
    }


def vault_key(home: Path) -> dict[str, str]:
    """Make a vault's key in a file, and return the variable that names it."""
    path = home / "vault.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    return {"GATEPASS_VAULT_KEY": f"file:{path}"}


def with_aws(home: Path) -> None:
    """Write ``~/.aws``."""
    folder = home / ".aws"
    folder.mkdir(parents=True)
    (folder / "config").write_text("[profile prod]\nregion = eu-west-1\n", encoding="utf-8")
    (folder / "credentials").write_text(
        "[prod]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n",
        encoding="utf-8",
    )


def with_service_account(home: Path) -> dict[str, str]:
    """Write the file of a Google service account, and return the variable that names it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "example",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "bench@example.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    path = home / "account.json"
    path.write_text(json.dumps(account), encoding="utf-8")
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}


def with_clouds(home: Path) -> None:
    """Write ``clouds.yaml``."""
    path = home / ".config" / "openstack" / "clouds.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "clouds:\n  prod:\n    auth:\n      auth_url: http://127.0.0.1:1/v3\n"
        "      username: alice\n      password: sesame\n      project_name: p\n"
        "      user_domain_name: Default\n      project_domain_name: Default\n",
        encoding="utf-8",
    )


def with_databricks(home: Path, url: str) -> None:
    """Write ``~/.databrickscfg`` for a server that knows none of its addresses."""
    path = home / ".databrickscfg"
    path.write_text(f"[prod]\nhost = {url}\ntoken = dapi0example\n", encoding="utf-8")
