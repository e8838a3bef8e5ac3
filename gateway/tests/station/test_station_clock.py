"""Promise 9 on a running station: its machine's clock is wrong (libfaketime), it is killed, its clock chip comes late.

Whatever the clock says, a node gets its acknowledgement at once; not one reading is lost or dated where it was not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BEFORE, KILLED, AFTER = 10, 5, 5  # readings: in the dark, after a kill -9, with the time known
FLOOR_US = 1_767_225_600_000_000  # 2026-01-01
TRUTH = '\n[time]\nsources = ["rtc"]\n'


@pytest.fixture(scope="session")
def faketime() -> str:
    """The preloaded library."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.fail("libfaketime is missing; run: make test (or apt-get install libfaketime)", pytrace=False)
    return str(found[0])


class ClockChip:
    """A DS3231 under a folder that stands for the machine's /sys and /proc; it runs on while it is fitted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        boot = root / "proc/sys/kernel/random/boot_id"
        boot.parent.mkdir(parents=True)
        boot.write_text("7f3c0b52-3a5f-4a4e-9c39-2f6cf8a9f0aa\n")
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def fit(self) -> None:
        folder = self.root / "sys/class/rtc/rtc0"
        folder.mkdir(parents=True)
        (folder / "name").write_text("rtc-ds1307 1-0068\n")
        self._thread.start()

    def _run(self) -> None:
        place = self.root / "sys/class/rtc/rtc0/since_epoch"
        while not self._gone.wait(0.1):
            place.with_suffix(".new").write_text(f"{int(time.time())}\n")
            place.with_suffix(".new").replace(place)

    def remove(self) -> None:
        self._gone.set()
        if self._thread.is_alive():
            self._thread.join(5)


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["@1970-01-02 00:00:00", "-10y", "+10y"])
def test_readings_that_came_while_the_clock_was_wrong_have_their_true_dates_afterwards(
    make_station: Callable[..., Any], make_concentrator: Callable[..., Any], tmp_path: Path, faketime: str, clock: str
) -> None:
    station = make_station(TRUTH)
    (node,) = station.register(1)
    chip = ClockChip(tmp_path / "machine")
    environment = os.environ | {
        "LD_PRELOAD": faketime,
        "FAKETIME": clock,
        "DONT_FAKE_MONOTONIC": "1",
        "SUAT_SYSROOT": str(chip.root),
    }
    environment.pop("SUAT_TIME_SOURCES", None)

    def launch() -> None:
        with station.log_path.open("a") as log:
            station.process = subprocess.Popen(
                [sys.executable, "-m", "suat.cli", "run", "--config", str(station.config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=station.folder,
                env=environment,
            )
        assert "Asy" in station.process.stdout.readline(), station.log()

    sent: dict[int, float] = {}  # record -> true time
    concentrator = make_concentrator(station)

    def push(count: int) -> None:
        for _ in range(count):
            record = len(sent) + 1
            sent[record] = time.time()
            concentrator.push(node.frame(record, ack_from=1))
            assert concentrator.downlink()["data"]  # told at once that it is kept, whatever the clock
            time.sleep(0.05)

    try:
        launch()
        concentrator.pull()
        push(BEFORE)
        assert station.query("SELECT count(*) FROM sample") == [(0,)]
        station.kill()
        launch()
        concentrator.pull()
        push(KILLED)
        assert station.query("SELECT count(*), count(DISTINCT boot) FROM undated") == [(BEFORE + KILLED, 1)]
        assert station.query("SELECT count(*) FROM sample") == [(0,)]
        chip.fit()
        station.wait_for(lambda: station.query("SELECT count(*) FROM undated") == [(0,)])
        push(AFTER)
        station.wait_for(lambda: len(station.records()) == len(sent))
        station.wait_for(lambda: station.query("SELECT count(*) FROM cleaned") == [(len(sent),)])
        found = dict(station.query("SELECT record, time_us FROM sample"))
        statuses = [at for (at,) in station.query("SELECT at_us FROM status UNION SELECT start_us FROM window")]
        assert station.metrics()['suat_clock_source{source="rtc"}'] == 1
        station.stop()
    finally:
        chip.remove()
    assert set(found) == set(sent)
    errors = [found[record] / 1e6 - sent[record] for record in sent]
    print(f"{clock}: {len(found)} readings, dated {min(errors):+.2f} to {max(errors):+.2f} s from the truth")
    assert max(map(abs, errors)) < 1.5  # a chip tells whole seconds
    assert all(at >= FLOOR_US for at in [*found.values(), *statuses])
