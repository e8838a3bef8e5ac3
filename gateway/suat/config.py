"""The station's configuration: one TOML file, checked as a whole before anything starts.

`load` either gives a `Config` or raises `ConfigError` with one line a fault: where, what, and what to do.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator

from suat.config_faults import fault_lines
from suat.errors import UsageError, did_you_mean, printable
from suat.ingest.base import region_faults, tables
from suat.network.tables import NetworkTable, channel_faults
from suat.pasture.tables import HerdTable, PaddockTable, RulesTable, WaterPointTable
from suat.quality.limits import limit_faults
from suat.quality.tables import LimitsTable
from suat.show.tables import BoardTable
from suat.store.tables import OWN, InfluxTable, JournalTable, SinkTable
from suat.tables import Bound, Table
from suat.timekeeping import TimeTable

if TYPE_CHECKING:
    IngestTable = Any
else:
    IngestTable = tables()

Region = Literal["IN865", "EU433", "EU868", "RU864"]


class ConfigError(UsageError):
    """The configuration can't be used; `faults` holds one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class StationTable(Table):
    name: Annotated[str, Field(min_length=1, max_length=60)]
    timezone: str = "Asia/Almaty"
    region: Region = "IN865"
    data_dir: Path

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'"{name}" is no time zone; write one such as Asia/Almaty') from None
        return name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Config(Table):
    """The whole file."""

    station: StationTable
    ingest: list[IngestTable] = Field(default_factory=list)
    influx: InfluxTable | None = None
    sink: list[SinkTable] = Field(default_factory=list)
    journal: JournalTable = JournalTable()
    network: NetworkTable = NetworkTable()
    board: BoardTable = BoardTable()
    time: TimeTable = Field(default_factory=TimeTable)
    rules: RulesTable = RulesTable()
    paddock: list[PaddockTable] = Field(default_factory=list)
    water_point: list[WaterPointTable] = Field(default_factory=list)
    herd: list[HerdTable] = Field(default_factory=list)
    limits: list[LimitsTable] = Field(default_factory=list)

    @model_validator(mode="after")
    def _hangs_together(self) -> Config:
        faults = [*_duplicates(self), *_dangling(self), *channel_faults(self.network, self.station.region)]
        faults += [*region_faults(self.ingest, self.station.region), *limit_faults(self.limits)]
        faults = faults or _dry_paddocks(self)  # a slip in a name makes paddocks dry
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def journal_path(self) -> Path:
        return self.station.data_dir / "journal.db"

    @property
    def sinks(self) -> dict[str, InfluxTable]:
        """Every database that is told of the readings, the station's own first."""
        own = {} if self.influx is None else {OWN: self.influx}
        return own | {table.name: table for table in self.sink}


def _duplicates(config: Config) -> list[str]:
    faults = []
    for table in ("paddock", "water_point", "herd"):
        seen: set[str] = set()
        for entry in getattr(config, table):
            if entry.id in seen:
                faults.append(f'{table}: the id "{entry.id}" is given twice; each needs its own')
            seen.add(entry.id)
    names = [table.name for table in config.sink]
    faults += [f'sink: the name "{name}" is given twice; each needs its own' for name in _twice(names)]
    binds = [table.bind for table in config.ingest if isinstance(table, Bound)]
    faults += [f'ingest: two of them bind "{bind}"' for bind in _twice(binds)]
    return faults


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _dangling(config: Config) -> list[str]:
    known = [paddock.id for paddock in config.paddock]
    faults = []
    for point in config.water_point:
        here = f'water_point "{point.id}"'
        faults += [
            f'{here}: there is no paddock "{name}"{did_you_mean(name, known)}'
            for name in point.paddocks
            if name not in known
        ]
        distances = point.distance_km if isinstance(point.distance_km, dict) else {}
        if not all(name in known for name in point.paddocks):
            continue  # the same slip
        faults += [
            f'{here}: distance_km names "{name}", which is not among its paddocks{did_you_mean(name, point.paddocks)}'
            for name in distances
            if name not in point.paddocks
        ]
        if isinstance(point.distance_km, dict) and all(name in point.paddocks for name in distances):
            faults += [
                f'{here}: distance_km has no "{name}"; add it' for name in point.paddocks if name not in distances
            ]
    return faults


def _dry_paddocks(config: Config) -> list[str]:
    watered = {name for point in config.water_point for name in point.paddocks}
    return [
        f'paddock "{paddock.id}": no water point names it; add it to one, or write alternative = "river" or "snow"'
        for paddock in config.paddock
        if paddock.id not in watered and paddock.alternative == "none"
    ]


def load(path: Path) -> Config:
    """Read and check a configuration file; ConfigError with all its faults when it can't be used."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        denied = isinstance(error, PermissionError)
        todo = "it is the station's own: sudo suat ..." if denied else "give the configuration file with --config"
        raise ConfigError([f"{path}: {error.strerror}; {todo}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"]) from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from error
    return parse(_relative_to(path.parent, content), str(path))


def _relative_to(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Paths in the file are meant from where the file lies."""
    named: list[tuple[Any, str]] = [(content.get("station"), "data_dir")]
    for name in ("influx", "ingest", "sink"):
        found = content.get(name)
        for table in found if isinstance(found, list) else [found]:
            if isinstance(table, dict):
                named += [(table, key) for key in table if key.endswith("_file")]
    for entry, key in named:
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            entry[key] = str(folder / entry[key])
    return content


def parse(content: dict[str, Any], origin: str = "configuration") -> Config:
    """Check a configuration that was read already; `origin` opens each fault."""
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        lines = [line for fault in error.errors() for line in fault_lines(fault, content, Config)]
        raise ConfigError([f"{origin}: {printable(line)}" for line in dict.fromkeys(lines)]) from None
