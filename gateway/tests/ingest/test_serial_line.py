"""Serial ports that come and go: real ptys, another name each time, pulled out in the middle of a frame."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import tty
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serial.tools.list_ports_common import ListPortInfo
from suat import serial_line
from suat.clock import LoopScheduler
from suat.errors import SuatError
from suat.ingest.base import Ingress
from suat.ingest.serial_bridge import SerialBridge, SerialBridgeTable
from suat.records import Uplink
from suat.serial_line import locate, open_port, port_fault
from suat_wire import bridge as wire


def plugged(*entries: tuple[str, int | None, int | None, str | None]) -> Callable[[], list[ListPortInfo]]:
    """What pyserial lists: (device, VID, PID, serial number)."""
    found = []
    for device, vid, pid, number in entries:
        info = ListPortInfo(device)
        info.vid, info.pid, info.serial_number = vid, pid, number
        found.append(info)
    return lambda: found


PICO = ("/dev/ttyACM3", 0x2E8A, 0x0005, "E6614103E7452D2A")
OTHER_PICO = ("/dev/ttyACM0", 0x2E8A, 0x0005, "E66141040355512F")
ADAPTER = ("/dev/ttyUSB0", 0x1A86, 0x7523, None)
UART = ("/dev/ttyAMA0", None, None, None)


@pytest.mark.parametrize("port", ["usb:2e8a:0005:E6614103E7452D2A", "usb:E6614103E7452D2A"])
def test_a_port_is_found_by_its_serial_number(port: str) -> None:
    assert locate(port, plugged(UART, OTHER_PICO, PICO, ADAPTER)) == "/dev/ttyACM3"


def test_a_port_is_found_by_its_kind_while_it_is_the_only_one() -> None:
    assert locate("usb:2E8A:0005", plugged(PICO, ADAPTER)) == "/dev/ttyACM3"
    with pytest.raises(SuatError, match="any of /dev/ttyACM0, /dev/ttyACM3; add the serial number"):
        locate("usb:2E8A:0005", plugged(PICO, OTHER_PICO))
    with pytest.raises(SuatError, match="usb:1a86:7523 is not plugged in"):
        locate("usb:1a86:7523", plugged(PICO, UART))


def test_a_path_is_taken_as_it_is() -> None:
    assert locate("/dev/serial/by-id/radio") == "/dev/serial/by-id/radio"


@pytest.mark.parametrize("port", ["ttyACM0", "usb:", "usb:2e8a", "usb:2e8a:00zz", "COM3", ""])
def test_what_is_no_port_is_refused_in_the_table(port: str) -> None:
    if port == "usb:2e8a":  # a serial number may look like anything
        SerialBridgeTable(kind="serial_bridge", port=port)
        return
    with pytest.raises(ValueError, match="is no port"):
        SerialBridgeTable(kind="serial_bridge", port=port)


def test_a_port_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("absent", "No such file or directory"), ("file", "Inappropriate ioctl|not configure")):
        with pytest.raises(SuatError, match=f"{name}: .*({reason})") as error:
            open_port(str(tmp_path / name))
        assert "\n" not in str(error.value)
    assert "absent is not there; plug it in" in str(port_fault(str(tmp_path / "absent")))
    master, slave = os.openpty()
    path = os.ttyname(slave)
    assert port_fault(path) is None
    first = open_port(path)
    with pytest.raises(SuatError, match="temporarily unavailable"):
        open_port(path)
    first.close()
    os.close(master)
    os.close(slave)


PHY = bytes(range(64, 94))


class Radio:
    """A bridge on a pty of its own: a new one is another plug-in, with another name."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(slave)
        os.close(slave)
        self.reader = wire.Reader()
        self.sequence = 0
        self.place: dict[str, int] = {}
        self._loop = loop
        loop.add_reader(self.master, self.readable)

    def readable(self) -> None:
        try:
            data = os.read(self.master, 4096)
        except OSError:  # nobody has opened it yet
            return
        for message in self.reader.feed(data):
            if message.kind == "hello":
                limits = {"low": 865_000_000, "high": 867_000_000, "dbm": 14, "queue": 4}
                self.say("caps", major=1, minor=0, boot=id(self) & 0xFFFFFFFF, **limits)
            elif message.kind == "config":
                self.place = {name: message.fields[name] for name in ("hz", "sf", "khz")}
                self.say("configured", **message.fields)
            elif message.kind == "ping":
                self.say("pong", host_us=message.fields["host_us"], tmst=time.monotonic_ns() // 1000 % 2**32)

    def say(self, kind: str, data: bytes = b"", **fields: int) -> None:
        self.sequence += 1
        os.write(self.master, wire.encode(kind, self.sequence, fields, data))

    def frame(self, phy: bytes) -> bytes:
        tmst = time.monotonic_ns() // 1000 % 2**32
        return wire.encode("received", 0, {"tmst": tmst, **self.place, "rssi": -90, "snr": 20, "whole": 1}, phy)

    def pull(self) -> None:
        self._loop.remove_reader(self.master)
        os.close(self.master)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, and Path opens more


async def unplug(times: int, link: Path, by_usb: bool, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Pull the radio out in the middle of a frame, `times` times; what became of it."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))  # it grows by itself: threads can then be counted
    scheduler = LoopScheduler(loop)
    uplinks: list[Uplink] = []
    here: list[Radio] = []
    monkeypatch.setattr(
        "serial.tools.list_ports.comports",
        lambda: plugged(UART, *((radio.path, 0x2E8A, 0x0005, "E6614103E7452D2A") for radio in here))(),
    )
    port = "usb:2e8a:0005:E6614103E7452D2A" if by_usb else str(link)
    source = SerialBridge(Ingress(scheduler, uplinks.append), SerialBridgeTable(kind="serial_bridge", port=port, dr=5))
    await source.start()
    chance = random.Random(14)
    names: set[str] = set()
    spare: list[Radio] = []
    slowest = 0.0
    open_before = tasks_before = threads_before = 0
    for number in range(times):
        radio = Radio(loop)
        names.add(radio.path)
        if not by_usb:
            link.unlink(missing_ok=True)
            link.symlink_to(radio.path)
        here.append(radio)
        began = time.monotonic()
        heard = len(uplinks)
        while len(uplinks) == heard:
            assert time.monotonic() - began < 5.0, f"not back after plug-in {number}"
            await asyncio.sleep(0.002)
            if radio.place:
                with_time = radio.frame(PHY + number.to_bytes(4, "big"))
                os.write(radio.master, with_time)
                await asyncio.sleep(0.01)
        slowest = max(slowest, time.monotonic() - began)
        assert uplinks[-1].phy == PHY + number.to_bytes(4, "big")
        frame = radio.frame(PHY)
        os.write(radio.master, frame[: chance.randrange(1, len(frame))])
        if chance.random() < 0.5:
            await asyncio.sleep(0.001)
        if len(spare) < 3:  # the kernel gives the lowest free name: hold some back, so that the next is another
            spare.append(Radio(loop))
        else:
            spare.pop(chance.randrange(3)).pull()
        here.clear()
        radio.pull()
        if number == 8:
            await settle(source)
            open_before = descriptors() - len(spare)
            tasks_before, threads_before = len(asyncio.all_tasks()), threading.active_count()
    await settle(source)
    open_after = descriptors() - len(spare)
    found = {
        "times": times,
        "names": len(names),
        "slowest_s": round(slowest, 3),
        "leaked": (
            open_after - open_before,
            len(asyncio.all_tasks()) - tasks_before,
            threading.active_count() - threads_before,
        ),
        "frames": len(uplinks),
    }
    for radio in spare:
        radio.pull()
    await source.stop()
    await asyncio.to_thread(scheduler.close)
    return found


async def settle(source: SerialBridge) -> None:
    """Wait until the port that was pulled out is closed."""
    while source._port._transport is not None or source._port._opening:  # type: ignore[union-attr]
        await asyncio.sleep(0.002)


TIMES = 25


@pytest.mark.parametrize("by_usb", [True, False], ids=["usb", "link"])
async def test_a_radio_unplugged_within_a_frame_is_back_at_once(
    by_usb: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """Promise 14. The full run, 1,000 times: SUAT_UNPLUG=1000 pytest gateway/tests/ingest/test_serial_line.py"""
    times = int(os.environ.get("SUAT_UNPLUG", TIMES))
    found = await unplug(times, tmp_path / "radio", by_usb, monkeypatch)
    for name, value in found.items():
        record_property(name, str(value))
    print(found)
    assert found["slowest_s"] < 5.0
    assert found["names"] > 1
    assert found["leaked"] == (0, 0, 0), "descriptors, tasks, threads"
    assert found["frames"] >= times


async def test_a_port_that_is_slow_to_open_is_opened_once_though_it_was_stopped_and_started_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the second attempt finds the port taken, by ourselves, for ever."""
    monkeypatch.setattr(serial_line, "STOP_S", 0.05)
    other_end, near = os.openpty()
    tty.setraw(near)
    opened: list[str] = []
    attempts: list[float] = []

    def opener() -> Any:
        attempts.append(time.monotonic())
        time.sleep(0.3)
        return open_port(os.ttyname(near))

    scheduler = LoopScheduler(asyncio.get_running_loop())
    line = serial_line.Line(scheduler, "port", opener, lambda: opened.append("open"), lambda _data: None, lambda: None)
    line.start()
    await asyncio.sleep(0.05)
    await line.stop()
    line.start()
    await asyncio.sleep(1.5)
    assert (len(attempts), opened) == (1, ["open"])
    await line.stop()
    await asyncio.to_thread(scheduler.close)
    os.close(other_end)
    os.close(near)
