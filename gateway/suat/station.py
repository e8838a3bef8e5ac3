"""The station: sources, pipeline and board page wired together, started, kept going and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from suat import running
from suat.clock import LoopScheduler, Scheduler
from suat.config import Config
from suat.errors import SuatError, UsageError
from suat.ingest.base import Ingress, Source, no_clock, open_source
from suat.metrics import REGISTRY
from suat.network.keys import RootKeys
from suat.pipeline import Pace, Pipeline
from suat.records import Downlink
from suat.store.journal import Journal
from suat.store.salvage import mend
from suat.supervision import STALL_S, Supervisor, Watchdog, systemd_notifier
from suat.timekeeping import Timekeeping
from suat.vitals import Vitals

log = logging.getLogger(__name__)

REAL_PACE = Pace()
SWITCH_S = 0.0005  # the loop gives the interpreter away at every datagram; cleaning hands it back within this time
STOP_S = 10.0  # what was received is committed within this time, or the node sends it again
FULL = 0.02  # of the disk: less than this is free, and the journal may not grow


class Station:
    """One station on a scheduler, real or virtual; it opens no socket by itself.

    With a supervisor its parts are started again when they fail; without one their errors come out.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        config: Config,
        *,
        pace: Pace = REAL_PACE,
        durable: bool = True,
        timekeeping: Timekeeping | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.config = config
        self.timekeeping = timekeeping
        self.supervisor = supervisor
        self.stalls: list[str] = []  # what hung when the watchdog last looked
        self.journal = Journal(config.journal_path, durable=durable)
        self.reader = self.journal.reader()
        self.sources: dict[str, Source] = {}
        guarded = scheduler
        if supervisor is not None:
            guarded = supervisor.guard("pipeline", lambda: self.pipeline.revive())
        self.pipeline = Pipeline(
            guarded,
            config,
            self.journal,
            self.reader,
            RootKeys(config.station.data_dir),
            self._send,
            pace,
            self._send_payload,
            None if supervisor is None else supervisor.guard,
        )
        server = self.pipeline.server
        self.ingress = Ingress(
            scheduler,
            self.pipeline.receive,
            self.pipeline.downlink_result,
            server.counters,
            server.direct.relayed,
            server.direct.measured,
            config.station.region,
            no_clock if timekeeping is None else timekeeping.heard,
            server.seen,
        )
        if timekeeping is not None:
            timekeeping.on_trusted = self.pipeline.date_undated
            self.journal.floor_us = config.time.floor_us

    def open(self, table: Any) -> Source:
        """Open a source that the configuration names; it is not started yet."""
        ingress = self.ingress
        supervisor = self.supervisor
        if supervisor is not None:

            async def again() -> None:
                await source.stop()
                await source.start()

            part = supervisor.part(f"ingest {table.kind} {table.place}", lambda: supervisor.spawn(part, again))
            ingress = replace(ingress, scheduler=supervisor.guarded(part))
        source = open_source(table, ingress)
        self.sources[source.name] = source
        return source

    def _send(self, downlink: Downlink) -> bool:
        source = self.sources.get(downlink.source)
        return source is not None and source.send_downlink(downlink)

    def _send_payload(self, source: str, dev_eui: str, fport: int, payload: bytes) -> bool:
        found = self.sources.get(source)
        return found is not None and found.send_payload(dev_eui, fport, payload)

    def troubles(self) -> list[str]:
        """What keeps the station from its work at present, one line each; nothing when it is healthy."""
        found = [f"no progress: {stall}" for stall in self.stalls]
        if self.pipeline.trouble is not None:
            found.append(f"nothing can be kept: {self.pipeline.trouble}")
        if self.timekeeping is not None:
            found += self.timekeeping.troubles()
        disk = shutil.disk_usage(self.config.station.data_dir)
        if disk.free < FULL * disk.total:
            found.append(f"the disk is nearly full: {disk.free / 1e6:.0f} MB are free")
        if self.supervisor is not None:
            found += self.supervisor.troubles()
        return found

    def actions(self) -> dict[str, Callable[[Any], None]]:
        """What a tablet with the PIN may do, by path (show/guard.py)."""

        def confirm_time(body: Any) -> None:
            if self.timekeeping is None:
                raise UsageError("this station takes its time from elsewhere")
            unix = body.get("unix") if isinstance(body, dict) else None
            if not isinstance(unix, (int, float)) or not 0 <= unix < 1e10:
                raise UsageError('write {"unix": seconds since 1970 in UTC}')
            self.timekeeping.confirm(round(unix * 1e6))

        return {"/time": confirm_time}

    def close(self) -> None:
        """Close the journal; the pipeline must have stopped."""
        self.reader.close()
        self.journal.close()


