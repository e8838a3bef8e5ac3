"""Points and curves in the journal: nothing is lost, what is dropped is remembered, old rows mean what they meant."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from suat.store import database
from suat.store.calibration import (
    Point,
    add_curve,
    add_points,
    all_curves,
    curves,
    drop_curve,
    drop_point,
    points,
    weigh,
)
from suat.store.database import JournalError, damage_note, open_writer
from suat.store.journal import Journal
from suat.store.rows import Curve, ProbeCurve
from suat.store.salvage import mend
from suat_sim.kept import device

AIR = Point(1, "probe1", "air", "air", 10, "count", 0.82, 12.5, made_by="A")
CORE = Point(1, "probe1", "7", "soil", 30, "count", 0.6, None, 51.4, 211.5, None, 100.0, None, "Ә")
CURVE = Curve(
    1,
    "probe1",
    ProbeCurve((0.01, 0.5), "count", 0.82, 0.36, 0.0005, 18.0, 0.2, 0.6),
    0.012,
    100,
    "сұр топырақ",
    "Aigul",
    1.35,
    ({"label": "7", "reading": 0.6, "temperature_c": None, "moisture": 0.2, "at_us": 30},),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal.db")
    made.add_device(device(1, probes=2))
    return made


def test_points_come_back_as_they_were_measured(journal: Journal) -> None:
    add_points(journal, [CORE, AIR])
    with journal, journal.reader() as reader:
        assert reader.read(points) == [AIR, CORE]
        weigh(journal, 1, "probe1", "7", 183.4)
        assert reader.read(points)[1] == CORE._replace(dry_g=183.4)
        drop_point(journal, 1, "probe1", "7", 99)
        assert reader.read(points) == [AIR]
        add_points(journal, [CORE._replace(at_us=40)])  # its label is free again
        weigh(journal, 1, "probe1", "7", 190.0)
        kept = sqlite3.connect(journal.path).execute("SELECT dry_g, dropped_us FROM calibration_point ORDER BY id")
        assert kept.fetchall() == [(183.4, 99), (None, None), (190.0, None)]


def test_points_are_kept_together_or_not_at_all(journal: Journal) -> None:
    with journal, journal.reader() as reader:
        with pytest.raises(JournalError, match="CHECK"):
            add_points(journal, [AIR, CORE._replace(kind="oil")])
        assert reader.read(points) == []


def test_curves_come_back_and_the_newest_counts(journal: Journal) -> None:
    older = CURVE._replace(made_us=50, curve=ProbeCurve((0.1, 0.2, 0.3), "vwc"), points=(), residual=None)
    with journal, journal.reader() as reader:
        version = reader.registry_version()
        add_curve(journal, CURVE)
        add_curve(journal, older)
        assert reader.registry_version() == version + 2  # so that the running station takes it over
        assert reader.read(all_curves) == [older, CURVE]
        assert reader.read(curves) == {(1, "probe1"): CURVE}
        drop_curve(journal, CURVE, 200)
        assert reader.registry_version() == version + 3
        assert reader.read(curves) == {(1, "probe1"): older}
        assert reader.read(all_curves) == [older, CURVE._replace(dropped_us=200)]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of version 6 with a curve: coefficients of the count as it was sent."""
    path = tmp_path / "old.db"
    scripts = database._migrations()
    with monkeypatch.context() as patch:
        patch.setattr(database, "_migrations", lambda: scripts[:6])
        connection = open_writer(path)
    connection.execute(
        "INSERT INTO device (name, kind, dev_eui, probes, added_us) VALUES ('a', 'soil', '0123456789abcdef', '[]', 1)"
    )
    connection.execute(
        "INSERT INTO curve (registration, grp, coefficients, residual, made_us)"
        " VALUES (1, 'probe2', '[0.1, 0.5]', 0.02, 7)"
    )
    connection.close()
    return path


OLD = Curve(1, "probe2", ProbeCurve((0.1, 0.5)), 0.02, 7)


def test_curves_of_an_older_program_mean_what_they_meant(old: Path) -> None:
    with Journal(old) as journal, journal.reader() as reader:
        assert reader.read(curves) == {(1, "probe2"): OLD}


def test_a_damaged_journal_gives_its_calibrations_back(old: Path) -> None:
    """Rows of both forms: before and after the columns were added."""
    with Journal(old) as journal:
        add_points(journal, [AIR, CORE])
        add_curve(journal, CURVE)
    damage_note(old).write_text("found while it was used")
    assert mend(old, 1_780_000_000_000_000) is not None
    with Journal(old) as journal, journal.reader() as reader:
        assert reader.read(points) == [AIR, CORE]
        assert reader.read(curves) == {(1, "probe1"): CURVE, (1, "probe2"): OLD}


def test_what_was_calibrated_behind_a_damaged_piece_of_the_wal_stands_once(journal: Journal, tmp_path: Path) -> None:
    """Rows of before are not doubled, and what was changed of them counts."""
    add_points(journal, [AIR, CORE])
    add_curve(journal, CURVE)
    journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    add_points(journal, [AIR._replace(group="probe2")])
    weigh(journal, 1, "probe1", "7", 180.0)
    add_points(journal, [CORE._replace(label="8", at_us=40)])
    drop_curve(journal, CURVE, 600)
    other = CURVE._replace(made_us=200)
    add_curve(journal, other)
    (tmp_path / "cut").mkdir()
    path, wal = (tmp_path / "cut" / name for name in ("journal.db", "journal.db-wal"))
    shutil.copy(journal.path, path)
    content = bytearray(journal.path.with_name("journal.db-wal").read_bytes())
    content[32 + 24 + 100] ^= 4  # in the page of the first frame
    wal.write_bytes(content)
    journal.close()
    assert mend(path, 1_780_000_000_000_000) is None
    with Journal(path) as mended, mended.reader() as reader:
        assert reader.read(all_curves) == [CURVE._replace(dropped_us=600), other]
        found = [point for point in reader.read(points) if point.group == "probe1"]
        assert found == [AIR, CORE._replace(dry_g=180.0), CORE._replace(label="8", at_us=40)]


@pytest.mark.parametrize("spoiled", ["water = air", "per_kelvin = 3", "coefficients = '[]'", "points = 'no JSON'"])
def test_a_curve_that_no_probe_can_have_is_damage(journal: Journal, spoiled: str) -> None:
    add_curve(journal, CURVE)
    with sqlite3.connect(journal.path) as connection:
        connection.execute(f"UPDATE curve SET {spoiled}")
    connection.close()
    with journal, journal.reader() as reader, pytest.raises(JournalError, match="a row can't be read"):
        reader.read(curves)
