"""Figures of the running station for `/metrics` (Prometheus)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()


class Durations(Collector):
    """A histogram that takes a batch at a time: the library's own costs 2 us a value, a tenth of a frame's way."""

    def __init__(self, name: str, description: str, edges: tuple[float, ...]) -> None:
        self._name, self._description, self._edges = name, description, edges
        self._counts = [0] * (len(edges) + 1)
        self._sum = 0.0
        REGISTRY.register(self)

    def observe(self, seconds: Iterable[float]) -> None:
        """Count durations [s]."""
        edges, counts = self._edges, self._counts
        for duration in seconds:
            counts[bisect_left(edges, duration)] += 1
            self._sum += duration

    def collect(self) -> Iterator[Metric]:
        edges = [*map(repr, self._edges), "+Inf"]
        buckets = list(zip(edges, map(float, accumulate(self._counts)), strict=True))
        yield HistogramMetricFamily(self._name, self._description, buckets, self._sum)


# The 200 ms in which the copies of a frame are collected are part of it.
COMMIT_SECONDS = Durations(
    "suat_receive_to_commit_seconds",
    "From a frame's reception to its commit",
    (0.05, 0.1, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.32, 0.35, 0.4, 0.45, 0.5, 0.6, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0),
)
PART_FAULTS = Counter(
    "suat_part_faults", "Errors of a part of the station: it was started again", ["part"], registry=REGISTRY
)
SAMPLES_KEPT = Counter("suat_samples_kept", "Samples committed for the first time", registry=REGISTRY)
SAMPLES_REVISED = Counter(
    "suat_samples_revised", "Samples whose cleaned values changed after they were written", registry=REGISTRY
)
BACKLOG = Gauge("suat_outbox_entries", "Journal entries that InfluxDB has not been told", registry=REGISTRY)
SINK_BACKLOG = Gauge(
    "suat_sink_entries", "Journal entries that the sink has not been told", ["sink"], registry=REGISTRY
)
SINK_TROUBLE = Gauge("suat_sink_trouble", "1 while the sink takes nothing", ["sink"], registry=REGISTRY)
SINK_POINTS = Gauge("suat_sink_points", "Points that the sink took since the start", ["sink"], registry=REGISTRY)
SINK_LETTERS = Gauge("suat_sink_letters", "Points that it refused and that were set aside", ["sink"], registry=REGISTRY)
JOURNAL_BYTES = Gauge("suat_journal_bytes", "Size of the journal's file", registry=REGISTRY)
JOURNAL_DAMAGED = Gauge("suat_journal_damaged", "1 if it was found damaged at this start", registry=REGISTRY)
ROWS_DROPPED = Counter("suat_rows_dropped", "Rows that the journal gave up", ["kind", "why"], registry=REGISTRY)
BROKER_CONNECTED = Gauge(
    "suat_broker_connected", "Whether the MQTT broker lets the station read", ["broker"], registry=REGISTRY
)
BRIDGE_READY = Gauge(
    "suat_bridge_ready", "Whether the radio on USB listens where it should", ["port"], registry=REGISTRY
)
BRIDGE_COUNTS = Gauge(
    "suat_bridge_count", "What the radio on USB counts itself, since its start", ["port", "what"], registry=REGISTRY
)
DOWNLINKS = Counter("suat_downlinks", "What became of answers to nodes", ["outcome"], registry=REGISTRY)
MODBUS_READS = Counter(
    "suat_modbus_reads", "Readings of wired devices, by what became of them", ["device", "outcome"], registry=REGISTRY
)
MODBUS_FAULT = Gauge(
    "suat_modbus_fault", "Code of the fault in a wired device's last reading; 0: none", ["device"], registry=REGISTRY
)
