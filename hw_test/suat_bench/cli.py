"""The `suat-bench` command: the technician's tool. Exit status as for `suat`."""

from __future__ import annotations

import typer
from suat.cli import examples, run_app

from suat_bench.verbs.energy import HELP as ENERGY
from suat_bench.verbs.energy import energy
from suat_bench.verbs.list import list_boards

app = typer.Typer(
    name="suat-bench",
    help="Boards on the technician's bench.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(list_boards)
app.command(
    "energy",
    help=ENERGY,
    short_help="What a node draws, and how long a battery lasts.",
    epilog=examples(
        "suat-bench energy heltec_v3 suat.json",
        "suat-bench energy xiao_s3_wio suat.json --sf 12 --interval 3600",
        "suat-bench energy pico_waveshare suat.json --battery 18650 --json",
        "suat-bench energy heltec_v3 suat.json --battery list",
    ),
)(energy)


@app.callback()
def options() -> None:
    """Keeps the verbs apart while there is only one."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit status."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
