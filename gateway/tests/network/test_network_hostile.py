"""Promises 10 and 12: what hostile air makes of the journal, and what a flood costs honest nodes.

The full run of promise 10, 1,000,000 frames (11 minutes on a busy machine):

    SUAT_RADIO_FRAMES=1000000 python -m pytest -s gateway/tests/network/test_network_hostile.py -k exactly_one
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from suat_wire import payload
from suat_wire.payload import Sample

FRAMES = int(os.environ.get("SUAT_RADIO_FRAMES", "10000"))
NODES = 40
FLOOD_PER_S = 1000
FLOOD_S = 60


class Liar:
    """Turns genuine frames into false ones. Every bit and every length has its turn, the rest is drawn."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.bits, self.cuts = itertools.count(), itertools.count()
        self.heard: deque[bytes] = deque(maxlen=2000)

    def lies(self, phy: bytes) -> list[bytes]:
        """False frames made of a genuine one and of those that were heard before."""
        out = [self._flip(phy) for _ in range(8)]
        out += [phy[: next(self.cuts) % len(phy)] for _ in range(2)]
        out.append(phy + self.chance.randbytes(1 + self.chance.randrange(8)))
        for _ in range(4):
            if self.heard:
                old = self.chance.choice(self.heard)
                out += [old, phy[:8] + old[8:], old[:8] + phy[8:]]
        self.heard.append(phy)
        return [lie for lie in out if lie != phy]

    def _flip(self, phy: bytes) -> bytes:
        bit = next(self.bits) % (8 * len(phy))
        return (int.from_bytes(phy, "big") ^ 1 << bit).to_bytes(len(phy), "big")


class Sender:
    """A node with its ring: what was overtaken by its successor on the way is sent once more."""

    def __init__(self, node: Any, registration: int) -> None:
        self.node, self.registration = node, registration
        self.fcnt = self.record = 0
        self.again: list[tuple[int, float]] = []

    def frame(self, moisture: float) -> bytes:
        self.record += 1
        samples = [(self.record, moisture), *self.again]
        self.again = []
        data, fport = payload.encode([Sample(record, 0, {("probe1", "vwc"): value}) for record, value in samples], 51)
        phy: bytes = self.node.uplink(self.fcnt, data, fport)
        self.fcnt += 1
        return phy


def test_exactly_one_point_for_each_genuine_sample_and_none_forged(
    site: Any, record_property: Callable[[str, Any], None]
) -> None:
    """Duplicated, reordered, replayed, every bit flipped, every length cut, spliced."""
    liar, chance = Liar(1), random.Random(2)
    near, far = site.forwarder(), site.forwarder("aa" * 8, 2)
    senders = [Sender(site.abp(f"n{number}", 0x26010000 + number), number + 1) for number in range(NODES)]
    sent: dict[tuple[int, int], float] = {}
    genuine = fed = 0
    while fed < FRAMES:
        copies: list[bytes] = []
        for sender in chance.sample(senders, 8):
            moisture = chance.randrange(6000) / 10_000
            phy = sender.frame(moisture)
            sent[sender.registration, sender.record] = moisture
            genuine += 1
            if chance.random() < 0.05:  # it hangs on the way, and the next frame comes in before it
                late, moisture = phy, chance.randrange(6000) / 10_000
                sender.again = [(sender.record, sent[sender.registration, sender.record])]
                phy = sender.frame(moisture)
                sent[sender.registration, sender.record] = moisture
                site.scheduler.call_later(chance.uniform(0.3, 0.9), near.hear, late)
                fed += 1
            copies += [phy] * chance.randint(1, 4) + liar.lies(phy)
        chance.shuffle(copies)
        for number, phy in enumerate(copies):
            chance.choice((near, far)).hear(phy)
            if number % 16 == 0:
                site.pass_time(0.01)
        fed += len(copies)
        site.pass_time(1.0)
    rows = site.journal._connection.execute("SELECT registration, record, body FROM sample").fetchall()
    kept = {(registration, record): payload.unpack(body)["probe1", "vwc"] for registration, record, body in rows}
    print(f"{fed} frames, {genuine} of them new and genuine: {len(rows)} points; {site.counted()}")
    record_property("promise 10: frames", fed)
    record_property("promise 10: points beyond or short of the genuine", len(kept.items() ^ sent.items()))
    assert len(rows) == len(kept)
    assert kept == sent
    assert site.counters["accepted"] == genuine
    assert site.network._admission._waiting == {}


