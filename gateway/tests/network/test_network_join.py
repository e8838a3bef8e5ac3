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


def commits(site: Any) -> int:
    """Changes to the journal's file since it was opened."""
    return int(site.journal._connection.total_changes)


def test_a_flood_of_recorded_join_requests_changes_nothing(site: Any) -> None:
    """Somebody plays back what was heard in the air: no write, no answer, and the node joins in the middle of it."""
    node, forwarder = site.otaa(), site.forwarder()
    recorded = [node.join_request() for _ in range(20)]
    forwarder.hear(recorded[-1])
    site.pass_time()
    node.take_accept(forwarder.last_phy(), 19)
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time()
    before, sent = commits(site), len(forwarder.sent)
    for turn in range(100):
        forwarder.push(*[forwarder.rxpk(phy, freq=865.0625 + 0.0002 * turn) for phy in recorded])
        site.pass_time(0.05)
    site.pass_time()
    assert (commits(site), len(forwarder.sent)) == (before, sent)
    assert site.counted() == {"accepted": 2, "duplicate": 100, "old_counter": 1900}
    forwarder.hear(node.uplink(1, reading(2)))
    forwarder.push(*[forwarder.rxpk(phy) for phy in recorded])
    join(site, node, forwarder)
    forwarder.hear(node.uplink(0, reading(3)))
    site.pass_time()
    assert [record for _, record in site.records()] == [1, 2, 3]
    assert len(site.network.devices.by_addr) == 1


def test_a_stolen_app_key_cannot_fill_the_memory(site: Any) -> None:
    """Each request is new and genuine: one pending session and one DevAddr at a time, whatever comes."""
    node, forwarder = site.otaa(), site.forwarder()
    join(site, node, forwarder)
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time()
    honest = type(node)(node.dev_eui, node.dev_addr, node.nwk, node.app)
    for _ in range(300):
        forwarder.hear(node.join_request())
        site.pass_time(0.3)
    assert sum(map(len, site.network.devices.by_addr.values())) == 2
    assert len(site.reader.sessions()) == 2
    forwarder.hear(honest.uplink(1, reading(2)))  # the node itself notices nothing
    site.pass_time()
    assert [record for _, record in site.records()] == [1, 2]


def test_dev_nonces_end_at_65535(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It counts upwards for ever (TS001-1.0.4 6.2.5): then the node is registered anew; its session goes on."""
    node, forwarder = site.otaa(), site.forwarder()
    node.dev_nonce = 65_535
    join(site, node, forwarder)
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time()
    for nonce in (0, 1, 65_534, 65_535):
        forwarder.hear(node.join_request(nonce))
    site.restart()
    for nonce in (0, 1, 65_534, 65_535):
        forwarder.hear(node.join_request(nonce))
    site.pass_time()
    assert site.counted() == {"duplicate": 1, "old_counter": 3}
    assert "soil-2 has used up its DevNonces: revoke it and register it anew" in caplog.text
    forwarder.hear(node.uplink(1, reading(2)))
    site.pass_time()
    assert [record for _, record in site.records()] == [1, 2]


def test_one_dev_eui_on_two_boards(site: Any) -> None:
    """A cloned flash: the later of the two that joins has the session, the other one is told so by silence.

    Nothing of either is taken for the other's: records of the one that fell out are refused, not mixed in.
    """
    first, forwarder = site.otaa(), site.forwarder()
    clone = type(first)(first.dev_eui, 0, b"", b"", first.app_key)
    join(site, first, forwarder)
    forwarder.hear(first.uplink(0, reading(1)))
    site.pass_time()
    forwarder.hear(clone.join_request(0))  # its counter stands where the first one's stood
    site.pass_time()
    assert site.counters["duplicate"] == 1
    forwarder.hear(clone.join_request(1))
    site.pass_time()
    clone.take_accept(forwarder.last_phy(), 1)
    forwarder.hear(clone.uplink(0, reading(50)))
    forwarder.hear(first.uplink(1, reading(2)))
    site.pass_time()
    assert [record for _, record in site.records()] == [1, 50]
    assert site.counters["unknown_device"] == 1


def test_two_joined_nodes_never_get_one_dev_addr(site: Any) -> None:
    """The addresses that the plain rule would give next are taken already, by a node that never joins."""
    node, forwarder = site.otaa("joins"), site.forwarder()
    taken = [site.abp(f"n{turn}", (1 << 8) + turn) for turn in range(1, 4)]
    join(site, node, forwarder)
    assert node.dev_addr not in [other.dev_addr for other in taken]
    forwarder.hear(node.uplink(0, reading(1)))
    for other in taken:
        forwarder.hear(other.uplink(0, reading(1)))
    site.pass_time()
    assert len(site.records()) == 4
