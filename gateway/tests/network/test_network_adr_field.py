"""ADR over the air: real node programs at 0.3 to 16 km, simulated radio, a real station; with it and without.

The path loss is that of the demo's open steppe; every node begins at DR3 (SF9) and full power, and is heard in each
case. `pytest -s` prints the figures.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat_sim.air import AirSettings, Frame
from suat_sim.node_process import NodeSpec
from suat_sim.station_bench import StationBench

START_US = 1_767_225_600_000_000  # 2026-01-01
DAY_S = 86_400
DAYS = 2.5
PLACES_KM = {"near": 0.3, "village": 2.0, "hill": 6.0, "pass": 10.0, "far": 16.0}


class Field:
    def at(self, _t: float) -> dict[str, float | None]:
        return {"node.battery": 3.7, "probe1.count": 0.5}


def node(name: str, km: float) -> NodeSpec:
    sensors = [{"kind": "capacitive", "at": "probe1", "adc": 27}, {"kind": "battery", "at": "node"}]
    config = {"board": "pico_waveshare", "kind": "soil", "interval_s": 900, "sensors": sensors}
    return NodeSpec(name, config, Field(), x_m=1000.0 * km)


class Run:
    """What each node sent, and what came of it."""

    def __init__(self, folder: Path, adr: bool, fading_db: float, loss: float) -> None:
        air = AirSettings(loss_db_km=110.0, exponent=2.6, shadow_db=0.0, fading_db=fading_db, loss=loss)
        nodes = [node(name, km) for name, km in PLACES_KM.items()]
        self.frames: dict[str, list[Frame]] = defaultdict(list)
        with StationBench(folder, nodes, start_us=START_US, air=air, network={"adr": adr}) as bench:
            bench.fleet.witness = lambda frame: self.frames[frame.sender].append(frame)
            bench.run(DAYS * DAY_S)
            counters = bench.fleet.counters()
            self.lost = counters["lost"] / counters["sent"]
            self.missing = {
                name: len(set(range(max(bench.held(name)) + 1)) - bench.held(name).keys()) for name in PLACES_KM
            }
            self.faults = bench.fleet.incidents

    def settled(self, name: str) -> list[Frame]:
        """The frames of the second half."""
        return [frame for frame in self.frames[name] if frame.start_us > DAYS * DAY_S * 5e5]

    def figures(self, name: str) -> dict[str, float]:
        frames = self.settled(name)
        return {
            "sf": sum(frame.sf for frame in frames) / len(frames),
            "dbm": sum(frame.dbm for frame in frames) / len(frames),
            "air_s": sum(frame.end_us - frame.start_us for frame in frames) / 1e6,
        }

    def settings(self, name: str) -> list[tuple[int, float]]:
        """(SF, dBm) in the order in which they were used."""
        return [key for key, _ in itertools.groupby((frame.sf, frame.dbm) for frame in self.frames[name])]


@pytest.mark.slow
@pytest.mark.parametrize(("fading_db", "loss"), [(1.0, 0.01), (3.0, 0.05)])
def test_near_nodes_get_fast_and_quiet_and_nothing_is_lost_by_it(
    tmp_path: Path, record_property: Callable[[str, Any], None], fading_db: float, loss: float
) -> None:
    off, on = (Run(tmp_path / str(adr), adr, fading_db, loss) for adr in (False, True))
    for name, km in PLACES_KM.items():
        before, after = off.figures(name), on.figures(name)
        print(
            f"{name}, {km} km: SF {before['sf']:.2f} -> {after['sf']:.2f},"
            f" {before['dbm']:.0f} -> {after['dbm']:.1f} dBm,"
            f" air time {before['air_s']:.1f} -> {after['air_s']:.1f} s; {on.settings(name)}"
        )
    total = [sum(run.figures(name)["air_s"] for name in PLACES_KM) for run in (off, on)]
    print(f"lost {100 * off.lost:.1f} -> {100 * on.lost:.1f} %; air time of all {total[0]:.0f} -> {total[1]:.0f} s")
    record_property(f"ADR, fading {fading_db} dB: air time saved %", round(100 - 100 * total[1] / total[0]))
    record_property(f"ADR, fading {fading_db} dB: frames lost %", (round(100 * off.lost, 1), round(100 * on.lost, 1)))
    assert not off.faults and not on.faults
    assert set(on.missing.values()) == {0}
    assert [round(on.figures(name)["sf"]) for name in ("near", "village", "hill", "far")] == [7, 7, 7, 9]
    assert on.figures("near")["dbm"] < on.figures("village")["dbm"] < on.figures("hill")["dbm"] + 1
    assert on.lost <= off.lost + 0.02
    assert total[1] <= 0.65 * total[0]
    for name in PLACES_KM:
        used = on.settings(name)
        assert len(used) <= 8
        assert len(set(used)) >= len(used) - 2, f"{name} goes to and fro: {used}"
