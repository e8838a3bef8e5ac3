"""A journal filled without radio, for tests and measurements of what stands behind it: clean, summarise, forward."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from zoneinfo import ZoneInfo

from suat.quality.calibrate import NodeCalibration
from suat.quality.clean import Cleaner
from suat.quality.windows import Windows
from suat.records import Admitted, Batch, Committed, DeviceRecord, Probe, Row, SessionUpdate
from suat.store.journal import Journal
from suat_wire.payload import pack

START_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
MINUTE_US = 60_000_000
UTC = ZoneInfo("UTC")
NO_CALIBRATIONS: Mapping[int, NodeCalibration] = {}


def device(number: int, kind: str = "soil", *, name: str = "", probes: int = 1, **more: str | None) -> DeviceRecord:
    """A node to register: its probes lie at 10, 30, 50 ... cm."""
    place: dict[str, str | None] = {"paddock": "p1", "water_point": None} if kind == "soil" else {}
    place = {"paddock": None, "water_point": "w1"} | place | more
    return DeviceRecord(
        registration=0,
        name=name or f"{kind}-{number}",
        kind=kind,
        dev_eui=f"{number:016x}",
        join_eui=None,
        paddock=place["paddock"],
        water_point=place["water_point"],
        probes=tuple(Probe(f"{10 + 20 * n} cm", 10 + 20 * n, n + 1) for n in range(probes if kind == "soil" else 0)),
        added_us=START_US,
    )


def at(minutes: float, record: int = 0) -> int:
    """Minutes after the start as a sample's time: the microseconds below the millisecond carry the record."""
    return START_US + round(minutes * 60_000) * 1000 + record % 1000


def row(record: int, minutes: float, readings: Mapping[tuple[str, str], float]) -> Row:
    """A sample to commit."""
    return Row(record, at(minutes, record), pack(dict(readings)))


def soil_rows(count: int, *, probes: int = 1, every_min: float = 15.0, seed: int = 0) -> list[Row]:
    """A soil node's days: rain, nights of frost, spikes, and values that no soil has."""
    chance = random.Random(seed)
    moisture = 0.2
    rows = []
    for record in range(count):
        moisture = min(0.45, moisture + 0.1) if chance.random() < 0.02 else max(0.05, moisture * 0.9995)
        readings: dict[tuple[str, str], float] = {("node", "battery"): round(3.3 + 0.3 * chance.random(), 2)}
        for probe in range(1, probes + 1):
            wild = chance.random()
            shown = 1.4 if wild < 0.01 else moisture + 0.2 if wild < 0.03 else moisture + 0.002 * chance.random()
            readings[f"probe{probe}", "vwc"] = shown
            readings[f"probe{probe}", "temperature"] = 8 * math.sin(record / 15) + 4
            readings[f"probe{probe}", "ec"] = 0.2 + 0.1 * chance.random()
        rows.append(row(record, record * every_min, readings))
    return rows


def water_rows(count: int, *, every_min: float = 5.0, seed: int = 0) -> list[Row]:
    """A tank that is drunk from and filled again."""
    chance = random.Random(seed)
    depth, volume = 2.0, 0.0
    rows = []
    for record in range(count):
        depth = 2.0 if depth < 0.4 else depth - 0.01 * chance.random()
        volume += 20 * chance.random()
        readings = {
            ("water", "depth"): depth + 0.002 * chance.random(),
            ("water", "volume"): float(int(volume)),
            ("water", "temperature"): 12.0 + chance.random(),
            ("water", "float"): float(depth > 1.9),
            ("node", "battery"): 3.6,
            ("node", "air_temperature"): 20.0 + chance.random(),
        }
        rows.append(row(record, record * every_min, readings))
    return rows


class Kept:
    """A journal with the stages that derive from it; `finish` brings all of them to their end."""

    def __init__(
        self,
        folder: Path,
        *,
        zone: ZoneInfo = UTC,
        calibration: Mapping[int, NodeCalibration] = NO_CALIBRATIONS,
        durable: bool = False,
    ) -> None:
        self.journal = Journal(folder / "journal.db", durable=durable)
        self.reader = self.journal.reader()
        self._zone = zone
        self.calibration = calibration
        self.restart()

    def restart(self) -> None:
        """The stages as after a start of the station."""
        self.windows = Windows(self.journal, self.reader, self._zone)
        self.windows.start()
        self.cleaner = Cleaner(self.journal, self.reader, self.calibration, self.windows.touch)
        self.cleaner.start()

    def commit(self, registration: int, rows: Sequence[Row], *, clean: bool = True) -> Committed:
        """Keep samples as one frame would bring them."""
        admitted = Admitted(registration, SessionUpdate(registration, 0, 0), START_US, 7, -91.0, 6.5, tuple(rows), None)
        committed = self.journal.commit(Batch((admitted,)))
        if clean:
            self.cleaner.clean(committed.samples)
        return committed

    def fill(self, registration: int, rows: Iterable[Row], size: int = 200) -> None:
        """Keep and clean many samples."""
        found = list(rows)
        for start in range(0, len(found), size):
            self.commit(registration, found[start : start + size])
            self.cleaner.finish()

    def finish(self, now_us: int = 1 << 61) -> None:
        """Clean all, and summarise the windows that have ended at `now_us`."""
        self.cleaner.finish()
        while self.windows.run(now_us):
            pass

    def close(self) -> None:
        self.reader.close()
        self.journal.close()

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
