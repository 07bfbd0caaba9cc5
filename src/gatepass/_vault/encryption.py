"""The encryption of the vault's records, and their format.

::

    gatepass vault 1    and a line end: the version, to tell a later one from damage
    8 bytes             the id of the key
    12 bytes            the nonce, new for each write
    the rest            AES-256-GCM of the content, with a tag of 16 bytes

The associated data are the version, the key's id and the keyed hash of the identity, so a record
under another name or of another key cannot be decrypted.
"""

import hmac
import os
import re
from typing import Final, NoReturn

from gatepass._vault.records import Identity
from gatepass._vault.serialization import to_canonical_json
from gatepass.errors import VaultError

_FORMAT: Final = b"gatepass vault "
_HEAD: Final = _FORMAT + b"1\n"
_ANY_HEAD: Final = re.compile(re.escape(_FORMAT) + rb"([1-9][0-9]{0,8})\n")
_PART_OF_HEAD: Final = re.compile(re.escape(_FORMAT) + rb"(?:[1-9][0-9]{0,8})?")
_KEY_ID: Final = 8
_NONCE: Final = 12
_TAG: Final = 16

_AGAIN: Final = (
    "it was left as it is; to start anew, run gatepass logout and gatepass login with the "
    "profile's name"
)


class EncryptionKey:
    """Encrypts and decrypts records. It prints no key and cannot be pickled.

    Args:
        key: the 32 bytes; for encryption, names and the id three keys are derived from them.
        shown: the reference of the key, for messages.
    """

    __slots__ = ("_cipher_key", "_name_key", "id", "shown")

    def __init__(self, key: bytes, shown: str) -> None:
        self._cipher_key = hmac.digest(key, b"gatepass vault: seal", "sha256")
        self._name_key = hmac.digest(key, b"gatepass vault: name", "sha256")
        self.id = hmac.digest(key, b"gatepass vault: id", "sha256")[:_KEY_ID]
        self.shown = shown

    def __repr__(self) -> str:
        return "EncryptionKey(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the vault's key cannot be pickled")

    def name_of(self, identity: Identity) -> bytes:
        """Return the key's id and a keyed hash of an identity, which does not tell which one it is.

        By the id a list of names tells which records another key has encrypted.
        """
        return self.id + hmac.digest(self._name_key, to_canonical_json(identity), "sha256")

    def encrypt(self, content: bytes, name: bytes) -> bytes:
        """Return a record's bytes.

        Args:
            content: what to encrypt.
            name: the keyed hash of the identity.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        encrypted = AESGCM(self._cipher_key).encrypt(nonce, content, self._associated_data(name))
        return _HEAD + self.id + nonce + encrypted

    def decrypt(self, data: bytes, name: bytes, where: str) -> bytes:
        """Return the content, which holds the tokens.

        Args:
            data: a record's bytes.
            name: the keyed hash of the identity that it should belong to.
            where: what messages call it.

        Raises:
            VaultError: it is cut off, damaged, foreign, of a newer version, encrypted with
                another key, or the record of another identity.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        _check_head(data, where)
        self.check_key(data, where)
        body = data[len(_HEAD) + _KEY_ID :]
        if len(body) < _NONCE + _TAG:
            raise VaultError(f"{where} is cut off", hint=_AGAIN)
        try:
            return AESGCM(self._cipher_key).decrypt(
                body[:_NONCE], body[_NONCE:], self._associated_data(name)
            )
        except InvalidTag:
            raise VaultError(
                f"{where} is damaged, cut off, or the copy of another record", hint=_AGAIN
            ) from None

    def check_key(self, data: bytes, where: str) -> None:
        """Refuse a record that was encrypted with another key; anything else passes.

        Raises:
            VaultError: it was.
        """
        key_id = data[len(_HEAD) : len(_HEAD) + _KEY_ID]
        if data.startswith(_HEAD) and len(key_id) == _KEY_ID and key_id != self.id:
            raise VaultError(
                f"{where} was encrypted with another key than the one behind {self.shown}",
                hint="nothing was changed or lost: bring back the key that was in use at the "
                f"login; only where it is gone for good, delete {where} and log in again",
            )

    def _associated_data(self, name: bytes) -> bytes:
        return _HEAD + self.id + name


def _check_head(data: bytes, where: str) -> None:
    head = _ANY_HEAD.match(data)
    if head is not None and head[0] == _HEAD:
        return
    if head is not None:
        raise VaultError(
            f"{where} was written by a newer version of gatepass",
            hint="nothing was changed or lost: use the newer version here too",
        )
    if _FORMAT.startswith(data) or _PART_OF_HEAD.fullmatch(data):
        raise VaultError(f"{where} is cut off", hint=_AGAIN)
    raise VaultError(f"{where} is not a file of the vault, or damaged", hint=_AGAIN)
