"""Readings without a radio session of ours: each is kept once, under the node's own or the next number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from suat.clock import VirtualScheduler
from suat.network import provision
from suat.network.keys import RootKeys
from suat.network.server import NetworkServer
from suat.records import Admitted, Batch, Measured, Relayed
from suat.store import downlinks as stored
from suat.store.journal import Journal, JournalError
from suat_wire import payload

EUI = "a840410000000001"
START_US = 1_780_000_000_000_000
READINGS = {("water", "depth"): 1.25}


class Site:
    """A network server whose admitted frames are committed at once."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.db")
        keys = RootKeys(folder)
        device = provision.new_device(
            name="tank",
            kind="water",
            dev_eui=EUI,
            join_eui="70b3d57ed0000001",
            app_key="9e1d3c7a5b60482f8d17e6c2a4f09b35",
        )
        provision.add(self.journal, keys, device, START_US)
        self.answers: list[Any] = []  # (source, DevEUI, FPort, payload)
        self.server = NetworkServer(
            VirtualScheduler(START_US),
            "IN865",
            self.journal.reader(),
            keys,
            self.commit,
            lambda _: False,
            send_payload=self.send_payload,
            write=lambda work: work(self.journal),
        )
        self.reached = True

    def send_payload(self, *answer: Any) -> bool:
        self.answers.append(answer)
        return self.reached

    def commit(self, admitted: Admitted) -> None:
        batch = Batch((admitted,))
        self.server.committed(batch, self.journal.commit(batch))

    def kept(self) -> list[tuple[int, int]]:
        return [(sample.record, sample.time_us) for sample in self.journal.reader().samples(1)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def measured(seconds: int) -> Measured:
    return Measured("modbus", EUI, START_US, START_US + seconds * 1_000_000, READINGS)


def test_a_wired_transmitter_gets_the_next_numbers(site: Site) -> None:
    for seconds in (0, 60, 120):
        site.server.direct.measured(measured(seconds))
    assert site.kept() == [(n, START_US + (n - 1) * 60_000_000 + n) for n in (1, 2, 3)]
    assert site.server.counters["accepted"] == 3


def test_the_same_instant_twice_is_one_sample_also_after_a_restart(site: Site) -> None:
    site.server.direct.measured(measured(60))
    site.server.direct.measured(measured(60))
    site.server.direct._newest.clear()
    site.server.direct.measured(measured(60))
    site.server.direct.measured(measured(0))  # older, but new
    assert [time_us // 1_000_000 - START_US // 1_000_000 for _, time_us in site.kept()] == [0, 60]
    assert site.server.counters["duplicate"] == 2


def test_what_the_journal_cannot_be_asked_about_is_handed_in_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its source waits for it for ever, and a broker delivers no more."""
    told: list[bool] = []
    sample = replace(measured(0), settled=told.append)

    def refuse(_registration: int) -> None:
        raise JournalError("disk I/O error")

    site.server.counters["received"] += 1
    with monkeypatch.context() as broken:
        broken.setattr(site.server.direct._reader, "last_seen", refuse)
        site.server.direct.measured(sample)
    assert (site.kept(), told) == ([], [False])
    site.server.counters["received"] += 1
    site.server.direct.measured(sample)
    assert (site.kept(), told) == ([(1, START_US + 1)], [False, True])
    assert (site.server.counters["received"], site.server.counters["accepted"]) == (1, 1)


def test_a_relayed_payload_keeps_its_records_and_is_acknowledged_through_its_source(site: Site) -> None:
    samples = [payload.Sample(8, 10, READINGS), payload.Sample(7, 910, READINGS)]
    data, fport = payload.encode(samples, 51, 7)
    frame = Relayed("chirpstack", EUI, START_US, fport, data, 41)
    site.server.direct.relayed(frame)
    site.server.direct.relayed(frame)
    assert sorted(record for record, _ in site.kept()) == [7, 8]
    assert site.answers == [("chirpstack", EUI, 4, payload.encode_ack(8))] * 2


def test_what_is_unknown_or_unreadable_is_counted_and_nothing_kept(site: Site) -> None:
    site.server.direct.relayed(Relayed("chirpstack", "00" * 8, START_US, 2, b"\x20", 1))
    site.server.direct.relayed(Relayed("chirpstack", EUI, START_US, 2, b"\xff\xff", 1))
    site.server.direct.measured(Measured("modbus", EUI, START_US, START_US, {("water", "depth"): 1e9}))
    assert site.kept() == []
    counters = site.server.counters
    assert (counters["unknown_device"], counters["malformed"], counters["accepted"]) == (1, 2, 0)


def test_settings_for_a_relayed_node_go_through_its_source(site: Site) -> None:
    """FPort 5; taken when its health shows the CRC-32, as over our own radio; a source without a way costs no try."""
    leak_fall_5 = bytes([16, 2, 5, 0])
    stored.add_orders(site.journal, 1, [leak_fall_5], START_US)
    site.server.refresh()

    def relay(record: int, readings: dict[tuple[str, str], float]) -> list[Any]:
        site.answers.clear()
        data, fport = payload.encode([payload.Sample(record, 0, readings)], 51)
        site.server.direct.relayed(Relayed("chirpstack", EUI, START_US + record * 60_000_000, fport, data, record))
        return [answer[2:] for answer in site.answers]

    site.reached = False
    assert relay(1, READINGS) == [(5, leak_fall_5)]
    site.reached = True
    assert relay(2, READINGS) == [(5, leak_fall_5)]
    assert relay(3, READINGS) == []
    assert relay(4, {("health", "config"): crc32(leak_fall_5)}) == []
    with site.journal.reader() as reader:
        assert [(order.state, order.sent) for order in reader.read(stored.orders)] == [("confirmed", 1)]


def test_a_device_that_does_not_speak_our_payload_is_sent_no_settings(site: Site) -> None:
    stored.add_orders(site.journal, 1, [bytes([16, 2, 5, 0])], START_US)
    site.server.refresh()
    site.server.direct.measured(measured(60))
    assert site.answers == []
