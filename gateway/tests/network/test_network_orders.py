"""Settings ordered for a node: kept over restarts, sent in turn and again, settled by what the node's health shows.

The expected CRC-32 is made here by hand, from the payloads of docs/payload.md.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import count
from typing import Any
from zlib import crc32

import pytest
from suat.network import orders, provision
from suat.store import downlinks as kept
from suat_wire import payload
from suat_wire.control import SETTINGS, decode_config
from suat_wire.payload import PayloadError, Sample

# id, length, value of docs/payload.md
INTERVAL_30 = bytes([1, 4]) + struct.pack("<I", 1800)
LEAK_FALL_5 = bytes([16, 2, 5, 0])
RESTART = bytes([8, 1, 1])


def order(site: Any, *payloads: bytes, registration: int = 1) -> None:
    kept.add_orders(site.journal, registration, payloads, site.scheduler.wall_us())
    site.network.refresh()


def states(site: Any) -> list[tuple[str, int]]:
    return [(found.state, found.sent) for found in site.reader.read(kept.orders)]


class Talk:
    """A node's uplinks one after the other, and what it hears."""

    def __init__(self, site: Any) -> None:
        self.site, self.node, self.forwarder = site, site.abp(), site.forwarder()
        self.numbers = count()

    def up(self, values: dict[tuple[str, str], float] | None = None, *, asks: bool = False, age: int = 0) -> bytes:
        """One uplink; the settings it was answered with, or nothing."""
        number = next(self.numbers)
        sample = Sample(number, age, values or {("node", "battery"): 3.3})
        data, fport = payload.encode([sample], 51, number if asks else None)
        before = len(self.forwarder.sent)
        self.forwarder.hear(self.node.uplink(number, data, fport))
        self.site.pass_time()
        if len(self.forwarder.sent) == before:
            return b""
        heard = self.node.open_down(self.forwarder.last_phy(), self.down)
        self.down += 1
        return bytes(heard["payload"]) if heard["fport"] == 5 else b""

    down = 0

    def health(self, config: int, **more: Any) -> bytes:
        return self.up({("health", "config"): config}, **more)


@pytest.fixture
def talk(site: Any) -> Talk:
    return Talk(site)


def test_confirmed_by_the_crc_alone(site: Any, talk: Talk) -> None:
    """The gateway's TX_ACK proves nothing; `config` is crc32 of all accepted settings in the order of their ids."""
    order(site, LEAK_FALL_5)
    assert talk.up() == LEAK_FALL_5
    assert states(site) == [("pending", 1)]
    talk.up()
    talk.health(crc32(LEAK_FALL_5))
    assert states(site) == [("confirmed", 1)]
    order(site, INTERVAL_30)
    assert talk.up() == INTERVAL_30
    talk.health(crc32(LEAK_FALL_5))  # still those of before
    assert states(site)[1] == ("pending", 1)
    talk.health(crc32(INTERVAL_30 + LEAK_FALL_5))
    assert states(site)[1] == ("confirmed", 1)
    assert site.network.downlinks.orders.waiting(1) == 0


@pytest.mark.parametrize(
    ("samples", "state"),
    [
        ([{("health", "config"): crc32(LEAK_FALL_5)}] * 2, "confirmed"),
        ([{("health", "config"): 0, ("node", "events"): 64}], "rolled back"),
    ],
)
def test_what_settles_the_last_order_may_be_said_twice_in_one_frame(
    site: Any, talk: Talk, samples: list[dict[tuple[str, str], float]], state: str
) -> None:
    order(site, LEAK_FALL_5)
    talk.up()
    data, fport = payload.encode([Sample(11 - n, 0, values) for n, values in enumerate(samples)], 51, None)
    talk.forwarder.hear(talk.node.uplink(10, data, fport))
    site.pass_time()
    assert states(site) == [(state, 1)]
    assert site.reader.last_seen(1).record == 11, "the frame is kept"


