"""AES-128 on CPython, by `cryptography`. Setting up a context costs more than using it, so each key keeps its own."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


class Aes:
    """One AES-128 key: `encrypt(blocks)` (ECB), `decrypt(blocks)`, `cmac(message)`. One thread at a time."""

    __slots__ = ("_cipher", "_cmac", "encrypt")

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError(f"an AES-128 key has 16 bytes, not {len(key)}")
        algorithm = algorithms.AES(bytes(key))
        self._cipher = Cipher(algorithm, modes.ECB())
        self._cmac = CMAC(algorithm)
        # ECB keeps no state between blocks: one encryptor serves for the key's lifetime, never finalized.
        self.encrypt = self._cipher.encryptor().update

    def decrypt(self, blocks: bytes) -> bytes:
        """Whole blocks of 16 bytes; the join accept is "encrypted" with this."""
        return self._cipher.decryptor().update(blocks)

    def cmac(self, message: bytes) -> bytes:
        """AES-CMAC, all 16 bytes of it."""
        context = self._cmac.copy()
        context.update(message)
        return context.finalize()
