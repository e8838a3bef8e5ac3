"""`suat salinity`: how salty the soil is, by class and trend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from suat.commands.look import named
from suat.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    existing_journal,
    instant_us,
    load,
    station_us,
)

if TYPE_CHECKING:
    from suat.pasture.soil_salinity import Salinity

DAYS = 365
CLASSES = {
    "non_saline": "not salty (below 2 dS/m)",
    "very_slight": "very slightly salty (2 to 4 dS/m)",
    "slight": "slightly salty (4 to 8 dS/m)",
    "moderate": "moderately salty (8 to 16 dS/m)",
    "strong": "strongly salty (16 dS/m and more)",
}


def salinity(
    config: ConfigOption = DEFAULT_CONFIG,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="Of this node alone.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="ISO", help="From this instant on; the last year, if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The soil's salinity at each probe that measures conductivity: class (NRCS) and trend."""
    from suat.pasture.model import DAY_US
    from suat.pasture.soil_salinity import station_salinity
    from suat.store.reader import Reader

    settings = load(config)
    since_us = station_us(settings) - DAYS * DAY_US if since is None else instant_us(since, "--since")
    with Reader(existing_journal(settings)) as reader:
        nodes = named(reader.devices(), node)
        for device, probe, found in station_salinity(settings.paddock, reader, nodes, since_us):
            if as_json:
                row = {"node": device.name, "probe": probe.name, "depth_cm": probe.depth_cm, **found._asdict()}
                print(json.dumps(row, ensure_ascii=False))
            else:
                name = f"{device.name}, {probe.name}"
                print(f"{name:32} {probe.depth_cm:4} cm  {_said(found)}")


def _said(found: Salinity) -> str:
    if found.salinity is None:
        return "nothing to say: the soil was never wet enough, or its readings are missing"
    trend = "no trend yet" if found.trend is None else found.trend
    return f"{CLASSES[found.salinity]}, {trend}, from {found.days} days in wet soil"
