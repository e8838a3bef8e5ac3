"""`suat run` and `suat check`: the daemon, and what keeps it from starting."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, load
from suat.logs import Form, configure


def run(
    config: ConfigOption = DEFAULT_CONFIG,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log what happens too; -vv: all of it.")
    ] = 0,
    log_form: Annotated[Form, typer.Option("--log", help="The log as key=value, or as JSON.")] = "text",
) -> None:
    """Run the station until it is told to stop (SIGTERM or Ctrl-C); what was received is kept first."""
    from suat import station

    settings = load(config)
    configure((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)], log_form)
    bound = ", ".join(f"{table.kind} on {table.place}" for table in settings.ingest) or "no ingest"

    def ready() -> None:
        print(f"{settings.station.name}: {bound}; board page on {settings.board.url}", flush=True)

    asyncio.run(station.run(settings, ready))


def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Check the configuration, and what it needs from this machine; exit 2 with one line a fault."""
    from suat.config import ConfigError
    from suat.preflight import faults, idle_limits

    settings = load(config)
    found = faults(settings)
    if found:
        raise ConfigError([f"{config}: {line}" for line in found])
    for line in idle_limits(settings):
        print(f"{config}: {line}", file=sys.stderr)
    counted = (
        (len(settings.paddock), "paddock"),
        (len(settings.water_point), "water point"),
        (len(settings.herd), "herd"),
    )
    counts = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counted)
    print(f"{config}: good: {settings.station.name}, {settings.station.region}, {counts}")