@pytest.mark.slow
def test_a_flood_of_false_frames_costs_no_genuine_one(
    site: Any, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, Any], None]
) -> None:
    """1,000 frames a second with a false MIC, under the addresses of nodes that are there, for a minute."""
    caplog.set_level(logging.WARNING)
    chance = random.Random(3)
    forwarder = site.forwarder()
    senders = [Sender(site.abp(f"n{number}", 0x26010000 + number), number + 1) for number in range(NODES)]
    sent: dict[tuple[int, int], float] = {}
    template = senders[0].frame(0.1)
    senders[0].fcnt = senders[0].record = 0
    most, cpu = 0, 0.0
    tracemalloc.start()
    sizes = []
    for turn in range(FLOOD_S * 20):
        forged = [
            template[:1]
            + chance.choice(senders).node.dev_addr.to_bytes(4, "little")
            + template[5:6]
            + chance.randrange(65_536).to_bytes(2, "little")
            + template[8:-4]
            + chance.randbytes(4)
            for _ in range(FLOOD_PER_S // 20)
        ]
        if turn % 2 == 0:
            sender = chance.choice(senders)
            forged.insert(chance.randrange(len(forged)), sender.frame(0.25))
            sent[sender.registration, sender.record] = 0.25
        started = time.process_time()
        forwarder.push(*[forwarder.rxpk(phy) for phy in forged])
        most = max(most, len(site.network._admission._waiting))
        site.pass_time(0.05)
        cpu += time.process_time() - started
        if turn % 200 == 199:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    site.pass_time(1.0)
    lost = len(sent) - len(site.records())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("suat")]
    print(
        f"{site.counters['bad_mic']} false frames in {FLOOD_S} s beside {len(sent)} genuine ones: {lost} lost,"
        f" {most} held at most, {len(lines)} log lines, memory {(sizes[-1] - sizes[0]) / 1024:.0f} kB in 50 s"
    )
    record_property("promise 12: genuine frames lost", lost)
    record_property("promise 12: frames held at most", most)
    assert lost == 0
    assert site.counters["bad_mic"] == FLOOD_S * FLOOD_PER_S
    assert most <= FLOOD_PER_S * 0.3
    assert 1 <= len(lines) <= 2
    assert "bad_mic" in lines[0]
    assert sizes[-1] - sizes[0] < 512 * 1024  # the genuine ones stay in the test's list of admitted frames
    assert site.network.downlinks.counters["sent"] == 0


def test_copies_come_late_and_out_of_order(site: Any) -> None:
    """NbTrans 3 on three channels over two gateways: one of them is slow by more than the next copy takes."""
    node, quick, slow = Sender(site.abp(), 1), site.forwarder(), site.forwarder("aa" * 8, 2)
    for _ in range(3):
        phy = node.frame(0.2)
        for copy, mhz in enumerate((865.0625, 865.4025, 865.985)):
            site.scheduler.call_later(2.5 * copy, lambda phy=phy, mhz=mhz: quick.hear(phy, freq=mhz))
            site.scheduler.call_later(2.5 * copy + 3.1, lambda phy=phy, mhz=mhz: slow.hear(phy, freq=mhz))
        site.pass_time(12.0)
    assert site.records() == [(1, 1), (1, 2), (1, 3)]
    assert site.counted() == {"accepted": 3, "duplicate": 15}
