"""What the decisions leave in the journal: news, an hourly point, and one row an alert."""

import importlib.util
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from suat.pasture import decide
from suat.pasture.decide import Decider
from suat.pasture.model import HOUR_US, Water
from suat.pasture.status import describe
from suat.store.journal import Journal, JournalError

ROOT = Path(__file__).parents[2]
AT = int(datetime(2026, 7, 4, 12, 40, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE_US = HOUR_US // 60


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("board_example", ROOT / "tools" / "board_example.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def station(example, tmp_path, monkeypatch):
    """A journal, and a decider whose snapshot the test sets."""
    config, snapshots = example.config(), [example.snapshot()]
    monkeypatch.setattr(
        decide, "station_status", lambda config, journal, at_us: describe(config, replace(snapshots[0], at_us=at_us))
    )
    with Journal(tmp_path / "journal.db", durable=False) as journal:
        reader = journal.reader()
        yield reader, snapshots, lambda: Decider(config, journal, reader)


def test_a_decision_is_written_when_it_is_news_and_once_an_hour(station):
    reader, _, begin = station
    decider = begin()
    for minutes in (0, 5, 10, 59, 60, 65):
        decider.decide(AT + minutes * MINUTE_US)
    times = [status.at_us for status in reader.statuses("paddock", "saz")]
    assert times == [AT, AT + 60 * MINUTE_US]
    begin().decide(AT + 70 * MINUTE_US)  # a restart is no news
    assert len(reader.statuses("paddock", "saz")) == 2
    assert reader.statuses("paddock", "saz")[0].body["id"] == "saz"


def test_a_changed_status_is_written_at_once(station):
    reader, snapshots, begin = station
    decider = begin()
    decider.decide(AT)
    full = {**snapshots[0].waters, "auyl-su": Water(0.9, AT), "qudyq": Water(0.9, AT)}
    snapshots[0] = replace(snapshots[0], waters=full)
    decider.decide(AT + 5 * MINUTE_US)
    assert [status.status for status in reader.statuses("paddock", "auyl")] == ["no_water", "move_soon"]
    assert [status.status for status in reader.statuses("water_point", "qudyq")] == ["warning", "ok"]


def test_an_alert_is_one_row_from_its_rise_to_its_end(station):
    reader, snapshots, begin = station
    begin().decide(AT)
    begin().decide(AT + 5 * MINUTE_US)  # after a restart it is the same alert
    rows = {(alert.subject, alert.kind): alert for alert in reader.alerts()}
    assert set(rows) == {("auyl-su", "trough_empty"), ("qudyq", "low"), ("topyraq-7", "node"), ("su-4", "node")}
    assert rows["auyl-su", "trough_empty"].cleared_us is None
    full = {**snapshots[0].waters, "auyl-su": Water(0.9, AT)}
    snapshots[0] = replace(snapshots[0], waters=full)
    begin().decide(AT + 10 * MINUTE_US)
    found = [(alert.kind, alert.at_us, alert.cleared_us) for alert in reader.alerts() if alert.subject == "auyl-su"]
    # the trough is full again, but lasts the cows less than two days: another alert
    assert found == [("trough_empty", AT, AT + 10 * MINUTE_US), ("critical", AT + 10 * MINUTE_US, None)]
    assert len(reader.alerts(open_only=True)) == 4


def test_what_could_not_be_written_is_written_the_next_time(station, monkeypatch):
    reader, snapshots, begin = station
    decider = begin()
    with monkeypatch.context() as patched:
        patched.setattr(decider._journal, "derive", lambda derived: (_ for _ in ()).throw(JournalError("full")))
        with pytest.raises(JournalError):
            decider.decide(AT)
    decider.decide(AT + 5 * MINUTE_US)
    assert {alert.subject for alert in reader.alerts(open_only=True)} == {"auyl-su", "qudyq", "topyraq-7", "su-4"}
    snapshots[0] = replace(snapshots[0], waters={**snapshots[0].waters, "auyl-su": Water(0.9, AT)})
    with monkeypatch.context() as patched:
        patched.setattr(decider._journal, "derive", lambda derived: (_ for _ in ()).throw(JournalError("full")))
        with pytest.raises(JournalError):
            decider.decide(AT + 10 * MINUTE_US)
    decider.decide(AT + 15 * MINUTE_US)
    assert "trough_empty" not in {alert.kind for alert in reader.alerts(open_only=True)}


def test_a_clock_that_was_ahead_does_not_stop_the_hourly_points(station):
    reader, _, begin = station
    begin().decide(AT + 9000 * 24 * HOUR_US)
    begin().decide(AT)
    assert [status.at_us for status in reader.statuses("station", "station")] == [AT, AT + 9000 * 24 * HOUR_US]


def test_a_water_point_without_a_level_is_not_well(station):
    reader, snapshots, begin = station
    snapshots[0] = replace(snapshots[0], waters={**snapshots[0].waters, "qudyq": Water()})
    begin().decide(AT)
    assert [status.status for status in reader.statuses("water_point", "qudyq")] == ["no_data"]