def test_orders_outlive_a_restart_and_go_one_at_a_time(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5, INTERVAL_30)
    site.restart()
    assert talk.up() == LEAK_FALL_5
    site.restart()
    assert [talk.up() for _ in range(3)] == [b"", b"", b""]  # the second waits for the first one's fate
    assert talk.health(crc32(LEAK_FALL_5)) == INTERVAL_30  # at once, in the answer
    site.restart()
    talk.health(crc32(INTERVAL_30 + LEAK_FALL_5))
    assert states(site) == [("confirmed", 1), ("confirmed", 1)]


def test_what_leaves_no_trace_is_sent_again_and_not_for_ever(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5)
    sent = [talk.up() for _ in range(60)]
    assert [number for number, found in enumerate(sent) if found] == [4 * turn for turn in range(8)]
    assert states(site) == [("refused", 8)]


def test_a_gateway_that_did_not_send_costs_no_try(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5)
    talk.forwarder.verdicts = ["TOO_LATE", "TOO_LATE"]
    talk.up()
    assert states(site) == [("pending", 0)]
    assert talk.up() == LEAK_FALL_5


def test_the_acknowledgement_goes_first_but_not_always(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5)
    assert talk.up(asks=True) == b""
    assert talk.up(asks=True) == LEAK_FALL_5  # a node that asks with each frame asks again
    # and now it tries them, and asks each time: it is not disturbed
    assert [talk.up(asks=True) for _ in range(8)] == [b""] * 8


@pytest.mark.parametrize("health", [{}, {("health", "config"): 0}])
def test_rolled_back(site: Any, talk: Talk, health: dict[tuple[str, str], float]) -> None:
    """Bit 6 of `events`; with the health, or in a frame before it. The next order has its turn."""
    order(site, LEAK_FALL_5, INTERVAL_30)
    talk.up()
    assert talk.up({("node", "events"): 64, **health}) == INTERVAL_30
    assert states(site) == [("rolled back", 1), ("pending", 1)]
    talk.health(crc32(INTERVAL_30))
    assert states(site) == [("rolled back", 1), ("confirmed", 1)]


def test_old_samples_say_nothing_of_new_settings(site: Any, talk: Talk) -> None:
    """A sample out of the node's ring, taken before: an earlier going back, and a health that fits by chance."""
    order(site, LEAK_FALL_5)
    site.pass_time(1000)
    talk.up()
    talk.up({("node", "events"): 64, ("health", "config"): crc32(LEAK_FALL_5)}, age=900)
    assert states(site) == [("pending", 1)]


def test_settings_made_by_hand_at_the_node_are_allowed_for(site: Any, talk: Talk) -> None:
    """health.config then stands for a part of what it once accepted."""
    order(site, LEAK_FALL_5, INTERVAL_30)
    talk.up()
    talk.health(crc32(LEAK_FALL_5))
    talk.up()
    talk.health(crc32(INTERVAL_30 + LEAK_FALL_5))
    talk.health(crc32(INTERVAL_30))  # somebody set leak_fall at the node's console
    freezing = bytes([14, 2]) + struct.pack("<h", 150)
    order(site, freezing)
    assert talk.up() == freezing
    talk.health(crc32(INTERVAL_30 + freezing))
    assert states(site)[2] == ("confirmed", 1)


def test_a_node_with_unknown_settings_confirms_by_a_change(site: Any, talk: Talk) -> None:
    talk.health(0x12345678)  # of a station whose backup was lost
    order(site, LEAK_FALL_5)
    talk.up()
    talk.health(0x12345678)
    assert states(site) == [("pending", 1)]
    talk.health(0x9ABCDEF0)
    assert states(site) == [("confirmed", 1)]


def test_what_is_carried_out_and_not_kept_is_sent_once(site: Any, talk: Talk) -> None:
    order(site, RESTART)
    assert [talk.up() for _ in range(20)] == [RESTART, *[b""] * 19]
    assert states(site) == [("sent", 1)]


