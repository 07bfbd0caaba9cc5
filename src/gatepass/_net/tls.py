"""TLS contexts: one for each combination of trust and client certificate, never changed after.

urllib3 changes a context that it is given without saying how to verify: one request with
``verify=False`` would leave all later ones unverified. So each combination gets its own context,
and the connection pools, which are found by their context, stay apart too.
"""

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from gatepass._system import files, log
from gatepass._system.text import printable, quoted
from gatepass._value import Value
from gatepass.errors import KeyRefused, ProfileError
from gatepass.secrets import Secret, SecretField

if TYPE_CHECKING:
    import ssl


class TlsSettings(Value):
    """How who answers is trusted, and how the client proves itself there.

    Attributes:
        ca_file: certificates of the authorities to trust, PEM, instead of the system's; or a list
            of such files, in which ``"system"`` stands for the system's.
        verify: false accepts anybody; warns each time.
        client_cert: the client's certificate, PEM or PKCS#12; may hold the key too.
        client_key: its private key, PEM.
        client_key_password: a reference to the key's passphrase.
    """

    ca_file: str | list[str] | None = None
    verify: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    client_key_password: SecretField | None = None

    def __post_init__(self) -> None:
        if self.client_key and not self.client_cert:
            raise KeyRefused("client_key", "needs client_cert too")
        if self.client_key_password is not None and not self.client_cert:
            raise KeyRefused("client_key_password", "needs client_cert too")
        if isinstance(self.ca_file, list) and not (self.ca_file and all(self.ca_file)):
            raise KeyRefused("ca_file", 'should name files, or "system"')


class ClientCertificate(Value):
    """How the client proves itself in the TLS handshake.

    Attributes:
        chain: a file with the certificate, PEM or PKCS#12; may hold the key too.
        key: a PEM file with the private key; None when it lies in ``chain``.
        password: the key's passphrase; None when it has none.
    """

    chain: str
    key: str | None = None
    password: Secret | None = None


class Trust(Value):
    """Who is trusted to say that a server is the right one, and who decided that.

    Attributes:
        files: PEM files, or folders of them, with certificates of authorities.
        system: whether the system's authorities are trusted too.
        named_by: who named the files: a key with its place, a variable, or ``verify=``; without
            files the variable by which OpenSSL finds the system's authorities elsewhere.
    """

    files: tuple[str, ...] = ()
    system: bool = True
    named_by: object = ""  # shown by str()

    def __str__(self) -> str:
        if not self.files:
            return "the system's authorities"
        only = "those of the system and of" if self.system else "only those of"
        return f"{only} {self.named_by}: {', '.join(self.files)}"


SYSTEM: Final = "system"
SYSTEM_TRUST: Final = Trust()


def trust_of(
    ca_file: str | list[str] | None, environ: Mapping[str, str], named_by: object = "ca_file"
) -> Trust:
    """Return who is trusted. The order is that of requests, with the profile first.

    Touches nothing.

    Args:
        ca_file: the key of the profile.
        environ: the environment variables.
        named_by: where the key stands, for messages.
    """
    if ca_file:
        named = [ca_file] if isinstance(ca_file, str) else ca_file
        files = tuple(each for each in named if each != SYSTEM)
        return Trust(files, len(files) < len(named), named_by)
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := environ.get(variable):
            return Trust((path,), system=False, named_by=variable)
    if sys.platform not in {"win32", "darwin"}:  # OpenSSL itself follows these
        for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            if environ.get(variable):
                return Trust(named_by=variable)
    return SYSTEM_TRUST


