"""Promise 12 on the running daemon: forged frames at 1,000 a second over its socket, honest nodes among them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

RATE = 1000
SECONDS = 20
EVERY = 50  # one frame in so many is genuine: 20 a second


@pytest.mark.slow
def test_honest_frames_get_through_a_flood_of_false_ones(
    station: Any, concentrator: Any, record_property: Callable[[str, Any], None]
) -> None:
    nodes = station.register(20)
    station.start()
    concentrator.pull()
    chance = random.Random(12)
    packets: list[bytes] = []
    counters = dict.fromkeys(range(len(nodes)), 0)
    for number in range(RATE * SECONDS):
        node = number // EVERY % len(nodes)
        if number % EVERY:
            phy = nodes[chance.randrange(len(nodes))].frame(chance.randrange(1 << 16))
            phy = phy[:-4] + chance.randbytes(4)
        else:
            phy = nodes[node].frame(counters[node])
            counters[node] += 1
        packets.append(concentrator.body(phy))
    genuine = sum(counters.values())
    before_mb = station.memory_mb()
    passages = concentrator.stream(packets, RATE)
    lost_acks = sum(passage.acked is None for passage in passages)
    deadline = time.monotonic() + 10.0
    while len(station.records()) < genuine and time.monotonic() < deadline:
        time.sleep(0.2)
    kept = len(station.records())
    grown_mb = station.memory_mb() - before_mb
    lines = [line for line in station.log().splitlines() if "bad_mic" in line]
    print(
        f"{len(packets) - genuine} false frames in {SECONDS} s: {genuine - kept} of {genuine} genuine ones lost,"
        f" {lost_acks} datagrams unanswered, {grown_mb:.1f} MB more, {len(lines)} log lines"
    )
    record_property("promise 12, running daemon: genuine frames lost", genuine - kept)
    assert genuine - kept <= genuine // 1000
    assert len(set(station.records())) == kept
    assert grown_mb < 20
    assert 1 <= len(lines) <= 2
    station.stop()
