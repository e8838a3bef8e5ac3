"""Several sinks of one journal: each has its own place, none waits for another, what is meant for one goes to one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from suat.clock import VirtualScheduler
from suat.metrics import BACKLOG, SINK_BACKLOG, SINK_TROUBLE
from suat.store.influx_http import Answer, Verdict, packed
from suat.store.sinks import Sinks
from suat.store.tables import InfluxTable
from suat_sim.kept import START_US, Kept, device, soil_rows

TABLE = InfluxTable(url="http://127.0.0.1:1", api="v1", database="pasture")


class Database:
    """Takes lines while it is up."""

    def __init__(self) -> None:
        self.up = True
        self.lines: list[str] = []

    def write(self, _place: str, lines: Sequence[str]) -> Answer:
        if not self.up:
            return Answer(Verdict.BROKEN, "no whole answer within 10 s")
        self.lines += lines
        return Answer(Verdict.DONE)

    def hang_up(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is held."""


class Bench:
    """A journal, and a station's sinks by name; `start` again is a restart with another configuration."""

    def __init__(self, folder: Path) -> None:
        self.kept = Kept(folder)
        self.node = self.kept.journal.add_device(device(1))
        self.scheduler = VirtualScheduler(START_US)
        self.databases: dict[str, Database] = {}
        self.sinks = Sinks(self.scheduler, {}, self.kept.journal, self.kept.reader)

    def start(self, *names: str) -> None:
        self.sinks.stop()
        self.run(1)
        self.kept.journal.keep_sinks({"windows", *names})
        self.sinks = Sinks(self.scheduler, dict.fromkeys(names, TABLE), self.kept.journal, self.kept.reader)
        for name, forwarder in self.sinks.forwarders.items():
            forwarder._writer = self.databases.setdefault(name, Database())
        self.sinks.wake()

    def keep(self, first: int, last: int) -> None:
        self.kept.fill(self.node, soil_rows(last)[first:])
        self.kept.finish()
        self.sinks.wake()

    def run(self, seconds: float) -> None:
        self.scheduler.run_until(self.scheduler.monotonic() + seconds)

    def told(self, name: str) -> list[str]:
        """Lines since the last question."""
        found = sorted(self.databases[name].lines)
        self.databases[name].lines.clear()
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.kept.close()


def test_a_sink_that_is_down_delays_no_other(bench: Bench) -> None:
    bench.start("influx", "district")
    bench.databases["district"].up = False
    for day in range(5):
        bench.keep(20 * day, 20 * day + 20)
        bench.run(1)
        assert bench.told("influx")
        bench.sinks.measure()
        assert SINK_BACKLOG.labels("influx")._value.get() == 0 == SINK_TROUBLE.labels("influx")._value.get()
        assert SINK_BACKLOG.labels("district")._value.get() == BACKLOG._value.get() > 0
        assert SINK_TROUBLE.labels("district")._value.get() == 1
        bench.run(3600)
    bench.databases["district"].up = True
    bench.run(120)
    assert len({line.rsplit(" ", 1)[1] for line in bench.told("district") if line.startswith("node,")}) == 100
    assert not bench.told("influx")


def test_a_new_sink_is_told_the_past_and_the_others_are_not_told_it_again(bench: Bench) -> None:
    bench.start("influx")
    bench.keep(0, 40)
    bench.run(60)
    first = bench.told("influx")
    bench.start("influx", "district")
    bench.run(60)
    assert bench.told("district") == first and not bench.told("influx")
    bench.keep(40, 50)
    bench.run(60)
    assert bench.told("district") == bench.told("influx") != []


def test_a_sink_that_is_removed_holds_nothing_and_one_that_comes_back_is_told_everything(bench: Bench) -> None:
    bench.start("influx", "district")
    bench.databases["district"].up = False
    bench.keep(0, 40)
    bench.run(60)
    everything = bench.told("influx")
    assert bench.kept.reader.outbox(0, 1)
    bench.start("influx")
    bench.run(60)
    assert bench.kept.reader.sink_position("district") is None
    bench.kept.journal.advance("windows", bench.kept.reader.outbox_backlog(0))
    assert not bench.kept.reader.outbox(0, 1)
    bench.databases["district"].up = True
    bench.start("influx", "district")
    bench.run(60)
    assert bench.told("district") == everything and not bench.told("influx")


def test_a_resend_is_for_one_sink_or_for_all_and_begins_within_a_look_at_the_figures(bench: Bench) -> None:
    bench.start("influx", "district")
    bench.keep(0, 40)
    bench.run(60)
    assert bench.told("influx") == bench.told("district") != []
    bench.kept.journal.resend(START_US + 3_600_000_000, "district")
    bench.sinks.measure()
    bench.run(1)
    again = bench.told("district")
    since = [int(line.rsplit(" ", 1)[1]) for line in again if line.startswith("node,")]
    assert since and min(since) >= START_US + 3_600_000_000
    assert not bench.told("influx")
    bench.kept.journal.resend(0)
    bench.sinks.measure()
    bench.run(1)
    assert bench.told("influx") == bench.told("district") != []
    bench.sinks.measure()
    assert BACKLOG._value.get() == 0


def test_a_place_of_before_the_past_was_for_one_is_still_good(bench: Bench) -> None:
    """What one sink is told alone is passed over by the others, who stand behind it afterwards."""
    bench.start("influx", "district")
    bench.keep(0, 10)
    bench.run(60)
    for _ in range(3):
        bench.kept.journal.resend(0, "district")
    bench.sinks.measure()
    bench.run(60)
    places = {bench.kept.reader.sink_position(name) for name in ("influx", "district")}
    bench.sinks.stop()
    bench.run(1)
    assert {bench.kept.reader.sink_position(name) for name in ("influx", "district")} >= places - {None}
    assert bench.kept.reader.sink_position("influx") == bench.kept.reader.sink_position("district")


@pytest.mark.parametrize(
    ("url", "gzip", "wanted"),
    [
        ("http://127.0.0.1:8086", None, False),
        ("http://localhost:8086", None, False),
        ("http://[::1]:8086", None, False),
        ("https://influx.example", None, True),
        ("http://192.168.7.1:8086", None, True),
        ("http://127.0.0.1:8086", True, True),
        ("https://influx.example", False, False),
    ],
)
def test_what_leaves_the_machine_is_packed(url: str, gzip: bool | None, wanted: bool) -> None:
    assert packed(InfluxTable(url=url, api="v1", database="pasture", gzip=gzip)) is wanted
