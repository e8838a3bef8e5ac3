"""Windows equal a naive recomputation from the readings, whatever the order in which these came."""

from __future__ import annotations

import math
import random
import statistics
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from suat.config import Config
from suat.quality.refilter import refilter
from suat.quality.windows import DAY_S, WIDTHS_S, day_bounds
from suat.records import Row
from suat.store.channels import CHANNELS
from suat.store.journal import JournalError
from suat.store.rows import Derived
from suat_sim.kept import MINUTE_US, START_US, Kept, device, row, soil_rows, water_rows
from suat_sim.kept import UTC as UTC_ZONE

ALMATY = ZoneInfo("Asia/Almaty")
DAY_US = 86_400_000_000


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def found_windows(kept: Kept, node: int) -> dict[tuple[str, str, int, int], tuple[float, ...]]:
    """(group, channel, width, start) -> (n, min, max, mean, last, median) as the journal has them."""
    return {
        (channel.group, channel.name, width, int(start)): tuple(entry)[1:]
        for channel in CHANNELS
        for width in WIDTHS_S
        for start, entry in zip(*kept.reader.windows(node, channel.group, channel.name, width), strict=True)
    }


def naive_windows(kept: Kept, node: int, zone: ZoneInfo) -> dict[tuple[str, str, int, int], tuple[float, ...]]:
    """The same by plain Python, reading by reading."""
    table: dict[tuple[str, str, int, int], list[float]] = {}
    days: dict[date, datetime] = {}
    for channel in CHANNELS:
        times, values, _ = kept.reader.series(node, channel.group, channel.name)
        for time_us, value in zip(times.tolist(), values.tolist(), strict=True):
            instant = datetime.fromtimestamp(time_us / 1e6, UTC)
            quarter = instant.replace(minute=instant.minute // 15 * 15, second=0, microsecond=0)
            hour = instant.replace(minute=0, second=0, microsecond=0)
            local = instant.astimezone(zone)
            if local.date() not in days:  # walk back, minute by minute, to the local day's start
                moment = instant.replace(second=0, microsecond=0)
                while (moment - timedelta(minutes=1)).astimezone(zone).date() == local.date():
                    moment -= timedelta(minutes=1)
                days[local.date()] = moment
            for width, start in zip(WIDTHS_S, (quarter, hour, days[local.date()]), strict=True):
                key = (channel.group, channel.name, width, int(start.timestamp()) * 1_000_000)
                table.setdefault(key, []).append(value)
    return {key: naive_summary([value for value in values if not math.isnan(value)]) for key, values in table.items()}


def naive_summary(values: list[float]) -> tuple[float, ...]:
    if not values:
        return (0, *[math.nan] * 5)
    return len(values), min(values), max(values), statistics.fmean(values), values[-1], statistics.median(values)


def assert_same(
    found: dict[tuple[str, str, int, int], tuple[float, ...]], naive: dict[tuple[str, str, int, int], tuple[float, ...]]
) -> None:
    assert found.keys() == naive.keys()
    for key, (n, low, high, mean, last, middle) in found.items():
        other = naive[key]
        exact = (n, low, high, last, middle)
        assert exact == pytest.approx((other[0], other[1], other[2], other[4], other[5]), rel=0, abs=0, nan_ok=True), (
            key
        )
        assert mean == pytest.approx(other[3], rel=1e-14, nan_ok=True), key


@pytest.mark.parametrize("zone", [UTC_ZONE, ALMATY])
def test_windows_equal_a_naive_recomputation(tmp_path: Path, zone: ZoneInfo) -> None:
    with Kept(tmp_path, zone=zone) as kept:
        soil, water = kept.journal.add_device(device(1)), kept.journal.add_device(device(2, "water"))
        kept.fill(soil, soil_rows(300, every_min=11))
        kept.fill(water, water_rows(300, every_min=4))
        kept.finish()
        for node in (soil, water):
            assert_same(found_windows(kept, node), naive_windows(kept, node, zone))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Almaty", "2024-02-29", 25),  # Kazakhstan went from UTC+6 to UTC+5 in the night to 1 March 2024
        ("Asia/Almaty", "2024-03-01", 24),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Santiago", "2026-09-06", 23),  # midnight itself is left out
        ("Asia/Tehran", "2022-03-22", 23),  # likewise
        ("America/Santiago", "2026-04-04", 25),  # its last hour comes twice
        ("America/Havana", "2026-11-01", 25),  # midnight comes twice
        ("Asia/Kathmandu", "2026-06-01", 24),  # UTC+5:45
    ],
)
def test_days_are_the_stations(zone: str, day: str, hours: int) -> None:
    where = ZoneInfo(zone)
    noon = round(datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=where).timestamp()) * 1_000_000
    start, end = day_bounds(noon, where)
    assert end - start == hours * 3_600_000_000
    for inside, outside in ((start, start - 1), (end - 1, end)):
        assert str(datetime.fromtimestamp(inside // 1_000_000, where).date()) == day
        assert str(datetime.fromtimestamp(outside // 1_000_000, where).date()) != day
        assert day_bounds(inside, where) == (start, end) and day_bounds(outside, where) != (start, end)


def test_a_day_that_does_not_exist_is_nobodys() -> None:
    apia = ZoneInfo("Pacific/Apia")  # went over the date line: there was no 30 December 2011
    start, end = day_bounds(us("2011-12-29T12:00-10:00"), apia)
    following = day_bounds(end, apia)
    assert (start, end) == (us("2011-12-29T00:00-10:00"), us("2011-12-31T00:00+14:00"))
    assert following == (end, us("2012-01-01T00:00+14:00"))


def test_the_change_of_zone_reaches_the_windows(tmp_path: Path) -> None:
    begin = us("2024-02-28T00:00+00:00")
    with Kept(tmp_path, zone=ALMATY) as kept:
        node = kept.journal.add_device(device(1))
        shift = begin - START_US
        kept.fill(node, [Row(r.record, r.time_us + shift, r.body) for r in soil_rows(60, every_min=60)])
        kept.finish()
        starts, days = kept.reader.windows(node, "probe1", "temperature", DAY_S)
        assert [datetime.fromtimestamp(s / 1e6, ALMATY).isoformat() for s in starts.tolist()] == [
            "2024-02-28T00:00:00+06:00",
            "2024-02-29T00:00:00+06:00",
            "2024-03-01T00:00:00+05:00",
        ]
        assert days["n"].tolist() == [18, 25, 17]
        assert_same(found_windows(kept, node), naive_windows(kept, node, ALMATY))


def test_late_readings_end_as_if_they_had_come_in_order(tmp_path: Path) -> None:
    rows = soil_rows(250, every_min=13, seed=5)
    chance = random.Random(3)
    late = sorted(rows, key=lambda r: r.record + (chance.random() ** 5) * 120)
    results = []
    for name, order in (("ordered", rows), ("late", late)):
        with Kept(tmp_path / name, zone=ALMATY) as kept:
            node = kept.journal.add_device(device(1))
            for place in range(0, len(order), 5):
                batch = order[place : place + 5]
                kept.commit(node, batch)
                if name == "late" and chance.random() < 0.3:
                    kept.finish(max(r.time_us for r in batch))
                if name == "late" and chance.random() < 0.05:
                    kept.restart()
            kept.finish()
            results.append({key: repr(value) for key, value in found_windows(kept, node).items()})
    assert results[0] == results[1]


def test_a_window_waits_for_its_end_and_keeps_its_row(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.commit(node, [row(n, 3 * n, {("probe1", "vwc"): 0.2 + n / 100}) for n in range(4)])
        kept.cleaner.finish()
        assert kept.windows.next_due_us() == START_US + 17 * MINUTE_US  # 15 minutes and the grace
        assert not kept.windows.run(START_US + 17 * MINUTE_US - 1)
        assert kept.windows.run(START_US + 17 * MINUTE_US) == 1
        first = kept.reader.outbox(0, 100, "window")
        kept.commit(node, [row(9, 5, {("probe1", "vwc"): 0.215})])
        kept.cleaner.finish()
        assert kept.windows.run(START_US + 18 * MINUTE_US) == 1
        again = kept.reader.outbox(0, 100, "window")
        assert [(e.first, e.last) for e in again] == [(1, 1), (1, 1)] and again[0] == first[0]
        _, entries = kept.reader.windows(node, "probe1", "moisture", 900)
        assert entries["n"].tolist() == [5]


def test_a_window_that_loses_its_values_says_so(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.commit(node, [row(1, 1, {("probe1", "vwc"): 0.9, ("probe1", "temperature"): 5.0})])
        kept.finish()
        _, moisture = kept.reader.windows(node, "probe1", "moisture", 900)
        _, temperature = kept.reader.windows(node, "probe1", "temperature", 900)
        assert moisture["n"].tolist() == [0] and math.isnan(moisture["mean"][0]) and temperature["n"].tolist() == [1]


def test_what_was_dirty_at_a_stop_is_computed_after_it(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, soil_rows(30))
        kept.windows.run(START_US + 100 * MINUTE_US)
        kept.restart()  # nothing was told of the other windows but through the outbox
        kept.finish()
        assert_same(found_windows(kept, node), naive_windows(kept, node, UTC_ZONE))
        kept.journal.derive(Derived(windows=[]))
        position = kept.reader.sink_position("windows")
        kept.restart()
        assert not [key for key in kept.windows._dirty if kept.windows._dirty[key] <= (position or (0, 0))[0]]


def test_nothing_is_forgotten_when_the_journal_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, soil_rows(30))

        def failing(_: Derived) -> None:
            raise JournalError("full")

        with monkeypatch.context() as patched:
            patched.setattr(kept.journal, "derive", failing)
            with pytest.raises(JournalError):
                kept.finish()
        kept.finish()
        assert_same(found_windows(kept, node), naive_windows(kept, node, UTC_ZONE))


def test_a_time_far_ahead_does_not_hold_the_outbox(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.commit(node, [row(0, 23 * 365 * 24 * 60.0, {("node", "battery"): 3.6})])  # taken by a clock at 2049
        kept.fill(node, soil_rows(300)[1:])
        now_us = START_US + 300 * 15 * MINUTE_US + DAY_US
        kept.finish(now_us)
        assert not kept.reader.outbox(0, 9, "sample")
        assert_same(
            {key: value for key, value in found_windows(kept, node).items() if key[3] > now_us},
            {key: value for key, value in naive_windows(kept, node, UTC_ZONE).items() if key[3] > now_us},
        )


def test_a_day_that_ends_two_days_ahead_still_holds_what_comes_later_in_its_quarter(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        for record in range(2):
            kept.fill(node, [row(record, 1.9 * 24 * 60 + record, {("node", "battery"): 3.3 + record / 10})])
            kept.finish(START_US)
        kept.finish(START_US + 3 * DAY_US)
        assert_same(found_windows(kept, node), naive_windows(kept, node, UTC_ZONE))


def refiltered(kept: Kept, folder: Path, zone: str = "UTC") -> int:
    config = Config.model_validate({"station": {"name": "T", "timezone": zone, "data_dir": str(folder)}})
    return refilter(config, 0, None, 1 << 61)


def test_refilter_makes_windows_that_are_not_there(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, soil_rows(300))
        assert refiltered(kept, tmp_path) == 0
        assert_same(found_windows(kept, node), naive_windows(kept, node, UTC_ZONE))


def test_refilter_follows_the_stations_zone(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, soil_rows(300))
        kept.finish()
        refiltered(kept, tmp_path, "Asia/Almaty")
        found = found_windows(kept, node)
        expected = naive_windows(kept, node, ALMATY)
        assert_same({key: found[key] for key in expected}, expected)
        assert {found[key][0] for key in found.keys() - expected.keys()} == {0}  # InfluxDB must hear that they are gone


def test_refilter_leaves_a_running_stations_place_alone(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, soil_rows(30))
        before = kept.reader.sink_position("windows")
        refiltered(kept, tmp_path)
        assert kept.reader.sink_position("windows") == before


def test_a_start_computes_what_is_left_and_no_more(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, soil_rows(400), size=20)
        kept.finish(START_US + 5940 * MINUTE_US)  # in the fifth day
        kept.restart()
        started = kept.windows._dirty.keys()
        days = {(start - START_US) // DAY_US for _, width, start in started if width == DAY_S}
        assert days <= {3, 4}
        assert len(started) < 140  # what the last day's samples touch