class TlsContexts:
    """Makes TLS contexts and keeps them.

    Args:
        trust: what ``verify=True`` means.
        table: the key whose files these are, for messages: ``tls`` or ``auth.tls``.
        made: the contexts that are there already, where others share them.
    """

    def __init__(
        self,
        trust: Trust = SYSTEM_TRUST,
        table: str = "tls",
        made: "dict[Any, ssl.SSLContext] | None" = None,
    ) -> None:
        self._trust = trust
        self._table = table
        self._made = {} if made is None else made

    def trusted(self, verify: bool | str = True) -> Trust | None:
        """Return who is trusted; None for anybody.

        Args:
            verify: True trusts what the profile says, False trusts anybody, a text names a file
                or folder of authorities.
        """
        if isinstance(verify, str):
            return Trust((verify,), system=False, named_by="verify=")
        return self._trust if verify else None

    def get(
        self, verify: bool | str = True, certificate: ClientCertificate | None = None
    ) -> "ssl.SSLContext":
        """Return the context for this combination; at its first use read the files.

        Args:
            verify: as for :meth:`trusted`.
            certificate: the client's certificate; None sends none.

        Raises:
            ProfileError: a file cannot be read, or the passphrase is missing or wrong. Never
                asks a person for it.
        """
        key = (self.trusted(verify), certificate)
        if key not in self._made:  # no lock: two threads may make it, and both use one of the two
            self._made.setdefault(key, _context(*key, self._table))
        return self._made[key]


def _context(
    trust: Trust | None, certificate: ClientCertificate | None, table: str
) -> "ssl.SSLContext":
    import ssl

    if trust is None:
        log.debug("%s: nobody has to prove who it is", table)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        log.debug("%s: trusted: %s", table, trust)
        context = _system_store() if trust.system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for path in trust.files:
            _load_authorities(context, path, trust.named_by)
    if certificate is not None:
        _load_certificate(context, certificate, table)
        log.debug("%s: certificate of the client: %s", table, certificate.chain)
        # IIS asks for the certificate after the handshake, when it knows the path.
        context.post_handshake_auth = True
    return context


# Where systems keep their authorities that an OpenSSL of another system does not know, such as that
# of a Python which brings its own.
_SYSTEM_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, BSD
)


def _system_store() -> "ssl.SSLContext":
    """Return a context that trusts the system's authorities."""
    import ssl

    if sys.platform in {"win32", "darwin"}:
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # truststore would read the files again for each connection.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known = ssl.get_default_verify_paths()  # follows SSL_CERT_FILE and SSL_CERT_DIR
    if known.cafile or (known.capath and _is_hashed(known.capath)):
        context.set_default_verify_paths()
        return context
    found = next((each for each in _SYSTEM_FILES if Path(each).is_file()), None)
    if found is not None:
        context.load_verify_locations(cafile=found)
    return context


def _is_hashed(folder: str) -> bool:
    """Whether a folder holds a certificate under the name by which OpenSSL looks for it."""
    return any(Path(folder).glob("[0-9a-f]" * 8 + ".[0-9]*"))


def _load_authorities(context: "ssl.SSLContext", path: str, named_by: object) -> None:
    import ssl

    # Who names an authority trusts it, also one that another has signed. Python sets this flag from
    # 3.13 on, and only in create_default_context.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    shown = printable(path)
    try:
        if Path(path).is_dir():
            if not _is_hashed(path):
                raise ProfileError(
                    f"OpenSSL finds no certificate in the folder {shown} ({named_by}): it looks "
                    "for names that are hashes, such as 5ed36f99.0",
                    hint=f"run: {quoted('openssl', 'rehash', path)}\nor name one PEM file",
                )
            context.load_verify_locations(capath=path)
        else:
            _check_file(path)
            context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        hint = f"{named_by} takes a PEM file, or a folder of them"
        if _is_binary(path):
            out = f"{path}.pem"
            command = quoted("openssl", "x509", "-inform", "der", "-in", path, "-out", out)
            hint = f"it may be in DER form; then convert it, and name {printable(out)}: {command}"
        raise ProfileError(f"{shown} holds no certificate in PEM form", hint=hint) from None
    except OSError as error:
        hint = f"correct {named_by}"
        raise ProfileError(f"cannot read {shown}: {error.strerror}", hint=hint) from None


