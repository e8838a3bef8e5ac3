"""Figures of the running station for `/metrics` (Prometheus)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

COMMIT_SECONDS = Histogram(
    "suat_receive_to_commit_seconds",
    "From a frame's reception to its commit",
    buckets=(0.05, 0.1, 0.25, 0.3, 0.35, 0.4, 0.5, 0.75, 1.0, 2.5, 10.0),
    registry=REGISTRY,
)
SAMPLES_KEPT = Counter("suat_samples_kept", "Samples committed for the first time", registry=REGISTRY)
FRAMES = Gauge("suat_frames", "Frames by what became of them", ["outcome"], registry=REGISTRY)
BACKLOG = Gauge("suat_outbox_entries", "Journal entries that InfluxDB has not been told", registry=REGISTRY)
