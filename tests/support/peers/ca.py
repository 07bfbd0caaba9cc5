"""A private certificate authority and what it signed."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

PASSPHRASE = "a passphrase: ünlock"
CLIENT_NAME = "alice-client"


@dataclass(frozen=True)
class Certificate:
    """Two PEM files: the certificate with its chain, and its private key."""

    chain: Path
    key: Path


@dataclass(frozen=True)
class CertificateAuthority:
    """The CA's own certificate, and the certificates that the peers and clients use."""

    ca_file: Path
    server: Certificate  # localhost, 127.0.0.1, ::1
    wrong_host: Certificate
    expired: Certificate
    client: Certificate  # CN = CLIENT_NAME
    encrypted_client: Certificate  # the same certificate, its key under PASSPHRASE
    intermediate_file: Path  # an authority that the CA has signed; its certificate alone
    below: Certificate  # as server, signed by the intermediate authority


def make(folder: Path) -> CertificateAuthority:
    """Make a new authority; all files lie in `folder`."""
    folder.mkdir()
    authority = trustme.CA(organization_name="gatepass test CA")
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    names = ("localhost", "127.0.0.1", "::1")
    past, ended = datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    expired = authority.issue_cert(*names, not_before=past, not_after=ended)
    client = _write(folder, "client", authority.issue_cert(common_name=CLIENT_NAME))
    intermediate = authority.create_child_ca()
    intermediate_file = folder / "intermediate.pem"
    intermediate.cert_pem.write_to_path(intermediate_file)
    return CertificateAuthority(
        ca_file=ca_file,
        server=_write(folder, "server", authority.issue_cert(*names, common_name="localhost")),
        wrong_host=_write(folder, "wrong-host", authority.issue_cert("other.invalid")),
        expired=_write(folder, "expired", expired),
        client=client,
        encrypted_client=Certificate(client.chain, _encrypted(client.key)),
        intermediate_file=intermediate_file,
        below=_write(folder, "below", intermediate.issue_cert(*names, common_name="localhost")),
    )


def _write(folder: Path, name: str, issued: trustme.LeafCert) -> Certificate:
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    made.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(made.key)
    return made


def _encrypted(key_file: Path) -> Path:
    """Write a copy of a private key that needs the passphrase."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    target = key_file.with_suffix(".encrypted.key")
    target.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSPHRASE.encode()),
        )
    )
    return target
