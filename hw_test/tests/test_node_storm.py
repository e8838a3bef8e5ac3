"""A hundred nodes get their power at the same moment: how they come back, within TR007's limits, next to a fixed retry.

TR007 (Developing LoRaWAN devices, 4.8): at most 36 s of join requests in the first hour after power-on, 36 s in the
next ten, 8.7 s in each day after that.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from suat_sim.air import AirSettings, Frame
from suat_sim.node_process import NodeSpec
from suat_sim.station_bench import StationBench

START_US = 1_767_225_600_000_000  # 2026-01-01
NODES = 100
HOUR_S = 3600.0
LIMITS = ((0.0, HOUR_S, 36.0), (HOUR_S, 11 * HOUR_S, 36.0))  # from, to, air time [s since power-on]
AIR = AirSettings(loss_db_km=110.0, exponent=2.6, shadow_db=4.0)
JOIN_REQUEST = 0
COMPARED_S = 1800.0  # so long the fixed retry is looked at
LONGEST_S = 11 * HOUR_S

Record = Callable[[str, object], None]


class Steady:
    """An environment in which nothing changes."""

    def at(self, t: float) -> dict[str, float | None]:
        return {"node.battery": 3.7, "probe1.count": 0.5}


def herd(variant: bool) -> list[NodeSpec]:
    """Nodes up to 1.2 km around the gateway, their crystals within 20 ppm."""
    chance = random.Random(4)
    config = {
        "board": "pico_waveshare",
        "kind": "soil",
        "interval_s": 900,
        "sensors": [{"kind": "capacitive", "at": "probe1", "adc": 27}, {"kind": "battery", "at": "node"}],
    }
    more = {"main": "storm_fixed_retry", "programs": (str(Path(__file__).with_name("storm_fixed_retry.py")),)}
    return [
        NodeSpec(
            f"n{number}",
            config,
            Steady(),
            x_m=chance.uniform(-850, 850),
            y_m=chance.uniform(-850, 850),
            ppm=chance.randint(-20, 20),
            **(more if variant else {}),  # type: ignore[arg-type]
        )
        for number in range(NODES)
    ]


class Storm:
    """What is on the air: join requests, and when each node's first frame of a session came."""

    def __init__(self, bench: StationBench) -> None:
        self.requests: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.joined: dict[str, float] = {}
        bench.fleet.witness = self.note

    def note(self, frame: Frame) -> None:
        start = frame.start_us / 1e6
        if frame.payload[0] >> 5 == JOIN_REQUEST:
            self.requests[frame.sender].append((start, (frame.end_us - frame.start_us) / 1e6))
        else:
            self.joined.setdefault(frame.sender, start)

    def time_of(self, share: float) -> float | None:
        """Seconds until that share of the nodes had joined; None: never."""
        times = sorted(self.joined.values())
        count = round(share * NODES)
        return times[count - 1] if len(times) >= count else None

    def air(self, since: float, until: float) -> list[float]:
        """Air time of each node's join requests [s]."""
        return [sum(air for start, air in sent if since <= start < until) for sent in self.requests.values()]


def told(title: str, storm: Storm, record_property: Record) -> None:
    requests = sum(len(sent) for sent in storm.requests.values())
    figures = {
        "joined": len(storm.joined),
        "s to 50 %": storm.time_of(0.5),
        "s to 95 %": storm.time_of(0.95),
        "s to all": storm.time_of(1.0),
        "join requests": requests,
        "most air time of a node in the first hour, s": round(max(storm.air(0, HOUR_S)), 2),
    }
    for name, value in figures.items():
        record_property(f"{title}: {name}", value)
    print(f"{title}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))


@pytest.mark.slow
def test_a_hundred_nodes_join_within_the_limits_and_sooner_than_a_fixed_retry(
    tmp_path: Path, record_property: Record
) -> None:
    with StationBench(tmp_path / "own", herd(False), start_us=START_US, air=AIR, seed=2) as bench:
        own = Storm(bench)
        until = 0.0
        while len(own.joined) < NODES and until < LONGEST_S:
            until += 600.0
            bench.run(until)
        bench.run(until + HOUR_S)  # a gateway that answers a hundred nodes is deaf for a third of the time
        assert {incident.kind for incident in bench.fleet.incidents} == set()
        silent = [name for name in bench.registrations if not bench.held(name)]
    told("back-off", own, record_property)
    with StationBench(tmp_path / "fixed", herd(True), start_us=START_US, air=AIR, seed=2) as bench:
        fixed = Storm(bench)
        bench.run(COMPARED_S)
    told(f"retry every 10 s, {COMPARED_S:.0f} s long", fixed, record_property)

    assert len(own.joined) == NODES
    assert silent == []
    for since, to, limit in LIMITS:
        assert max(own.air(since, to)) <= limit
    ours, theirs = own.time_of(0.95), fixed.time_of(0.95)
    assert ours is not None
    assert len(own.requests) == NODES
    spent, wasted = sum(own.air(0, COMPARED_S)), sum(fixed.air(0, COMPARED_S))
    print(f"to 95 %: back-off {ours:.0f} s, fixed retry {theirs}; air time {spent:.0f} s and {wasted:.0f} s")
    assert theirs is None or ours < theirs
