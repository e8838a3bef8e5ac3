"""`suat refilter` and `suat resend`: derived rows are made again, kept points are sent again."""

from __future__ import annotations

from typing import Annotated

import typer

from suat.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    SinkOption,
    chosen_sinks,
    existing_journal,
    instant_us,
    load,
    station_us,
)


def resend(
    since: Annotated[
        str, typer.Option(metavar="ISO", help="From this instant on (ISO 8601; UTC unless it says else).")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    sink: SinkOption = None,
) -> None:
    """Have the running station send kept points to InfluxDB again, from an instant on."""
    from suat import running
    from suat.store.journal import Journal

    settings = load(config)
    since_us = instant_us(since, "--since")
    chosen_sinks(settings, sink, config)
    with Journal(existing_journal(settings)) as journal:
        ranges = journal.resend(since_us, sink)
    who = "the running station" if running.seen(settings) else "the station when it runs"
    print(f"{ranges} ranges of points will be sent{f' to {sink}' if sink else ''} again by {who}")


def refilter(
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str | None, typer.Option(metavar="ISO", help="From this instant on; everything if not given.")
    ] = None,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="This node alone.")] = None,
) -> None:
    """Compute cleaned values, windows and decisions again from the raw readings."""
    from rich.console import Console

    from suat.quality.refilter import refilter as compute_again

    settings = load(config)
    since_us = 0 if since is None else instant_us(since, "--since")
    existing_journal(settings)
    with Console(stderr=True).status("computing again ..."):
        changed = compute_again(settings, since_us, node, station_us(settings))
    print(f"computed again; {changed} samples changed")
