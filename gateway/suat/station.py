"""The station: sources, pipeline and board page wired together, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

from suat import running
from suat.clock import LoopScheduler, Scheduler
from suat.config import Config
from suat.errors import SuatError
from suat.ingest.base import Ingress, Source, no_clock, open_source
from suat.network.keys import RootKeys
from suat.pipeline import Pace, Pipeline
from suat.records import Downlink
from suat.store.journal import Journal
from suat.timekeeping import Timekeeping

log = logging.getLogger(__name__)

REAL_PACE = Pace()
SWITCH_S = 0.0005  # the loop gives the interpreter away at every datagram; cleaning hands it back within this time
STOP_S = 10.0  # what was received is committed within this time, or the node sends it again


class Station:
    """One station on a scheduler, real or virtual; it opens no socket by itself."""

    def __init__(
        self,
        scheduler: Scheduler,
        config: Config,
        *,
        pace: Pace = REAL_PACE,
        durable: bool = True,
        timekeeping: Timekeeping | None = None,
    ) -> None:
        self.config = config
        self.timekeeping = timekeeping
        self.journal = Journal(config.journal_path, durable=durable)
        self.reader = self.journal.reader()
        self.sources: dict[str, Source] = {}
        self.pipeline = Pipeline(
            scheduler,
            config,
            self.journal,
            self.reader,
            RootKeys(config.station.data_dir),
            self._send,
            pace,
            self._send_payload,
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
        )
        if timekeeping is not None:
            timekeeping.on_trusted = self.pipeline.date_undated
            self.journal.floor_us = config.time.floor_us

    def open(self, table: Any) -> Source:
        """Open a source that the configuration names; it is not started yet."""
        source = open_source(table, self.ingress)
        self.sources[source.name] = source
        return source

    def _send(self, downlink: Downlink) -> bool:
        source = self.sources.get(downlink.source)
        return source is not None and source.send_downlink(downlink)

    def _send_payload(self, source: str, dev_eui: str, fport: int, payload: bytes) -> bool:
        found = self.sources.get(source)
        return found is not None and found.send_payload(dev_eui, fport, payload)

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
    timekeeping = Timekeeping(scheduler, config.time, config.station.data_dir)
    timekeeping.start()
    station = Station(scheduler, config, timekeeping=timekeeping)
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
        board = await _start_board(station, scheduler, cleanup)
        station.pipeline.start()
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not looked through again and again: that took 50 to 170 ms
        on_ready()
        await _until(stop, station.pipeline, board)
        for source in station.sources.values():
            await source.stop()
        station.pipeline.stop()
        deadline = scheduler.monotonic() + STOP_S
        while not station.pipeline.idle and scheduler.monotonic() < deadline:
            await asyncio.sleep(0.01)
    if station.pipeline.fatal is not None:
        raise station.pipeline.fatal


async def _until(stop: asyncio.Event, pipeline: Pipeline, board: asyncio.Task[None]) -> None:
    """Until a signal, a fault that can't be mended, or the board page's end."""
    while not stop.is_set() and pipeline.fatal is None and not board.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.25)
    if board.done() and not stop.is_set():
        board.result()


async def _start_board(
    station: Station, scheduler: Scheduler, cleanup: contextlib.AsyncExitStack
) -> asyncio.Task[None]:
    from suat.show.serve import serve  # uvicorn is slow to import and no command but this needs it

    return await serve(station.config, station.reader, scheduler.wall_us, cleanup)