def test_cancelled(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5, INTERVAL_30)
    assert kept.cancel_orders(site.journal, 1, site.scheduler.wall_us()) == 2
    site.network.refresh()
    assert [talk.up() for _ in range(3)] == [b""] * 3
    assert states(site) == [("cancelled", 0)] * 2


def test_cancelled_on_its_way(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5)
    number = next(talk.numbers)
    data, fport = payload.encode([Sample(number, 0, {("node", "battery"): 3.3})], 51)
    talk.forwarder.hear(talk.node.uplink(number, data, fport))
    site.pass_time(0.22)
    kept.cancel_orders(site.journal, 1, site.scheduler.wall_us())
    site.network.refresh()
    site.pass_time()
    assert states(site) == [("cancelled", 0)]
    talk.down += 1
    order(site, INTERVAL_30)
    assert talk.up() == INTERVAL_30


def test_gone_with_the_node(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5)
    provision.revoke(site.journal, site.keys, "soil-1", 1)
    site.network.refresh()
    assert site.network.downlinks.orders.waiting(1) == 0
    assert site.reader.read(kept.orders) == []


def test_a_disk_that_was_full_costs_another_try_at_most(site: Any, talk: Talk) -> None:
    order(site, LEAK_FALL_5)
    site.network.downlinks._write = lambda work: None
    talk.up()
    talk.health(crc32(LEAK_FALL_5))
    assert states(site) == [("pending", 0)]
    site.network.refresh()
    assert talk.up() == b""  # this run knows better
    site.restart()
    assert talk.up() == LEAK_FALL_5
    talk.health(crc32(LEAK_FALL_5))
    assert states(site) == [("confirmed", 1)]


def test_the_largest_order_fits_the_slowest_rate_beside_mac_commands(make_site: Callable[..., Any]) -> None:
    site = make_site(extra_channels_mhz=[866.185, 866.385], adr=True)
    site.status_told = False
    node, forwarder = site.abp(), site.forwarder()
    everything = {name: high for _, name, _, _, high, _ in SETTINGS} | {"battery_floor": 1}
    largest = max(orders.payloads(everything), key=len)
    assert 30 <= len(largest) <= 36
    order(site, largest)
    forwarder.hear(node.uplink(0, payload.encode([Sample(1, 0, {("node", "battery"): 3.3})], 51)[0]), datr="SF12BW125")
    site.pass_time()
    heard = node.open_down(forwarder.last_phy(), 0)
    assert heard["payload"] == largest
    assert len(heard["fopts"]) + len(largest) <= 51


def test_many_settings_are_parted_so_that_each_part_is_valid_alone() -> None:
    everything = {name: (low + high) // 2 for _, name, _, low, high, _ in SETTINGS} | {
        "battery_low": 3500,
        "battery_floor": 3300,
    }
    parts = [decode_config(part) for part in orders.payloads(everything)]
    assert {name: value for part in parts for name, value in part.items()} == everything
    assert sum(map(len, parts)) == len(everything)
    for part in parts:
        assert ("adr" in part) == ("data_rate" in part)
        assert ("battery_low" in part) == ("battery_floor" in part)
    assert set(parts[-1]) == {"resend_from", "rejoin", "restart"}


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"leak_fall": 5, "interval_s": 5}, "interval_s"),
        ({"leak_fal": 5}, "leak_fal"),
        ({}, "no settings"),
        ({"battery_low": 3300, "battery_floor": 3400}, "battery_floor: 3400 is not below battery_low, 3300"),
    ],
)
def test_nothing_of_a_faulty_order_is_kept(settings: dict[str, int], fault: str) -> None:
    with pytest.raises(PayloadError, match=fault):
        orders.payloads(settings)


def test_a_damaged_order_is_told_and_holds_up_no_other(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    talk = Talk(site)
    order(site, bytes([16, 2, 5]), LEAK_FALL_5)  # its last byte is gone
    assert "settings that were ordered are damaged in the journal" in caplog.text
    assert LEAK_FALL_5 in [talk.up(asks=True), talk.up(asks=True)]
