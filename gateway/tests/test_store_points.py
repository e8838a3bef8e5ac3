"""Points: every write of a series has all its fields, text goes through unharmed, and the same row is the same line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.records import Flag
from suat.store.packed import Summary, pack_cleaned, pack_window
from suat.store.points import Points, alert_lines, status_lines, tag_value, text_value
from suat.store.reader import Reader
from suat.store.rows import Alert, Assignment, SampleRow, Status, WindowRow
from suat_sim.kept import START_US, Kept, at, device, row, soil_rows, water_rows
from suat_wire.payload import GROUPS, pack

Field = float | int | str


class Point(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: dict[str, Field]
    time: int


def parse(line: str) -> Point:
    """Line protocol by its specification (docs.influxdata.com, InfluxDB 1.8), character by character."""
    head, position = _until(line, 0, " ")
    measurement, *pairs = head
    fields: dict[str, Field] = {}
    while True:
        end = line.index("=", position)
        key, position = line[position:end], end + 1
        if line[position] == '"':
            text, position = "", position + 1
            while line[position] != '"':
                if line[position] == "\\" and line[position + 1] in '"\\':
                    position += 1
                text += line[position]
                position += 1
            fields[key] = text
            position += 1
        else:
            start = position
            while line[position] not in ", ":
                position += 1
            word = line[start:position]
            fields[key] = int(word[:-1]) if word.endswith("i") else float(word)
        position += 1
        if line[position - 1] == " ":
            break
    tags = dict(pair.split("\0") for pair in pairs)
    assert list(tags) == sorted(tags) and all(tags.values()), "tags in order, none empty"
    assert all(math.isfinite(value) for value in fields.values() if isinstance(value, float))
    return Point(measurement, tags, fields, int(line[position:]))


def _until(line: str, position: int, stop: str) -> tuple[list[str], int]:
    """Measurement and tags, escapes undone, `key NUL value` each; the position behind `stop`."""
    words = [""]
    while line[position] != stop:
        if line[position] == "\\" and line[position + 1] in ",= ":
            position += 1
            words[-1] += line[position]
        elif line[position] == ",":
            words.append("")
        elif line[position] == "=":
            words[-1] += "\0"
        else:
            words[-1] += line[position]
        position += 1
    return words, position + 1


def points_of(reader: Reader) -> Points:
    return Points(reader.devices(), reader.assignments())


TEXT = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)


@given(TEXT, TEXT)
def test_any_text_goes_through(tag: str, text: str) -> None:
    point = parse(f"m,a={tag_value(tag)},b=c t={text_value(text)},ok=1i 5")
    plain = "".join(" " if ord(letter) < 32 else "/" if letter == "\\" else letter for letter in tag)
    assert point == Point(
        "m", {"a": plain, "b": "c"}, {"t": "".join(" " if ord(letter) < 32 else letter for letter in text), "ok": 1}, 5
    )


def sample(
    readings: Mapping[tuple[str, str], float], cleaned: list[tuple[int, int, float]], node: int = 1
) -> SampleRow:
    return SampleRow(1, node, 12, START_US, pack(dict(readings)), pack_cleaned(cleaned), -91.0, 6.5)


@pytest.fixture
def points() -> Points:
    soil = replace(device(1, probes=2), registration=1)
    water = replace(device(2, "water", name="Қайнар, 2"), registration=2)
    return Points([soil, water], {1: [Assignment(0, "p1", None)], 2: [Assignment(0, None, "w1")]})


def test_a_soil_sample(points: Points) -> None:
    readings = {
        ("probe1", "vwc"): 0.25,
        ("probe1", "temperature"): -1.0,
        ("probe2", "count"): 0.5,
        ("probe2", "fault"): 3,
        ("node", "battery"): 3.6,
        ("health", "boots"): 7,
        ("health", "downlink_snr"): -2.25,
    }
    cleaned = [(0, Flag.FROZEN, math.nan), (1, 0, -1.0), (16, Flag.UNCALIBRATED, math.nan), (80, Flag.GAP, 3.6)]
    assert [parse(line) for line in points.sample(sample(readings, cleaned))] == [
        Point(
            "node",
            {"node": "soil-1", "kind": "soil"},
            {"battery": 3.6, "battery_raw": 3.6, "battery_flags": 16, "battery_ok": 1, "boots": 7,
             "downlink_snr": -2.25, "rssi": -91.0, "snr": 6.5, "record": 12, "flags": 16, "ok": 1},
            START_US,
        ),
        Point(
            "soil",
            {"node": "soil-1", "paddock": "p1", "probe": "10 cm", "depth_cm": "10"},
            {"moisture": 0.25, "moisture_raw": 0.25, "moisture_flags": 64, "moisture_ok": 0, "temperature": -1.0,
             "temperature_raw": -1.0, "temperature_flags": 0, "temperature_ok": 1, "record": 12, "flags": 64, "ok": 0},
            START_US,
        ),
        Point(
            "soil",
            {"node": "soil-1", "paddock": "p1", "probe": "30 cm", "depth_cm": "30"},
            {"moisture_raw": 0.5, "moisture_flags": 128, "moisture_ok": 0, "fault": 3, "record": 12, "flags": 128,
             "ok": 0},
            START_US,
        ),
    ]  # fmt: skip


def test_a_water_sample(points: Points) -> None:
    found = [parse(line) for line in points.sample(sample({("water", "distance"): 1.2}, [(64, 0, 1.8)], 2))]
    assert found[1] == Point(
        "water",
        {"node": "Қайнар, 2", "water_point": "w1"},
        {"depth": 1.8, "depth_raw": 1.2, "depth_flags": 0, "depth_ok": 1, "record": 12, "flags": 0, "ok": 1},
        START_US,
    )
    assert found[0].fields == {"rssi": -91.0, "snr": 6.5, "record": 12, "flags": 0, "ok": 1}


def test_a_series_always_has_the_same_fields_and_types(points: Points) -> None:
    """Whole readings, spikes and unusable ones alike: a field that changed its type would be refused."""
    kinds = set()
    for value in (0, 1, 0.5):
        readings = {(group, name): value for group, fields in GROUPS for name, *_ in fields if group != "health"}
        readings |= {(group, "fault"): 0 for group, _ in GROUPS if group != "health"}
        readings[("water", "volume")] = readings[("water", "float")] = 1
        for bad in (False, True):
            cleaned = [
                (code, Flag.RANGE if bad else 0, math.nan if bad else float(value))
                for code in (0, 1, 2, 16, 17, 18, 32, 33, 34, 48, 49, 50, 64, 65, 66, 67, 68, 69, 80, 81, 82)
            ]
            for line in points.sample(sample(readings, cleaned)):
                point = parse(line)
                kinds.add((point.measurement, tuple((key, type(field)) for key, field in point.fields.items())))
    assert sorted(kind[0] for kind in kinds) == ["node", "soil", "water"]


def test_a_point_carries_the_place_of_its_time(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, [row(n, 60 * n, {("probe1", "vwc"): 0.2}) for n in range(6)])
        kept.finish()
        kept.journal.assign(node, at(120), "p2", None)
        kept.journal.assign(node, at(240), None, None)
        points = points_of(kept.reader)
        found = [parse(points.sample(sample)[1]) for sample in kept.reader.samples(node)]
        assert [point.tags.get("paddock") for point in found] == ["p1", "p1", "p2", "p2", None, None]
        entry = kept.reader.outbox(0, 100, "window")[0]
        windows = [window for _, window in kept.reader.windows_of(entry, 0, 100) if window.width_s == 3600]
        assert [parse(points.window(w)[0]).tags.get("paddock") for w in windows] == ["p1", "p1", "p2", "p2", None, None]


def test_windows(points: Points) -> None:
    body = pack_window(
        [Summary(0, 3, 0.1, 0.3, 0.2, 0.15, 0.2), Summary(1, 0, *[math.nan] * 5), Summary(80, 2, 3, 4, 3.5, 4, 3.5)]
    )
    (line,) = points.window(WindowRow(1, 3600, START_US, body))
    assert parse(line) == Point(
        "soil_1h",
        {"node": "soil-1", "paddock": "p1", "probe": "10 cm", "depth_cm": "10"},
        {"moisture_min": 0.1, "moisture_max": 0.3, "moisture_mean": 0.2, "moisture_last": 0.15, "moisture_median": 0.2,
         "moisture_count": 3, "moisture_ok": 1, "temperature_count": 0, "temperature_ok": 0, "ok": 0},
        START_US,
    )  # fmt: skip


def test_decisions_and_alerts() -> None:
    body = {"score": 71, "fpaw": None, "grazing_days": 12.5, "for_herd": 'o"tar', "rest_days_left": 0}
    assert parse(status_lines(Status(5, "paddock", "p1", "graze", body))[0]) == Point(
        "paddock",
        {"paddock": "p1"},
        {"status": "graze", "for_herd": 'o"tar', "score": 71.0, "score_ok": 1, "fpaw_ok": 0, "fpaw_top_ok": 0,
         "grazing_days": 12.5, "grazing_days_ok": 1, "rest_days_left": 0.0, "rest_days_left_ok": 1, "growth_days_ok": 0,
         "water_days_ok": 0, "ok": 1},
        5,
    )  # fmt: skip
    silent = parse(status_lines(Status(5, "paddock", "p1", "no_data", {}))[0])
    assert silent.fields["ok"] == 0 and silent.fields["for_herd"] == ""
    water = parse(status_lines(Status(5, "water_point", "w 1", "critical", {"level_pct": 12.0}))[0])
    assert water.tags == {"water_point": "w 1"} and (water.fields["level_pct"], water.fields["days_left_ok"]) == (
        12.0,
        0,
    )
    station = parse(status_lines(Status(5, "station", "station", "ok", {"link": {"received": 9, "accepted": 7}}))[0])
    assert station == Point("station", {}, {"accepted": 7, "received": 9, "ok": 1}, 5)
    raised = Alert(5, "w 1", "leak", "critical", {"text": "су\nағып"})
    (begin,) = map(parse, alert_lines(raised))
    assert begin == Point(
        "alert", {"kind": "leak", "subject": "w 1"}, {"active": 1, "level": "critical", "text": "су ағып", "ok": 1}, 5
    )
    again, end = map(parse, alert_lines(raised._replace(cleared_us=9)))
    assert again == begin and (end.time, end.fields["active"]) == (9, 0)


def test_all_of_a_journal_twice_gives_the_same_lines(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        soil = kept.journal.add_device(device(1, probes=4))
        water = kept.journal.add_device(device(2, "water"))
        kept.fill(soil, soil_rows(200, probes=4))
        kept.fill(water, water_rows(200))
        kept.finish()
        first, second = points_of(kept.reader), points_of(kept.reader)
        lines = [line for sample in kept.reader.samples() for line in first.sample(sample)]
        assert lines == [line for sample in kept.reader.samples() for line in second.sample(sample)]
        parsed = [parse(line) for line in lines]
        assert len({(p.measurement, *sorted(p.tags.items()), p.time) for p in parsed}) == len(lines)  # none overwrites
        assert {p.measurement for p in parsed} == {"soil", "water", "node"}
