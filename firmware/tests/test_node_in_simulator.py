"""The node as it is flashed, in the simulator: real interpreter, model of the SX1262, packet forwarder, lossy air.

The network server is `suat_sim.network`, which raises when a nonce, a counter or a record means two things.
"""

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from suat import clock
from suat_sim import air, node_process
from suat_sim import fleet as fleet_module
from suat_sim.network import Device, Network
from suat_wire import payload

START_US = 1_767_225_600_000_000  # 2026-01-01
DAY_S = 86400


class World:
    """A day that repeats: smooth courses of everything that a sensor can meet."""

    def at(self, t: float) -> dict[str, float | None]:
        swing = math.sin(2 * math.pi * t / DAY_S)
        out: dict[str, float | None] = {
            "node.battery": 3.7 + 0.2 * swing,
            "node.air_temperature": 5 + 12 * swing,
            "water.depth": 1.5 + 0.4 * swing,
            "water.distance": 1.2 - 0.4 * swing,
            "water.temperature": 8 + 3 * swing,
            "water.volume": t - START_US / 1e6,  # a litre a second: the meter shows when it was read
        }
        for i in range(1, 5):
            out[f"probe{i}.vwc"] = 0.2 + 0.02 * i + 0.05 * swing
            out[f"probe{i}.temperature"] = 6 + i * swing
            out[f"probe{i}.ec"] = 0.4 + 0.01 * i
            out[f"probe{i}.count"] = 0.5 + 0.05 * swing
        return out


# Pins that the radio of none of the ESP32 boards uses.
SOIL: list[dict[str, Any]] = [
    {"kind": "rs485", "at": "probe1", "uart": 1, "tx": 43, "rx": 44, "address": 1, "power": 21},
    {"kind": "rs485", "at": "probe2", "uart": 1, "tx": 43, "rx": 44, "address": 2, "power": 21},
    {"kind": "capacitive", "at": "probe3", "adc": 4, "power": 21},
    {"kind": "ds18b20", "at": "node", "pin": 2, "power": 21},
    {"kind": "battery", "at": "node"},
]
WATER: list[dict[str, Any]] = [
    {"kind": "pressure", "at": "water", "adc": 27, "power": 22},
    {"kind": "ultrasonic", "at": "water", "uart": 1, "tx": 4, "rx": 5, "power": 22},
    {"kind": "ds18b20", "at": "water", "pin": 6, "power": 22},
    {"kind": "flow", "at": "water", "source": "pcf8583", "sda": 8, "scl": 9, "pulses_per_l": 1.0},
    {"kind": "battery", "at": "node"},
]


def spec(device: Device, board: str, sensors: list[dict[str, Any]], **more: Any) -> Any:
    config = {
        "board": board,
        "kind": "water" if sensors is WATER else "soil",
        "interval_s": 900,
        "otaa": device.otaa(),
        "sensors": sensors,
    }
    return node_process.NodeSpec(device.dev_eui.hex(), config, World(), x_m=400.0, **more)


def readings_of(device: Device) -> list[tuple[float, dict[tuple[str, str], float]]]:
    return [(taken, payload.unpack(body)) for taken, body in device.held.values()]


RESOLUTION = {
    "vwc": 0.0011, "temperature": 0.11, "ec": 0.0011, "count": 0.002, "battery": 0.04, "air_temperature": 0.07,
    "depth": 0.01, "distance": 0.0011, "volume": 3.0,  # 2 s, and the litre that is not full yet
}  # fmt: skip


def check_values(device: Device) -> int:
    """Every reading is what the world was like at its own time; how many there were."""
    count = 0
    for taken, readings in readings_of(device):
        truth = World().at(taken)
        for (group, field), value in readings.items():
            if group == "health" or field == "events":
                continue
            want = truth[f"{group}.{field}"]
            assert field != "fault" and want is not None, (group, field, value)
            assert abs(value - want) <= RESOLUTION[field] + 0.003, (group, field, taken, value, want)
            count += 1
    return count


BOARDS: tuple[tuple[str, list[dict[str, Any]], bool], ...] = (
    ("heltec_v3", SOIL, False),
    ("pico_waveshare", WATER, True),
    ("lilygo_t3s3", SOIL, True),
    ("xiao_s3_wio", SOIL, False),
)


