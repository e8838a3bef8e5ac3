"""Over-the-air activation, by an independent node: accepted once, refused when repeated, nothing forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from suat_wire import payload
from suat_wire.payload import Sample


def reading(record: int, ask: int | None = None) -> bytes:
    return payload.encode([Sample(record, 0, {("node", "battery"): 3.3})], 51, ask)[0]


def join(site: Any, node: Any, forwarder: Any) -> dict[str, int]:
    forwarder.hear(node.join_request(), tmst=1_000_000)
    site.pass_time()
    result: dict[str, int] = node.take_accept(forwarder.last_phy(), node.dev_nonce - 1)
    return result


def test_join_then_readings(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    accept = join(site, node, forwarder)
    assert accept == {"join_nonce": 1, "dl_settings": 2, "rx_delay": 1, "cflist": 0}
    assert node.dev_addr >> 25 == 0  # NetID 0: the DevAddr begins with seven zero bits
    (sent,) = forwarder.sent
    assert (sent["tmst"], sent["freq"], sent["datr"]) == (6_000_000, 865.0625, "SF9BW125")
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time()
    assert site.counted() == {"accepted": 2}
    assert site.records() == [(1, 1)]


def test_a_second_window_for_the_accept(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    forwarder.verdicts = ["TOO_LATE"]
    join(site, node, forwarder)
    assert [(sent["tmst"], sent["freq"], sent["datr"]) for sent in forwarder.sent] == [
        (6_000_000, 865.0625, "SF9BW125"),
        (7_000_000, 866.55, "SF10BW125"),
    ]


def test_extra_channels_travel_in_the_cflist(make_site: Callable[..., Any]) -> None:
    site = make_site(extra_channels_mhz=[866.185, 866.385])
    node, forwarder = site.otaa(), site.forwarder()
    assert join(site, node, forwarder)["cflist"] == 16


def test_nothing_leaves_before_it_is_on_disk(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    forwarder.hear(node.join_request())
    site.pass_time(0.22)
    assert (len(site.admitted), forwarder.sent, site.reader.sessions()) == (1, [], [])
    site.pass_time(0.1)
    assert len(forwarder.sent) == 1
    (session,) = site.reader.sessions()
    assert (session.pending, session.dev_nonce, session.join_nonce) == (True, 1, 1)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_recorded_join_request_is_worth_nothing(site: Any, restarted: bool) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    node.dev_nonce = 5
    join(site, node, forwarder)
    join(site, node, forwarder)
    if restarted:
        site.restart()
    before = dict(site.counters)
    forwarder.hear(node.join_request(6))
    forwarder.hear(node.join_request(5))
    forwarder.hear(node.join_request(0))
    site.pass_time()
    assert site.counters["duplicate"] - before["duplicate"] == 1
    assert site.counters["old_counter"] - before["old_counter"] == 2
    assert len(forwarder.sent) == 2
    assert site.reader.nonces() == {1: (7, 2)}


def test_wrong_key_and_wrong_join_eui(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    forwarder.hear(node.join_request(0, join_eui="00" * 8))
    node.app_key = bytes(16)
    forwarder.hear(node.join_request(0))
    site.pass_time()
    assert site.counted() == {"unknown_device": 1, "bad_mic": 1}
    assert (forwarder.sent, site.reader.nonces()) == ([], {1: (0, 0)})


def test_the_old_session_lives_until_the_new_one_is_used(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    join(site, node, forwarder)
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time()
    old = type(node)(node.dev_eui, node.dev_addr, node.nwk, node.app)
    join(site, node, forwarder)  # of this accept the node may have heard nothing
    forwarder.hear(old.uplink(1, reading(2)))
    site.pass_time()
    assert [session.pending for session in site.reader.sessions()] == [False, True]
    site.restart()  # both sessions outlive a restart
    forwarder.hear(old.uplink(2, reading(3)))
    site.pass_time()
    forwarder.hear(node.uplink(0, reading(4)))
    site.pass_time()
    assert [session.pending for session in site.reader.sessions()] == [False]
    forwarder.hear(old.uplink(3, reading(5)))
    forwarder.hear(node.uplink(1, reading(6)))
    site.pass_time()
    assert [record for _, record in site.records()] == [1, 2, 3, 4, 6]
    assert site.counted() == {"accepted": 3, "unknown_device": 1}


def test_the_last_of_several_joins_counts(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    addresses = set()
    for _ in range(3):
        join(site, node, forwarder)
        addresses.add(node.dev_addr)
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time()
    assert len(addresses) == 3
    assert site.records() == [(1, 1)]
    assert list(site.network.devices.by_addr) == [node.dev_addr]


def test_counters_begin_anew_after_a_join_and_survive(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    join(site, node, forwarder)
    for fcnt in range(3):
        forwarder.hear(node.uplink(fcnt, reading(fcnt), confirmed=True))
        site.pass_time()
    join(site, node, forwarder)
    forwarder.hear(node.uplink(0, reading(9), confirmed=True))
    site.pass_time()
    assert node.open_down(forwarder.last_phy(), 0)["ack"]
    site.restart()
    forwarder.hear(node.uplink(1, reading(10), confirmed=True))
    site.pass_time()
    assert node.open_down(forwarder.last_phy(), 1)["ack"]


def test_a_failed_commit_answers_nothing_and_writes_the_session_later(site: Any) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    join(site, node, forwarder)
    sent = len(forwarder.sent)
    site.disk_full = True
    forwarder.hear(node.uplink(0, reading(1), confirmed=True))
    site.pass_time()
    assert len(forwarder.sent) == sent
    site.disk_full = False
    forwarder.hear(node.uplink(0, reading(1), confirmed=True))  # the node has heard no answer
    site.pass_time()
    assert node.open_down(forwarder.last_phy(), 1)["ack"]  # the counter that was burnt in vain is skipped
    (session,) = site.reader.sessions()
    assert (session.pending, session.fcnt_up, session.fcnt_down) == (False, 1, 2)
    assert site.records() == [(1, 1)]


def test_a_session_written_anew_leaves_the_pending_one_alone(site: Any) -> None:
    """A transaction failed for good, then a join whose accept was lost, then the old session, then a restart."""
    node, forwarder = site.otaa(), site.forwarder()
    join(site, node, forwarder)
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time()
    site.disk_full = True
    forwarder.hear(node.uplink(1, reading(2)))
    site.pass_time()
    site.disk_full = False
    old = (node.nwk, node.app, node.dev_addr)
    join(site, node, forwarder)
    new = (node.nwk, node.app, node.dev_addr)
    node.nwk, node.app, node.dev_addr = old
    forwarder.hear(node.uplink(2, reading(3)))
    site.pass_time()
    assert [session.pending for session in site.reader.sessions()] == [False, True]
    site.restart()
    node.nwk, node.app, node.dev_addr = new
    forwarder.hear(node.uplink(0, reading(4)))
    site.pass_time()
    assert (1, 4) in site.records()
