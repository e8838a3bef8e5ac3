"""Sleep, wake by pin and a battery that runs flat, with the firmware's own `power` and with the whole node."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat_sim.demo import Demo
from suat_sim.fleet import Fleet
from suat_sim.node_process import NodeSpec
from suat_sim.scenario import demo_station
from suat_sim.supply import Supply

PROGRAM = str(Path(__file__).with_name("sim_power_program.py"))
PWRON, DEEPSLEEP = 1, 4  # machine's constants
DAY_S, HOUR_S = 86400.0, 3600.0
KEYS = {"abp": {"dev_addr": "01020304", "nwk_skey": "00" * 16, "app_skey": "11" * 16}}
PIN = 4
FLOAT = {"kind": "switch", "at": "water", "pin": PIN, "wake": True}


class Float:
    """A float that closes its contact (0 at the pin) at `at_s`."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s

    def at(self, t_unix: float) -> dict[str, float | None]:
        return {"water.float": 1.0 if t_unix >= self.at_s else 0.0}


def asleep(board: str, seconds: int, until_s: float, **more: Any) -> tuple[Fleet, list[list[str]]]:
    """Run the sleeping program; the fleet (closed) and the words of its notes."""
    plan = {"board": board, "seconds": seconds, "wake": more.pop("wake", []), "driven": more.pop("driven", [])}
    config = {"board": board, "kind": "water", "sensors": [FLOAT], **KEYS}
    spec = NodeSpec(
        "n",
        config,
        Float(more.pop("closes_s", 1e12)),
        main="sim_power_program",
        programs=(PROGRAM,),
        files={"plan.json": json.dumps(plan).encode()},
        **more,
    )
    with Fleet(VirtualScheduler(0), [spec]) as fleet:
        fleet.run(until_s)
        notes = (fleet.nodes[0].flash / "notes").read_text().splitlines()
    return fleet, [line.split() for line in notes]


@pytest.mark.parametrize("seconds", [8, 3600, 2 * 86400])
def test_no_sleep_of_an_rp2040_is_long_enough_for_its_watchdog_to_lock_it_up(seconds: int) -> None:
    """micropython#17228: the simulated chip locks up when the watchdog expires in lightsleep, and the run fails."""
    fleet, notes = asleep("pico_waveshare", seconds, 3.5 * seconds)
    assert fleet.incidents == []
    at = [int(line[2 if line[0] == "start" else 1]) for line in notes]
    assert [after - before for before, after in itertools.pairwise(at)] == pytest.approx([seconds] * 3, abs=1)


def test_an_esp32_wakes_by_time_with_what_was_kept() -> None:
    fleet, notes = asleep("heltec_v3", 5 * 86400, 11 * DAY_S)
    assert fleet.incidents == []
    assert [(line[1], line[3], line[4]) for line in notes] == [("1", "0", "0"), ("4", "0", "4"), ("4", "0", "4")]


@pytest.mark.parametrize("board", ["heltec_v3", "pico_waveshare"])
def test_a_contact_that_closes_wakes_the_node_before_its_time(board: str) -> None:
    fleet, notes = asleep(board, 3600, 3000, wake=[[PIN, 0]], closes_s=1000)
    assert fleet.incidents == []
    begin, woken = notes[0], notes[1]
    by_pin = woken[3] if woken[0] == "start" else woken[2]
    at = int(woken[2 if woken[0] == "start" else 1]) - int(begin[2])
    assert by_pin == "1"
    assert 1000 <= at + 1 <= 1008
    assert len(notes) == 2  # closed for good: at its level, it is not armed again and does not keep the node awake


def test_every_driven_pin_keeps_its_level_in_deep_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vext off (1 on a Heltec), a sensor's supply off; NSS high, or the radio would wake."""
    _, notes = asleep("heltec_v3", 900, 2000, driven=[[36, 1], [7, 0]])
    assert len(notes) == 3  # the simulated pins were let go and driven again in each life without a fault


# -- a battery ----------------------------------------------------------------------------------------------------


class Field(Demo):
    """The demo with one soil node on a battery that falls and rises."""

    def __init__(self, folder: Path, days: float, volts: Callable[[float], float], supply: Supply, **more: Any) -> None:
        self.more, self.supply = more, supply
        self.world = SimpleNamespace(at=lambda t: {"node.battery": volts(t - self.start_us / 1e6), "probe1.count": 0.5})
        super().__init__({**demo_station(1, 0, days=60), "days": days}, folder, seed=3)
        self.sent: list[float] = []
        air = self.fleet._frame

        def noted(node: Any, fields: tuple[Any, ...], payload: bytes) -> None:
            self.sent.append(fields[0] / 1e6)
            air(node, fields, payload)

        for node in self.fleet.nodes:
            node.on_frame = noted

    def _pasture(self) -> Any:
        return SimpleNamespace(nodes={node["name"]: self.world for node in self.scenario["nodes"]})

    def _node(self, node: Mapping[str, Any], seed: int, interval_s: int | None) -> NodeSpec:
        spec = super()._node(node, seed, interval_s)
        sensors = [{"kind": "capacitive", "at": "probe1", "adc": 2, "power": 3}, {"kind": "battery"}]
        config = {**spec.config, "board": "heltec_v3", "sensors": sensors, **self.more}
        return replace(spec, config=config, supply=self.supply, x_m=200.0, y_m=0.0)

    def sampled(self) -> list[float]:
        """When the station's samples were taken, seconds since the start; two records of one sample are one."""
        registration = next(iter(self.station.reader.devices())).registration
        times = sorted((row.time_us - self.start_us) / 1e6 for row in self.station.reader.samples(registration))
        return [t for before, t in itertools.pairwise([-DAY_S, *times]) if t - before > 1]


