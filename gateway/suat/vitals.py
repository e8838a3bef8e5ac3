"""Figures of the machine and of the running station itself for `/metrics`: clock, disk, temperature, memory, health."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from suat import hardware
from suat.timekeeping import RANKED, Timekeeping


class Vitals(Collector):
    """Looked at when somebody asks, on the asker's thread; nothing here waits for the disk."""

    def __init__(
        self,
        data_dir: Path,
        timekeeping: Timekeeping,
        trusted: Callable[[], bool],
        lanes: Callable[[], Mapping[str, float]],
        troubles: Callable[[], list[str]],
    ) -> None:
        self._data_dir = data_dir
        self._timekeeping = timekeeping
        self._trusted = trusted
        self._lanes = lanes
        self._troubles = troubles

    def register(self, registry: CollectorRegistry) -> None:
        """Show these and the process's own (resident memory, descriptors, CPU)."""
        registry.register(self)
        ProcessCollector(registry=registry)

    def collect(self) -> Iterator[Metric]:
        disk = shutil.disk_usage(self._data_dir)
        yield GaugeMetricFamily("suat_healthy", "1 while /healthz answers 200", float(not self._troubles()))
        yield GaugeMetricFamily("suat_clock_trusted", "1 while the station knows the time", float(self._trusted()))
        yield GaugeMetricFamily(
            "suat_clock_contradicted", "1 while a clock says another time", float(self._timekeeping.doubt is not None)
        )
        source = GaugeMetricFamily("suat_clock_source", "1 for where the time came from", labels=["source"])
        for name in (*RANKED, "system"):
            source.add_metric([name], float(self._timekeeping.source == name))
        yield source
        yield GaugeMetricFamily("suat_disk_free_bytes", "Free on the data folder's disk", disk.free)
        yield GaugeMetricFamily("suat_disk_bytes", "Size of the data folder's disk", disk.total)
        working = GaugeMetricFamily(
            "suat_lane_working_seconds", "How long the present work of a lane has gone on", labels=["lane"]
        )
        for lane, seconds in self._lanes().items():
            working.add_metric([lane], seconds)
        yield working
        if (temperature_c := hardware.temperature_c()) is not None:
            yield GaugeMetricFamily("suat_temperature_celsius", "The processor's temperature", temperature_c)
