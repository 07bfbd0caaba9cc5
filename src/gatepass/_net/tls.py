"""TLS contexts: one for each combination of trust and client certificate, never changed after.

urllib3 changes a context that it is given without saying how to verify: one request with
``verify=False`` would leave all later ones unverified. So each combination gets its own context,
and the connection pools, which are found by their context, stay apart too.
"""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NoReturn

from gatepass._system import log
from gatepass._value import Value
from gatepass.errors import KeyRefused, ProfileError
from gatepass.secrets import Secret, SecretField

if TYPE_CHECKING:
    import ssl


class TlsSettings(Value):
    """How who answers is trusted, and how the client proves itself there.

    Attributes:
        ca_file: certificates of the authorities to trust, PEM; instead of the system's.
        verify: false accepts anybody; warns each time.
        client_cert: the client's certificate, PEM; may hold the key too.
        client_key: its private key, PEM.
        client_key_password: a reference to the key's passphrase.
    """

    ca_file: str | None = None
    verify: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    client_key_password: SecretField | None = None

    def __post_init__(self) -> None:
        if self.client_key and not self.client_cert:
            raise KeyRefused("client_key", "needs client_cert too")


class ClientCertificate(Value):
    """How the client proves itself in the TLS handshake.

    Attributes:
        chain: a PEM file with the certificate; may hold the key too.
        key: a PEM file with the private key; None when it lies in ``chain``.
        password: the key's passphrase; None when it has none.
    """

    chain: str
    key: str | None = None
    password: Secret | None = None


def authorities_of(ca_file: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the PEM file or folder whose authorities are trusted; None is the system's store.

    The order is that of requests, with the profile first. Touches nothing.
    """
    return ca_file or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or None


class TlsContexts:
    """Makes TLS contexts and keeps them.

    Args:
        trust: what ``verify=True`` means: a PEM file or folder; None is the system's store.
        table: the key whose files these are, for messages: ``tls`` or ``auth.tls``.
    """

    def __init__(self, trust: str | None, table: str = "tls") -> None:
        self._trust = trust
        self._table = table
        self._made: dict[tuple[bool | str, ClientCertificate | None], ssl.SSLContext] = {}
        self._lock = Lock()

    def get(
        self, verify: bool | str = True, certificate: ClientCertificate | None = None
    ) -> "ssl.SSLContext":
        """Return the context for this combination; at its first use read the files.

        Args:
            verify: True trusts what the profile says, False trusts anybody, a text names a file
                or folder of authorities.
            certificate: the client's certificate; None sends none.

        Raises:
            ProfileError: a file cannot be read, or the passphrase is missing or wrong. Never
                asks a person for it.
        """
        trust = (self._trust or True) if verify is True else verify
        with self._lock:
            key = (trust, certificate)
            if key not in self._made:
                self._made[key] = _context(trust, certificate, self._table)
            return self._made[key]


def _context(
    trust: bool | str, certificate: ClientCertificate | None, table: str
) -> "ssl.SSLContext":
    import ssl

    if trust is False:
        log.debug("%s: nobody has to prove who it is", table)
    else:
        log.debug("%s: authorities of %s", table, "the system" if trust is True else trust)
    context = _system_store() if trust is True else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif isinstance(trust, str):
        _load_authorities(context, trust, table)
    if certificate is not None:
        _load_certificate(context, certificate, table)
        log.debug("%s: certificate of the client: %s", table, certificate.chain)
        # IIS asks for the certificate after the handshake, when it knows the path.
        context.post_handshake_auth = True
    return context


def _system_store() -> "ssl.SSLContext":
    import ssl

    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load_authorities(context: "ssl.SSLContext", path: str, table: str) -> None:
    import ssl

    # Who names an authority trusts it, also one that another has signed. Python sets this flag from
    # 3.13 on, and only in create_default_context.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    hint = (
        f"look at {table}.ca_file, REQUESTS_CA_BUNDLE or verify=: a PEM file, or a folder of them"
    )
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ProfileError(f"{path} holds no certificate in PEM form", hint=hint) from None
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror}", hint=hint) from None


def _load_certificate(
    context: "ssl.SSLContext", certificate: ClientCertificate, table: str
) -> None:
    import ssl

    where = certificate.key or certificate.chain

    def passphrase() -> str:
        # Without this callback OpenSSL would ask on the terminal, and wait there for ever.
        return (
            certificate.password.reveal() if certificate.password else _no_passphrase(where, table)
        )

    try:
        context.load_cert_chain(certificate.chain, certificate.key, passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            message, hint = f"the key in {where} belongs to another certificate", ""
        elif certificate.password:
            message = f"the private key in {where} cannot be opened"
            hint = f"look at {table}.client_key_password: it may be the wrong passphrase"
        else:
            message = f"{certificate.chain} and {where} are not a certificate and its key"
            hint = f"both are PEM files; {table}.client_key is not needed where one file holds both"
        raise ProfileError(message, hint=hint) from None
    except OSError as error:
        names = " or ".join(filter(None, (certificate.chain, certificate.key)))
        raise ProfileError(f"cannot read {names}: {error.strerror}") from None
    except ValueError:  # longer than OpenSSL takes; its message may quote
        raise ProfileError(f"the passphrase of {where} is too long for OpenSSL") from None


def _no_passphrase(where: str, table: str) -> NoReturn:
    raise ProfileError(
        f"the private key in {where} is encrypted, and no passphrase is given",
        hint=f'add   client_key_password = "keyring:"   to the table {table} of the profile',
    )
