"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suat.errors import SuatError, UsageError, did_you_mean

if TYPE_CHECKING:  # slow to import; `suat --help` needs neither
    from suat.config import Config
    from suat.store.tables import InfluxTable

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", envvar="SUAT_CONFIG", help="The station's configuration file."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object (a line each where there are many).")]
SinkOption = Annotated[
    str | None, typer.Option("--sink", metavar="NAME", help='This sink alone: "influx", or the name of a [[sink]].')
]
DEFAULT_CONFIG = Path("/etc/suat/suat.toml")


def load(path: Path) -> Config:
    """The configuration, checked as a whole; ConfigError."""
    from suat.config import load

    return load(path)


def existing_journal(config: Config) -> Path:
    """The journal of a station that has one; SuatError: a slip in data_dir must not begin a new station."""
    if not config.journal_path.exists():
        raise SuatError(f"{config.journal_path}: there is no journal yet; start the station, or check data_dir")
    return config.journal_path


def chosen_sinks(config: Config, name: str | None, file: Path) -> dict[str, InfluxTable]:
    """The sinks that a command is about, all if no name is given; UsageError when there is none, or not that one."""
    if not config.sinks:
        raise UsageError(f"{file}: there is no [influx] and no [[sink]]: nothing to send to")
    if name is None:
        return config.sinks
    if name not in config.sinks:
        known = list(config.sinks)
        raise UsageError(f'{file}: there is no sink "{name}"{did_you_mean(name, known)}; known are {", ".join(known)}')
    return {name: config.sinks[name]}


def station_us(config: Config) -> int:
    """Now, as the station knows it [UTC us]: a wrong clock of the machine does not move it."""
    from suat.timekeeping import now_us

    return now_us(config.time, config.station.data_dir)


def instant_us(text: str, option: str) -> int:
    """An ISO 8601 instant as UTC microseconds; one without a zone is meant as UTC. UsageError when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'{option}: "{text}" is no date; write it as 2026-06-01 or 2026-06-01T14:30:00Z') from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6)


def iso_utc(time_us: int) -> str:
    """ISO 8601 in UTC, ending in Z; microseconds only where there are some."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{microseconds:06d}Z" if microseconds else f"{text}Z"
