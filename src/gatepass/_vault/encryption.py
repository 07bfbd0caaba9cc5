"""What a record of the vault looks like, and the key that seals it.

::

    gatepass vault 1    and a line end: the format, in clear, to tell a later version from damage
    8 bytes             which key sealed it
    12 bytes            a nonce, new for each write
    the rest            AES-256-GCM of the content, with its 16 bytes of proof

Sealed along with the content, though not inside, are the format, the key's id and the identity
(by its name, below): a record under another name, or of another key, does not open.
"""

import hmac
import os
import re
from typing import Final, NoReturn

from gatepass._vault.records import Identity
from gatepass._vault.serialization import to_canonical_json
from gatepass.errors import VaultError

_WORDS: Final = b"gatepass vault "
_HEAD: Final = _WORDS + b"1\n"
_ANY_HEAD: Final = re.compile(re.escape(_WORDS) + rb"([1-9][0-9]{0,8})\n")
_PART_OF_HEAD: Final = re.compile(re.escape(_WORDS) + rb"(?:[1-9][0-9]{0,8})?")
_KEY_ID: Final = 8
_NONCE: Final = 12
_PROOF: Final = 16

_AGAIN: Final = (
    "it was left as it is; to start anew, run gatepass logout and gatepass login with the "
    "profile's name"
)


class EncryptionKey:
    """Seals and opens records. Prints no key and does not travel in a pickle.

    Args:
        key: the 32 bytes; each use gets a key of its own, derived from them.
        shown: the reference behind which they lie, for messages.
    """

    __slots__ = ("_name", "_seal", "id", "shown")

    def __init__(self, key: bytes, shown: str) -> None:
        self._seal = hmac.digest(key, b"gatepass vault: seal", "sha256")
        self._name = hmac.digest(key, b"gatepass vault: name", "sha256")
        self.id = hmac.digest(key, b"gatepass vault: id", "sha256")[:_KEY_ID]
        self.shown = shown

    def __repr__(self) -> str:
        return "EncryptionKey(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the vault's key cannot be pickled")

    def name_of(self, identity: Identity) -> bytes:
        """Return the 32 bytes that stand for an identity; they tell nobody else which one."""
        return hmac.digest(self._name, to_canonical_json(identity), "sha256")

    def encrypt(self, content: bytes, name: bytes) -> bytes:
        """Return a record's bytes.

        Args:
            content: what to seal.
            name: whose it is.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self._seal).encrypt(nonce, content, self._bound(name))
        return _HEAD + self.id + nonce + sealed

    def decrypt(self, data: bytes, name: bytes, where: str) -> bytes:
        """Return the content. The answer holds the tokens.

        Args:
            data: a record's bytes.
            name: whose it should be.
            where: what messages call it.

        Raises:
            VaultError: it is cut off, damaged, foreign, of a newer version, sealed with another
                key, or the record of another identity.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        _check_head(data, where)
        self.check_key(data, where)
        body = data[len(_HEAD) + _KEY_ID :]
        if len(body) < _NONCE + _PROOF:
            raise VaultError(f"{where} is cut off", hint=_AGAIN)
        try:
            return AESGCM(self._seal).decrypt(body[:_NONCE], body[_NONCE:], self._bound(name))
        except InvalidTag:
            raise VaultError(
                f"{where} is damaged, cut off, or the copy of another record", hint=_AGAIN
            ) from None

    def check_key(self, data: bytes, where: str) -> None:
        """Refuse a record that was sealed with another key; anything else passes.

        Raises:
            VaultError: it was.
        """
        told = data[len(_HEAD) : len(_HEAD) + _KEY_ID]
        if data.startswith(_HEAD) and len(told) == _KEY_ID and told != self.id:
            raise VaultError(
                f"{where} was sealed with another key than the one behind {self.shown}",
                hint="nothing was changed or lost: bring back the key that was in use at the "
                f"login; only where it is gone for good, delete {where} and log in again",
            )

    def _bound(self, name: bytes) -> bytes:
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
    if _WORDS.startswith(data) or _PART_OF_HEAD.fullmatch(data):
        raise VaultError(f"{where} is cut off", hint=_AGAIN)
    raise VaultError(f"{where} is not a file of the vault, or damaged", hint=_AGAIN)
