"""Settings ordered for real node programs over simulated radio: taken, refused by the air, given back.

`far` stands where DR3 is heard and DR5 is not: an order that pins it to DR5 cuts it off until it goes back by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat.network import orders
from suat.store import downlinks as kept
from suat_sim.air import AirSettings
from suat_sim.node_process import NodeSpec
from suat_sim.station_bench import StationBench

START_US = 1_767_225_600_000_000  # 2026-01-01
HOUR_S = 3600
AIR = AirSettings(loss_db_km=110.0, exponent=2.6, shadow_db=0.0, loss=0.05)


class Field:
    def at(self, _t: float) -> dict[str, float | None]:
        return {"node.battery": 3.7, "probe1.count": 0.5}


def node(name: str, km: float, ack_after: int) -> NodeSpec:
    config = {
        "board": "pico_waveshare",
        "kind": "soil",
        "interval_s": 900,
        "settings": {"ack_after": ack_after},
        "sensors": [{"kind": "capacitive", "at": "probe1", "adc": 27}, {"kind": "battery", "at": "node"}],
    }
    return NodeSpec(name, config, Field(), x_m=1000.0 * km)


class Site:
    def __init__(self, bench: StationBench) -> None:
        self.bench = bench
        self.now_s = 0.0
        self.taken: dict[str, float] = {}

    def order(self, name: str, **settings: int) -> None:
        number = self.bench.registrations[name]
        at_us = self.bench.scheduler.wall_us()
        kept.add_orders(self.bench.station.journal, number, orders.payloads(settings), at_us)
        self.bench.station.pipeline.server.refresh()

    def run(self, hours: float) -> None:
        self.now_s += hours * HOUR_S
        self.bench.run(self.now_s)

    def orders(self, name: str) -> list[kept.Order]:
        number = self.bench.registrations[name]
        return [order for order in self.bench.station.reader.read(kept.orders) if order.registration == number]

    def states(self, name: str) -> list[str]:
        return [order.state for order in self.orders(name)]

    def spacing_s(self, name: str, since_s: float) -> list[float]:
        """Between the readings taken since then."""
        held = self.bench.held(name).values()
        times = sorted(at for at, values in held if at > START_US / 1e6 + since_s and ("probe1", "count") in values)
        return [after - before for before, after in itertools.pairwise(times)]


@pytest.mark.slow
def test_real_nodes_take_what_they_can_and_give_back_what_cuts_them_off(
    tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    nodes = [node("near", 0.3, 4), node("asks", 1.0, 1), node("far", 16.0, 4)]
    with StationBench(tmp_path, nodes, start_us=START_US, air=AIR, network={"adr": False}) as bench:
        site = Site(bench)
        site.run(6)
        for name in ("near", "asks"):
            site.order(name, interval_s=1800, leak_fall=7)
        site.order("far", adr=0, data_rate=5)
        site.order("far", leak_fall=9)  # waits for the first one's fate
        site.run(6)
        for name in ("near", "asks"):
            (found,) = site.orders(name)
            assert found.settled_us is not None
            minutes = (found.settled_us - found.ordered_us) / 60e6
            print(f"{name}: {found.state} {minutes:.0f} min after the order, sent {found.sent} times")
            record_property(f"settings confirmed after min, {name}", round(minutes))
            assert found.state == "confirmed"
            assert minutes <= 150
            spacing = site.spacing_s(name, 9 * HOUR_S)
            assert spacing and all(abs(gap - 1800) < 10 for gap in spacing)
        site.run(24)
        print(f"far: {site.states('far')}, sent {[order.sent for order in site.orders('far')]} times")
        assert site.states("far") == ["rolled back", "confirmed"]
        assert bench.fleet.incidents == []
        for name in bench.registrations:
            held = bench.held(name)
            missing = set(range(max(held))) - held.keys()
            assert not missing or min(missing) > max(held) - 8, f"{name}: {missing} never came"  # the last may still
