"""The `suat-bench` command: the technician's tool. Exit status as for `suat`."""

from __future__ import annotations

import typer
from suat.cli import run_app

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


@app.callback()
def options() -> None:
    """Keeps the verbs apart while there is only one."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit status."""
    run_app(app, arguments)


if __name__ == "__main__":
    main()
