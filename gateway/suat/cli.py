"""The `suat` command. Exit status: 0 done, 1 it failed, 2 bad usage or configuration."""

from __future__ import annotations

import os
import sys
import traceback

import typer
from typer.exceptions import TyperException

from suat import __version__
from suat.commands import (
    backup,
    board,
    calibrate,
    configure,
    dead_letters,
    demo,
    device,
    doctor,
    forwarder_config,
    herd,
    limits,
    look,
    modbus,
    recompute,
    salinity,
    station,
)
from suat.errors import SuatError

app = typer.Typer(
    name="suat",
    help="The pasture station: where there is water, how the soil stands, which paddock to graze next.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
device_app = typer.Typer(
    help="Register, list, configure and revoke nodes.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(device_app, name="device")
letters_app = typer.Typer(
    help="Points that InfluxDB would not take: list, send again, drop.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(letters_app, name="dead-letters")
calibrate_app = typer.Typer(
    help="Calibrate a soil probe, step by step.", invoke_without_command=True, rich_markup_mode=None
)
app.add_typer(calibrate_app, name="calibrate")
modbus_app = typer.Typer(help="Wired devices: what one answers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(modbus_app, name="modbus")


def examples(*lines: str) -> str:
    """The end of a command's help, its lines as they stand."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


app.command(
    "demo",
    short_help="Simulate a pasture and show what the station decides.",
    epilog=examples("suat demo --days 7", "suat demo --replay DIR --no-serve --json", "suat demo --data-dir asy"),
)(demo.demo)
app.command("run", short_help="Run the station.", epilog=examples("suat run --config suat.toml -v"))(station.run)
app.command(
    "check",
    short_help="Check the configuration, and what it needs.",
    epilog=examples("suat check --config suat.toml"),
)(station.check)
app.command(
    "doctor",
    short_help="What is wrong, and what to do about it.",
    epilog=examples("suat doctor", "suat doctor --json | jq 'select(.level == \"bad\")'"),
)(doctor.doctor)
app.command(
    "readings",
    short_help="The readings in the journal.",
    epilog=examples(
        "suat readings --node upper-3 --since 2026-06-01", "suat readings --json | jq 'select(.flags != [])'"
    ),
)(look.readings)
app.command(
    "status",
    short_help="Paddocks, water, nodes and link.",
    epilog=examples("suat status", "suat status --json --at 2026-06-01T18:00:00+05:00"),
)(look.status)
app.command(
    "salinity",
    short_help="How salty the soil is: class and trend.",
    epilog=examples("suat salinity", "suat salinity --node upper-3 --since 2026-01-01 --json"),
)(salinity.salinity)
app.command(
    "limits",
    short_help="What readings are judged by, and why.",
    epilog=examples("suat limits", "suat limits --node upper-3", "suat limits --json | jq 'select(.reason)'"),
)(limits.limits)
app.command(
    "move",
    short_help="Note that a herd was led to a paddock.",
    epilog=examples("suat move otar-1 jailau-1", "suat move otar-1 jailau-1 --at 2026-06-01T06:30:00+05:00"),
)(herd.move)
app.command(
    "resend",
    short_help="Send kept points to InfluxDB again.",
    epilog=examples("suat resend --since 2026-06-01", "suat resend --since 2026-06-01T06:00:00Z --sink district"),
)(recompute.resend)
app.command(
    "refilter",
    short_help="Compute cleaned values and windows again.",
    epilog=examples("suat refilter --node upper-3 --since 2026-06-01"),
)(recompute.refilter)
app.command(
    "board-certificate",
    short_help="The certificate that tablets trust.",
    epilog=examples("suat board-certificate", "suat board-certificate --out station-ca.crt"),
)(board.certificate)
app.command("board-pin", short_help="Set the PIN for changes from a tablet.", epilog=examples("suat board-pin"))(
    board.pin
)
app.command(
    "forwarder-config",
    short_help="global_conf.json for the concentrator.",
    epilog=examples("suat forwarder-config --out /tmp/global_conf.json", "suat forwarder-config --gps /dev/ttyS0"),
)(forwarder_config.forwarder_config)
app.command(
    "backup",
    short_help="Seal the whole station into one file; it may run.",
    epilog=examples("suat backup --out asy.suatbackup --passphrase-file /etc/suat/backup.passphrase"),
)(backup.backup)
app.command(
    "restore",
    short_help="Make the station of a backup.",
    epilog=examples(
        "suat restore asy.suatbackup --passphrase-file - < passphrase", "suat restore asy.suatbackup --force"
    ),
)(backup.restore)
device_app.command(
    "add",
    epilog=examples(
        "suat device add --name upper-3 --kind soil --paddock jailau-1 --probe upper:10 --probe lower:30 \\",
        "    --dev-eui 70b3d57ed005a1b2 --join-eui 0000000000000001 --app-key -",
        "suat device add --name spring --kind water --water-point spring-1 \\",
        "    --dev-eui 70b3d57ed005a1b3 --dev-addr 01020304 \\",
        "    --nwk-skey $(openssl rand -hex 16) --app-skey $(openssl rand -hex 16)",
        "suat device add --relayed --name lse-1 --kind soil --paddock jailau-1 --probe upper:10 \\",
        "    --dev-eui a84041000181c061",
        "suat device add --wired --name tank-level --kind water --water-point spring-1",
    ),
)(device.add)
device_app.command("list", epilog=examples("suat device list", "suat device list --json | jq .name"))(
    device.list_devices
)
device_app.command(
    "configure",
    short_help="Order settings for a node in the field.",
    epilog=examples(
        "suat device configure upper-3 --interval 30min --set leak_fall=5",
        "suat device configure upper-3            how they stand",
        "suat device configure upper-3 --cancel",
    ),
)(configure.configure)
device_app.command("revoke", short_help="Take a node out of use.", epilog=examples("suat device revoke upper-3"))(
    device.revoke
)
letters_app.command(
    "list", epilog=examples("suat dead-letters list --json | jq .reason", "suat dead-letters list --sink district")
)(dead_letters.show)
letters_app.command(
    "retry",
    short_help="Send them once more.",
    epilog=examples("suat dead-letters retry --id 12", "suat dead-letters retry --sink district"),
)(dead_letters.retry)
modbus_app.command(
    "read", short_help="Ask a device once.", epilog=examples("suat modbus read --device tank-level --config suat.toml")
)(modbus.read)
letters_app.command(
    "drop",
    short_help="Forget them.",
    epilog=examples("suat dead-letters drop --id 12 --id 13", "suat dead-letters drop --sink district"),
)(dead_letters.drop)

calibrate_app.callback(
    short_help="Calibrate a soil probe.",
    epilog=examples(
        "suat calibrate                          asks for all of it", "suat calibrate fit upper-3 upper --help"
    ),
)(calibrate.calibrate)
calibrate_app.command(
    "add",
    short_help="Keep a point: in air, in water, or beside a soil core.",
    epilog=examples(
        "suat calibrate add upper-3 upper --kind air --at 2026-06-01T10:00+05:00",
        "suat calibrate add upper-3 upper --tin-g 51.4 --wet-g 211.5 --volume-cm3 100",
        "suat calibrate add upper-3 upper --csv points.csv",
    ),
)(calibrate.add)
calibrate_app.command(
    "weigh",
    short_help="The dry mass of a core out of the oven.",
    epilog=examples("suat calibrate weigh upper-3 upper 4 183.4"),
)(calibrate.weigh)
calibrate_app.command(
    "temperature",
    short_help="How the reading goes with the temperature.",
    epilog=examples("suat calibrate temperature upper-3 upper --since 2026-04-01 --until 2026-04-20"),
)(calibrate.temperature)
calibrate_app.command(
    "fit",
    short_help="Fit the curve to the points, and draw it.",
    epilog=examples(
        "suat calibrate fit upper-3 upper --svg curve.svg",
        'suat calibrate fit upper-3 upper --soil "loam, terrace" --per-kelvin 0.0005 --keep',
    ),
)(calibrate.fit)
calibrate_app.command(
    "use",
    short_help="Use a curve that somebody else has made.",
    epilog=examples("suat calibrate use upper-3 upper --coefficients -0.05,0.82 --air 0.81 --water 0.37"),
)(calibrate.use)
calibrate_app.command(
    "show", epilog=examples("suat calibrate show upper-3 upper", "suat calibrate show upper-3 upper --svg curve.svg")
)(calibrate.show)
calibrate_app.command("list", epilog=examples("suat calibrate list", "suat calibrate list --json | jq .residual"))(
    calibrate.list_curves
)
calibrate_app.command(
    "drop",
    short_help="Take a curve out of use, or a point out of later fits.",
    epilog=examples("suat calibrate drop upper-3 upper --version 2", "suat calibrate drop upper-3 upper --point 4"),
)(calibrate.drop)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"suat {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", help="Show the version.", callback=_version, is_eager=True),
) -> None:
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
        status = commands(arguments, prog_name=commands.info.name, standalone_mode=False)
        sys.stdout.flush()
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
    except BrokenPipeError:  # the reader of a pipe has gone: it has what it wanted
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