@pytest.mark.parametrize(("board", "sensors", "rx2"), BOARDS, ids=[case[0] for case in BOARDS])
def test_a_day_of_each_board(board: str, sensors: list[dict[str, Any]], rx2: bool) -> None:
    device = Device(board)
    with fleet_module.Fleet(
        clock.VirtualScheduler(START_US), [spec(device, board, sensors, ppm=20)], seed=3, air=air.AirSettings(loss=0.1)
    ) as fleet:
        Network(fleet, [device], rx2=rx2)
        fleet.run(DAY_S + 60)
        assert fleet.incidents == []
    assert len(device.nonces) <= 8
    newest = max(device.held)
    assert newest >= 95
    missing = [record for record in range(newest - 4) if record not in device.held]
    assert missing == []
    assert device.copies < 1.2 * len(device.held)
    assert check_values(device) > 95 * (len(sensors) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["heltec_v3", "pico_waveshare"])
def test_power_cuts_repeat_nothing(board: str) -> None:
    """Forty cuts in two days, at odd moments; the network raises where a nonce, counter or record means two things."""
    device = Device("cuts" + board)
    cuts = tuple((int(i * 4320 * 1e6 + (i * 7919 % 1200) * 1e6 + 137), 30_000_000) for i in range(1, 40))
    sensors = SOIL if board == "heltec_v3" else WATER
    with fleet_module.Fleet(
        clock.VirtualScheduler(START_US), [spec(device, board, sensors, power_cuts=cuts)], seed=5
    ) as fleet:
        Network(fleet, [device])
        fleet.run(2 * DAY_S)
        assert {incident.kind for incident in fleet.incidents} <= {"power"}
    assert len(device.held) > 150


class FadingNetwork(Network):
    """Hears nothing between two moments, s from the start."""

    def __init__(self, fleet: Any, devices: list[Device], silent: tuple[float, float]) -> None:
        self.silent = silent
        super().__init__(fleet, devices)

    def frame(self, phy: bytes, rxpk: dict[str, Any], address: Any) -> None:
        if not self.silent[0] <= self.fleet.now_us() / 1e6 < self.silent[1]:
            super().frame(phy, rxpk, address)


def lateness_s(device: Device) -> list[float]:
    """By how much later than it says each reading was taken."""
    late = []
    for taken, body in device.held.values():
        volume = payload.unpack(body).get(("water", "volume"))
        if volume is not None:
            late.append(START_US / 1e6 + volume - taken)
    return late


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [40, -40])
def test_three_days_of_silence_at_40_ppm(ppm: int, record_property: Callable[[str, object], None]) -> None:
    device = Device(f"silence{ppm}")
    with fleet_module.Fleet(
        clock.VirtualScheduler(START_US), [spec(device, "pico_waveshare", WATER, ppm=ppm)], seed=11
    ) as fleet:
        FadingNetwork(fleet, [device], (DAY_S, 4 * DAY_S))
        fleet.run(4.8 * DAY_S)
        assert fleet.incidents == []
    newest = max(device.held)
    assert newest >= 4.7 * 96 and [record for record in range(newest - 3) if record not in device.held] == []
    late = lateness_s(device)
    usual = statistics.median(late)  # a meter is read some time after the others, and shows whole litres
    worst = max(abs(seconds - usual) for seconds in late)
    record_property("worst_s", worst)
    record_property("copies", device.copies)
    assert len(late) > 4.3 * 96 and abs(usual) < 5 and worst <= 2, (usual, worst)


@pytest.mark.slow
def test_a_fifth_of_all_frames_lost(record_property: Callable[[str, object], None]) -> None:
    device = Device("fifth")
    with fleet_module.Fleet(
        clock.VirtualScheduler(START_US),
        [spec(device, "pico_waveshare", WATER, ppm=20)],
        seed=12,
        air=air.AirSettings(loss=0.2),
    ) as fleet:
        FadingNetwork(fleet, [device], (DAY_S, 2 * DAY_S))
        fleet.run(4 * DAY_S)
        assert fleet.incidents == []
    newest = max(device.held)
    assert newest >= 3.9 * 96 and [record for record in range(newest - 8) if record not in device.held] == []
    twice = device.copies - len(device.held)
    record_property("readings", len(device.held))
    record_property("sent_again_although_held", twice)
    assert twice < len(device.held) / 10
