"""What is compiled gives, byte for byte, what plain Python gives: cleaned bodies and line protocol."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.quality.calibrate import NodeCalibration
from suat.quality.filters import NodeFilters
from suat.records import KeptSample
from suat.store.channels import BY_CODE, CHANNELS
from suat.store.packed import STATISTICS, Summary, pack_cleaned, pack_window, unpack_window
from suat.store.points import Points
from suat.store.rows import ProbeCurve, SampleRow, WindowRow
from suat_filters import FilterBank
from suat_samples import Cleaning, Lines, WindowLines, masks, summarise
from suat_sim import plain_samples
from suat_sim.kept import device
from suat_sim.plain_samples import PlainFilters, lines, parts, window_lines
from suat_wire.fields import GROUPS, KINDS
from suat_wire.payload import layout_of, pack, unpack

FIELDS = [(group, *field[:3]) for group, fields in GROUPS for field in fields]
CALIBRATION = NodeCalibration(
    {
        "probe1": ProbeCurve((0.01, 0.5, -0.2), per_kelvin=0.002, low=0.1, high=0.8),
        "probe2": ProbeCurve((0.0, 0.9), "vwc"),
        "probe3": ProbeCurve((0.1,), "permittivity", per_kelvin=-0.001),
    },
    sensor_height_m=2.5,
)
Raw = dict[tuple[str, str], float]


@st.composite
def readings(draw: st.DrawFn) -> Raw:
    """Any fields of the payload with any integer that they can carry."""
    chosen = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=len(FIELDS), unique=True))
    raw = {(group, name): draw(st.integers(*KINDS[kind][1:])) for group, name, kind, _ in chosen}
    return {
        (group, name): raw[group, name] if divisor == 1 else raw[group, name] / divisor
        for group, name, _, divisor in FIELDS
        if (group, name) in raw
    }


@given(readings())
def test_the_masks_are_what_the_payload_module_finds(sent: Raw) -> None:
    body = pack(sent)
    assert masks(body) == layout_of(body).prefix
    for end in range(len(masks(body))):
        with pytest.raises(ValueError, match="body"):
            masks(body[:end])


@given(st.lists(st.tuples(readings(), st.integers(0, 40_000)), min_size=1, max_size=8))
def test_a_cleaned_body_is_that_of_the_plain_filters(sent: list[tuple[Raw, int]]) -> None:
    node, plain = NodeFilters(), PlainFilters(CALIBRATION)
    time_us = 1_780_000_000_000_000
    for number, (values, pause_s) in enumerate(sent):
        time_us += pause_s * 1_000_000
        sample = KeptSample(number, 1, number, time_us, pack(values))
        assert node.run([sample], CALIBRATION) == [plain.clean(sample.body, time_us / 1e6)]


_steps = st.lists(
    st.tuples(st.integers(0, 20 * 60), st.dictionaries(st.integers(0, 90), st.integers(-(10**7), 10**7) | st.none()))
)


@given(_steps, st.lists(st.integers(60, 7200), min_size=1, max_size=9))
def test_windows_are_what_plain_python_sums_up(
    steps: list[tuple[int, dict[int, int | None]]], lengths_s: list[int]
) -> None:
    time_us = 1_780_000_000_000_000
    edges, rows = [time_us], []
    for length_s in lengths_s:
        edges.append(edges[-1] + length_s * 1_000_000)
    for pause_s, channels in steps:
        time_us += pause_s * 1_000_000
        if time_us < edges[-1]:
            entries = [
                (code, 0, math.nan if value is None else value / 10_000) for code, value in sorted(channels.items())
            ]
            rows.append((time_us, pack_cleaned(entries)))
    found, expected = summarise(rows, edges), plain_samples.summarise(rows, edges)
    assert found.keys() == expected.keys()
    for start, body in found.items():
        for mine, plain in zip(unpack_window(body), unpack_window(expected[start]), strict=True):
            assert repr(mine._replace(mean=0.0)) == repr(plain._replace(mean=0.0))  # NaN too
            assert mine.mean == pytest.approx(plain.mean, rel=1e-15, abs=1e-18, nan_ok=True)


def test_rows_outside_the_windows_are_refused() -> None:
    body = pack_cleaned([(0, 0, 1.0)])
    for rows, edges in (([(9, body)], [10, 20]), ([(20, body)], [10, 20]), ([(15, body), (12, body)], [10, 14, 20])):
        with pytest.raises(ValueError, match="a sample be"):
            summarise(rows, edges)
    with pytest.raises(ValueError, match="damaged"):
        summarise([(12, body[:-1])], [10, 20])


_numbers = st.one_of(st.floats(), st.floats(-100, 100), st.integers(-(10**6), 10**6).map(lambda n: n / 10_000))
_entries = st.dictionaries(
    st.sampled_from([channel.code for channel in CHANNELS]), st.tuples(st.integers(0, 0xFFFF), _numbers)
)
_levels = st.one_of(st.none(), st.floats(-400, 400))


@given(readings(), _entries, st.integers(0, 2**32 - 1), st.integers(0, 2**51), _levels, _levels)
def test_a_line_is_that_of_plain_python(
    sent: Raw,
    cleaned: dict[int, tuple[int, float]],
    record: int,
    time_us: int,
    rssi: float | None,
    snr: float | None,
) -> None:
    body = pack_cleaned((code, *entry) for code, entry in cleaned.items())
    row = SampleRow(1, 1, record, time_us, pack(sent), body, rssi, snr)
    found = Points([device(0, probes=2, name="жайлау 1")], {}).sample(row._replace(registration=0))
    heads = dict(zip(parts(tuple(unpack(row.body))), [line[: _head_end(line)] for line in found], strict=True))
    assert found == lines(row, heads)


def _head_end(line: str) -> int:
    """Where measurement and tags end: at the first space that is not escaped."""
    end = line.index(" ")
    while line[end - 1] == "\\":
        end = line.index(" ", end + 1)
    return end + 1


@given(
    st.dictionaries(
        st.sampled_from([channel.code for channel in CHANNELS]),
        st.tuples(st.integers(0, 3) | st.integers(0, 2**32 - 1), *[_numbers] * 5),
    ),
    st.sampled_from([900, 3600, 86400]),
    st.integers(0, 2**51),
)
def test_the_lines_of_a_window_are_those_of_plain_python(
    channels: dict[int, tuple[float, ...]], width_s: int, start_us: int
) -> None:
    row = WindowRow(0, width_s, start_us, pack_window(Summary(code, *found) for code, found in channels.items()))  # type: ignore[arg-type]
    found = Points([device(0, probes=2, name="жайлау 1")], {}).window(row)
    groups = dict.fromkeys(BY_CODE[code].group for code in channels if BY_CODE[code].group != "node")
    heads = dict(zip(groups, [line[: _head_end(line)] for line in found], strict=True))
    assert found == window_lines(row, heads)


def test_windows_of_other_channels_and_impossible_plans_are_refused() -> None:
    body = pack_window([Summary(0, 1, *[0.25] * 5)])
    lines = WindowLines(1, [[(0, "moisture")]], STATISTICS)
    for heads, wrong in ((["a "], body[:-1]), (["a "], body * 2), ([], body), (["a ", "b "], body)):
        with pytest.raises(ValueError, match="a whole body"):
            lines.write(heads, wrong, 0)
    with pytest.raises(ValueError, match="no entry 1"):
        WindowLines(1, [[(1, "moisture")]], STATISTICS)
    with pytest.raises(ValueError, match="5 statistics"):
        WindowLines(1, [[(0, "moisture")]], STATISTICS[1:])


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, 0.1, 1e-4, 9.999e-5, 1e15, 999999999999999.9, 1e16, 5e-324, 1.7976931348623157e308, 1 / 3, 123456.0],
)
def test_numbers_look_as_repr_writes_them(value: float) -> None:
    battery = (1, "B", [40])
    write = Lines(battery, [([(0, 80, "battery", True)], [], False)]).write
    cleaned = struct.pack("<BHd", 80, 0, value)
    (line,) = write(["node "], b"\x20\x78", cleaned, 7, 9, None, None)
    assert line == f"node battery={value!r},battery_raw=3.0,battery_flags=0i,battery_ok=1i,record=7i,flags=0i,ok=1i 9"


def test_bodies_of_another_kind_and_impossible_plans_are_refused() -> None:
    form = (2, "Bh", [40, 100])
    body = pack({("node", "battery"): 3.0, ("node", "air_temperature"): -1.5})
    line = Lines(form, [([(0, 80, "battery", True)], [(1, "air")], True)])
    clean = Cleaning(form, [(0, 80, None, "node", -1)])
    for wrong in (body[:-1], body + b"\0", b""):
        with pytest.raises(ValueError, match="a body of"):
            line.write(["node "], wrong, b"", 0, 0, None, None)
        with pytest.raises(ValueError, match="a body of"):
            clean.clean(wrong, 0.0, FilterBank(0, []), {}, lambda _code: 0, None)
    for heads, cleaned in (([], b""), (["a ", "b "], b""), (["a "], b"\0" * 10)):
        with pytest.raises(ValueError, match="whole entries"):
            line.write(heads, body, cleaned, 0, 0, None, None)
    with pytest.raises(IndexError):
        clean.clean(body, 0.0, FilterBank(0, []), {}, lambda _code: 0, None)
    with pytest.raises(ValueError, match="no field 2"):
        Cleaning(form, [(2, 80, None, "node", -1)])
    with pytest.raises(ValueError, match="impossible step"):
        Cleaning(form, [(0, 80, None, "node", 5)])
    with pytest.raises(ValueError, match="impossible code"):
        Lines(form, [([(0, 200, "battery", True)], [], True)])


def test_frost_takes_the_moisture_away_and_nothing_else() -> None:
    sent = {("probe1", "vwc"): 0.25, ("probe1", "temperature"): -0.01, ("probe2", "vwc"): 0.25}
    sample = KeptSample(1, 1, 1, 1_780_000_000_000_000, pack(sent))
    (body,) = NodeFilters().run([sample], NodeCalibration())
    expected = [(0, 64, math.nan), (1, 0, -0.01), (16, 0, 0.25)]
    assert body == pack_cleaned(expected)
