"""Frames are opened alike by OpenSSL itself, by `suat_wire` and by the witness."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.network import cipher
from suat_sim import witness
from suat_wire import aes, lorawan

KEY = st.binary(min_size=16, max_size=16)
frames = pytest.importorskip("suat_samples.frames", reason="OpenSSL's headers (libssl-dev) were not there")

# RFC 4493 section 4
RFC_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
RFC_MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
RFC_CMACS = {
    0: "bb1d6929e95937287fa37d129b756746",
    16: "070a16b46b4d4144f79bdd9dd04a287c",
    40: "dfa66747de9ae63030ca32611497c827",
    64: "51f0bebf7e3b9d92fc49741779363cfe",
}


def test_the_station_opens_frames_by_openssl_where_it_is_built() -> None:
    assert cipher.Aes is frames.Aes
    assert cipher.mic_ok is frames.mic_ok


def test_without_it_the_station_opens_them_by_python() -> None:
    program = (
        "import sys; sys.modules['suat_samples.frames'] = None; from suat.network import cipher as c; print(c.Aes)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "<class 'suat_wire.aes_host.Aes'>"


@pytest.mark.parametrize("size", RFC_CMACS)
def test_the_examples_of_rfc_4493(size: int) -> None:
    assert frames.Aes(RFC_KEY).cmac(RFC_MESSAGE[:size]).hex() == RFC_CMACS[size]


@given(KEY, st.binary(max_size=300))
def test_a_key_gives_what_the_kept_python_contexts_give(key: bytes, message: bytes) -> None:
    ours, python = frames.Aes(key), aes.Aes(key)
    assert ours.cmac(message) == python.cmac(message)
    blocks = message[: len(message) // 16 * 16]
    assert ours.encrypt(blocks) == python.encrypt(blocks)
    assert ours.decrypt(ours.encrypt(blocks)) == blocks


@given(
    KEY, KEY, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255), st.binary(max_size=222), KEY
)
def test_a_frame_is_opened_as_the_witness_sealed_it(
    nwk: bytes, app: bytes, dev_addr: int, fcnt: int, fport: int, payload: bytes, other: bytes
) -> None:
    phy = witness.data_up(nwk, app, dev_addr, fcnt, payload, fport)
    frame = lorawan.parse_data(phy)
    ours = frames.Aes(nwk), frames.Aes(app)
    assert frames.mic_ok(ours[0], frame, fcnt)
    assert frames.open_payload(*ours, frame, fcnt) == payload
    assert not frames.mic_ok(ours[0], frame, fcnt ^ 1)
    assert frames.mic_ok(frames.Aes(other), frame, fcnt) == lorawan.mic_ok(aes.Aes(other), frame, fcnt)
    assert not frames.mic_ok(ours[0], frame, fcnt + 2**32)
    assert frames.open_payload(*ours, frame, fcnt ^ 1) == lorawan.open_payload(
        aes.Aes(nwk), aes.Aes(app), frame, fcnt ^ 1
    )


def test_what_is_no_key_and_no_whole_block_is_refused() -> None:
    for wrong in (b"", bytes(15), bytes(17), bytes(32)):
        with pytest.raises(ValueError, match="16 bytes"):
            frames.Aes(wrong)
    for call in (frames.Aes(RFC_KEY).encrypt, frames.Aes(RFC_KEY).decrypt):
        with pytest.raises(ValueError, match="whole blocks"):
            call(bytes(17))
    with pytest.raises(TypeError):
        frames.Aes(None)


def test_a_key_is_not_in_what_a_log_would_show() -> None:
    assert RFC_KEY.hex() not in repr(frames.Aes(RFC_KEY))
    assert repr(RFC_KEY) not in repr(frames.Aes(RFC_KEY))
