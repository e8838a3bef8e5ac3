"""AES-128 as LoRaWAN uses it: ECB blocks and CMAC (RFC 4493).

CPython takes both from `cryptography` (`aes_host.py`, kept contexts); MicroPython has only ECB in `cryptolib`
(its CTR mode raises ValueError on the unix, rp2 and esp32 ports), so CMAC is built on it here.
"""

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable

_MASK = (1 << 128) - 1


def _double(block: int) -> int:
    """Multiply by x in GF(2^128) (RFC 4493 section 2.3, subkey generation)."""
    return ((block << 1) & _MASK) ^ (0x87 if block >> 127 else 0)


def cmac_of(encrypt: "Callable[[bytes], bytes]", message: bytes) -> bytes:
    """AES-CMAC of `message` (16 bytes), given only the function that encrypts one block."""
    subkey = _double(int.from_bytes(encrypt(bytes(16)), "big"))
    last = len(message) - 16 if message and len(message) % 16 == 0 else len(message) // 16 * 16
    tail = message[last:]
    if len(tail) < 16:
        subkey = _double(subkey)
        tail = tail + b"\x80" + bytes(15 - len(tail))
    state = bytes(16)
    for start in range(0, last, 16):
        block = int.from_bytes(state, "big") ^ int.from_bytes(message[start : start + 16], "big")
        state = encrypt(block.to_bytes(16, "big"))
    return encrypt((int.from_bytes(state, "big") ^ int.from_bytes(tail, "big") ^ subkey).to_bytes(16, "big"))


class BoardAes:
    """One AES-128 key on MicroPython. A node never needs `decrypt`: the join server decrypts instead."""

    def __init__(self, key: bytes) -> None:
        import cryptolib  # type: ignore[import-not-found]  # MicroPython only

        if len(key) != 16:
            raise ValueError("an AES-128 key has 16 bytes, not %d" % len(key))
        self.encrypt = cryptolib.aes(key, 1).encrypt

    def cmac(self, message: bytes) -> bytes:
        return cmac_of(self.encrypt, message)


try:
    from suat_wire.aes_host import Aes as Aes
except ImportError:
    Aes = BoardAes  # type: ignore[misc,assignment]
