"""A broken probe's episodes are the runs of its readings flagged `broken`, however these flags came about."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count, groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suat.records import Admitted, Batch, Flag, Row, SessionUpdate
from suat.store.episodes import episodes_of
from suat.store.journal import Journal
from suat.store.packed import pack_cleaned
from suat.store.reader import Reader
from suat.store.rows import Derived, Episode
from suat_sim.kept import START_US, device
from suat_wire.payload import pack

CODES = (0, 1, 80)
_numbers = count(1)
Flags = dict[int, bool]  # by code: whether the reading is broken


def keep(journal: Journal, minutes: list[int]) -> tuple[int, list[tuple[int, int]]]:
    """A node with a sample at each of these times: (its registration, (id, time) of each)."""
    node = journal.add_device(device(next(_numbers)))
    rows = [
        Row(n, START_US + at * 60_000_000, pack({("node", "battery"): 3.0})) for n, at in enumerate(sorted(minutes))
    ]
    admitted = Admitted(node, SessionUpdate(node, 0, 0), START_US, 0, None, None, tuple(rows), None)
    return node, [(sample.id, sample.time_us) for sample in journal.commit(Batch((admitted,))).samples]


def runs(readings: list[tuple[int, Flags]], code: int) -> list[tuple[int, int]]:
    """(first, last) time of each run, reading by reading."""
    mine = [(time_us, flags[code]) for time_us, flags in readings if code in flags]
    groups = [(broken, list(group)) for broken, group in groupby(mine, lambda reading: reading[1])]
    return [(group[0][0], group[-1][0]) for broken, group in groups if broken]


def body(flags: Flags) -> bytes:
    return pack_cleaned((code, Flag.BROKEN if broken else Flag.GAP, math.nan) for code, broken in flags.items())


def known(reader: Reader, node: int) -> list[Episode]:
    return reader.read(lambda connection: episodes_of(connection, node))


_flags = st.dictionaries(st.sampled_from(CODES), st.booleans())
_writes = st.lists(st.tuples(st.integers(0, 11), st.lists(_flags, min_size=1, max_size=8)), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    with Journal(tmp_path_factory.mktemp("episodes") / "journal.db", durable=False) as made:
        yield made


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=12, max_size=12, unique=True), _writes)
def test_episodes_are_the_runs_of_the_readings_that_are_there(
    journal: Journal, minutes: list[int], writes: list[tuple[int, list[Flags]]]
) -> None:
    with journal.reader() as reader:
        node, samples = keep(journal, minutes)
        there: dict[int, Flags] = {}
        for first, flags in writes:
            chosen = dict(zip(samples[first:], flags, strict=False))
            journal.derive(
                Derived(
                    cleaned=[(identity, body(found)) for (identity, _), found in chosen.items()],
                    broken=[
                        Episode(node, code, min(time for _, time in chosen), max(time for _, time in chosen))
                        for code in CODES
                    ],
                )
            )
            there |= {time_us: found for (_, time_us), found in chosen.items()}
            for code in CODES:
                expected = runs(sorted(there.items(), key=lambda reading: reading[0]), code)
                assert [(e.since_us, e.until_us) for e in known(reader, node) if e.code == code] == expected


def test_an_episode_keeps_its_beginning_when_the_journal_has_given_up_its_first_readings(journal: Journal) -> None:
    with journal.reader() as reader:
        node, samples = keep(journal, list(range(6)))
        since_us = samples[0][1]
        for identity, time_us in samples[:4]:
            journal.derive(Derived(cleaned=[(identity, body({0: True}))], broken=[Episode(node, 0, time_us, time_us)]))
        with journal.transaction() as connection:
            connection.execute("DELETE FROM sample WHERE registration = ? AND id < ?", (node, samples[3][0]))
        for identity, time_us in samples[3:]:
            journal.derive(Derived(cleaned=[(identity, body({0: True}))], broken=[Episode(node, 0, time_us, time_us)]))
        assert known(reader, node) == [Episode(node, 0, since_us, samples[-1][1])]


def test_episodes_of_a_time_are_those_that_touch_it(journal: Journal) -> None:
    with journal.reader() as reader:
        node, samples = keep(journal, list(range(10)))
        cleaned = [(identity, body({0: 2 <= n <= 3 or n >= 6})) for n, (identity, _) in enumerate(samples)]
        journal.derive(Derived(cleaned=cleaned, broken=[Episode(node, 0, samples[0][1], samples[-1][1])]))
        times = [time_us for _, time_us in samples]

        def found(since: int, until: int) -> list[tuple[int, int]]:
            rows = reader.read(lambda connection: episodes_of(connection, node, times[since], times[until]))
            return [(times.index(row.since_us), times.index(row.until_us)) for row in rows]

        assert found(0, 2) == []
        assert found(3, 4) == [(2, 3)]
        assert found(4, 6) == []
        assert found(0, 9) == [(2, 3), (6, 9)]


@pytest.mark.parametrize("change", ["code = 77", "until_us = 'x'", "since_us = -1", "until_us = 1 << 60"])
def test_an_episode_in_which_bits_have_flipped_counts_as_none(journal: Journal, change: str) -> None:
    with journal.reader() as reader:
        node, samples = keep(journal, list(range(3)))
        broken = [Episode(node, 0, samples[0][1], samples[2][1])]
        journal.derive(Derived(cleaned=[(identity, body({0: True})) for identity, _ in samples], broken=broken))
        assert len(known(reader, node)) == len(reader.lasting_episodes(node, samples[2][1])) == 1
        with journal.transaction() as connection:
            connection.execute(f"UPDATE episode SET {change} WHERE registration = ?", (node,))
        assert known(reader, node) == reader.lasting_episodes(node, 1 << 61) == []
        if change.startswith("until"):  # found anew where its readings are judged again
            journal.derive(Derived(broken=broken))
            assert known(reader, node) == broken
