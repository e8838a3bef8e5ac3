"""Retention: told rows go by age and for room, the oldest first, counted and dated; what was not told stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from suat.store.journal import Journal
from suat.store.retention import MARK_S, MARKS_A_DAY, Retention
from suat.store.rows import Derived, FilterState, Status
from suat.store.tables import JournalTable
from suat_sim.kept import START_US, Kept, device, soil_rows

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
DAYS = 36
PER_DAY = 24


class Years:
    """A journal in which hours pass: a sample an hour of each node, cleaned, summed up, and told or not."""

    def __init__(self, folder: Path, *, told: bool = True, **table: int) -> None:
        self.kept = Kept(folder)
        self.journal = self.kept.journal
        self.nodes = [self.journal.add_device(device(number, name=f"n{number}")) for number in (1, 2)]
        self.kept.windows.start()
        self.journal.add_sink("influx")
        self.told = told
        self.retention = Retention(self.journal, JournalTable(**{"free_mb": 0} | table))
        self.hour = 0
        self.rows = soil_rows(3000, every_min=60)

    def pass_hours(self, count: int, *, silent: int | None = None) -> None:
        for _ in range(count):
            now_us = START_US + self.hour * HOUR_US + 5 * 60_000_000
            for node in self.nodes:
                if node != silent:
                    self.kept.commit(node, [self.rows[self.hour]])
            if self.hour % 6 == 5:
                self.kept.finish(now_us)
                if self.told:
                    self.tell()
            self.run(now_us)
            self.hour += 1

    def tell(self) -> None:
        newest = self.journal._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()[0]
        self.journal.advance("influx", newest)

    def run(self, now_us: int) -> int:
        """What the station does at a full hour; how many steps it took."""
        steps = 0
        more = self.retention.look(self.hour * MARK_S, now_us)
        while more:
            steps += 1
            more = self.retention.step()
        return steps

    def hours_kept(self, node: int) -> list[int]:
        return [(row.time_us - START_US) // HOUR_US for row in self.kept.reader.samples(node)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


def test_told_rows_go_when_they_are_old(folder: Path) -> None:
    years = Years(folder, keep_days=30)
    years.pass_hours(DAYS * PER_DAY)
    for node in years.nodes:
        hours = years.hours_kept(node)
        assert hours == list(range(hours[0], DAYS * PER_DAY))  # the oldest first, and nothing else
        assert 30 <= (DAYS * PER_DAY - hours[0]) / PER_DAY <= 32  # a day for the marks, one for the states
    reader = years.kept.reader
    gone = {(entry.kind, entry.why) for entry in reader.dropped()}
    assert gone == {("sample", "age"), ("window", "age")}
    samples = [entry for entry in reader.dropped() if entry.kind == "sample"]
    assert sum(entry.rows for entry in samples) == sum(years.hours_kept(node)[0] for node in years.nodes)
    assert samples[0].first_us == START_US and samples[-1].last_us < START_US + (DAYS - 30) * DAY_US
    assert all(entry.day_us % DAY_US == 0 and entry.day_us > START_US + 29 * DAY_US for entry in samples)
    orphans = years.journal._connection.execute(
        "SELECT count(*) FROM cleaned WHERE sample NOT IN (SELECT id FROM sample)"
    )
    assert orphans.fetchone() == (0,)
    hours, _ = reader.windows(years.nodes[0], "probe1", "moisture", 3600)
    quarters, _ = reader.windows(years.nodes[0], "probe1", "moisture", 900)
    assert hours[0] == START_US and quarters[0] > START_US + (DAYS - 33) * DAY_US  # what is left of old days


def test_nothing_goes_before_every_sink_was_told_and_a_week_after_that(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suat.store.retention.OUTBOX_STEP", 100)  # many steps through what waits
    years = Years(folder, keep_days=30, told=False)
    years.pass_hours(DAYS * PER_DAY)
    assert years.hours_kept(years.nodes[0])[0] == 0 and not years.kept.reader.dropped()
    years.told = True
    for day in range(9):
        assert day >= 8 or years.hours_kept(years.nodes[0])[0] == 0, f"gone {day} days after it was told"
        years.pass_hours(PER_DAY)
        years.retention._table = JournalTable(keep_days=30, free_mb=1 << 40)  # as if there were no room
    assert years.hours_kept(years.nodes[0])[0] > 0


def test_a_resend_holds_what_it_will_tell(folder: Path) -> None:
    years = Years(folder, keep_days=30)
    years.pass_hours(29 * PER_DAY)
    years.told = False
    years.journal.resend(START_US + 5 * HOUR_US)
    years.pass_hours(10 * PER_DAY)
    assert years.hours_kept(years.nodes[0])[0] <= 5


def test_a_wrong_clock_drops_nothing(folder: Path) -> None:
    years = Years(folder, keep_days=30)
    years.pass_hours(10 * PER_DAY)
    for wrong_us in (0, START_US + 3650 * DAY_US, START_US - 3650 * DAY_US):
        years.hour += 1
        years.run(wrong_us)
    assert years.hours_kept(years.nodes[0])[0] == 0 and not years.kept.reader.dropped()


def test_a_restart_every_few_minutes_makes_no_days(folder: Path) -> None:
    years = Years(folder, keep_days=30)
    years.pass_hours(5)
    before = years.journal._connection.execute("SELECT count(*) FROM mark").fetchone()[0]
    for _ in range(50):
        again = Retention(years.journal, JournalTable())
        again.look(0.0, START_US)
        again.look(MARK_S - 1, START_US)
    assert years.journal._connection.execute("SELECT count(*) FROM mark").fetchone()[0] == before > 0


def test_the_newest_sample_of_a_silent_node_stays(folder: Path) -> None:
    years = Years(folder, keep_days=30)
    years.pass_hours(50)
    years.pass_hours(DAYS * PER_DAY, silent=years.nodes[1])
    assert years.hours_kept(years.nodes[1]) == [49]  # its record numbers go on from there
    assert years.kept.reader.newest_records()[years.nodes[1]] == 49


def fill(years: Years, megabytes: float) -> None:
    """Samples until the journal has that size."""
    number = 100_000
    while years.retention._sizes()[0] < megabytes * 1e6:
        rows = [replace(row, record=number + n, time_us=row.time_us + n) for n, row in enumerate(years.rows[:2000])]
        years.kept.commit(years.nodes[0], rows, clean=False)
        number += 2000


def test_where_there_is_no_room_told_rows_go_first_and_others_last(folder: Path) -> None:
    years = Years(folder, max_mb=2)
    years.pass_hours(10 * PER_DAY)  # the first days were told a week ago
    years.told = False
    fill(years, 2.2)
    steps = years.run(START_US + 10 * DAY_US)
    assert steps > 3 and years.retention._sizes()[0] <= 2e6
    gone = {(entry.kind, entry.why): entry for entry in years.kept.reader.dropped()}
    assert ("window", "size") in gone and ("sample", "size") in gone  # those of the first days
    assert gone["sample", "size"].first_us == START_US and gone["sample", "size"].last_us < START_US + 3 * DAY_US
    assert ("window", "untold") in gone  # no told row was left: derived ones next
    left = [row.record for row in years.kept.reader.samples(years.nodes[0]) if row.record < 100_000]
    assert not left or left[0] >= 2 * PER_DAY


def test_a_smaller_limit_makes_the_file_smaller(folder: Path) -> None:
    years = Years(folder, max_mb=50)
    fill(years, 4)
    years.retention._table = JournalTable(max_mb=2, free_mb=0)
    years.hour += 1
    years.run(START_US)
    assert years.retention._sizes()[2] <= 2e6
    assert years.journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_freed_pages_are_used_again(folder: Path) -> None:
    years = Years(folder, keep_days=30)
    years.pass_hours(36 * PER_DAY)
    for _ in range(3):
        years.pass_hours(2 * PER_DAY)
        _, spare, file = years.retention._sizes()
        assert spare < 0.1 * file


def test_a_full_disk_takes_told_rows_alone(folder: Path) -> None:
    years = Years(folder, free_mb=1 << 40)
    years.pass_hours(7 * PER_DAY + 30)
    assert {entry.why for entry in years.kept.reader.dropped()} == {"size"}
    hours = years.hours_kept(years.nodes[0])
    assert hours[0] > 0 and len(hours) > 6 * PER_DAY


def test_of_old_decisions_the_changes_and_one_a_day_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suat.store.retention.THIN_DAYS", 9)
    years = Years(folder)
    said = []
    for hour in range(20 * PER_DAY):
        status = "rest" if hour % 100 < 50 else "graze"
        said.append((START_US + hour * HOUR_US, status))
        years.journal.derive(Derived(statuses=[Status(*said[-1][:1], "paddock", "p1", status, {"n": hour})]))
        if hour % 24 == 0:
            states = [FilterState(years.nodes[0], START_US + hour, 1, b"")]
            years.journal.derive(Derived(states=states))
        years.tell()
        years.hour += 1
        years.run(said[-1][0])
    kept = [(row.at_us, row.status) for row in years.kept.reader.statuses("paddock", "p1")]
    limit = START_US + 10 * DAY_US
    needed = {row for n, row in enumerate(said) if n == 0 or said[n - 1][1] != row[1] or row[0] % DAY_US == 0}
    old = {row for row in kept if row[0] <= limit}
    assert {row for row in needed if row[0] <= limit} <= old and len(old) < 4 * 10  # of 240
    assert [row for row in kept if row[0] > limit + DAY_US] == [row for row in said if row[0] > limit + DAY_US]
    assert next((entry.kind, entry.why) for entry in years.kept.reader.dropped()) == ("status", "thinned")


def test_a_step_is_short(folder: Path) -> None:
    """A commit never waits long: rows go 500 at a time."""
    years = Years(folder, max_mb=1)
    fill(years, 3)
    assert years.run(START_US) >= 2e6 / 500 / 150


def test_marks_do_not_grow(folder: Path) -> None:
    with Journal(folder / "journal.db", durable=False) as journal:
        retention = Retention(journal, JournalTable(keep_days=400))
        for hour in range(20 * MARKS_A_DAY):
            while retention.look(hour * MARK_S, START_US) or retention.step():
                pass
        assert journal._connection.execute("SELECT count(*) FROM mark").fetchone()[0] <= 7 * 24 + 20