async def run(config: Config, on_ready: Callable[[], None] = lambda: None) -> None:
    """Run the station until SIGTERM or SIGINT; SuatError when it can't start or can't go on."""
    with running.claim(config):
        await _run(config, on_ready)


async def _run(config: Config, on_ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler(loop)
    supervisor = Supervisor(scheduler)
    loop.set_exception_handler(supervisor.stray)
    timekeeping = Timekeeping(scheduler, config.time, config.station.data_dir)
    timekeeping.start()
    mend(config.journal_path, scheduler.wall_us())
    station = Station(scheduler, config, timekeeping=timekeeping, supervisor=supervisor)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.callback(station.close)
        cleanup.callback(scheduler.close)
        for table in config.ingest:
            source = station.open(table)
            try:
                await source.start()
            except OSError as error:
                raise SuatError(
                    f'ingest "{table.kind}": {table.place}: {error.strerror}; run: suat check, or choose another'
                ) from error
            cleanup.push_async_callback(source.stop)
        await _start_board(station, scheduler, supervisor, cleanup)
        station.pipeline.start()
        vitals = Vitals(
            config.station.data_dir, timekeeping, lambda: scheduler.trusted, scheduler.working_s, station.troubles
        )
        vitals.register(REGISTRY)
        watchdog = Watchdog(scheduler, lambda: _stalls(station, scheduler), lambda: _state(station), systemd_notifier())
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not looked through again and again: that took 50 to 170 ms
        on_ready()
        watchdog.start()
        await _until(stop, station.pipeline)
        watchdog.stop()
        supervisor.stop()
        for source in station.sources.values():
            await source.stop()
        station.pipeline.stop()
        deadline = scheduler.monotonic() + STOP_S
        while not station.pipeline.idle and scheduler.monotonic() < deadline:
            await asyncio.sleep(0.01)
    if station.pipeline.fatal is not None:
        raise station.pipeline.fatal


async def _until(stop: asyncio.Event, pipeline: Pipeline) -> None:
    """Until a signal, or a fault that can't be mended."""
    while not stop.is_set() and pipeline.fatal is None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)


def _stalls(station: Station, scheduler: LoopScheduler) -> list[str]:
    """Which work hangs: a lane's present piece, or a stage that did not get its turn."""
    lanes = [
        f"{lane} has worked on one thing for {s:.0f} s" for lane, s in scheduler.working_s().items() if s > STALL_S
    ]
    station.stalls = lanes + [f"{stage} has not had its turn" for stage in station.pipeline.stalled()]
    return station.stalls


def _state(station: Station) -> str:
    """For `systemctl status`."""
    return "; ".join(station.troubles()) or f"{len(station.pipeline.server.devices.by_registration)} nodes, all is well"


async def _start_board(
    station: Station, scheduler: Scheduler, supervisor: Supervisor, cleanup: contextlib.AsyncExitStack
) -> None:
    """Serve the board page, from now on; SuatError when its address can't be had now."""
    from suat.show.serve import serve  # uvicorn is slow to import and no command but this needs it

    async def start() -> None:
        task = await serve(
            station.config, station.reader, scheduler.wall_us, cleanup, station.troubles, station.actions()
        )
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            supervisor.failed(part, task.exception())

    part = supervisor.part("board", lambda: supervisor.spawn(part, start))
    await start()
