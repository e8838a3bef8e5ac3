"""Cleaning: readings in any order give what they give in order; nothing committed stays uncleaned."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suat.quality import changes, clean
from suat.quality.calibrate import NodeCalibration
from suat.quality.changes import CHUNK
from suat.quality.clean import Cleaner
from suat.quality.settings import SETTINGS
from suat.records import Admitted, Batch, DeviceRecord, Flag, Probe, Row, SessionUpdate
from suat.store.channels import BY_NAME, CHANNELS
from suat.store.journal import Journal, JournalError
from suat.store.reader import Reader
from suat.store.rows import Derived, ProbeCurve
from suat_sim.logger_replay import load_loggers
from suat_sim.plain_samples import PlainFilters
from suat_wire.payload import pack

LOGGERS = Path(os.environ.get("SUAT_USSES", Path(__file__).parents[3] / "shared/data/usses"))
START_US = 1_780_000_000_000_000
MINUTE_US = 60_000_000


def sample(record: int, minutes: float, **probe: float) -> Row:
    """A sample of probe1 taken `minutes` after the start."""
    readings = {("probe1", name): value for name, value in probe.items()} | {("node", "battery"): 3.6}
    return Row(record, START_US + int(minutes * MINUTE_US) + record % 1000, pack(readings))


def weather(seed: int, count: int, every_min: float = 15) -> list[Row]:
    """Days of one probe with rain, frost, spikes and wild values, put elsewhere now and then, and broken for a time."""
    chance = random.Random(seed)
    moisture, warmer, wildness, rows = 0.2, 0.0, 0.0, []
    for record in range(count):
        moisture = min(0.45, moisture + 0.1) if chance.random() < 0.02 else max(0.05, moisture * 0.9995)
        if chance.random() < 0.02:
            warmer = chance.choice((0.0, 15.0))
        if record % 50 == 0:
            wildness = chance.choice((0.0, 0.0, 0.0, 0.2, 0.8))
        temperature = 8 * math.sin(record * every_min / 230) + 4 + warmer
        wild = chance.random() < wildness
        shown = chance.choice((1.4, moisture + 0.2, 0.02)) if wild else moisture
        felt = temperature + 20 * chance.random() if wild and wildness > 0.5 else temperature
        rows.append(sample(record, record * every_min, vwc=shown, temperature=felt, ec=chance.random()))
    return rows


class Bench:
    """A journal with one node, and the cleaner at work on it."""

    def __init__(self, folder: Path, calibration: NodeCalibration | None = None) -> None:
        self.journal = Journal(folder / "journal.db")
        self.reader = self.journal.reader()
        self.node = self.journal.add_device(
            DeviceRecord(0, "n", "soil", "00" * 8, None, "p", None, (Probe("a", 10, 1),), 0)
        )
        self.changes: list[tuple[int, list[int], int]] = []
        self.calibration = {self.node: calibration} if calibration else {}
        self.restart()

    def restart(self) -> None:
        self.cleaner = Cleaner(
            self.journal,
            self.reader,
            self.calibration,
            lambda node, times, seq: self.changes.append((node, [*times], seq)),
        )
        self.cleaner.start()

    def commit(self, rows: list[Row], clean: bool = True) -> None:
        admitted = Admitted(self.node, SessionUpdate(self.node, 0, 0), START_US, 0, -80.0, 5.0, tuple(rows), None)
        kept = self.journal.commit(Batch((admitted,))).samples
        if clean:
            self.cleaner.clean(kept)

    def cleaned(self) -> dict[int, bytes | None]:
        return {row.record: row.cleaned for row in self.reader.samples(self.node)}

    def close(self) -> None:
        self.reader.close()
        self.journal.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def in_order(rows: list[Row]) -> dict[int, bytes | None]:
    """What the plain filters have made of the samples once they have seen all, one after the other: the reference."""
    filters = PlainFilters()
    ordered = sorted(rows, key=lambda row: (row.time_us, row.record))
    for row in ordered:
        filters.clean(row.body, row.time_us / 1e6)
    return dict(zip([row.record for row in ordered], filters.bodies(), strict=True))


def assert_episodes(bench: Bench) -> None:
    """The journal's episodes are the runs of readings flagged `broken` in what it holds."""
    for channel in CHANNELS:
        times, _, found = bench.reader.series(bench.node, channel.group, channel.name)
        readings = zip(times.tolist(), (found & Flag.BROKEN != 0).tolist(), strict=True)
        groups = [(broken, [time for time, _ in group]) for broken, group in groupby(readings, lambda one: one[1])]
        runs = [(group[0], group[-1]) for broken, group in groups if broken]
        kept = [row for row in bench.reader.episodes(bench.node) if row.code == channel.code]
        assert [(row.since_us, row.until_us) for row in kept] == runs, channel