def course(*points: tuple[float, float]) -> Callable[[float], float]:
    """Straight lines between (day, volts)."""

    def volts(t: float) -> float:
        day = t / DAY_S
        for (d0, v0), (d1, v1) in itertools.pairwise(points):
            if day <= d1:
                return v0 + (v1 - v0) * max(0.0, day - d0) / (d1 - d0)
        return points[-1][1]

    return volts


LOW, FLOOR, DEAD = 3.5, 3.3, 2.9


@pytest.mark.slow
def test_a_solar_node_runs_flat_and_comes_back_by_itself_with_every_sample(tmp_path: Path) -> None:
    """Meshtastic#1470. Dark weeks: low on day 5, at the floor on day 7, dead on day 10; charged from day 14 on."""
    volts = course((0, 3.9), (2, 3.9), (10, 2.9), (12, 2.7), (14, 2.7), (18, 3.9), (24, 3.9))
    settings = {"battery_low": 3500, "battery_floor": 3300}
    with Field(tmp_path, 24, volts, Supply(brownout_v=DEAD, restart_v=3.1), settings=settings) as field:
        field.run()
        sampled, sent = field.sampled(), field.sent
        incidents = [(incident.kind, incident.at_us / 1e6) for incident in field.fleet.incidents]
    flat = next(t for t in range(0, 24 * 86400, 60) if volts(t) < DEAD)
    back = next(t for t in range(flat, 24 * 86400, 60) if volts(t) >= 3.1)
    assert [kind for kind, _ in incidents] == ["power"]
    assert incidents[0][1] == pytest.approx(flat, abs=60)

    def at(level: float, after: float = 0.0) -> float:
        return next(t for t in range(int(after), 24 * 86400, 60) if (volts(t) < level) == (after == 0.0))

    low_at, floor_at = at(LOW), at(FLOOR)
    again_at = at(FLOOR + 0.1, after=back)  # with the margin of 100 mV
    well_at = at(LOW * 1.03, after=back)  # 3 % of 3.5 V

    gaps = [(a, b - a) for a, b in itertools.pairwise(sampled)]
    assert all(gap == pytest.approx(900, abs=4) for t, gap in gaps if 2 * HOUR_S < t < low_at - 900)
    stretched = [gap for t, gap in gaps if low_at + 2 * HOUR_S < t < flat - 2 * HOUR_S]
    assert len(stretched) > 100
    assert all(gap == pytest.approx(3600, abs=4) for gap in stretched)
    assert all(gap == pytest.approx(900, abs=4) for t, gap in gaps if t > well_at + 2 * HOUR_S)

    assert [t for t in sent if floor_at + 2 * HOUR_S < t < again_at - 300] == []
    assert any(t < floor_at for t in sent)
    assert any(again_at - 300 < t < again_at + 3 * HOUR_S for t in sent)

    kept = [t for t in sampled if floor_at + 2 * HOUR_S < t < flat]  # taken while nothing could be sent
    assert len(kept) >= (flat - floor_at) / 3600 - 4
    assert not [t for t in sampled if flat < t < back]
    assert [t for t in sampled if back < t < back + 2 * HOUR_S]


def test_a_battery_that_breaks_down_under_each_frame_is_given_time_and_loses_nothing(tmp_path: Path) -> None:
    """3.6 V at rest, 1 V less while it sends: a cold or passivated cell. On day 2 it warms up and bears the load."""
    volts = course((0, 3.6), (2, 3.6), (2.1, 4.0), (4, 4.0))
    with Field(tmp_path, 4, volts, Supply(ohm=6.0)) as field:
        field.run()
        sampled = field.sampled()
        resets = [incident.at_us / 1e6 for incident in field.fleet.incidents]
        assert {incident.kind for incident in field.fleet.incidents} == {"power"}
        state = field.fleet.nodes[0].flash / "suat"
        generation = max(int.from_bytes((state / name).read_bytes()[5:9], "little") for name in ("state.0", "state.1"))
    assert 10 < len(resets) < 25  # not one every few seconds: two days of rests that grow to 256 minutes
    assert resets[-1] - resets[-2] == pytest.approx(256 * 60, rel=0.1)
    assert generation < 4 * len(resets) + 60
    healthy = [t for t in sampled if t > 2.6 * DAY_S]
    assert len(healthy) == pytest.approx(1.4 * 96, abs=3)  # it came back by itself
    assert [t for t in sampled if t < 2 * DAY_S]  # with what it had measured in between
