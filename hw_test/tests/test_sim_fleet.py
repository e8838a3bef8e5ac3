"""Nodes, air and gateway on one virtual time: a seed gives one run, whatever the operating system does in between."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat_sim import fleet as fleet_module
from suat_sim.air import Air, AirSettings, Frame
from suat_sim.demo import Demo
from suat_sim.fleet import Fleet, FleetError, GatewaySpec
from suat_sim.node_process import NodeProcess, NodeSpec
from suat_sim.scenario import demo_station

Trace = list[tuple[str, int, int, int, int, bytes]]


class Steady:
    """An environment in which nothing changes."""

    def at(self, t_unix: float) -> dict[str, float | None]:
        return {"node.battery": 3.9, "probe1.count": 0.5}


def abp_node(number: int, **changes: Any) -> NodeSpec:
    """A node that needs no join."""
    config = {
        "board": "heltec_v3", "kind": "soil", "interval_s": 600, "radio": {"dr": 3},
        "abp": {"dev_addr": f"010203{number:02x}", "nwk_skey": "00" * 16, "app_skey": "11" * 16},
        "sensors": [{"kind": "capacitive", "at": "probe1", "adc": 2}, {"kind": "battery", "at": "node"}],
    }  # fmt: skip
    return NodeSpec(**{"name": f"n{number}", "config": config, "environment": Steady(), "x_m": 300.0, **changes})


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """All that goes on the air, in the order in which the host processes it."""
    frames: Trace = []

    def tap(kind: int) -> None:
        inner = fleet_module._EVENTS[kind]

        def noted(air: Air, frame: Frame) -> None:
            frames.append((frame.sender, frame.start_us, frame.hz, frame.sf, round(frame.dbm), frame.payload))
            inner(air, frame)

        monkeypatch.setitem(fleet_module._EVENTS, kind, noted)

    tap(fleet_module._UP_BEGINS)
    tap(fleet_module._DOWN_BEGINS)
    return frames


def run_demo(folder: Path, seed: int) -> dict[str, Any]:
    """A day of two soil nodes and a water node with the real station."""
    with Demo(demo_station(2, 1, seed=seed, days=1), folder, seed=seed) as demo:
        return {**demo.run(), "counters": demo.fleet.counters()}


def test_a_seed_gives_one_run_from_join_to_decision(
    tmp_path: Path, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_demo(tmp_path / "a", 7)
    frames = trace[:]
    trace.clear()

    slow = NodeProcess.read

    def hesitant(node: NodeProcess) -> None:  # another order in which the processes get their turn
        if node.index == 0 and node.messages % 7 == 0:
            time.sleep(0.001)
        slow(node)

    monkeypatch.setattr(NodeProcess, "read", hesitant)
    assert run_demo(tmp_path / "b", 7) == first
    assert trace == frames
    trace.clear()
    assert run_demo(tmp_path / "c", 8) != first
    assert trace != frames
    # And it is a run: all three joined, sent each quarter of an hour, and the station kept what the air let through.
    assert first["frames"]["accepted"] == first["counters"]["heard"]
    assert first["frames"]["sent"] >= 3 * 96
    assert {row[5][0] >> 5 for row in frames} >= {0, 1, 2, 3}  # join request and accept, data up and down
    assert first["readings"]["kept"] > 3 * 90 * 4


def test_events_come_in_the_order_of_time(trace: Trace) -> None:
    with Fleet(VirtualScheduler(0), [abp_node(n, x_m=200.0 + n, ppm=10 * n) for n in range(4)]) as fleet:
        fleet.run(7200)
    starts = [row[1] for row in trace]
    assert starts == sorted(starts)
    assert len(starts) >= 4 * 11


def test_a_run_may_be_made_in_pieces(trace: Trace) -> None:
    with Fleet(VirtualScheduler(0), [abp_node(1)]) as fleet:
        fleet.run(7200)
    whole = trace[:]
    trace.clear()
    with Fleet(VirtualScheduler(0), [abp_node(1)]) as fleet:
        for piece in range(1, 25):
            fleet.run(piece * 300)
            assert fleet.now_us() == piece * 300_000_000
    assert trace == whole


def test_nodes_at_the_same_instant_collide_and_the_nearer_one_wins(trace: Trace) -> None:
    quiet = AirSettings(shadow_db=0.0, fading_db=0.0)
    near, far = abp_node(1, x_m=100.0), abp_node(1, name="far", x_m=1000.0)  # one identity, one seed of chance: in step
    with Fleet(VirtualScheduler(0), [near, far], channels_hz=[865_062_500], air=quiet) as fleet:
        fleet.run(3600)
        lost, heard = fleet.air.lost, fleet.air.counters["heard"]
    together: dict[tuple[int, int], list[str]] = {}
    for sender, start, hz, *_ in trace:
        together.setdefault((start // 1_000_000, hz), []).append(sender)
    clashes = sum(len(senders) == 2 for (_, hz), senders in together.items() if hz == 865_062_500)
    assert clashes > 0
    assert lost["collision"] == clashes
    assert heard == sum("n1" in senders for (_, hz), senders in together.items() if hz == 865_062_500) + sum(
        senders == ["far"] for (_, hz), senders in together.items() if hz == 865_062_500
    )


@pytest.mark.parametrize("listens", [False, True])
def test_a_node_that_listens_first_lets_another_finish(trace: Trace, listens: bool) -> None:
    """Two nodes on one channel, the second 60 ms behind the first: a look at the air tells it to wait.

    Nobody answers here. A node that does not always listen first does so once two answers were missed.
    """
    quiet = AirSettings(shadow_db=0.0, fading_db=0.0)
    first, second = abp_node(1, x_m=500.0), abp_node(1, name="second", x_m=550.0, start_us=60_000)
    for node in (first, second):
        node.config["radio"] = {"dr": 3, "adr": False, "channel": 0, "lbt": listens}
    with Fleet(VirtualScheduler(0), [first, second], air=quiet) as fleet:
        fleet.run(3600)
        counters, lost = fleet.air.counters, fleet.air.lost
    assert len(trace) >= 10
    if listens:
        assert lost["collision"] == 0 < 2 <= counters["busy"]
        assert counters["looks"] == len(trace) + counters["busy"]
    else:
        assert 2 <= lost["collision"] <= 4
        assert counters["busy"] < counters["looks"] < len(trace) + counters["busy"]


def test_two_gateways_bring_two_copies(trace: Trace) -> None:
    gateways = [GatewaySpec("00" * 7 + "01"), GatewaySpec("00" * 7 + "02", x_m=500.0)]
    got: list[bytes] = []
    with Fleet(VirtualScheduler(0), [abp_node(1)], gateways=gateways) as fleet:
        fleet.attach(lambda data, address: got.append(data) if data[3] == 0 else None)
        fleet.run(3600)
    assert len(got) == 2 * len(trace)
    assert {data[4:12].hex()[-2:] for data in got} == {"01", "02"}


def test_all_processes_end_with_the_fleet() -> None:
    with Fleet(VirtualScheduler(0), [abp_node(1), abp_node(2)]) as fleet:
        fleet.run(100)
        pids = [node.process.pid for node in fleet.nodes if node.process]
        folder = fleet.folder
        assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not folder.exists()


def test_a_process_that_dies_is_reported() -> None:
    with Fleet(VirtualScheduler(0), [abp_node(1)]) as fleet:
        fleet.run(100)
        process = fleet.nodes[0].process
        assert process is not None
        process.kill()
        with pytest.raises(FleetError, match=r"n1 at .* dead: the process left"):
            fleet.run(7200)


def test_progress_is_told_up_to_the_end() -> None:
    told: list[float] = []
    with Fleet(VirtualScheduler(0), [abp_node(1)]) as fleet:
        fleet.run(3600, told.append)
    assert told == sorted(told)
    assert told[-1] == 3600
    assert len(told) > 50
