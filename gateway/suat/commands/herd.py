"""`suat move`: where the herds are."""

from __future__ import annotations

from typing import Annotated

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, instant_us, iso_utc, load, station_us
from suat.errors import UsageError, did_you_mean


def move(
    herd: Annotated[str, typer.Argument(help="The herd's id.")],
    paddock: Annotated[str, typer.Argument(help="The paddock's id.")],
    config: ConfigOption = DEFAULT_CONFIG,
    at: Annotated[
        str | None, typer.Option(metavar="ISO", help="When (ISO 8601; UTC unless it says else); now if not given.")
    ] = None,
) -> None:
    """Note that a herd was led to a paddock."""
    from suat.store.journal import Journal
    from suat.store.rows import Move

    settings = load(config)
    for what, name, known in (
        ("herd", herd, [entry.id for entry in settings.herd]),
        ("paddock", paddock, [entry.id for entry in settings.paddock]),
    ):
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UsageError(f'there is no {what} "{name}"{did_you_mean(name, known)}; the configuration has {listed}')
    at_us = station_us(settings) if at is None else instant_us(at, "--at")
    with Journal(settings.journal_path) as journal:
        journal.add_move(Move(herd, paddock, at_us))
    print(f"{herd} -> {paddock} at {iso_utc(at_us)}")
