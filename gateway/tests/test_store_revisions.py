"""Where a refiltering may begin, by what the journal holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from suat.records import Admitted, Batch, Row
from suat.store.journal import Journal
from suat.store.revisions import undisturbed_state
from suat.store.rows import Derived, FilterState, Reach
from suat_sim.kept import START_US, device
from suat_wire.payload import pack

HOUR_US = 3_600_000_000


def at(hour: int) -> int:
    return START_US + hour * HOUR_US


@pytest.mark.parametrize(
    ("oldest", "begins_at"),
    [(0, 2), (3, 2), (6, 5)],
    ids=["all is there", "some of what was revised is there", "what was revised before the state is gone"],
)
def test_a_state_is_a_beginning_unless_a_later_sample_changed_rows_before_it(
    tmp_path: Path, oldest: int, begins_at: int
) -> None:
    """The sample of hour 9 has revised those from hour 3 on: the state of hour 5 was kept before that."""
    with Journal(tmp_path / "journal.db") as journal, journal.reader() as reader:
        node = journal.add_device(device(1))
        rows = tuple(Row(hour, at(hour), pack({("node", "battery"): 3.0})) for hour in range(oldest, 10))
        journal.commit(Batch((Admitted(node, None, START_US, 0, None, None, rows, None),)))
        states = [FilterState(node, at(hour), hour, b"") for hour in (2, 5)]
        journal.derive(Derived(states=states, reaches=[Reach(node, at(9), 9, at(3))]))
        found = reader.read(lambda connection: undisturbed_state(connection, node, at(20)))
        assert found is not None and found.record == begins_at
