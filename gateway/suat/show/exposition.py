"""`/metrics`: the running station's own figures, and what the status says, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from suat.metrics import REGISTRY

MEDIA_TYPE = CONTENT_TYPE_LATEST
MAX_SERIES = 2500  # of one figure: of more nodes than any pasture has, those heard last are shown
Json = Mapping[str, Any]

# (metric, help, list of the status object, label, field of the entry)
GAUGES = (
    ("suat_paddock_available_water_ratio", "Available soil water of the root zone", "paddocks", "paddock", "fpaw"),
    ("suat_paddock_score", "Score of the paddock for its herd, 0 to 100", "paddocks", "paddock", "score"),
    ("suat_water_level_percent", "Water level", "water_points", "water_point", "level_pct"),
    ("suat_water_days_left", "Days of water left", "water_points", "water_point", "days_left"),
    ("suat_node_battery_volts", "Battery of the node", "nodes", "node", "battery_v"),
)
NAME = {"paddocks": "id", "water_points": "id", "nodes": "name"}


def expose(status: Json) -> bytes:
    """The text of `/metrics` for a status object; what is unknown is left out."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(REGISTRY) + generate_latest(registry)


class _Status(Collector):
    def __init__(self, status: Json) -> None:
        nodes = sorted(status["nodes"], key=lambda node: node["last_seen"] or "", reverse=True)
        self._status = {**status, "nodes": nodes[:MAX_SERIES]}

    def collect(self) -> Iterator[Metric]:
        for metric, description, table, label, field in GAUGES:
            gauge = GaugeMetricFamily(metric, description, labels=[label])
            for entry in self._status[table]:
                if entry[field] is not None:
                    gauge.add_metric([entry[NAME[table]]], entry[field])
            yield gauge
        yield self._paddocks()
        yield self._alerts()
        yield self._broken()
        yield self._last_seen()
        link = CounterMetricFamily("suat_link_frames", "Frames by what became of them", labels=["outcome"])
        for outcome, count in self._status["link"].items():
            link.add_metric([outcome], count)
        yield link

    def _paddocks(self) -> Metric:
        gauge = GaugeMetricFamily("suat_paddock_status", "1 for the status it has", labels=["paddock", "status"])
        for entry in self._status["paddocks"]:
            gauge.add_metric([entry["id"], entry["status"]], 1)
        return gauge

    def _alerts(self) -> Metric:
        gauge = GaugeMetricFamily("suat_alert", "1 while the alert stands", labels=["subject", "kind", "level"])
        standing = {
            (entry[NAME[table]], alert["kind"], alert["level"])
            for table in ("water_points", "nodes")
            for entry in self._status[table]
            for alert in entry["alerts"]
        }
        for labels in sorted(standing):
            gauge.add_metric(labels, 1)
        return gauge

    def _broken(self) -> Metric:
        labels = ["node", "probe", "channel"]
        gauge = GaugeMetricFamily("suat_probe_broken", "1 while the channel's readings are set aside", labels=labels)
        for node in self._status["nodes"]:
            for entry in node["broken"]:
                gauge.add_metric([node["name"], entry["probe"], entry["channel"]], 1)
        return gauge

    def _last_seen(self) -> Metric:
        gauge = GaugeMetricFamily("suat_node_last_seen_timestamp_seconds", "When the node was heard", labels=["node"])
        for entry in self._status["nodes"]:
            if entry["last_seen"] is not None:
                gauge.add_metric([entry["name"]], datetime.fromisoformat(entry["last_seen"]).timestamp())
        return gauge
