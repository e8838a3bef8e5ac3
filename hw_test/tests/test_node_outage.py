"""Fourteen days without the gateway's radio, and fourteen with a fifth of all frames lost: the real station's journal
holds every sample once, each at its own time.

A water meter that counts a litre a second tells in each sample when it was taken.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from suat_sim.air import AirSettings, Frame
from suat_sim.node_process import NodeSpec
from suat_sim.station_bench import StationBench

START_US = 1_767_225_600_000_000  # 2026-01-01
DAY_S = 86400
HOUR_S = 3600
SAMPLE_TIME_S = 2.0
LITRE_S = 1.0  # the litre that is not full yet
AIRTIME = 0.01
STEP_S = 6 * HOUR_S

Record = Callable[[str, object], None]


class Clockwork:
    """A litre a second."""

    def at(self, t: float) -> dict[str, float | None]:
        return {"water.volume": t - START_US / 1e6, "node.battery": 3.7, "probe1.count": 0.5}


def node(name: str, board: str, pins: dict[str, int], ppm: int, region_m: float) -> NodeSpec:
    flow = {"kind": "flow", "source": "pcf8583", "sda": pins["sda"], "scl": pins["scl"], "pulses_per_l": 1.0}
    probe = {"kind": "capacitive", "at": "probe1", "adc": pins["adc"]}
    config = {
        "board": board,
        "kind": "soil",
        "interval_s": 900,
        "sensors": [probe, flow, {"kind": "battery", "at": "node"}],
    }
    return NodeSpec(name, config, Clockwork(), x_m=region_m, ppm=ppm)


def nodes() -> list[NodeSpec]:
    return [
        node("pico", "pico_waveshare", {"sda": 4, "scl": 5, "adc": 27}, 30, 300.0),
        node("heltec", "heltec_v3", {"sda": 41, "scl": 42, "adc": 4}, -30, 500.0),
    ]


class Ledger:
    """The air time of each node."""

    def __init__(self, bench: StationBench) -> None:
        self.frames: dict[str, list[tuple[float, float]]] = defaultdict(list)
        bench.fleet.witness = self.note

    def note(self, frame: Frame) -> None:
        self.frames[frame.sender].append((frame.start_us / 1e6, (frame.end_us - frame.start_us) / 1e6))

    def share(self, name: str, since: float = 0.0) -> float:
        """Mean share of time on the air since an instant."""
        sent = [(start, air) for start, air in self.frames[name] if start >= since]
        return sum(air for _, air in sent) / (sent[-1][0] - since)

    def worst_hour(self, name: str) -> float:
        """The largest share of time on the air in any hour."""
        starts = [start for start, _ in self.frames[name]]
        sums = [0.0, *accumulate(air for _, air in self.frames[name])]
        return max(
            (sums[bisect_right(starts, start + HOUR_S)] - sums[index]) / HOUR_S for index, start in enumerate(starts)
        )


def judged(bench: StationBench, name: str, until_s: float) -> dict[str, Any]:
    """Of the samples taken before `until_s`: how many there are, which are missing, how far their times are off."""
    held = bench.held(name)
    off = {}
    for record, (taken, readings) in held.items():
        if ("water", "volume") in readings:
            off[record] = taken - (START_US / 1e6 + readings["water", "volume"])
    due = [record for record, (taken, _) in held.items() if taken < START_US / 1e6 + until_s]
    newest = max(due)
    return {
        "samples": len(off.keys() & set(due)),
        "missing": sorted(set(range(newest)) - held.keys()),
        "off_s": (min(off.values()), max(off.values())),
    }


def settle(bench: StationBench, until_s: float, at_most_s: float) -> float:
    """Run until every sample taken before `until_s` has come in; the hours that took."""
    now = until_s
    wanted = {spec.spec.name: int(until_s // 900) - 1 for spec in bench.fleet.nodes}
    while now < until_s + at_most_s:
        now += STEP_S
        bench.run(now)
        found = {name: judged(bench, name, until_s) for name in wanted}
        if all(not one["missing"] and one["samples"] >= wanted[name] for name, one in found.items()):
            break
    return (now - until_s) / HOUR_S


def check(bench: StationBench, ledger: Ledger, until_s: float, record_property: Record, title: str) -> None:
    assert {incident.kind for incident in bench.fleet.incidents} == set()
    for name in bench.registrations:
        found = judged(bench, name, until_s)
        figures = {
            "samples": found["samples"],
            "lost": len(found["missing"]),
            "airtime_mean_percent": round(100 * ledger.share(name), 3),
            "airtime_worst_hour_percent": round(100 * ledger.worst_hour(name), 3),
            "sample_time_s": [round(value, 2) for value in found["off_s"]],
        }
        for figure, value in figures.items():
            record_property(f"{title} {name} {figure}", value)
        print(f"{title}, {name}: " + ", ".join(f"{figure} {value}" for figure, value in figures.items()))
        assert found["missing"] == [], f"{name}: {len(found['missing'])} records never came"
        assert found["samples"] >= until_s // 900 - 1
        assert found["off_s"][0] >= -SAMPLE_TIME_S and found["off_s"][1] <= SAMPLE_TIME_S + LITRE_S
        assert ledger.worst_hour(name) <= AIRTIME


@pytest.mark.slow
def test_fourteen_days_without_a_gateway_lose_nothing(tmp_path: Path, record_property: Record) -> None:
    air = AirSettings(loss_db_km=110.0, exponent=2.6, shadow_db=0.0, loss=0.01)
    with StationBench(tmp_path, nodes(), start_us=START_US, air=air) as bench:
        ledger = Ledger(bench)
        bench.run(DAY_S)
        bench.radio(False)
        bench.run(15 * DAY_S)
        bench.radio(True)
        hours = settle(bench, 15 * DAY_S, 14 * DAY_S)
        record_property("outage: hours until all had been delivered", hours)
        print(f"after 14 days without radio all was delivered within {hours} h")
        check(bench, ledger, 15 * DAY_S, record_property, "outage")


@pytest.mark.slow
def test_a_fifth_of_all_frames_lost_loses_no_sample(tmp_path: Path, record_property: Record) -> None:
    air = AirSettings(loss_db_km=110.0, exponent=2.6, shadow_db=0.0, loss=0.2)
    with StationBench(tmp_path, nodes(), start_us=START_US, air=air) as bench:
        ledger = Ledger(bench)
        bench.run(14 * DAY_S)
        hours = settle(bench, 14 * DAY_S, 2 * DAY_S)
        counters = bench.fleet.counters()
        share = counters["lost_random"] / counters["sent"]
        record_property("loss: share of uplinks lost", round(share, 3))
        print(f"{100 * share:.1f} % of {counters['sent']} uplinks were lost")
        assert 0.17 < share < 0.23
        assert hours <= 12
        check(bench, ledger, 14 * DAY_S, record_property, "a fifth lost")
