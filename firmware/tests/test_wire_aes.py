"""CMAC against the examples of RFC 4493 section 4, on `cryptography` and on the code that the boards use."""

import pytest
from Crypto.Cipher import AES as OTHER_AES
from Crypto.Hash import CMAC as OTHER_CMAC
from hypothesis import given
from hypothesis import strategies as st
from suat_wire.aes import Aes, cmac_of

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
EXAMPLES = [
    (0, "bb1d6929e95937287fa37d129b756746"),
    (16, "070a16b46b4d4144f79bdd9dd04a287c"),
    (40, "dfa66747de9ae63030ca32611497c827"),
    (64, "51f0bebf7e3b9d92fc49741779363cfe"),
]


@pytest.mark.parametrize(("length", "tag"), EXAMPLES)
def test_cmac_of_rfc_4493(length: int, tag: str) -> None:
    key = Aes(KEY)
    assert key.cmac(MESSAGE[:length]).hex() == tag
    assert cmac_of(key.encrypt, MESSAGE[:length]).hex() == tag


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=80))
def test_cmac_agrees_with_pycryptodome(secret: bytes, message: bytes) -> None:
    key = Aes(secret)
    tag = OTHER_CMAC.new(secret, message, OTHER_AES).digest()
    assert key.cmac(message) == cmac_of(key.encrypt, message) == tag


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.integers(1, 4))
def test_blocks_agree_with_pycryptodome(secret: bytes, block: bytes, count: int) -> None:
    key, blocks = Aes(secret), block * count
    assert key.encrypt(blocks) == OTHER_AES.new(secret, OTHER_AES.MODE_ECB).encrypt(blocks)
    assert key.decrypt(key.encrypt(blocks)) == blocks


def test_a_key_keeps_no_state_between_messages() -> None:
    key = Aes(KEY)
    first = (key.cmac(b"one"), key.encrypt(bytes(32)))
    key.cmac(MESSAGE)
    key.encrypt(MESSAGE)
    assert (key.cmac(b"one"), key.encrypt(bytes(32))) == first


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_only_16_byte_keys(length: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Aes(bytes(length))
