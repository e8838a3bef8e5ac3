"""A part that fails is started again, later each time; systemd hears that all is well only while all gets on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat.clock import LoopScheduler, VirtualScheduler
from suat.config import parse
from suat.ingest.base import Ingress
from suat.pipeline import STALL_S as TURN_STALL_S
from suat.station import Station
from suat.supervision import BACK_OFF_S, BEAT_S, CALM_S, Guarded, Supervisor, Watchdog, described, systemd_notifier

READY_S = 60.0


@pytest.fixture
def clock() -> VirtualScheduler:
    return VirtualScheduler(1_790_000_000_000_000)


# -- parts


def test_a_part_that_fails_comes_back_later_each_time_and_after_a_calm_while_soon_again(
    clock: VirtualScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor(clock)
    began: list[float] = []

    def revive() -> None:
        began.append(clock.monotonic())
        clock.call_later(0.0, guarded.call_later, 0.0, fails)

    def fails() -> None:
        if ill:
            raise ValueError("a slip\nin two lines")

    ill = True
    guarded = supervisor.guard("radio", revive)
    guarded.call_later(0.0, fails)
    clock.run_until(400)
    waits = [after - before for before, after in zip([0.0, *began], began, strict=False)]
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60] and set(waits[6:]) == {60}
    assert "radio: ValueError: a slip in two lines (test_station_supervision.py:" in caplog.messages[0]
    assert all(message.count("\n") == 0 for message in caplog.messages)
    assert supervisor.troubles()
    ill = False
    clock.run_until(400 + CALM_S + 120)
    assert supervisor.troubles() == []
    ill = True
    guarded.call_later(0.0, fails)
    before = clock.monotonic()
    clock.run_until(before + 2)
    assert began[-1] == before + BACK_OFF_S[0]


def test_a_part_that_cannot_be_revived_is_tried_again(clock: VirtualScheduler) -> None:
    supervisor = Supervisor(clock)
    tries: list[float] = []

    def revive() -> None:
        tries.append(clock.monotonic())
        if len(tries) < 3:
            raise OSError("the port is gone")

    supervisor.failed(supervisor.part("radio", revive), None)
    clock.run_until(100)
    assert tries == [1, 3, 7]
    assert supervisor.parts["radio"].faults == 3


def test_several_errors_at_once_are_one_restart_and_after_the_stop_there_is_none(clock: VirtualScheduler) -> None:
    supervisor = Supervisor(clock)
    tries: list[float] = []
    part = supervisor.part("radio", lambda: tries.append(clock.monotonic()))
    for _ in range(5):
        supervisor.failed(part, RuntimeError("x"))
    clock.run_until(50)
    assert tries == [1] and part.faults == 5
    supervisor.failed(part, RuntimeError("x"))
    supervisor.stop()
    supervisor.failed(part, RuntimeError("x"))
    clock.run_until(500)
    assert tries == [1]


def test_a_guard_takes_the_errors_of_timers_and_of_finished_work_and_keeps_the_time(clock: VirtualScheduler) -> None:
    errors: list[str] = []
    guarded = Guarded(clock, lambda error: errors.append(str(error)))

    def fails(*arguments: object) -> None:
        raise RuntimeError(str(arguments))

    guarded.call_at(1.0, fails, 1)
    guarded.call_later(2.0, fails, 2)
    guarded.offload(lambda: 3, fails)
    guarded.call_later(3.0, fails, 4).cancel()
    clock.run_until(10)
    assert errors == ["(3, None)", "(1,)", "(2,)"]
    assert (guarded.monotonic(), guarded.wall_us()) == (10, clock.wall_us())
    guarded.steer(5, False)
    assert (clock.trusted, guarded.trusted, guarded.wall_us()) == (False, False, 10_000_005)


def test_an_errors_line_names_no_more_than_what_and_where() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        line = described(error)
    assert line.startswith("JSONDecodeError: Expecting property name") and "(decoder.py:" in line


class Flaky:
    """A source whose timer raises once it is told to, and which may refuse to start."""

    name = "flaky"

    def __init__(self, ingress: Ingress) -> None:
        self.scheduler = ingress.scheduler
        self.starts = self.stops = 0
        self.refuses = 0

    async def start(self) -> None:
        self.starts += 1
        if self.refuses:
            self.refuses -= 1
            raise OSError("no such device")
        self.scheduler.call_later(0.0, lambda: None)

    async def stop(self) -> None:
        self.stops += 1

    def send_downlink(self, downlink: Any) -> bool:
        return False

    def send_payload(self, *_arguments: Any) -> bool:
        return False

    def fail(self) -> None:
        self.scheduler.call_later(0.0, lambda: 1 // 0)


async def test_a_source_that_raised_is_stopped_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suat.supervision.BACK_OFF_S", (0.01, 0.05))
    monkeypatch.setattr("suat.station.open_source", lambda table, ingress: Flaky(ingress))
    scheduler = LoopScheduler(asyncio.get_running_loop())
    supervisor = Supervisor(scheduler)
    station = Station(scheduler, _config(tmp_path), durable=False, supervisor=supervisor)
    source: Any = station.open(station.config.ingest[0])
    part = supervisor.parts["ingest semtech_udp 127.0.0.1:0"]
    part.wait_s = 0.01
    await source.start()
    source.refuses = 2
    source.fail()
    deadline = time.monotonic() + 10
    while source.starts < 4 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert (source.starts, source.stops) == (4, 3)  # the first, two that were refused, and one that went well
    assert part.faults == 3 and "no such device" in part.fault
    scheduler.close()
    station.close()


async def test_a_boards_server_that_died_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import suat.show.serve
    from suat.station import _start_board

    monkeypatch.setattr("suat.supervision.BACK_OFF_S", (0.01, 0.05))
    monkeypatch.setattr("suat.supervision.CALM_S", -1.0)  # each fault begins with the first wait
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    table = {"station": {"name": "T", "data_dir": str(tmp_path)}, "board": {"bind": f"127.0.0.1:{port}"}}
    serve = suat.show.serve.serve
    calls = []

    async def dies(*arguments: Any) -> asyncio.Task[None]:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("its port is not free yet")
        if len(calls) > 2:
            return await serve(*arguments)

        async def at_once() -> None:
            raise RuntimeError("the server died")

        return asyncio.create_task(at_once())

    monkeypatch.setattr("suat.show.serve.serve", dies)
    scheduler = LoopScheduler(asyncio.get_running_loop())
    supervisor = Supervisor(scheduler)
    station = Station(scheduler, parse(table), durable=False, supervisor=supervisor)
    async with contextlib.AsyncExitStack() as cleanup:
        await _start_board(station, scheduler, supervisor, cleanup)
        deadline = time.monotonic() + 20
        while len(calls) < 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert supervisor.parts["board"].faults == 2 and "its port is not free" in supervisor.parts["board"].fault
        status, answer = await asyncio.to_thread(health_at, port)
        assert status == 200, answer
        supervisor.stop()
    scheduler.close()
    station.close()


def test_an_error_out_of_the_pipeline_loses_no_reading(tmp_path: Path, clock: VirtualScheduler) -> None:
    from suat.records import DeviceRecord, Measured, Probe

    supervisor = Supervisor(clock)
    station = Station(clock, _config(tmp_path), durable=False, supervisor=supervisor)
    eui = "00" * 7 + "01"
    station.journal.add_device(DeviceRecord(0, "n1", "soil", eui, None, None, None, (Probe("upper", 10, 1),), 0))
    station.pipeline.start()
    clock.run_until(5)
    broken = station.pipeline.server.committed
    for number in range(10):
        if number == 1:
            station.pipeline.server.committed = None  # type: ignore[assignment]
        now = clock.wall_us()
        station.ingress.on_measured(Measured("wire", eui, now, now, {("probe1", "vwc"): 0.2}))
        if number == 3:
            station.pipeline.server.committed = broken  # type: ignore[method-assign]
        clock.run_until(clock.monotonic() + 5)
    assert len(list(station.reader.samples())) == 10
    assert all(sample.cleaned is not None for sample in station.reader.samples())
    assert supervisor.parts["pipeline"].faults == 2
    station.pipeline.stop()
    clock.run_until(clock.monotonic() + 1)
    station.close()


def _config(folder: Path) -> Any:
    ingest = [{"kind": "semtech_udp", "bind": "127.0.0.1:0"}]
    return parse({"station": {"name": "T", "data_dir": str(folder)}, "ingest": ingest})


# -- progress


def test_the_watchdog_is_fed_only_while_nothing_hangs(
    clock: VirtualScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    hangs: list[str] = []
    watchdog = Watchdog(clock, lambda: list(hangs), lambda: "3 nodes, all is well", told.append)
    watchdog.start()
    assert told == ["READY=1", "WATCHDOG=1", "STATUS=3 nodes, all is well"]
    clock.run_until(60)
    assert told[3:] == ["WATCHDOG=1"] * round(60 / BEAT_S)
    hangs.append("the journal has worked on one thing for 61 s")
    del told[:]
    clock.run_until(200)
    assert told == ["STATUS=the journal has worked on one thing for 61 s"]
    assert len(caplog.messages) == 1
    hangs.clear()
    clock.run_until(210)
    assert "WATCHDOG=1" in told and told[-1] != "STATUS=the journal has worked on one thing for 61 s"
    del told[:]
    watchdog.stop()
    clock.run_until(1000)
    assert told == ["STOPPING=1"]


def test_a_stage_that_gets_no_turn_is_named(tmp_path: Path, clock: VirtualScheduler) -> None:
    station = Station(clock, _config(tmp_path), durable=False)
    station.pipeline.start()
    for _ in range(100):
        clock.run_until(clock.monotonic() + 36)
        assert station.pipeline.stalled() == []
    station.pipeline._timers["decide"].cancel()
    clock.run_until(clock.monotonic() + 2 * station.pipeline.pace.decision + TURN_STALL_S + 1)
    assert station.pipeline.stalled() == ["decide"]
    station.close()


async def test_a_lane_that_hangs_is_seen_by_how_long_its_present_work_takes() -> None:
    import threading

    scheduler = LoopScheduler(asyncio.get_running_loop())
    go_on = threading.Event()
    scheduler.offload(lambda: go_on.wait(10), lambda result, error: None, "slow")
    scheduler.offload(lambda: None, lambda result, error: None, "slow")
    await asyncio.sleep(0.3)
    assert scheduler.working_s()["slow"] >= 0.29
    go_on.set()
    deadline = time.monotonic() + 10
    while scheduler.working_s()["slow"] and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert scheduler.working_s() == {"slow": 0.0}
    scheduler.close()


# -- the daemon, with the socket that systemd would listen at

# `suat run` whose journal hangs, as on a card that answers no more, while the file named HANG exists.
HANGING = """
import sys, time
from pathlib import Path
from suat import cli, station, supervision
from suat.store.journal import Journal
hang = Path(sys.argv[1])
supervision.BEAT_S, station.STALL_S = 0.2, 1.0
commit = Journal.commit
def hanging(self, batch):
    while hang.exists():
        time.sleep(0.05)
    return commit(self, batch)
