"""Readings on air: round trips, sizes, and what must be refused."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from suat_wire import fields, payload, payload_host
from suat_wire.payload import PayloadError, Sample

ALL = [(group, name, kind, divisor) for group, table in fields.GROUPS for name, kind, divisor, _unit in table]
SOIL = {("node", "battery"): 3.6} | {
    (f"probe{position}", name): value
    for position in range(1, 5)
    for name, value in (("vwc", 0.2345), ("temperature", -3.25), ("ec", 0.751))
}


@st.composite
def readings(draw: st.DrawFn) -> "payload.Readings":
    """Values that the fields carry exactly."""
    found: dict[tuple[str, str], float] = {}
    for group, name, kind, divisor in draw(st.lists(st.sampled_from(ALL), min_size=1, max_size=20, unique=True)):
        raw = draw(st.integers(*fields.KINDS[kind][1:]))
        found[group, name] = raw if divisor == 1 else raw / divisor
    return found


@st.composite
def sample_lists(draw: st.DrawFn) -> list[Sample]:
    records = draw(st.lists(st.integers(0, payload.RECORD_MAX), min_size=1, max_size=5, unique=True))
    kinds = draw(st.lists(readings(), min_size=1, max_size=2))
    ages = st.integers(0, payload.AGE_MAX)
    return [Sample(record, draw(ages), draw(st.sampled_from(kinds))) for record in sorted(records, reverse=True)]


@given(sample_lists(), st.integers(0, 0x7FFF), st.booleans(), st.data())
def test_round_trip(samples: list[Sample], drift: int, ahead: bool, data: st.DataObject) -> None:
    newest = samples[0].record
    ack_from = data.draw(st.one_of(st.none(), st.integers(max(0, newest - 0xFFFF), newest)))
    near = newest + drift if ahead else max(0, newest - drift)
    encoded, fport = payload.encode(samples, 10000, ack_from)
    assert fport == (3 if any(group == "health" for sample in samples for group, _ in sample.readings) else 2)
    assert payload.decode(encoded, fport, near) == samples
    asked, rows = payload.split(encoded, fport, near)
    assert asked == ack_from
    assert [(record, age) for record, age, _ in rows] == [(sample.record, sample.age) for sample in samples]
    for (_, _, body), sample in zip(rows, samples, strict=True):
        assert payload.unpack(body) == sample.readings
        assert payload.pack(sample.readings) == body
    # what was taken apart can be sent again without looking at the values
    assert payload.encode(rows, 10000, ack_from) == (encoded, fport)


@given(sample_lists(), st.integers(0, 400), st.booleans())
def test_fit_says_how_many_encode_takes(samples: list[Sample], limit: int, asks: bool) -> None:
    ack_from = samples[0].record if asks else None
    count = payload.fit(samples, limit, ack_from)
    if count:
        assert len(payload.encode(samples[:count], limit, ack_from)[0]) <= limit
    if count < len(samples):
        with pytest.raises(PayloadError, match=rf"needs \d+ bytes, limit {limit}"):
            payload.encode(samples[: count + 1], limit, ack_from)


def test_a_soil_node_with_four_probes_leaves_room_for_the_longest_fopts() -> None:
    for age in (0, 127, 9000):
        encoded, fport = payload.encode([Sample(70000, age, SOIL)], 51 - 15, 69990)
        assert fport == 2
        assert len(encoded) <= 36


def test_values_stay_within_half_a_step() -> None:
    for group, name, kind, divisor in ALL:
        _, low, high = fields.KINDS[kind]
        for value in (low / divisor, high / divisor, 1 / 3, 0.4999 / divisor):
            got = payload.unpack(payload.pack({(group, name): value}))[group, name]
            assert abs(got - value) <= 0.5 / divisor + 1e-12


def test_boards_with_32_bit_floats_send_the_same_integer() -> None:
    """The boards divide and multiply in single precision, whose error stays far below half a step."""
    for _, _, kind, divisor in ALL:
        _, low, high = fields.KINDS[kind]
        if divisor > 1:
            raw = np.arange(low, high + 1)
            single = (raw / divisor).astype(np.float32) * np.float32(divisor)
            assert (np.rint(single) == raw).all()


@pytest.mark.parametrize(("group", "name", "kind", "divisor"), ALL)
def test_out_of_range_is_an_error_never_a_wrap(group: str, name: str, kind: str, divisor: int) -> None:
    _, low, high = fields.KINDS[kind]
    for raw in (low, high):
        assert payload.unpack(payload.pack({(group, name): raw / divisor})) == {(group, name): raw / divisor}
    for value in ((low - 1) / divisor, (high + 1) / divisor, math.nan, math.inf, -math.inf, 1e300, "1", None, [1]):
        with pytest.raises(PayloadError):
            payload.pack({(group, name): value})  # type: ignore[dict-item]


def test_the_error_names_the_field_and_its_range() -> None:
    with pytest.raises(PayloadError, match=r"probe1\.vwc: 4\.0 is not within -3\.2768\.\.3\.2767"):
        payload.pack({("probe1", "vwc"): 4.0})
    with pytest.raises(PayloadError, match=r"no such field.*'moisture'"):
        payload.pack({("probe1", "vwc"): 0.2, ("probe1", "moisture"): 0.2})
    with pytest.raises(PayloadError, match="without readings"):
        payload.pack({})


@pytest.mark.parametrize(
    ("samples", "ack_from", "why"),
    [
        ([], None, "no samples"),
        ([Sample(-1, 0, SOIL)], None, "record -1"),
        ([Sample(0xFFFFFFFF, 0, SOIL)], None, "record 4294967295"),
        ([Sample(1, -1, SOIL)], None, "age -1"),
        ([Sample(1, 1 << 31, SOIL)], None, "age 2147483648"),
        ([Sample(1, 0, SOIL), Sample(1, 900, SOIL)], None, "must fall: 1 after 1"),
        ([Sample(1, 0, SOIL), Sample(2, 900, SOIL)], None, "must fall: 2 after 1"),
        ([Sample(70000, 0, SOIL)], 70001, "cannot ask from record 70001"),
        ([Sample(70000, 0, SOIL)], 70000 - 65536, "cannot ask from record 4464"),
        ([(1, 0, b"\x01")], None, "cut short"),
        ([(1, 0, payload.pack(SOIL) + b"\x00")], None, "a body of"),
    ],
)
def test_samples_that_cannot_be_sent(samples: list[Any], ack_from: int | None, why: str) -> None:
    with pytest.raises(PayloadError, match=why):
        payload.encode(samples, 1000, ack_from)


@pytest.mark.parametrize("near", [0, 10, 32767, 65535, 65536, 98303])
def test_the_record_is_the_nearest_to_the_newest_known(near: int) -> None:
    """65536 on air is 0: with a node that stands at 65530 it is the next turn, with one at 10 the first record."""
    encoded, fport = payload.encode([Sample(65536, 0, SOIL)], 51)
    expected = min((r for r in (0, 65536, 131072)), key=lambda record: (abs(record - near), record))
    assert payload.decode(encoded, fport, near)[0].record == expected


def test_no_record_below_zero_is_inferred() -> None:
    encoded, fport = payload.encode([Sample(65537, 0, SOIL), Sample(65535, 900, SOIL)], 100)
    assert [sample.record for sample in payload.decode(encoded, fport, 0)] == [65537, 65535]
    encoded, fport = payload.encode([Sample(65537, 0, SOIL)], 51, 65530)
    assert payload.split(encoded, fport, 0)[0] == 65530


def test_health_frames_carry_the_whole_record() -> None:
    encoded, fport = payload.encode([Sample(4000000000, 0, {("health", "boots"): 1})], 51)
    assert fport == payload.PORT_HEALTH
    assert payload.decode(encoded, fport, near=5)[0].record == 4000000000


def judged(data: bytes, fport: int) -> bool:
    """True: valid samples, all of them unpacked; False: PayloadError. Any other exception fails the test."""
    try:
        _, rows = payload.split(data, fport, 1000)
    except PayloadError:
        return False
    for record, age, body in rows:
        assert 0 <= record <= payload.RECORD_MAX
        assert 0 <= age <= payload.AGE_MAX
        found = payload.unpack(body)  # never fails for what split returned
        assert found
        for (group, name), value in found.items():
            kind, divisor = next((k, d) for g, n, k, d in ALL if (g, n) == (group, name))
            assert fields.KINDS[kind][1] <= round(value * divisor) <= fields.KINDS[kind][2]
    assert [sample.record for sample in payload.decode(data, fport, 1000)] == [row[0] for row in rows]
    return True


def test_each_flipped_bit_and_each_truncation(vectors: dict[str, Any]) -> None:
    for vector in vectors["payload"]:
        data, fport = bytes.fromhex(vector["data"]), vector["fport"]
        assert judged(data, fport)
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit >> 3] ^= 1 << (bit & 7)
            judged(bytes(damaged), fport)
        for length in range(len(data)):
            judged(data[:length], fport)
        assert not judged(data[:-1], fport)


@settings(max_examples=1000)
@given(st.binary(max_size=80), st.sampled_from([2, 3]))
@example(b"\x20\x00\x00\x00" + b"\x21\x01\x01\x00\x00\x90" + b"\xff\xff\xff\xff\x0f\x00\x00" * 8, 2)
def test_any_bytes_are_samples_or_a_payload_error(data: bytes, fport: int) -> None:
    judged(data, fport)
    judged(b"\x20" + data, fport)
    judged(b"\x20\x05\x00\x00" + data, fport)


@given(st.binary(max_size=40))
def test_a_body_from_anywhere_is_readings_or_a_payload_error(body: bytes) -> None:
    try:
        found = payload.unpack(body)
    except PayloadError:
        return
    assert payload.unpack(payload.pack(found)) == found


def test_a_switch_is_0_or_1_in_a_body_too() -> None:
    body = payload.pack({("water", "float"): 1})
    with pytest.raises(PayloadError, match="switch"):
        payload.unpack(body[:-1] + b"\x02")


def test_many_kinds_of_body_do_not_fill_the_memory() -> None:
    probe, water = ([name for name, *_ in dict(fields.GROUPS)[group]] for group in ("probe1", "water"))
    for probe_mask in range(1, 16):
        for water_mask in range(1, 128):
            chosen = {("probe1", name): 0 for bit, name in enumerate(probe) if probe_mask >> bit & 1}
            chosen |= {("water", name): 0 for bit, name in enumerate(water) if water_mask >> bit & 1}
            assert payload.unpack(payload.pack(chosen)) == chosen
    assert len(payload_host._layouts) <= 256


def test_the_table_is_what_the_masks_can_hold() -> None:
    groups = [group for group, _ in fields.GROUPS]
    assert groups == ["probe1", "probe2", "probe3", "probe4", "water", "node", "health"]
    for _, table in fields.GROUPS:
        assert len({name for name, *_ in table}) == len(table)
        assert len(table) <= 14


def test_all_32_bits_of_the_record_on_demand() -> None:
    """A receiver that knows only a number more than 2^15 below takes 16 bits for another one."""
    samples = [Sample(140_000, 5, {("node", "battery"): 3.6}), Sample(139_990, 9, {("node", "solar"): 1})]
    for ask in (None, 139_000):
        narrow, fport = payload.encode(samples, 51, ask)
        assert payload.decode(narrow, fport, near=100_000)[0].record == 140_000 - 0x10000
        data, fport = payload.encode(samples, 51, ask, wide=True)
        assert fport == payload.PORT_READINGS and len(data) == len(narrow) + 2
        assert payload.decode(data, fport, near=100_000) == samples
        assert payload.split(data, fport)[0] == ask
        assert payload.fit(samples, len(data), ask, wide=True) == 2
        assert payload.fit(samples, len(data) - 1, ask, wide=True) == 1
