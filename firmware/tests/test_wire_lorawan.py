"""Frames: the golden ones, round trips, and what must be refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suat_wire import lorawan, selftest
from suat_wire.aes import Aes

NWK, APP = Aes(bytes(range(16))), Aes(bytes(range(16, 32)))
KNOWN = bytes.fromhex("400403020180030002a4a93023b19be532fa8ea5eb5f9715980c")
KNOWN_NWK = Aes(bytes.fromhex("44024241ed4ce9a68c6a8bc055233fd3"))
KNOWN_APP = Aes(bytes.fromhex("ec925802ae430ca77fd3dd73cb2cc588"))


def test_golden_frames() -> None:
    count, failed = selftest.failures(str(Path(selftest.__file__).with_name("vectors.json")))
    assert failed == []
    assert count >= 80


def test_selftest_names_what_is_not_reproduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(selftest.__file__).with_name("vectors.json").read_text()
    assert selftest.main([]) == 0
    broken = tmp_path / "vectors.json"
    broken.write_text(text.replace(KNOWN.hex(), KNOWN.hex()[:-1] + "d"))
    assert selftest.main([str(broken)]) == 1
    assert "not reproduced: data: known answer" in capsys.readouterr().out


def test_the_known_answer() -> None:
    """Agreed by four independent implementations."""
    sealed = lorawan.seal(KNOWN_NWK, KNOWN_APP, lorawan.UNCONFIRMED_UP, 0x01020304, 3, 2, b"Hello steppe!", adr=True)
    assert sealed == KNOWN


frames = st.fixed_dictionaries(
    {
        "mtype": st.integers(2, 5),
        "dev_addr": st.integers(0, 0xFFFFFFFF),
        "fcnt": st.integers(0, 0xFFFFFFFF),
        "adr": st.booleans(),
        "adr_ack_req": st.booleans(),
        "ack": st.booleans(),
        "pending": st.booleans(),
    }
)
contents = st.one_of(
    st.tuples(st.none(), st.just(b""), st.binary(max_size=15)),
    st.tuples(st.just(0), st.binary(max_size=222), st.just(b"")),
    st.tuples(st.integers(1, 255), st.binary(max_size=222), st.binary(max_size=15)),
)


@given(frames, contents, st.integers(0, 0xFFFF))
def test_round_trip(fields: dict[str, Any], content: tuple[int | None, bytes, bytes], missed: int) -> None:
    fport, payload, fopts = content
    phy = lorawan.seal(NWK, APP, **fields, fport=fport, payload=payload, fopts=fopts)
    frame = lorawan.parse_data(phy)
    fcnt = lorawan.infer_fcnt(frame.fcnt16, max(0, fields["fcnt"] - missed))
    assert fcnt == fields["fcnt"]
    assert lorawan.mic_ok(NWK, frame, fcnt)
    assert lorawan.open_payload(NWK, APP, frame, fcnt) == payload
    assert (frame.mtype, frame.dev_addr) == (fields["mtype"], fields["dev_addr"])
    assert (frame.fport, frame.fopts) == (fport, fopts)
    up = fields["mtype"] in (lorawan.UNCONFIRMED_UP, lorawan.CONFIRMED_UP)
    assert (frame.adr, frame.ack) == (fields["adr"], fields["ack"])
    assert (frame.adr_ack_req, frame.pending) == (fields["adr_ack_req"] and up, fields["pending"] and not up)


def test_each_flipped_bit_is_detected() -> None:
    frame = lorawan.parse_data(KNOWN)
    assert lorawan.mic_ok(KNOWN_NWK, frame, 3)
    for bit in range(8 * len(KNOWN)):
        damaged = bytearray(KNOWN)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        try:
            frame = lorawan.parse_data(bytes(damaged))
        except lorawan.FrameError:
            continue
        assert not lorawan.mic_ok(KNOWN_NWK, frame, lorawan.infer_fcnt(frame.fcnt16, 0)), f"bit {bit}"


@given(frames, contents, st.data())
def test_a_flipped_bit_of_any_frame_is_detected(
    fields: dict[str, Any], content: tuple[int | None, bytes, bytes], data: st.DataObject
) -> None:
    fport, payload, fopts = content
    phy = bytearray(lorawan.seal(NWK, APP, **fields, fport=fport, payload=payload, fopts=fopts))
    bit = data.draw(st.integers(0, 8 * len(phy) - 1))
    phy[bit >> 3] ^= 1 << (bit & 7)
    try:
        frame = lorawan.parse_data(bytes(phy))
    except lorawan.FrameError:
        return
    expected = fields["fcnt"] & 0xFFFF0000 | frame.fcnt16
    assert not lorawan.mic_ok(NWK, frame, expected)


def test_the_other_half_of_the_counter_and_other_keys_are_refused() -> None:
    frame = lorawan.parse_data(KNOWN)
    assert not lorawan.mic_ok(KNOWN_NWK, frame, 3 + 0x10000)
    assert not lorawan.mic_ok(KNOWN_NWK, frame, 3 + 0x100000000)
    assert not lorawan.mic_ok(KNOWN_APP, frame, 3)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_infer_fcnt_is_the_smallest_that_is_not_below(low: int, expected: int) -> None:
    fcnt = lorawan.infer_fcnt(low, expected)
    assert fcnt & 0xFFFF == low
    assert expected <= fcnt <= expected + 0xFFFF


@settings(max_examples=500)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_a_frame_error(phy: bytes) -> None:
    for parse in (lorawan.parse_data, lorawan.parse_join_request, lambda phy: lorawan.parse_join_accept(APP, phy)):
        try:
            parse(phy)
        except lorawan.FrameError:
            continue


@pytest.mark.parametrize(
    ("phy", "why"),
    [
        (KNOWN[:11], "12 to 255 bytes"),
        (KNOWN + bytes(230), "12 to 255 bytes"),
        (b"\x00" + KNOWN[1:], "MHDR 00"),
        (b"\xe0" + KNOWN[1:], "MHDR e0"),
        (b"\x41" + KNOWN[1:], "MHDR 41"),
        (b"\x42" + KNOWN[1:], "MHDR 42"),
        (bytes.fromhex("40040302010f0300") + bytes(4), "FOptsLen 15"),
        (bytes.fromhex("4004030201010300020061") + bytes(4), "both in FOpts and on FPort 0"),
    ],
)
def test_refused_data_frames(phy: bytes, why: str) -> None:
    with pytest.raises(lorawan.FrameError, match=why):
        lorawan.parse_data(phy)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mtype": 1},
        {"mtype": 6},
        {"dev_addr": -1},
        {"dev_addr": 1 << 32},
        {"fcnt": -1},
        {"fcnt": 1 << 32},
        {"fport": 256},
        {"fport": -1},
        {"fport": None},
        {"fopts": bytes(16)},
        {"fopts": b"\x02", "fport": 0},
        {"payload": bytes(243)},
    ],
)
def test_frames_that_cannot_be_built(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {"mtype": 2, "dev_addr": 1, "fcnt": 1, "fport": 2, "payload": b"x"}
    lorawan.seal(NWK, APP, **right)  # type: ignore[arg-type]
    with pytest.raises(lorawan.FrameError):
        lorawan.seal(NWK, APP, **{**right, **wrong})  # type: ignore[arg-type]


eui = st.binary(min_size=8, max_size=8)


@given(eui, eui, st.integers(0, 0xFFFF))
def test_join_request_round_trip(join_eui: bytes, dev_eui: bytes, nonce: int) -> None:
    phy = lorawan.join_request(APP, join_eui, dev_eui, nonce)
    assert lorawan.parse_join_request(phy) == (join_eui, dev_eui, nonce)
    assert lorawan.join_request_mic_ok(APP, phy)
    assert not lorawan.join_request_mic_ok(NWK, phy)


@given(
    st.integers(0, 0xFFFFFF),
    st.integers(0, 0xFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 255),
    st.integers(0, 15),
    st.sampled_from([b"", bytes(range(16))]),
)
def test_join_accept_round_trip(nonce: int, net: int, addr: int, settings_: int, delay: int, cflist: bytes) -> None:
    phy = lorawan.join_accept(APP, nonce, net, addr, settings_, delay, cflist)
    assert lorawan.parse_join_accept(APP, phy) == (nonce, net, addr, settings_, delay, cflist)
    with pytest.raises(lorawan.FrameError):
        lorawan.parse_join_accept(NWK, phy)


def test_reserved_bits_of_rx_delay_are_ignored() -> None:
    """TS001 6.2.4: bits 7..4 of RxDelay are reserved; TS001 3.2: a receiver ignores what is reserved."""
    message = bytes.fromhex("200100000000000200000002f5")
    phy = message[:1] + APP.decrypt(message[1:] + APP.cmac(message)[:4])
    assert lorawan.parse_join_accept(APP, phy).rx_delay == 5


def test_each_flipped_bit_of_a_join_is_detected() -> None:
    request = lorawan.join_request(APP, bytes(8), bytes(8), 7)
    accept = lorawan.join_accept(APP, 1, 0, 2, 2, 1)
    for bit in range(8 * len(request)):
        damaged = bytearray(request)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        assert not lorawan.join_request_mic_ok(APP, bytes(damaged))
    for bit in range(8 * len(accept)):
        damaged = bytearray(accept)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(lorawan.FrameError):
            lorawan.parse_join_accept(APP, bytes(damaged))


@pytest.mark.parametrize(
    "values",
    [
        (1 << 24, 0, 0, 0, 0),
        (0, 1 << 24, 0, 0, 0),
        (0, 0, 1 << 32, 0, 0),
        (0, 0, 0, 256, 0),
        (0, 0, 0, 0, 16),
        (0, 0, 0, 0, 0, bytes(15)),
        (-1, 0, 0, 0, 0),
    ],
)
def test_join_accepts_that_cannot_be_built(values: tuple[Any, ...]) -> None:
    with pytest.raises(lorawan.FrameError):
        lorawan.join_accept(APP, *values)


@pytest.mark.parametrize("values", [(bytes(7), bytes(8), 0), (bytes(8), bytes(9), 0), (bytes(8), bytes(8), 65536)])
def test_join_requests_that_cannot_be_built(values: tuple[bytes, bytes, int]) -> None:
    with pytest.raises(lorawan.FrameError):
        lorawan.join_request(APP, *values)
