"""A year of one node, down to the SPI bus of its radio: 35,040 wakes, 29 turns of the tick counter."""

import itertools
import math
import resource
import time
from collections.abc import Callable

import pytest
from suat.clock import VirtualScheduler
from suat_sim.air import AirSettings
from suat_sim.fleet import Fleet, GatewaySpec
from suat_sim.network import Device, Network
from suat_sim.node_process import NodeSpec

START_US = 1_767_225_600_000_000  # 2026-01-01
DAY_S = 86400
INTERVAL_S = 900
TICKS_WRAP_S = 2**30 / 1000
SENSORS = {
    "pico_waveshare": [
        {"kind": "capacitive", "at": "probe1", "adc": 27, "power": 22},
        {"kind": "ds18b20", "at": "node", "pin": 6, "power": 22},
        {"kind": "battery", "at": "node"},
    ],
    "heltec_v3": [
        {"kind": "capacitive", "at": "probe1", "adc": 4, "power": 21},
        {"kind": "ds18b20", "at": "node", "pin": 2, "power": 21},
        {"kind": "battery", "at": "node"},
    ],
}


class Seasons:
    """Summer and winter, day and night."""

    def at(self, t: float) -> dict[str, float | None]:
        year, day = math.sin(2 * math.pi * t / (365.25 * DAY_S)), math.sin(2 * math.pi * t / DAY_S)
        return {"probe1.count": 0.5 + 0.2 * year, "node.air_temperature": 5 + 20 * year + 8 * day, "node.battery": 3.7}


def cpu_s() -> float:
    """Of this process and of those that it has seen end."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


@pytest.mark.slow
@pytest.mark.parametrize(("board", "days"), [("pico_waveshare", 365), ("heltec_v3", 60)])
def test_a_year_passes_in_two_minutes_and_nothing_is_lost_or_repeated(
    board: str, days: int, record_property: Callable[[str, object], None]
) -> None:
    """`Network` raises when a DevNonce, a frame counter or a record number comes to mean two things."""
    device = Device(f"year on {board}")
    config = {
        "board": board,
        "kind": "soil",
        "interval_s": INTERVAL_S,
        "otaa": device.otaa(),
        "sensors": SENSORS[board],
    }
    node = NodeSpec("node", config, Seasons(), x_m=400.0, ppm=20)
    began, used = time.monotonic(), cpu_s()
    with Fleet(
        VirtualScheduler(START_US),
        [node],
        gateways=(GatewaySpec(keepalive_s=3600.0),),
        air=AirSettings(loss=0.02),
    ) as fleet:
        Network(fleet, [device])
        fleet.run(days * DAY_S)
        sent = fleet.counters()["sent"]
        assert fleet.incidents == []
    used, wall = cpu_s() - used, time.monotonic() - began
    session = next(session for session in device.sessions if session.fcnts)
    figures = {
        "days": days,
        "cpu_s": round(used, 1),
        "wall_s": round(wall, 1),
        "samples": len(device.held),
        "frames": sent,
        "joins": len(device.sessions),
        "tick_wraps": int(days * DAY_S / TICKS_WRAP_S) if board == "pico_waveshare" else 0,
    }
    for name, figure in figures.items():
        record_property(f"{board}_{name}", figure)
    print(f"{board}: " + ", ".join(f"{name} {figure}" for name, figure in figures.items()))

    lately = 8  # on their way, or to be asked for again
    assert len(device.held) >= days * DAY_S / INTERVAL_S - lately
    assert device.missing(device.newest - lately) == []
    assert len(device.sessions) <= 3, "it lost its session"
    assert [other.next for other in device.sessions if other.fcnts] == [session.next]
    times = sorted(taken for taken, _ in device.held.values())
    steps = [after - before for before, after in itertools.pairwise(times)]
    odd = [step for step in steps if step > 2 and abs(step - INTERVAL_S) > 4]  # health is a second record of its time
    assert len(odd) <= 4, f"taken at odd times: {odd}"
    assert used < 120 * days / 365 + 20 * (days < 365)