Journal.commit = hanging
cli.main(["run", "--config", sys.argv[2]])
"""


class Systemd:
    """Listens at NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))

    def hear(self, wanted: str, timeout_s: float) -> list[str]:
        """What came up to the line that begins with `wanted`; the last is another one when it did not come in time."""
        heard: list[str] = []
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                heard.append(self.socket.recv(4096).decode())
            except TimeoutError:
                break
            if heard[-1].startswith(wanted):
                break
        return heard

    def silence(self) -> None:
        """Forget what came."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(4096)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(tmp_path)
    yield listening
    listening.socket.close()


@pytest.fixture
def daemon(station: Any, systemd: Systemd) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "30000000"}
    command = [sys.executable, "-c", HANGING, str(station.folder / "hang"), str(station.config)]
    with station.log_path.open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment, cwd=station.folder)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait(10)


# Its socket lives as long as the process.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_systemd_reads_any_script(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
    systemd_notifier()("STATUS=Жайлау hangs\nfor 61 s")
    assert systemd.hear("STATUS=", 5) == ["STATUS=Жайлау hangs for 61 s"]


def health(station: Any) -> tuple[int, dict[str, Any]]:
    return health_at(station.board)


def health_at(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow
def test_systemd_hears_that_the_station_is_up_goes_on_hangs_goes_on_again_and_stops(
    station: Any, systemd: Systemd, daemon: subprocess.Popen[bytes], make_concentrator: Callable[..., Any]
) -> None:
    (node,) = station.register(1)
    assert systemd.hear("READY=1", READY_S)[-1] == "READY=1"
    assert systemd.hear("WATCHDOG=1", 10)[-1] == "WATCHDOG=1"
    assert systemd.hear("STATUS=", 10)[-1] == "STATUS=1 nodes, all is well"
    assert health(station) == (200, health(station)[1] | {"status": "ok", "reasons": []})

    (station.folder / "hang").touch()
    concentrator = make_concentrator(station)
    concentrator.push(node.frame(1))
    assert "STATUS=journal has worked on one thing for" in systemd.hear("STATUS=", 20)[-1]
    systemd.silence()
    assert systemd.hear("WATCHDOG=1", 3)[-1:] != ["WATCHDOG=1"]  # fifteen beats: not one
    status, found = health(station)
    assert status == 503
    assert found["status"] == "failed" and "no progress: journal has worked" in found["reasons"][0]

    (station.folder / "hang").unlink()
    assert systemd.hear("WATCHDOG=1", 10)[-1] == "WATCHDOG=1"
    station.wait_for(lambda: health(station)[0] == 200)
    assert station.records() == [("n1", 1)]

    daemon.send_signal(signal.SIGTERM)
    assert systemd.hear("STOPPING=1", 10)[-1] == "STOPPING=1"
    assert daemon.wait(10) == 0
    station.check_log()


def test_without_systemd_nothing_is_told_and_nothing_is_missing(station: Any) -> None:
    station.start()
    assert health(station)[0] == 200
    station.stop()


# -- what is told of it


def test_metrics_tell_clock_disk_memory_lanes_and_health(station: Any) -> None:
    """Beside what the stages count themselves."""
    station.register(1)
    station.start()
    found = station.metrics()
    assert (found["suat_healthy"], found["suat_clock_trusted"], found["suat_clock_contradicted"]) == (1, 1, 0)
    assert found['suat_clock_source{source="system"}'] == 1 and found['suat_clock_source{source="rtc"}'] == 0
    disk = shutil.disk_usage(station.folder)
    assert found["suat_disk_bytes"] == disk.total
    assert abs(found["suat_disk_free_bytes"] - disk.free) < 0.1 * disk.total
    assert found["process_resident_memory_bytes"] / 1e6 == pytest.approx(station.memory_mb() * 1.048576, rel=0.2)
    assert found["process_open_fds"] >= 10
    assert found['suat_lane_working_seconds{lane="journal"}'] < 5
    station.stop()


def test_a_sink_whose_lane_raised_goes_on(tmp_path: Path, clock: VirtualScheduler) -> None:
    from suat.store.influx import Forwarder

    token = tmp_path / "token"
    token.write_text("t")
    influx = {"url": "http://127.0.0.1:9", "org": "upu", "token_file": str(token)}
    config = parse({"station": {"name": "T", "data_dir": str(tmp_path)}, "influx": influx})
    supervisor = Supervisor(clock)
    station = Station(clock, config, durable=False, supervisor=supervisor)
    turns: list[float] = []
    fails = [True]
    done = Forwarder._done

    def doing(forwarder: Forwarder, answer: Any, error: BaseException | None) -> None:
        turns.append(clock.monotonic())
        if fails:
            raise ValueError("an answer nobody thought of")
        done(forwarder, answer, error)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Forwarder, "_done", doing)
        station.pipeline.start()
        clock.run_until(10)
        assert supervisor.parts["sink influx"].faults == len(turns) >= 2
        fails.clear()
        clock.run_until(300)
        after = len(turns)
        clock.run_until(600)
        assert len(turns) > after  # it goes on by itself
    station.pipeline.stop()
    clock.run_until(clock.monotonic() + 1)
    station.close()
