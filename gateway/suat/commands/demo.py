"""`suat demo`: a simulated pasture from the probes to the board page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from suat.commands.look import print_status
from suat.errors import SuatError, UsageError


def demo(
    days: Annotated[int, typer.Option(min=1, max=3660, help="Simulated days.")] = 30,
    soil: Annotated[int, typer.Option(min=0, max=200, help="Soil nodes.")] = 6,
    water: Annotated[int, typer.Option(min=0, max=100, help="Water nodes.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.")] = 1,
    replay: Annotated[Path | None, typer.Option(help="Replay the logger files of this folder instead.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the station here (a new folder); else it is dropped.")
    ] = None,
    serve: Annotated[bool, typer.Option(help="Serve the board page afterwards, until Ctrl-C.")] = True,
    bind: Annotated[str, typer.Option(help="Where to serve it.")] = "127.0.0.1:8080",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Run real node programs over simulated radio into a real station, and show what it decides."""
    try:
        from suat_sim.demo import Demo, ReplayError, scenario_for
    except ImportError as error:
        raise SuatError(f"the demo needs {error.name}; install it: pip install 'suat[demo]'") from error
    if soil + water == 0:
        raise UsageError("--soil and --water: at least one node is needed")
    if data_dir is not None and (data_dir / "journal.db").exists():
        raise UsageError(f"--data-dir {data_dir}: a station lies there already; name a new folder")
    if serve:
        _check_free(bind)
    folder = data_dir or Path(tempfile.mkdtemp(prefix="suat-demo-"))
    try:
        scenario = scenario_for(soil, water, days, seed, replay)
        with Demo(scenario, folder, seed=seed) as pasture:
            summary = _run(pasture, quiet=as_json)
            if as_json:
                print(json.dumps(summary, ensure_ascii=False))
            else:
                _print(summary, pasture)
                if serve or data_dir is not None:
                    print(f"\nlook further: suat status --config {pasture.config_path} --at {summary['at']}")
            if serve:
                now_us = pasture.scheduler.wall_us()
                asyncio.run(_serve(pasture, bind, now_us))
    except ReplayError as error:
        raise UsageError(f"--replay: {error}") from error
    finally:
        if data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


def _check_free(bind: str) -> None:
    """Better now than after all the days have passed."""
    from suat.preflight import port_fault

    try:
        fault = port_fault("--bind", bind, socket.SOCK_STREAM)
    except ValueError as error:
        raise UsageError(f"--bind: {error}") from error
    if fault:
        raise UsageError(fault)


def _run(pasture: Any, *, quiet: bool) -> dict[str, Any]:
    """Let the days pass under a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f} of {task.total:.0f} days"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(f"{len(pasture.fleet.nodes)} nodes on the pasture", total=pasture.days)
        found: dict[str, Any] = pasture.run(lambda seconds: bar.update(task, completed=seconds / 86400.0))
        return found


def _print(summary: dict[str, Any], pasture: Any) -> None:
    from suat.pasture.status import station_status

    frames, readings = summary["frames"], summary["readings"]
    if "replayed" in summary:
        replayed = summary["replayed"]
        left_out = ", ".join(f"{count} of {year}" for year, count in replayed["left_out"].items()) or "none"
        print(f"loggers   {replayed['readings']} readings in {replayed['rows']} rows; left out, dead clock: {left_out}")
    print(
        f"frames    {frames['sent']} sent, {frames['lost_in_air']} lost in the air, {frames['received']} received,"
        f" {frames['accepted']} accepted\n"
        f"readings  {readings['kept']} kept, {readings['flagged']} flagged,"
        f" {readings['written']} points written to InfluxDB\n"
        f"paddocks  {', '.join(f'{count} {name}' for name, count in summary['statuses'].items())}\n"
    )
    print_status(station_status(pasture.config, pasture.station.reader, pasture.scheduler.wall_us()))


async def _serve(pasture: Any, bind: str, now_us: int) -> None:
    """The board page as of the end of the run, until Ctrl-C or SIGTERM."""
    from suat.show.serve import serve
    from suat.show.tables import BoardTable

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = pasture.config.model_copy(update={"board": BoardTable(bind=bind)})
    async with contextlib.AsyncExitStack() as cleanup:
        board = await serve(config, pasture.station.reader, lambda: now_us, cleanup)
        print(f"board page: http://{bind}/   (Ctrl-C ends)", file=sys.stderr, flush=True)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, board}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
