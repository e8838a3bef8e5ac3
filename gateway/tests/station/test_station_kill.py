"""kill -9 of the running station: what was committed is there once, what was lost is the last quarter of a second.

Counter and readings share a transaction, so after each kill every node's counter stands exactly behind its last kept
frame, and the frames that were lost are admitted when they come again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from suat.network.admit import COLLECT_S, TICK_S
from suat.pipeline import Pace

FRAMES, NODES, RATE = 10_000, 200, 3_000
WINDOW_S = COLLECT_S + TICK_S + Pace().commit
IN_FLIGHT_S = 2.0  # a transaction on a busy disk; on an idle one it takes some 10 ms


def name_of(number: int) -> tuple[str, int]:
    """(node, record) of the frame with this number: the nodes in turn."""
    return f"n{number % NODES + 1}", number // NODES


def kept_after_kill(station: Any) -> int:
    """How many frames are in the journal: the first ones sent, each once, and the counters agree with them."""
    kept = station.records()
    assert sorted(kept) == sorted(map(name_of, range(len(kept))))
    counters = dict(station.query("SELECT d.name, s.fcnt_up FROM session s JOIN device d ON d.id = s.registration"))
    for node in range(NODES):
        assert counters[f"n{node + 1}"] == len(range(node, len(kept), NODES))
    return len(kept)


def kill_while_sending(station: Any, concentrator: Any, bodies: Sequence[bytes], after_s: float) -> tuple[int, float]:
    """(frames received and lost, how long before the kill the first of them came [s])."""
    before = station.query("SELECT count(*) FROM sample")[0][0]
    passages = concentrator.stream(bodies, RATE, time.monotonic() + after_s)
    killed = time.time()
    station.kill()
    concentrator.take_acks(passages)
    received = [passage.sent for passage in passages if passage.acked is not None]
    kept = kept_after_kill(station) - before
    assert kept <= len(received)
    lost = received[kept:]
    window = killed - lost[0] if lost else 0.0
    assert window < WINDOW_S + IN_FLIGHT_S
    return len(lost), window


def test_a_kill_amid_ten_thousand_frames_loses_nothing_that_was_committed(station: Any, concentrator: Any) -> None:
    nodes = station.register(NODES)
    bodies = [concentrator.body(nodes[i % NODES].frame(i // NODES)) for i in range(FRAMES)]
    station.start()
    lost, window = kill_while_sending(station, concentrator, bodies, random.uniform(0.5, 2.0))
    kept = kept_after_kill(station)
    assert 0 < kept < FRAMES
    print(f"killed at {kept:,} kept; {lost} frames received and lost, the first {window * 1e3:.0f} ms before the kill")

    station.start()
    concentrator.stream(bodies, 2 * RATE)  # everything again: what is kept is refused, the rest is taken
    station.wait_for(lambda: station.query("SELECT count(*) FROM sample")[0][0] == FRAMES)
    assert kept_after_kill(station) == FRAMES
    station.wait_for(lambda: station.query("SELECT count(*) FROM cleaned")[0][0] == FRAMES)
    station.stop()
    assert "; 0 samples changed" in station.suat("refilter")  # cleaned as if there had been no kill


@pytest.mark.slow
def test_many_kills_at_any_moment(station: Any, concentrator: Any) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    nodes = station.register(NODES)
    bodies = [concentrator.body(nodes[i % NODES].frame(i // NODES)) for i in range(40_000)]
    losses = []
    for number in range(40):
        if number % 4 == 3:  # while it comes up, before it has said so
            station.launch()
            time.sleep(chance.uniform(0.0, 1.2))
            station.kill()
        station.start()
        kept = kept_after_kill(station)
        losses.append(kill_while_sending(station, concentrator, bodies[kept:], chance.uniform(0.01, 1.0)))
    station.start()
    kept = kept_after_kill(station)
    concentrator.stream(bodies[kept : kept + RATE], RATE)
    station.wait_for(lambda: station.query("SELECT count(*) FROM sample")[0][0] == kept + RATE)
    assert kept_after_kill(station) == kept + RATE
    station.wait_for(lambda: station.query("SELECT count(*) FROM cleaned")[0][0] == kept + RATE)
    station.stop()
    worst = max(losses, key=lambda loss: loss[1])
    print(f"40 kills, {kept:,} frames kept; lost at most {worst[0]} frames, the first {worst[1] * 1e3:.0f} ms before")
