"""`suat dead-letters`: the points that InfluxDB would not take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from suat.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SinkOption,
    chosen_sinks,
    existing_journal,
    iso_utc,
    load,
)
from suat.errors import UsageError

if TYPE_CHECKING:
    from suat.config import Config
    from suat.store.letters import Letter

ChosenOption = Annotated[
    list[int] | None, typer.Option("--id", metavar="N", help="This one alone; may be given again. All if not given.")
]


def show(config: ConfigOption = DEFAULT_CONFIG, sink: SinkOption = None, as_json: JsonOption = False) -> None:
    """What was set aside, when and why, the oldest first."""
    letters = _letters(load(config), None, sink)
    for letter in letters:
        if as_json:
            row = {**letter._asdict(), "at": iso_utc(letter.at_us)}
            del row["at_us"]
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(f"{letter.id}  {letter.sink}  {iso_utc(letter.at_us)}  {letter.reason}\n    {letter.line}")
    if not letters and not as_json:
        print("no dead letters: InfluxDB has taken every point")


def retry(
    config: ConfigOption = DEFAULT_CONFIG,
    chosen: ChosenOption = None,
    sink: SinkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send them once more, when what they were refused for is mended; those that are taken leave the list."""
    from suat.store.influx_http import open_writer
    from suat.store.journal import Journal
    from suat.store.letters import retry as send_again

    settings = load(config)
    tables = chosen_sinks(settings, sink, config)
    letters = _letters(settings, chosen, sink)
    for letter in letters:
        if letter.sink not in tables:
            raise UsageError(
                f'{config}: the sink "{letter.sink}" of dead letter {letter.id} is gone; drop what it refused: '
                f"suat dead-letters drop --sink {letter.sink}"
            )
    taken = refused = 0
    with Journal(existing_journal(settings)) as journal:
        for name, table in tables.items():
            writer = open_writer(table)
            try:
                outcome = send_again(journal, [x for x in letters if x.sink == name], writer, table.buckets)
            finally:
                writer.close()
            taken += outcome.taken
            refused += outcome.refused
    print(json.dumps({"taken": taken, "refused": refused}) if as_json else f"{taken} taken, {refused} refused again")
    if refused:
        raise typer.Exit(1)


def drop(
    config: ConfigOption = DEFAULT_CONFIG,
    chosen: ChosenOption = None,
    sink: SinkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget them: the readings stay in the journal, InfluxDB never gets these points."""
    from suat.store.journal import Journal

    settings = load(config)
    letters = _letters(settings, chosen, sink)
    with Journal(existing_journal(settings)) as journal:
        journal.drop_letters([letter.id for letter in letters])
    print(json.dumps({"dropped": len(letters)}) if as_json else f"{len(letters)} dropped")


def _letters(settings: Config, chosen: list[int] | None, sink: str | None) -> list[Letter]:
    from suat.store.journal import Reader
    from suat.store.letters import Letter

    with Reader(existing_journal(settings)) as reader:
        letters = [Letter(*row) for row in reader.dead_letters(sink)]
    if sink is not None and not letters and sink not in settings.sinks:
        raise UsageError(f"--sink {sink}: there is no such sink; known are {', '.join(settings.sinks) or 'none'}")
    if not chosen:
        return letters
    known = {letter.id for letter in letters}
    for number in chosen:
        if number not in known:
            raise UsageError(f"--id {number}: there is no such dead letter; see suat dead-letters list")
    return [letter for letter in letters if letter.id in chosen]
