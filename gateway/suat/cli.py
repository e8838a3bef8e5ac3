"""The `suat` command. Exit status: 0 done, 1 it failed, 2 bad usage or configuration."""

from __future__ import annotations

import os
import sys
import traceback

import typer
from typer.exceptions import TyperException

from suat.commands import demo, device, doctor, herd, look, recompute, station
from suat.errors import SuatError

app = typer.Typer(
    name="suat",
    help="The pasture station: where there is water, how the soil stands, which paddock to graze next.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
device_app = typer.Typer(help="Register, list and revoke nodes.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(device_app, name="device")

app.command("demo")(demo.demo)
app.command("run")(station.run)
app.command("check")(station.check)
app.command("doctor")(doctor.doctor)
app.command("readings")(look.readings)
app.command("status")(look.status)
app.command("move")(herd.move)
app.command("resend")(recompute.resend)
app.command("refilter")(recompute.refilter)
device_app.command("add")(device.add)
device_app.command("list")(device.list_devices)
device_app.command("revoke")(device.revoke)


@app.callback()
def options(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
    """Options of every command."""
    if debug:
        os.environ["SUAT_DEBUG"] = "1"


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit status; an error is one line a fault on standard error."""
    run_app(app, arguments)


def run_app(commands: typer.Typer, arguments: list[str] | None = None) -> None:
    """Run one of a set of commands and leave with its exit status."""
    sys.exit(_run(commands, sys.argv[1:] if arguments is None else arguments))


def _run(commands: typer.Typer, arguments: list[str]) -> int:
    try:
        status = commands(arguments, standalone_mode=False)
        return status if isinstance(status, int) else 0
    except TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else commands.info.name
        if type(error).__name__ == "NoArgsIsHelpError":
            return _fail(error.format_message(), error.exit_code)
        return _fail(f"{command}: {error.format_message().rstrip('.')}; see {command} --help", error.exit_code)
    except SuatError as error:
        return _fail(str(error), error.exit_status)
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _fail("stopped", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error}; run again with --debug and report it", 1)


def _fail(message: str, status: int) -> int:
    if os.environ.get("SUAT_DEBUG"):
        traceback.print_exc()
    print(message, file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