def _check_file(path: str) -> None:
    """Refuse a pipe or a device, on which OpenSSL would wait for ever. Reads the file.

    Raises:
        OSError: it is none that can be read.
    """
    if files.read(Path(path)) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _is_binary(path: str) -> bool:
    """Whether a file begins as DER does: with a sequence of ASN.1, not with a text."""
    return (files.read(Path(path)) or b"").startswith(b"\x30")


def _load_certificate(
    context: "ssl.SSLContext", certificate: ClientCertificate, table: str
) -> None:
    import ssl

    chain = printable(certificate.chain)
    where = printable(certificate.key) if certificate.key else chain

    def passphrase() -> str:
        # Without this callback OpenSSL would ask on the terminal, and wait there for ever.
        return (
            certificate.password.reveal() if certificate.password else _no_passphrase(where, table)
        )

    try:
        for path in filter(None, (certificate.chain, certificate.key)):
            _check_file(path)
        if _is_binary(certificate.chain):
            _load_pkcs12(context, certificate, table)
            return
        context.load_cert_chain(certificate.chain, certificate.key, passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            message, hint = f"the key in {where} belongs to another certificate", ""
        elif certificate.password:
            message = f"the private key in {where} cannot be opened"
            hint = f"look at {table}.client_key_password: it may be the wrong passphrase"
        else:
            message = f"{chain} and {where} are not a certificate and its key"
            hint = f"both are PEM files; {table}.client_key is not needed where one file holds both"
        raise ProfileError(message, hint=hint) from None
    except OSError as error:
        names = " or ".join(dict.fromkeys((chain, where)))
        raise ProfileError(f"cannot read {names}: {error.strerror}") from None
    except ValueError:  # longer than OpenSSL takes; its message may quote
        raise ProfileError(f"the passphrase of {where} is too long for OpenSSL") from None


def _load_pkcs12(context: "ssl.SSLContext", certificate: ClientCertificate, table: str) -> None:
    """Load a PKCS#12 file, such as Windows exports it.

    OpenSSL takes keys from files alone, so the key lies in one for a moment: in a folder of this
    user, encrypted under a passphrase that nobody knows.
    """
    from secrets import token_hex
    from tempfile import TemporaryDirectory

    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    key, chain = _read_pkcs12(certificate, table)
    once = token_hex(32)
    protection = BestAvailableEncryption(once.encode())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    with TemporaryDirectory(prefix="gatepass-") as folder:
        file = Path(folder) / "client.pem"
        file.touch(mode=0o600)
        file.write_bytes(pem + b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        context.load_cert_chain(file, password=once)


def _read_pkcs12(certificate: ClientCertificate, table: str) -> tuple[Any, list[Any]]:
    """Return the key and the certificates of a PKCS#12 file, the client's first."""
    from cryptography.hazmat.primitives.serialization import pkcs12

    name = f"{printable(certificate.chain)}, a PKCS#12 file,"
    password = certificate.password.reveal().encode() if certificate.password else None
    try:
        data = Path(certificate.chain).read_bytes()
        key, own, others = pkcs12.load_key_and_certificates(data, password)
    except ValueError:
        if password is None:
            _no_passphrase(name, table)
        raise ProfileError(
            f"{name} cannot be opened",
            hint=f"look at {table}.client_key_password: it may be the wrong passphrase, or the "
            "file no PKCS#12; DER certificates are converted by: openssl x509 -inform der",
        ) from None
    if key is None or own is None:
        raise ProfileError(
            f"{name} holds no certificate with its key",
            hint="export it once more, with the private key",
        )
    return key, [own, *others]


def _no_passphrase(where: str, table: str) -> NoReturn:
    raise ProfileError(
        f"the private key in {where} is encrypted, and no passphrase is given",
        hint=f'add   client_key_password = "keyring:"   to the table {table} of the profile',
    )
