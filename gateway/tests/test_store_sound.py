"""Rows in which bits have flipped: they count as empty, and what lies behind them goes its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.store import sound
from suat.store.database import JournalError
from suat.store.journal import Journal
from suat.store.points import Points
from suat.store.readings import readings_of
from suat.store.rows import SampleRow
from suat.store.salvage import Salvage, mend
from suat.store.sound import sound_sample, sound_window
from suat_sim.kept import START_US, Kept, device, soil_rows, water_rows

WATER = water_rows(1)[0].body
ENTRY = b"\x01\x00\x00" + bytes(8)  # a cleaned channel: code, flags, value


def sample(body: Any, cleaned: Any = b"") -> SampleRow:
    return sound_sample((1, 1, 0, 1_780_000_000_000_000, body, cleaned, -90.0, 5.0))


def test_what_was_written_is_given_as_it_is() -> None:
    assert sample(WATER, None).body == WATER and sample(WATER, None).cleaned is None
    assert sample(WATER, ENTRY).cleaned == ENTRY


@pytest.mark.parametrize(
    "body", [b"", WATER[:-1], WATER + b"\0", b"\xff" + WATER[1:], "text", 7, None], ids=lambda body: repr(body)[:20]
)
def test_a_body_of_another_form_counts_as_empty(body: Any) -> None:
    found = sample(body, ENTRY)
    assert (found.body, found.cleaned) == (b"", b"")
    assert sample(body, None).cleaned is None  # it is still to be cleaned
    assert list(readings_of(found)) == []


@pytest.mark.parametrize("cleaned", [ENTRY[:-1], b"\xfe" + ENTRY[1:], "text", 7])
def test_cleaned_values_of_another_form_count_as_none(cleaned: Any) -> None:
    assert sample(WATER, cleaned).cleaned == b""
    assert sound_window((1, 900, 0, cleaned)).body == b""


@given(st.integers(0, len(WATER) - 1), st.integers(0, 255), st.integers(0, 11 * 3 - 1), st.integers(0, 255))
def test_whatever_has_flipped_can_be_read_and_sent(place: int, byte: int, at: int, other: int) -> None:
    body, cleaned = bytearray(WATER), bytearray(ENTRY * 3)
    body[place], cleaned[at] = byte, other
    found = sample(bytes(body), bytes(cleaned))
    list(readings_of(found))
    Points([device(0, "water")], {}).sample(found._replace(registration=0))


def test_one_damaged_sample_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound, "_told", set())
    with Kept(tmp_path) as kept:
        kept.journal.add_device(device(1))
        kept.commit(1, soil_rows(300), clean=False)
        with kept.journal.transaction() as connection:
            connection.execute("UPDATE sample SET body = CAST(x'ff' || substr(body, 2) AS BLOB) WHERE record = 100")
        kept.restart()
        kept.finish()
        found = list(kept.reader.readings())
        seen = {reading.record for reading in found}
        assert seen == set(range(300)) - {100}
        assert all(reading.flags or reading.value is not None for reading in found if reading.channel == "moisture")
        assert not kept.reader.uncleaned()
        points = Points(kept.reader.devices(), kept.reader.assignments())
        told = {row.record: points.sample(row) for row in kept.reader.samples(1)}
        assert len(told) == 300 and [record for record, lines in told.items() if not lines] == [100]
    assert caplog.text.count("sample 100 of node 1 is damaged and counts as empty") == 1


@pytest.mark.parametrize("column", ["time_us", "record"])
def test_a_sample_that_has_lost_its_place_is_damage_that_the_next_start_mends(tmp_path: Path, column: str) -> None:
    with Kept(tmp_path) as kept:
        kept.journal.add_device(device(1))
        kept.commit(1, soil_rows(30))
        with kept.journal.transaction() as connection:
            connection.execute(f"UPDATE sample SET {column} = 'x' WHERE record = 20")
        with pytest.raises(JournalError, match="no time; it is damaged: start the station again") as told:
            kept.reader.samples_after(1, 0, -1, 100)
        assert not told.value.transient
    assert mend(tmp_path / "journal.db", START_US + 86_400_000_000)
    with Journal(tmp_path / "journal.db") as journal, journal.reader() as reader:
        work = Salvage(journal)
        while work.step(START_US):
            pass
        assert {row.record for row in reader.samples(1)} == set(range(30)) - {20}
