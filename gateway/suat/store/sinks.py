"""All sinks of a station: its own InfluxDB and others, such as the district's. None waits for another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from suat.clock import Guard, Scheduler
from suat.metrics import BACKLOG, SINK_BACKLOG, SINK_LETTERS, SINK_POINTS, SINK_TROUBLE
from suat.store.influx import Forwarder
from suat.store.journal import Journal
from suat.store.reader import Reader
from suat.store.tables import InfluxTable


class Sinks:
    """A forwarder for each, by name; there may be none."""

    def __init__(
        self,
        scheduler: Scheduler,
        tables: Mapping[str, InfluxTable],
        journal: Journal,
        reader: Reader,
        guard: Guard | None = None,
    ) -> None:
        self.forwarders: dict[str, Forwarder] = {}
        for name, table in tables.items():
            own = scheduler if guard is None else guard(f"sink {name}", partial(self._revive, name))
            self.forwarders[name] = Forwarder(own, table, journal, reader, name=name)

    def __len__(self) -> int:
        return len(self.forwarders)

    def wake(self) -> None:
        """There may be something to tell."""
        for forwarder in self.forwarders.values():
            forwarder.wake()

    def _revive(self, name: str) -> None:
        self.forwarders[name].revive()

    def stop(self) -> None:
        """Nothing more is begun."""
        for forwarder in self.forwarders.values():
            forwarder.stop()

    def measure(self) -> None:
        """Bring the figures for `/metrics` up to date, and see what a command has added; JournalError."""
        worst = 0
        for name, forwarder in self.forwarders.items():
            backlog = forwarder.backlog()
            worst = max(worst, backlog)
            if backlog:
                forwarder.wake()
            SINK_BACKLOG.labels(name).set(backlog)
            SINK_TROUBLE.labels(name).set(forwarder.problem is not None)
            SINK_POINTS.labels(name).set(forwarder.points_sent)
            SINK_LETTERS.labels(name).set(forwarder.letters_set_aside)
        BACKLOG.set(worst)
