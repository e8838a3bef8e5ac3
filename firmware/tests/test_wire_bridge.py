"""The serial protocol of the USB bridge: round trips, hostile streams, both interpreters."""

import json
import random
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat_wire import bridge

LIMITS = {"B": (0, 255), "H": (0, 65535), "I": (0, 2**32 - 1), "Q": (0, 2**64 - 1), "b": (-128, 127), "h": (-(2**15), 2**15 - 1)}  # fmt: skip  # noqa: E501


def table(kind: str) -> dict[str, str]:
    return dict(field.split(":") for field in bridge.MESSAGES[kind][1].split())


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, int, dict[str, int], bytes]:
    kind = draw(st.sampled_from(sorted(bridge.MESSAGES)))
    fields = {name: draw(st.integers(*LIMITS[code])) for name, code in table(kind).items()}
    return kind, draw(st.integers(0, 255)), fields, draw(st.binary(max_size=255))


def same(message: bridge.Message, sent: tuple[str, int, dict[str, int], bytes]) -> bool:
    return (message.kind, message.sequence, message.fields, message.data) == sent


def by_hand(body: bytes) -> bytes:
    """The frame of docs/bridge.md, byte by byte."""
    out = bytearray(b"\xc0")
    for byte in body + struct.pack("<I", zlib.crc32(body)):
        out += {0xC0: b"\xdb\xdc", 0xDB: b"\xdb\xdd", 0x03: b"\xdb\xde"}.get(byte, bytes((byte,)))
    return bytes(out + b"\xc0")


def test_frames_are_those_of_the_document() -> None:
    phy = bytes(range(256))[1:]
    fields = {"tmst": 0xC0DB0301, "hz": 865_062_500, "sf": 9, "khz": 125, "dbm": -3}
    body = struct.pack("<BBBIIBHb", 1, 3, 192, 0xC0DB0301, 865_062_500, 9, 125, -3) + phy
    assert bridge.encode("send", 192, fields, phy) == by_hand(body)
    assert bridge.encode("ping", 7, {"host_us": 2**63}) == by_hand(struct.pack("<BBBQ", 1, 4, 7, 2**63))
    assert bridge.encode("hello", 0, {}) == bytes.fromhex("c0 01 01 00") + zlib.crc32(b"\1\1\0").to_bytes(4, "little") + b"\xc0"  # fmt: skip  # noqa: E501


@given(messages())
def test_round_trip(sent: tuple[str, int, dict[str, int], bytes]) -> None:
    frame = bridge.encode(*sent)
    assert len(frame) <= bridge.LIMIT
    assert frame.count(0xC0) == 2 and frame[0] == frame[-1] == 0xC0, "a border only at the borders"
    assert 0x03 not in frame
    (message,) = bridge.Reader().feed(frame)
    assert same(message, sent)


@given(st.lists(messages(), max_size=6), st.integers(1, 7), st.booleans())
def test_any_fragmentation(
    sent: list[tuple[str, int, dict[str, int], bytes]], size: int, first_byte_lost: bool
) -> None:
    stream = b"".join(bridge.encode(*one) for one in sent)[first_byte_lost:]
    reader = bridge.Reader()
    got = [message for at in range(0, len(stream), size) for message in reader.feed(stream[at : at + size])]
    assert len(got) == len(sent) and all(map(same, got, sent))
    assert reader.garbled == 0


@given(st.lists(st.binary(max_size=900), max_size=6), messages())
def test_garbage_never_raises_and_never_hides_the_next_frame(
    noise: list[bytes], sent: tuple[str, int, dict[str, int], bytes]
) -> None:
    reader = bridge.Reader()
    for piece in noise:
        assert reader.feed(piece) == [], "32 bits of CRC"
        assert len(reader._held) <= bridge.LIMIT
    (message,) = reader.feed(bridge.encode(*sent))
    assert same(message, sent)


@given(messages(), st.data())
def test_no_damaged_frame_passes(sent: tuple[str, int, dict[str, int], bytes], data: st.DataObject) -> None:
    """Up to three flipped bits: CRC-32 finds them all in frames of this length, whatever they do to the escapes."""
    frame = bytearray(bridge.encode(*sent))
    bits = data.draw(st.sets(st.integers(8, 8 * len(frame) - 9), min_size=1, max_size=3))
    for bit in bits:
        frame[bit >> 3] ^= 1 << (bit & 7)
    assert all(same(message, sent) for message in bridge.Reader().feed(bytes(frame)))
    after = bridge.encode("hello", 1, {})
    assert bridge.Reader().feed(bytes(frame) + after)[-1].kind == "hello"


def test_an_endless_line_is_thrown_away_as_it_comes() -> None:
    reader = bridge.Reader()
    for _ in range(100):
        reader.feed(bytes(1000))
        assert len(reader._held) <= bridge.LIMIT
    assert reader.garbled == 100
    assert [message.kind for message in reader.feed(bridge.encode("stat", 5, {}))] == ["stat"]


@pytest.mark.parametrize("kind", sorted(bridge.MESSAGES))
def test_values_out_of_range_are_refused(kind: str) -> None:
    good = {name: 1 for name in table(kind)}
    bridge.encode(kind, 0, good, bytes(255))
    bad = [{**good, "other": 1}] + [{name: 1 for name in good if name != left} for left in good]
    for name, code in table(kind).items():
        bad += [{**good, name: LIMITS[code][0] - 1}, {**good, name: LIMITS[code][1] + 1}]
    for fields in bad:
        with pytest.raises(bridge.FrameError):
            bridge.encode(kind, 0, fields)
    with pytest.raises(bridge.FrameError):
        bridge.encode(kind, 0, good, bytes(256))


def test_a_frame_of_another_version_or_number_or_too_short_is_not_taken_for_ours() -> None:
    reader = bridge.Reader()
    assert reader.feed(by_hand(b"\x02\x01\x00")) == []
    assert reader.feed(by_hand(b"\x01\x02\x00" + bytes(7))) == []
    assert reader.feed(by_hand(b"")) == []
    assert reader.garbled == 3
    (unknown,) = reader.feed(by_hand(b"\x01\x77\x09later"))
    assert (unknown.kind, unknown.sequence) == ("", 9)


def test_both_interpreters_agree(micropython: Callable[..., str]) -> None:
    rng = random.Random(4)
    rows = []
    for number in range(300):
        kind = rng.choice(sorted(bridge.MESSAGES))
        fields = {name: rng.randint(*LIMITS[code]) for name, code in table(kind).items()}
        data = bytes(rng.choice((0, 3, 0xC0, 0xDB, 0xDC, 0xDD, 0xDE, 77)) for _ in range(rng.randrange(256)))
        rows.append((kind, number & 255, fields, data.hex(), bridge.encode(kind, number, fields, data).hex()))
    code = """
import json, sys
from binascii import hexlify, unhexlify
from suat_wire import bridge
reader = bridge.Reader()
for line in sys.stdin:
    kind, number, fields, data, frame = json.loads(line)
    assert hexlify(bridge.encode(kind, number, fields, unhexlify(data))).decode() == frame, line
    for byte in unhexlify(frame):
        got = reader.feed(bytes((byte,)))
    message = got[0]
    assert (message.kind, message.sequence, message.fields, message.data) == (kind, number, fields, unhexlify(data))
try:
    bridge.encode("stat", 0, {"tmst": 1})
except bridge.FrameError:
    print("ok", reader.garbled)
"""
    assert micropython("-c", code, stdin="".join(json.dumps(row) + "\n" for row in rows)) == "ok 0\n"