# What makes the filters think better of moisture and temperature: steps that are believed soon, or so late that the
# revision reaches back over days; a probe that breaks and heals.
BELIEFS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as set": ({}, {}),
    "soon": ({"max_rate": 1e-7, "resolution": 0.003, "rate_accept": 12}, {"max_rate": 1e-7, "rate_accept": 12}),
    "late": ({"max_rate": 1e-7, "resolution": 0.003, "rate_accept": 60}, {"max_rate": 1e-7, "rate_accept": 60}),
    "broken": ({"max_noise": 0.05, "broken_seconds": 5 * 3600.0}, {"max_noise": 3.0, "broken_seconds": 9 * 3600.0}),
}


@pytest.fixture(params=list(BELIEFS))
def belief(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, changed in zip(("moisture", "temperature"), BELIEFS[request.param], strict=True):
        code = BY_NAME["probe1", name].code
        monkeypatch.setitem(SETTINGS, code, replace(SETTINGS[code], **changed))


def values(reader: Reader, node: int, channel: str) -> list[float]:
    return [float(value) for value in reader.series(node, "probe1", channel)[1]]


def flags(reader: Reader, node: int, channel: str) -> list[Flag]:
    return [Flag(found) for found in reader.series(node, "probe1", channel)[2].tolist()]


@pytest.mark.usefixtures("belief")
def test_late_samples_end_as_if_they_had_come_in_order(tmp_path: Path) -> None:
    rows = weather(1, 400)
    expected = in_order(rows)
    for seed in range(2):
        chance = random.Random(seed)
        made = Bench(tmp_path / f"b{seed}")
        order = sorted(rows, key=lambda row: row.record + (chance.random() ** 6) * 150)
        while order:
            size = chance.randint(1, 20)
            made.commit(order[:size])
            del order[:size]
            if chance.random() < 0.5:
                made.cleaner.work()
            if chance.random() < 0.05:
                made.cleaner.save()
                made.restart()
        made.cleaner.finish()
        assert made.cleaned() == expected
        assert_episodes(made)
        made.close()


@pytest.mark.usefixtures("belief")
@settings(max_examples=15, deadline=None)
@given(st.permutations(range(30)), st.lists(st.integers(1, 7), min_size=30))
def test_any_order_gives_the_same(tmp_path_factory: pytest.TempPathFactory, order: list[int], sizes: list[int]) -> None:
    rows = [
        sample(record, record * 100, vwc=0.2 + 0.001 * record, temperature=30 if 5 < record < 20 else 10, ec=0.3)
        for record in range(30)
    ]
    made = Bench(tmp_path_factory.mktemp("any"))
    left = [rows[index] for index in order]
    for size in sizes:
        made.commit(left[:size])
        del left[:size]
    made.cleaner.finish()
    found = made.cleaned()
    made.close()
    assert found == in_order(rows)


@pytest.mark.usefixtures("belief")
def test_what_was_committed_but_not_cleaned_is_cleaned_at_the_start(tmp_path: Path) -> None:
    rows = weather(3, 300)
    expected = in_order(rows)
    made = Bench(tmp_path / "b")
    made.commit(rows[:100] + rows[150:200])
    made.cleaner.finish()
    made.commit(rows[100:150], clean=False)  # killed between the two transactions
    made.commit(rows[200:], clean=False)
    made.restart()
    made.cleaner.finish()
    assert made.cleaned() == expected
    made.close()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.usefixtures("belief")
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_transaction_it_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Late samples, small transactions, and an end before or after every tenth of them."""
    monkeypatch.setattr(clean, "CHUNK", 40)
    monkeypatch.setattr(clean, "HELD", 150)
    monkeypatch.setattr(changes, "CHUNK", 20)
    monkeypatch.setattr(changes, "HELD", 30)
    rows = weather(seed, 400, every_min=30)
    chance = random.Random(seed)
    bench = Bench(tmp_path)
    deadly = True

    def mortal(write: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(*arguments: Any) -> Any:
            fate = chance.random() if deadly else 1.0
            if fate < 0.05:
                raise Killed
            result = write(*arguments)
            if fate < 0.1:
                raise Killed
            return result

        return attempt

    for name in ("derive", "drop_states"):
        monkeypatch.setattr(bench.journal, name, mortal(getattr(bench.journal, name)))

    def survive(work: Callable[[], object]) -> None:
        try:
            work()
        except Killed:
            bench.restart()

    order = sorted(rows, key=lambda row: row.record + (chance.random() ** 6) * 150)
    while order:
        size = chance.randint(1, 20)
        survive(lambda size=size: bench.commit(order[:size]))  # type: ignore[misc]
        del order[:size]
        survive(bench.cleaner.work)
        if chance.random() < 0.05:
            survive(bench.cleaner.save)
    deadly = False
    bench.cleaner.finish()
    assert bench.cleaned() == in_order(rows)
    assert_episodes(bench)
    bench.close()


@pytest.mark.usefixtures("belief")
def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    rows = weather(4, 300)
    expected = in_order(rows)
    made = Bench(tmp_path / "b")
    for start in range(0, 300, 30):
        made.commit(rows[start : start + 30])
        made.cleaner.finish()
        if start % 60:
            made.cleaner.save()
        made.restart()
    made.changes.clear()
    made.cleaner.finish()
    assert made.cleaned() == expected
    assert not made.changes  # nor is anything written again
    made.close()


@pytest.mark.usefixtures("belief")
def test_refilter_of_unchanged_readings_writes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a step of it may end before the reading that has revised the step's last ones."""
    bench.commit(weather(5, 200))
    bench.cleaner.finish()
    bench.changes.clear()
    before = bench.reader.outbox(0, 1000)
    monkeypatch.setattr(clean, "CHUNK", 30)
    bench.cleaner.refilter(0)
    bench.cleaner.finish()
    assert not bench.changes and bench.reader.outbox(0, 1000) == before


def step(record: int, at: int = 80, until: int = 160) -> Row:
    """A reading every hour; from `at` on the soil is warmer by 20 K."""
    return sample(record, record * 60, vwc=0.2, temperature=30 if at <= record < until else 10)


@pytest.fixture
def believed_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have a step of temperature believed after so many readings."""

    def believed(readings: int) -> None:
        code = BY_NAME["probe1", "temperature"].code
        monkeypatch.setitem(SETTINGS, code, replace(SETTINGS[code], max_rate=1e-7, rate_accept=readings))

    return believed


def test_a_step_that_proves_true_is_believed_from_its_first_reading(
    bench: Bench, believed_after: Callable[[int], None]
) -> None:
    believed_after(6)
    for record in range(85):
        bench.commit([step(record)])
        bench.cleaner.finish()
    assert values(bench.reader, bench.node, "temperature")[80:] == pytest.approx([math.nan] * 5, nan_ok=True)
    assert flags(bench.reader, bench.node, "temperature")[80:] == [Flag.RATE] * 5
    bench.commit([step(85)])
    assert values(bench.reader, bench.node, "temperature")[80:] == [30.0] * 6
    assert not any(flags(bench.reader, bench.node, "temperature"))


def test_a_late_reading_takes_a_revision_back_that_reached_behind_a_kept_state(
    bench: Bench, believed_after: Callable[[int], None]
) -> None:
    """The step begins before midnight and is believed after it, until a reading from the first minute comes late."""
    believed_after(30)
    rows = [step(record) for record in range(130)]
    bench.commit(rows)
    bench.cleaner.finish()
    assert not any(flags(bench.reader, bench.node, "temperature"))
    rows.append(Row(1000, rows[100].time_us + 1000, step(0).body))
    bench.commit(rows[-1:])
    bench.cleaner.finish()
    assert bench.cleaned() == in_order(rows)
    assert flags(bench.reader, bench.node, "temperature")[80:101] == [Flag.RATE] * 21


def test_a_revision_of_weeks_is_written_in_small_transactions_and_told_once(
    bench: Bench, believed_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "CHUNK", 50)
    monkeypatch.setattr(changes, "HELD", 120)
    believed_after(500)
    rows = [step(record, until=600) for record in range(581)]
    for first in range(0, 579, 20):
        bench.commit(rows[first : min(first + 20, 579)])
        bench.cleaner.finish()
    assert flags(bench.reader, bench.node, "temperature")[80:] == [Flag.RATE] * 499
    written: list[Derived] = []
    derive = bench.journal.derive

    def noted(derived: Derived) -> object:
        written.append(derived)
        return derive(derived)

    monkeypatch.setattr(bench.journal, "derive", noted)
    told = bench.reader.outbox(0, 1000)[-1].seq
    bench.changes.clear()
    bench.commit(rows[579:580])
    assert bench.cleaner.pending  # the rest of it is done in steps between other work
    bench.commit(rows[580:])
    bench.cleaner.finish()
    assert not any(flags(bench.reader, bench.node, "temperature"))
    assert max(len(derived.cleaned) for derived in written) <= 50
    again = [row for entry in bench.reader.outbox(told, 1000) for _, row in bench.reader.samples_of(entry, 0, 1000)]
    assert sorted(row.record for row in again) == [*range(80, 581)]
    assert sorted(time for _, times, _ in bench.changes for time in times) == [row.time_us for row in rows[80:]]


def test_a_long_replay_goes_in_steps(bench: Bench) -> None:
    bench.commit(weather(6, CHUNK + 10, every_min=5), clean=False)
    bench.restart()
    assert bench.cleaner.work()
    assert sum(body is not None for body in bench.cleaned().values()) == CHUNK
    bench.commit([sample(CHUNK + 10, (CHUNK + 10) * 5, vwc=0.2)])  # meanwhile
    bench.cleaner.finish()
    assert all(bench.cleaned().values())


def test_frost_masks_moisture_and_nothing_else(bench: Bench) -> None:
    bench.commit([sample(n, 15 * n, vwc=0.25, temperature=t) for n, t in enumerate([3.0, 0.01, 0.0, -2.0, 0.5])])
    bench.cleaner.finish()
    assert values(bench.reader, bench.node, "moisture") == pytest.approx(
        [0.25, 0.25, math.nan, math.nan, 0.25], nan_ok=True
    )
    assert [Flag.FROZEN in found for found in flags(bench.reader, bench.node, "moisture")] == [0, 0, 1, 1, 0]
    assert not any(flags(bench.reader, bench.node, "temperature"))


def test_an_impossible_temperature_masks_nothing(bench: Bench) -> None:
    bench.commit([sample(1, 0, vwc=0.25, temperature=-127.0)])
    bench.cleaner.finish()
    assert values(bench.reader, bench.node, "moisture") == [0.25]
    assert flags(bench.reader, bench.node, "temperature") == [Flag.RANGE]


def test_a_count_without_curve_is_uncalibrated_and_a_curve_changes_the_past(tmp_path: Path) -> None:
    made = Bench(tmp_path)
    made.commit([sample(n, 15 * n, count=0.5) for n in range(5)])
    made.cleaner.finish()
    assert flags(made.reader, made.node, "moisture") == [Flag.UNCALIBRATED] * 5
    made.cleaner.recalibrate({made.node: NodeCalibration({"probe1": ProbeCurve((-0.05, 0.4, 0.2))})})
    made.cleaner.finish()
    assert values(made.reader, made.node, "moisture") == pytest.approx([-0.05 + 0.4 * 0.5 + 0.2 * 0.25] * 5)
    assert not any(flags(made.reader, made.node, "moisture"))
    made.close()


def test_a_changed_configuration_is_noticed_at_the_start(tmp_path: Path) -> None:
    made = Bench(tmp_path)
    made.commit([Row(n, START_US + n * 300 * 1_000_000, pack({("water", "distance"): 1.5})) for n in range(600)])
    made.cleaner.finish()
    made.cleaner.save()
    made.calibration = {made.node: NodeCalibration({}, 2.5)}
    made.restart()
    made.cleaner.finish()
    _, depth, found = made.reader.series(made.node, "water", "depth")
    assert depth.tolist() == [1.0] * 600 and not found.any()
    made.close()


@pytest.mark.usefixtures("belief")
def test_a_commit_that_fails_is_cleaned_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = weather(7, 60)
    bench.commit(rows[:30])
    bench.cleaner.finish()
    derive, failures = bench.journal.derive, [JournalError("full"), JournalError("full")]

    def failing(derived: Derived) -> object:
        if failures:
            raise failures.pop()
        return derive(derived)

    monkeypatch.setattr(bench.journal, "derive", failing)
    with pytest.raises(JournalError):
        bench.commit(rows[30:])
    with pytest.raises(JournalError):
        bench.cleaner.work()
    bench.cleaner.finish()
    found = bench.cleaned()
    bench.journal.derive = derive  # type: ignore[method-assign]
    assert found == in_order(rows)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_sample_without_a_possible_date_is_kept_with_the_clock_flag(tmp_path: Path, restarted: bool) -> None:
    """An age of 68 years: dated at the floor, no value, the filters as if it had never come."""
    results = []
    for name in ("with", "without"):
        bench = Bench(tmp_path / name)
        bench.journal.floor_us = START_US - 86_400_000_000
        rows = weather(1, 60)
        bench.commit(rows[:40])
        bench.cleaner.finish()
        if name == "with":
            bench.commit([Row(1000, START_US - 68 * 365 * 86_400_000_000, rows[0].body)], clean=not restarted)
            if restarted:
                bench.restart()
                bench.cleaner.finish()
            assert not bench.cleaner.pending  # nothing is seen again because of it
        bench.commit(rows[40:])
        bench.cleaner.finish()
        results.append(bench.cleaned())
        readings = [reading for reading in bench.reader.readings(bench.node) if reading.record == 1000]
        bench.close()
        if name == "with":
            assert {reading.time_us // 1_000_000 for reading in readings} == {(START_US - 86_400_000_000) // 1_000_000}
            assert {reading.flags & Flag.CLOCK for reading in readings} == {Flag.CLOCK}
            assert {reading.value for reading in readings} == {None}
            assert len([reading.raw for reading in readings]) == 4
    misdated = results[0].pop(1000)
    assert misdated is not None
    assert results[0] == results[1]


def test_a_wrong_clock_misdates_the_moisture_too(bench: Bench) -> None:
    """A reading each hour; after a silence of 8 hours the node's clock is 5 hours ahead, for 8 days."""
    right, ahead, again = range(12 * 24), range(12 * 24 + 8, 20 * 24), range(20 * 24 + 8, 26 * 24)
    rows = []
    for record in (*right, *ahead, *again):
        hour = record - (5 if record in ahead else 0)
        temperature = 15 + round(6 * math.cos(2 * math.pi * (hour - 16) / 24), 1)
        rows.append(sample(record, record * 60, vwc=0.2 + 0.001 * (record % 3), temperature=temperature))
    for start in range(0, len(rows), 60):
        bench.commit(rows[start : start + 60])
        bench.cleaner.finish()
    assert bench.cleaned() == in_order(rows)
    misdated = [Flag.CLOCK if row.record in ahead else Flag(0) for row in rows]
    for name in ("temperature", "moisture"):
        assert [flag & ~Flag.GAP for flag in flags(bench.reader, bench.node, name)] == misdated
        assert [math.isnan(value) for value in values(bench.reader, bench.node, name)] == [*map(bool, misdated)]


@pytest.mark.slow
@pytest.mark.skipif(not LOGGERS.is_dir(), reason=f"the logger files are not at {LOGGERS}; set SUAT_USSES")
def test_years_of_a_real_logger_end_as_the_plain_filters_have_them(tmp_path: Path) -> None:
    """One whose clock went wrong and whose probes broke: revised over weeks; seen again nothing changes."""
    logger = next(found for found in load_loggers(LOGGERS) if found.name == "EM20068")
    rows = [
        Row(record, row.time * 1_000_000, pack({key.partition(".")[::2]: value for key, value in row.readings.items()}))
        for record, row in enumerate(logger.rows)
    ]
    made = Bench(tmp_path)
    for first in range(0, len(rows), 100):
        made.commit(rows[first : first + 100])
        made.cleaner.finish()
    assert made.cleaned() == in_order(rows)
    assert_episodes(made)
    made.changes.clear()
    made.cleaner.refilter(0)
    made.cleaner.finish()
    assert not made.changes
    made.close()
