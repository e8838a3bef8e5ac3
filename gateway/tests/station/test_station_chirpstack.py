"""The daemon behind a real broker: events by chirpstack-api in, `suat readings --json` and commands out."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from suat.records import DeviceRecord, Probe
from suat.store.journal import Journal
from suat_wire import payload

Make = Callable[..., tuple[str, bytes]]

INGEST = """
[[ingest]]
kind = "chirpstack"
broker = "{broker}"
profiles = {{ "Dragino LSE01" = "dragino_lse01" }}
"""
OURS, LSE01 = [f"70b3d57ed0050{number:03x}" for number in range(8)], "a84041000181c061"

ADD_LSE01 = f"device add --relayed --name lse --kind soil --dev-eui {LSE01} --paddock jailau-1 --probe upper:10".split()
FRAME = bytes.fromhex("0CD00000033F0714189C01")  # 3.275 V, 0.0831 m3/m3, 18.12 degC, 6.3 dS/m


def register(station: Any) -> None:
    """Eight nodes of ours; ChirpStack holds their keys."""
    with Journal(station.journal_path, durable=False) as journal:
        for number, dev_eui in enumerate(OURS):
            probes = (Probe("upper", 10, 1),)
            journal.add_device(DeviceRecord(0, f"n{number}", "soil", dev_eui, None, "jailau-1", None, probes, 0))


def ours(uplink_event: Make, number: int, ack_from: int | None = None) -> tuple[str, bytes]:
    """The event of the n-th sample of all, one a second, from the nodes in turn; its record is the number."""
    readings = {("probe1", "vwc"): 0.25, ("node", "battery"): 3.6}
    data, fport = payload.encode([payload.Sample(number, 0, readings)], 51, ack_from)
    return uplink_event(OURS[number % len(OURS)], fport, data, fcnt=number)


@pytest.mark.slow
def test_events_become_readings_and_our_node_is_told(make_station: Any, broker: Any, uplink_event: Make) -> None:
    station = make_station(INGEST.format(broker=broker.address))
    register(station)
    add = ADD_LSE01
    keys = ["--join-eui", LSE01, "--app-key", "00112233445566778899aabbccddee01"]
    assert "--relayed" in station.suat(*add, *keys, status=2)
    station.suat(*add)
    listed = [json.loads(line) for line in station.suat("device", "list", "--json").splitlines()]
    assert [entry["activation"] for entry in listed if entry["name"] == "lse"] == ["relayed"]
    assert "good" in station.suat("check")
    station.start()
    at = datetime.now(UTC) - timedelta(hours=1)
    broker.client()

    def told() -> bool:  # a first event may come before the station's subscription: a lone uplink is no session yet
        broker.publish(ours(uplink_event, 8, ack_from=8))
        return bool(broker.heard)

    station.wait_for(told)
    broker.publish(uplink_event(LSE01, 2, FRAME, at=at, profile="Dragino LSE01"))
    topic, command = broker.heard[0]
    assert topic.endswith(f"/device/{OURS[0]}/command/down")
    assert json.loads(command)["fPort"] == 4
    assert int.from_bytes(base64.b64decode(json.loads(command)["data"])[:4], "little") == 8
    station.wait_for(lambda: len(station.query("SELECT sample FROM cleaned")) == 2)
    readings = station.readings()
    assert {(entry["node"], entry["channel"], entry["raw"], entry["unit"]) for entry in readings} == {
        ("n0", "moisture", 0.25, "m3/m3"),
        ("n0", "battery", 3.6, "V"),
        ("lse", "moisture", 0.0831, "m3/m3"),
        ("lse", "temperature", 18.12, "degC"),
        ("lse", "ec", 6.3, "dS/m"),
        ("lse", "battery", 3.275, "V"),
    }
    heard = next(entry["time"] for entry in readings if entry["node"] == "lse")
    assert abs(datetime.fromisoformat(heard) - at) < timedelta(seconds=0.002)
    station.stop()


@pytest.mark.slow
def test_a_thousand_events_through_restarts_of_both_are_kept_once(
    make_station: Any, broker: Any, uplink_event: Make
) -> None:
    """250 while all is well, 250 while the station is down, 250 of which the broker's restart finds some under way,
    125 that the station has but cannot commit before kill -9, 125 more; some are published twice, and every 25 come
    with one of an LSE01, which numbers nothing. Each is a row of the journal, once."""
    station = make_station(INGEST.format(broker=broker.address))
    register(station)
    station.suat(*ADD_LSE01)
    station.start()
    station.wait_for(lambda: sessions(broker, uplink_event) and station.records())
    numbers = iter(range(1, 1001))
    start = datetime.now(UTC) - timedelta(days=1)

    def send(count: int) -> None:
        mine = [next(numbers) for _ in range(count)]
        events = [
            uplink_event(LSE01, 2, FRAME, at=start + timedelta(seconds=number), profile="Dragino LSE01")
            for number in mine
            if number % 25 == 0
        ]
        events += [ours(uplink_event, number) for number in mine]
        broker.publish(*events, *events[:10])

    send(250)
    station.stop()
    send(250)
    broker.stop()
    broker.start()
    station.start()
    send(125)
    broker.stop()
    broker.start()
    send(125)
    station.wait_for(lambda: len(kept(station)) > 700, 60)
    with contextlib.closing(sqlite3.connect(station.journal_path)) as other:
        other.execute("BEGIN IMMEDIATE")  # nothing can be committed
        send(125)
        time.sleep(0.5)
        station.kill()
    assert len(kept(station)) < 900
    send(125)
    station.start()
    station.wait_for(lambda: len(kept(station)) >= 1000, 60)
    time.sleep(1)
    assert sorted(kept(station)) == list(range(1, 1001))
    rows = station.query("SELECT registration, record FROM sample")
    assert len(rows) == len(set(rows)) == 1001 + 40  # with the one that waited for the subscription
    times = station.query(
        "SELECT time_us / 1000000 FROM sample JOIN device d ON d.id = registration WHERE name = 'lse'"
    )
    assert sorted(times) == [(int(start.timestamp() + number),) for number in range(25, 1001, 25)]
    station.stop()
    link = station.status()["link"]
    assert link["received"] == sum(count for name, count in link.items() if name != "received")
    print(link)


def kept(station: Any) -> list[int]:
    return [record for name, record in station.records() if record and name != "lse"]


def sessions(broker: Any, uplink_event: Make) -> bool:
    """An event of record 0: once it is kept, the broker has the station's subscription."""
    broker.publish(ours(uplink_event, 0))
    return True
