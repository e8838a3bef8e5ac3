"""Decide: judge the pasture, and publish what changed.

A decision is written when its status changes, and once an hour, so that a chart of it has no holes. An alert is one
row from the moment it is raised; the same row is closed when its cause has gone.
"""

from __future__ import annotations

from typing import Any

from suat.config import Config
from suat.pasture.model import HOUR_US
from suat.pasture.status import station_status
from suat.store.journal import Journal, Reader
from suat.store.rows import Alert, Derived, Status

Json = dict[str, Any]

REPEAT_US = HOUR_US


class Decider:
    """The stage; it remembers what it published last, and reads that from the journal when it starts."""

    def __init__(self, config: Config, journal: Journal, reader: Reader) -> None:
        self._config = config
        self._journal = journal
        self._reader = reader
        self._published: dict[tuple[str, str], Status] = {}
        self._open: dict[tuple[str, str], Alert] | None = None

    def decide(self, at_us: int) -> Json:
        """Judge as of `at_us`, write what is new, and give the status object."""
        found = station_status(self._config, self._reader, at_us)
        if self._open is None:
            self._recall()
        statuses = [status for status in _statuses(found, at_us) if self._is_news(status)]
        alerts = self._alert_changes(found, at_us)
        if statuses or alerts:
            try:
                self._journal.derive(Derived(statuses=statuses, alerts=alerts))
            except BaseException:
                self._open = None  # what was to be written was not: the journal knows what stands
                raise
        for status in statuses:
            self._published[status.kind, status.subject] = status
        return found

    def _recall(self) -> None:
        for kind in ("paddock", "water_point", "station"):
            for subject, status in self._reader.last_statuses(kind).items():
                self._published[kind, subject] = status
        self._open = {(alert.subject, alert.kind): alert for alert in self._reader.alerts(open_only=True)}

    def _is_news(self, status: Status) -> bool:
        before = self._published.get((status.kind, status.subject))
        return before is None or before.status != status.status or not 0 <= status.at_us - before.at_us < REPEAT_US

    def _alert_changes(self, found: Json, at_us: int) -> list[Alert]:
        """Alerts that begin, change their level, or end."""
        raised = self._open if self._open is not None else {}
        standing = {(subject, alert["kind"]): alert for subject, alert in _alerts(found)}
        changes = []
        for (subject, kind), alert in standing.items():
            known = raised.get((subject, kind))
            if known is None:
                known = Alert(at_us, subject, kind, alert["level"], alert)
            elif known.level != alert["level"]:
                known = known._replace(level=alert["level"], body=alert)
            else:
                continue
            raised[subject, kind] = known
            changes.append(known)
        gone = raised.keys() - standing.keys()
        changes += [raised.pop(key)._replace(cleared_us=at_us) for key in gone]
        return sorted(changes, key=lambda alert: (alert.subject, alert.kind))


def _statuses(found: Json, at_us: int) -> list[Status]:
    paddocks = [Status(at_us, "paddock", entry["id"], entry["status"], entry) for entry in found["paddocks"]]
    points = [Status(at_us, "water_point", entry["id"], _of_water(entry), entry) for entry in found["water_points"]]
    return [*paddocks, *points, Status(at_us, "station", "station", "ok", {"link": found["link"]})]


def _of_water(entry: Json) -> str:
    """The worst of a water point's alerts; without a level nothing is known of it, least of all that it is well."""
    if entry["level_pct"] is None:
        return "no_data"
    levels = {alert["level"] for alert in entry["alerts"]}
    return next((level for level in ("critical", "warning") if level in levels), "ok")


def _alerts(found: Json) -> list[tuple[str, Json]]:
    """(subject, alert) of everything that stands; what a water node itself has is told once, as the node's."""
    points = [
        (entry["id"], alert)
        for entry in found["water_points"]
        for alert in entry["alerts"]
        if alert["kind"] not in ("node", "probe")
    ]
    return points + [(entry["name"], alert) for entry in found["nodes"] for alert in entry["alerts"]]
