"""`suat dead-letters`: the points that InfluxDB would not take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, existing_journal, iso_utc
from suat.config import load
from suat.errors import UsageError

if TYPE_CHECKING:
    from suat.config import Config
    from suat.store.letters import Letter

ChosenOption = Annotated[
    list[int] | None, typer.Option("--id", metavar="N", help="This one alone; may be given again. All if not given.")
]


def show(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """What was set aside, when and why, the oldest first."""
    letters = _letters(load(config), None)
    for letter in letters:
        if as_json:
            row = {**letter._asdict(), "at": iso_utc(letter.at_us)}
            del row["at_us"]
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(f"{letter.id}  {iso_utc(letter.at_us)}  {letter.reason}\n    {letter.line}")
    if not letters and not as_json:
        print("no dead letters: InfluxDB has taken every point")


def retry(config: ConfigOption = DEFAULT_CONFIG, chosen: ChosenOption = None) -> None:
    """Send them once more, when what they were refused for is mended; those that are taken leave the list."""
    from suat.store.influx_http import open_writer
    from suat.store.journal import Journal
    from suat.store.letters import retry as send_again

    settings = load(config)
    if settings.influx is None:
        raise UsageError(f"{config}: there is no [influx]: nothing to send to")
    letters = _letters(settings, chosen)
    writer = open_writer(settings.influx)
    try:
        with Journal(existing_journal(settings)) as journal:
            outcome = send_again(journal, letters, writer, settings.influx.buckets)
    finally:
        writer.close()
    print(f"{outcome.taken} taken, {outcome.refused} refused again")
    if outcome.refused:
        raise typer.Exit(1)


def drop(config: ConfigOption = DEFAULT_CONFIG, chosen: ChosenOption = None) -> None:
    """Forget them: the readings stay in the journal, InfluxDB never gets these points."""
    from suat.store.journal import Journal

    settings = load(config)
    letters = _letters(settings, chosen)
    with Journal(existing_journal(settings)) as journal:
        journal.drop_letters([letter.id for letter in letters])
    print(f"{len(letters)} dropped")


def _letters(settings: Config, chosen: list[int] | None) -> list[Letter]:
    from suat.store.journal import Reader
    from suat.store.letters import Letter

    with Reader(existing_journal(settings)) as reader:
        letters = [Letter(*row) for row in reader.dead_letters()]
    if not chosen:
        return letters
    known = {letter.id for letter in letters}
    for number in chosen:
        if number not in known:
            raise UsageError(f"--id {number}: there is no such dead letter; see suat dead-letters list")
    return [letter for letter in letters if letter.id in chosen]
