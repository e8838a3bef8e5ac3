"""The daemon with a radio on USB: the board's own program on MicroPython, on a pty, with the chip's model behind it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat_wire.control import PORT_ACK

FIRMWARE = Path(__file__).parents[3] / "firmware"
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
RX1_US, RX2_US = 1_000_000, 2_000_000
BUSY_US = 150_000  # of a shared machine: the edge of the radio's pin is noticed when the loop looks

INGEST = """
[[ingest]]
kind = "serial_bridge"
port = "{port}"
channel = 1
dr = 5
"""


def raw_pty() -> tuple[int, int]:
    master, slave = os.openpty()
    tty.setraw(slave)
    return master, slave


class UsbRadio:
    """The board's process, and its cable: a thread carries bytes between its terminal and the one that is plugged."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._board, slave = raw_pty()
        ours, theirs = socket.socketpair()
        ours.settimeout(30.0)
        self._socket, self.control = ours, ours.makefile("rwb", buffering=0)
        self.process = subprocess.Popen(
            [MICROPYTHON, "-X", "heapsize=240K", str(FIRMWARE / "tests" / "bridge_on_pty.py"), str(theirs.fileno())],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            pass_fds=[theirs.fileno()],
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),  # type: ignore[arg-type]
            env={"MICROPYPATH": f"{FIRMWARE}:{FIRMWARE.parent / 'hw_test'}:.frozen"},
        )
        os.close(slave)
        theirs.close()
        self._plugged: int | None = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def plug(self) -> str:
        """A tty of its own each time; what udev's link points to."""
        master, slave = raw_pty()
        path = os.ttyname(slave)
        os.close(slave)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(path)
        self._plugged = master
        return path

    def unplug(self) -> None:
        master, self._plugged = self._plugged, None
        if master is not None:
            os.close(master)

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self.unplug()
        self.process.kill()
        self.process.wait()
        self.control.close()
        self._socket.close()
        os.close(self._board)

    def hear(self, phy: bytes) -> int:
        """Put a frame on the air; when it ended [us], on the board's clock."""
        self.control.write(json.dumps({"phy": phy.hex(), "whole": True}).encode() + b"\n")
        return int(self.note("heard")["heard"])

    def note(self, key: str) -> dict[str, Any]:
        while True:
            found: dict[str, Any] = json.loads(self.control.readline())
            assert "fault" not in found, found
            if key in found:
                return found

    def _carry(self) -> None:
        while not self._ends.is_set():
            plugged = self._plugged
            ends = [self._board] if plugged is None else [self._board, plugged]
            with contextlib.suppress(OSError, ValueError):  # nobody holds the other side, or it was just pulled out
                for end in select.select(ends, [], [], 0.01)[0]:
                    data = os.read(end, 4096)
                    target = plugged if end == self._board else self._board
                    if target is not None:
                        os.write(target, data)


@pytest.fixture
def radio(tmp_path: Path) -> Iterator[UsbRadio]:
    made = UsbRadio(tmp_path / "radio")
    yield made
    made.close()


@pytest.mark.slow
def test_readings_come_and_acknowledgements_go_by_a_radio_on_usb(
    make_station: Callable[..., Any], radio: UsbRadio
) -> None:
    """Heard, committed, acknowledged within the node's window; pulled out, back under another name, heard again."""
    station = make_station(INGEST.format(port=radio.link))
    first_name = radio.plug()
    (node,) = station.register(1)
    station.start()
    ready = f'suat_bridge_ready{{port="{radio.link}"}}'
    station.wait_for(lambda: station.metrics().get(ready) == 1)
    late = 0
    for fcnt in range(1, 6):  # on a busy machine a downlink may be late for both windows: the node asks again
        heard_us = radio.hear(node.frame(fcnt, vwc=0.3, ack_from=1))
        station.wait_for(lambda: len(station.records()) == fcnt)  # noqa: B023
        sent = radio.note("start")
        assert (sent["sf"], sent["bw"], sent["dbm"]) in ((7, 125_000, 14), (10, 125_000, 14))
        wanted_us = RX1_US if sent["sf"] == 7 else RX2_US
        assert abs(sent["start"] - heard_us - wanted_us) < BUSY_US
        late += sent["sf"] == 10
        phy = bytes.fromhex(sent["phy"])
        assert phy[1:5] == node.dev_addr.to_bytes(4, "little")
        assert phy[8 + (phy[5] & 15)] == PORT_ACK
    assert late < 5
    assert {entry["value"] for entry in station.readings() if entry["channel"] == "moisture"} == {0.3}
    radio.unplug()
    station.wait_for(lambda: station.metrics().get(ready) == 0)
    held = os.openpty()  # takes the lowest free name
    assert radio.plug() != first_name
    for end in held:
        os.close(end)
    station.wait_for(lambda: station.metrics().get(ready) == 1, timeout_s=5.0)
    radio.hear(node.frame(6, ack_from=6))
    station.wait_for(lambda: len(station.records()) == 6)
    radio.note("start")
    station.stop()
