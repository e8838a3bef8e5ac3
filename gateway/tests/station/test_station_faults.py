"""The running station on a full disk, on a journal that refuses, with clients that never end, and told to stop."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

RECOVERY_S = 60.0  # facts/reliability.md, promise 8: unaided within this time of space coming back


@pytest.fixture
def small_disk(station: Any) -> Iterator[Path]:
    """The station's data folder on a disk of 4 MB."""
    data = Path(station.folder) / "data"
    data.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small disk needs root: {done.stderr.strip()}")
    yield data
    if station.process is not None:
        station.kill()
    subprocess.run(["umount", "--lazy", str(data)], timeout=20, check=True)


def test_a_full_disk_is_survived_and_nothing_received_is_lost(
    station: Any, make_concentrator: Any, small_disk: Path
) -> None:
    nodes = station.register(20)
    station.start()
    concentrator = make_concentrator(station)
    for node in nodes:
        concentrator.push(node.frame(0))
    station.wait_for(lambda: len(station.records()) == 20)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    for fcnt in range(1, 50):
        for node in nodes:
            concentrator.push(node.frame(fcnt))
        time.sleep(0.04)
    station.wait_for(lambda: "frames wait, next attempt" in station.log())
    assert "the disk is full: free some space" in station.log()
    assert station.process.poll() is None
    kept = len(station.records())
    assert kept < 1000
    ballast.unlink()
    started = time.monotonic()
    station.wait_for(lambda: len(station.records()) == 1000, RECOVERY_S)
    print(f"{1000 - kept} frames waited; all kept {time.monotonic() - started:.1f} s after there was room")
    assert sorted(station.records()) == sorted((node.name, fcnt) for node in nodes for fcnt in range(50))
    station.stop()


def test_a_fault_that_does_not_mend_ends_the_station_with_one_line(station: Any, concentrator: Any) -> None:
    (node,) = station.register(1)
    station.start()
    connection = sqlite3.connect(station.journal_path)
    connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON sample BEGIN SELECT RAISE(ABORT, 'refused'); END")
    connection.close()
    concentrator.push(node.frame(0))
    process, station.process = station.process, None
    try:
        process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 1
    *logged, last = station.log().splitlines()
    assert last == f"{station.journal_path}: refused"
    logged = [line for line in logged if " from=suat.timekeeping " not in line]  # it says whose time it goes by
    assert logged and all(" level=error from=suat.pipeline " in line for line in logged)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_time_whatever_its_clients_do(station: Any, number: signal.Signals) -> None:
    station.start()
    clients = [socket.create_connection(("127.0.0.1", station.board)) for _ in range(5)]
    try:
        clients[0].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")  # and never the rest
        clients[1].sendall(b"GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n")  # and stays
        time.sleep(0.3)
        if number == signal.SIGINT:
            os.kill(station.process.pid, number)
            process, station.process = station.process, None
            try:
                process.communicate(timeout=5)
            finally:
                process.kill()
            assert process.returncode == 0
            station.check_log()
        else:
            station.stop()
    finally:
        for client in clients:
            client.close()
