"""ChirpStack's events as they enter the station, from the message's bytes to the journal; the broker is a list here."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
import random
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from suat.clock import VirtualScheduler
from suat.config import ConfigError, parse
from suat.ingest.base import Ingress
from suat.ingest.chirpstack import AGAIN_S, HANDLED, Chirpstack, ChirpstackTable, Vendor
from suat.ingest.vendors import VENDORS
from suat.mqtt import LARGEST
from suat.network.keys import RootKeys
from suat.network.server import NetworkServer
from suat.records import Admitted, Batch, DeviceRecord, Downlink
from suat.store.journal import Journal
from suat_wire import payload
from suat_wire.control import PORT_ACK

START = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
OURS, SOIL, TANK, STRANGER = "70b3d57ed005a1b2", "a84041000181c061", "24e124126a148401", "0000000000000bad"
PROFILE = "Milesight EM500-SWL"

Make = Callable[..., tuple[str, bytes]]


class Line:
    """Stands where the broker's session stands: what was acknowledged, what was published."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.published: list[tuple[str, Any]] = []
        self.connected = True

    def acknowledge(self, number: int, _qos: int) -> None:
        self.acknowledged.append(number)

    async def stop(self) -> None:
        self.connected = False

    def publish(self, topic: str, content: bytes) -> bool:
        self.published.append((topic, json.loads(content)))
        return self.connected


class Desk:
    """A journal, a network server and the source, in virtual time. A batch is committed when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.scheduler = VirtualScheduler(START_US)
        self.journal = Journal(folder / "journal.db", durable=False)
        for name, kind, dev_eui in (("ours", "soil", OURS), ("lse", "soil", SOIL), ("swl", "water", TANK)):
            self.journal.add_device(DeviceRecord(0, name, kind, dev_eui, None, None, None, (), START_US))
        self.reader = self.journal.reader()
        self.pending: list[Admitted] = []
        self.server = NetworkServer(
            self.scheduler,
            "IN865",
            self.reader,
            RootKeys(folder),
            self.pending.append,
            lambda _downlink: False,
            send_payload=lambda _source, *what: self.source.send_payload(*what),
        )
        self.line = Line()
        self.source = self.open()
        self.numbers = itertools.count(1)

    def open(self) -> Chirpstack:
        """A fresh source, as after a restart of the station."""
        table = ChirpstackTable(
            kind="chirpstack", devices={SOIL: "dragino_lse01"}, profiles={PROFILE: "milesight_em500_swl"}
        )
        direct = self.server.direct
        ingress = Ingress(
            self.scheduler,
            lambda _uplink: None,
            counters=self.server.counters,
            on_relayed=direct.relayed,
            on_measured=direct.measured,
        )
        return Chirpstack(ingress, table, self.line)  # type: ignore[arg-type]

    def hear(self, message: tuple[str, bytes], qos: int = 1) -> int:
        """One message; the number of its packet."""
        number = next(self.numbers)
        self.source.message_received(*message, number, qos)
        return number

    def commit(self) -> None:
        batch = Batch(tuple(self.pending))
        self.pending.clear()
        self.server.committed(batch, self.journal.commit(batch))

    def lose(self) -> None:
        """The journal gives a batch up."""
        batch = Batch(tuple(self.pending))
        self.pending.clear()
        self.server.failed(batch)

    def kept(self) -> list[tuple[int, int, int, dict[tuple[str, str], float]]]:
        """(registration, record, time [us], readings) of all that the journal holds."""
        rows = self.journal._connection.execute("SELECT registration, record, time_us, body FROM sample ORDER BY id")
        return [(registration, record, time_us, payload.unpack(body)) for registration, record, time_us, body in rows]

    def counted(self) -> dict[str, int]:
        """The counters that are not zero; each event that came in is counted as exactly one thing."""
        counters = self.server.counters
        assert counters["received"] == sum(count for name, count in counters.items() if name != "received")
        return {name: count for name, count in counters.items() if count and name != "received"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.reader.close()
    made.journal.close()


def sample(record: int, ack_from: int | None = None, vwc: float = 0.25) -> tuple[int, bytes]:
    """(FPort, payload) of one sample of our own node."""
    readings = {("probe1", "vwc"): vwc, ("node", "battery"): 3.6}
    data, fport = payload.encode([payload.Sample(record, 0, readings)], 51, ack_from)
    return fport, data


LSE01 = bytes.fromhex("0CD00000033F0714189C01")


@pytest.mark.parametrize("zeros", [False, True])
def test_a_payload_of_ours_is_kept_as_the_node_numbered_it(desk: Desk, uplink_event: Make, zeros: bool) -> None:
    desk.hear(uplink_event(OURS, *sample(40), at=START - timedelta(days=2), zeros=zeros))
    (admitted,) = desk.pending
    assert (admitted.fcnt, admitted.rssi, admitted.snr) == (7, -98.0, 3.25)  # the gateway that heard it best
    desk.commit()
    two_days_ago_us = START_US - 2 * 86_400_000_000  # it lay in the broker; the sub-millisecond part is the record
    assert desk.kept() == [(1, 40, two_days_ago_us + 40, {("probe1", "vwc"): 0.25, ("node", "battery"): 3.6})]
    assert desk.counted() == {"accepted": 1}


def test_what_is_zero_is_left_out_of_the_json_and_zero_here(desk: Desk, uplink_event: Make) -> None:
    desk.hear(uplink_event(OURS, *sample(1), fcnt=0, levels=((-90, 0.0),)))
    desk.hear(uplink_event(OURS, *sample(2), levels=()))
    first, second = desk.pending
    assert (first.fcnt, first.rssi, first.snr) == (0, -90.0, 0.0)
    assert (second.rssi, second.snr) == (None, None)


def test_a_vendors_payload_is_read_by_its_table(desk: Desk, uplink_event: Make) -> None:
    desk.hear(uplink_event(SOIL, 2, LSE01, at=START))
    desk.hear(uplink_event(TANK, 85, bytes.fromhex("01756403770200"), at=START, profile=PROFILE))
    desk.commit()
    lse, swl = desk.kept()
    assert lse[0] == 2 and lse[2] // 1000 == START_US // 1000
    assert lse[3] == {
        ("node", "battery"): 3.275,  # in steps of 25 mV
        ("probe1", "vwc"): 0.0831,
        ("probe1", "temperature"): 18.12,
        ("probe1", "ec"): 6.3,
    }
    assert (swl[0], swl[3]) == (3, {("water", "depth"): 0.02})


def test_a_vendors_memory_is_kept_with_its_own_times(desk: Desk, uplink_event: Make) -> None:
    told = int((START - timedelta(hours=3)).timestamp()).to_bytes(4, "little").hex()
    message = uplink_event(TANK, 85, bytes.fromhex(f"20CE{told}0200 03770300"), at=START, profile=PROFILE)
    number = desk.hear(message)
    assert desk.line.acknowledged == []
    desk.commit()
    assert {(time_us // 1_000_000, readings["water", "depth"]) for _, _, time_us, readings in desk.kept()} == {
        (START_US // 1_000_000, 0.03),
        (START_US // 1_000_000 - 3 * 3600, 0.02),
    }
    assert desk.line.acknowledged == [number]  # once, for both
    wrong = uplink_event(TANK, 85, bytes.fromhex("20CEFFFFFFFF0200"), at=START, profile=PROFILE)  # in the year 2106
    desk.hear(wrong)
    assert desk.counted() == {"accepted": 2, "malformed": 1}


def test_the_broker_is_told_after_the_commit_and_in_order(desk: Desk, uplink_event: Make) -> None:
    first = desk.hear(uplink_event(OURS, *sample(1)))
    nonsense = desk.hear(("application/a/device/b/event/up", b"{"))
    last = desk.hear(uplink_event(SOIL, 2, LSE01))
    assert desk.line.acknowledged == []
    desk.commit()
    assert desk.line.acknowledged == [first, nonsense, last]


def test_what_needs_no_keeping_is_acknowledged_at_once(desk: Desk, uplink_event: Make) -> None:
    numbers = [
        desk.hear(uplink_event(STRANGER, *sample(1))),
        desk.hear(uplink_event(OURS, 0, b"")),  # an answer to MAC commands
        desk.hear(uplink_event(SOIL, 5, bytes.fromhex("2601000 1FF0B45".replace(" ", "")))),  # its firmware
        desk.hear(uplink_event(TANK, 85, bytes.fromhex("017564"), profile=PROFILE)),  # its battery
    ]
    assert desk.line.acknowledged == numbers
    assert desk.counted() == {"unknown_device": 1}


def test_what_the_broker_delivers_again_waits_for_the_same_commit(desk: Desk, uplink_event: Make) -> None:
    message = uplink_event(SOIL, 2, LSE01, at=START)
    desk.hear(message)
    desk.source.connection_lost()
    again = desk.hear(message)
    assert (len(desk.pending), desk.line.acknowledged) == (1, [])
    desk.commit()
    assert desk.line.acknowledged == [again]
    once_more = desk.hear(message)
    assert desk.line.acknowledged == [again, once_more]
    assert len(desk.kept()) == 1
    assert desk.counted() == {"accepted": 1, "duplicate": 2}


def test_a_packets_number_means_nothing_after_a_stop(desk: Desk, uplink_event: Make) -> None:
    """So the source is brought back after an error; the number may be another message's by now."""
    message = uplink_event(SOIL, 2, LSE01, at=START)
    desk.hear(message)
    asyncio.run(desk.source.stop())
    again = desk.hear(message)
    desk.commit()
    assert desk.line.acknowledged == [again]


def test_an_event_published_twice_is_acknowledged_twice(desk: Desk, uplink_event: Make) -> None:
    message = uplink_event(OURS, *sample(1))
    numbers = [desk.hear(message), desk.hear(message)]
    desk.commit()
    assert desk.line.acknowledged == numbers


def test_after_a_restart_the_sample_itself_tells_that_it_is_known(desk: Desk, uplink_event: Make) -> None:
    messages = [uplink_event(SOIL, 2, LSE01, at=START), uplink_event(OURS, *sample(9), at=START)]
    for message in messages:
        desk.hear(message)
    desk.commit()
    before = desk.kept()
    desk.source = desk.open()
    for message in messages:
        desk.hear(message)
    desk.commit()
    assert desk.kept() == before
    assert len(desk.line.acknowledged) == 4


def test_what_the_journal_gave_up_is_handed_in_again(desk: Desk, uplink_event: Make) -> None:
    number = desk.hear(uplink_event(OURS, *sample(5)))
    desk.lose()
    assert (desk.line.acknowledged, desk.kept()) == ([], [])
    desk.scheduler.run_until(AGAIN_S + 1)
    desk.commit()
    assert desk.line.acknowledged == [number]
    assert [record for _, record, _, _ in desk.kept()] == [5]


def test_our_node_is_told_what_is_on_disk_through_chirpstack(desk: Desk, uplink_event: Make) -> None:
    topic, _ = message = uplink_event(OURS, *sample(3, ack_from=1))
    desk.hear(message)
    assert desk.line.published == []
    desk.commit()
    ((where, command),) = desk.line.published
    assert where == topic.replace("event/up", "command/down")
    assert {name: command[name] for name in ("devEui", "confirmed", "fPort")} == {
        "devEui": OURS,
        "confirmed": False,
        "fPort": PORT_ACK,
    }
    from suat_wire.payload import decode_ack

    cumulative, *_ = decode_ack(base64.b64decode(command["data"]))
    assert cumulative == 0  # 1 and 2 are missing
    from chirpstack_api import integration
    from google.protobuf.json_format import ParseDict

    parsed = ParseDict(command, integration.DownlinkCommand())  # ChirpStack understands it
    assert (parsed.dev_eui, parsed.f_port, parsed.data) == (OURS, PORT_ACK, base64.b64decode(command["data"]))


def test_a_payload_finds_no_way_to_a_node_that_was_not_heard(desk: Desk, uplink_event: Make) -> None:
    assert not desk.source.send_payload(OURS, 5, b"\x01")
    desk.hear(uplink_event(OURS, *sample(1)))
    assert desk.source.send_payload(OURS, 5, b"\x01")
    desk.line.connected = False
    assert not desk.source.send_payload(OURS, 5, b"\x01")
    assert not desk.source.send_downlink(Downlink("", "", 0, 0, "", 0, b""))


def changed(message: tuple[str, bytes], **fields: Any) -> tuple[str, bytes]:
    """The message with other top-level fields; `...` takes one away."""
    event = json.loads(message[1])
    event.update(fields)
    return message[0], json.dumps({key: value for key, value in event.items() if value is not ...}).encode()


WRONG: list[dict[str, Any]] = [
    {"deduplicationId": ...},
    {"deduplicationId": ""},
    {"deduplicationId": "x" * 65},
    {"deduplicationId": 5},
    {"time": ...},
    {"time": "yesterday"},
    {"time": "2026-06-01T04:00:00"},
    {"time": 1780286400},
    {"deviceInfo": ...},
    {"deviceInfo": []},
    {"deviceInfo": {"devEui": SOIL}},
    {"deviceInfo": {"devEui": None}},
    {"data": 5},
    {"data": "%%%%"},
    {"data": "IAEAACEBAQ"},
    {"fPort": "2"},
    {"fPort": 256},
    {"fPort": 2.0},
    {"fPort": True},
    {"fPort": 77},
    {"fCnt": -1},
    {"fCnt": 2**32},
    {"rxInfo": {}},
    {"rxInfo": [5]},
    {"rxInfo": [{"rssi": "-90"}]},
    {"rxInfo": [{"snr": 1e300}]},
]


@pytest.mark.parametrize("fields", WRONG, ids=lambda fields: json.dumps(fields, default=lambda _: "gone"))
def test_a_field_that_is_wrong_is_counted_and_passed_over(
    desk: Desk, uplink_event: Make, fields: dict[str, Any]
) -> None:
    number = desk.hear(changed(uplink_event(OURS, *sample(1)), **fields))
    assert (desk.pending, desk.line.acknowledged) == ([], [number])
    assert desk.counted() == {"malformed": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b" " * (LARGEST + 1)])
def test_a_message_that_is_no_event_is_counted_and_passed_over(desk: Desk, content: bytes) -> None:
    desk.hear((f"application/a/device/{OURS}/event/up", content))
    assert desk.counted() == {"malformed": 1}


def test_an_event_under_another_nodes_topic_is_refused(desk: Desk, uplink_event: Make) -> None:
    topic, content = uplink_event(OURS, *sample(1))
    for wrong in (topic.replace(OURS, SOIL), topic.replace(OURS, OURS.upper()), "up", ""):
        desk.hear((wrong, content))
    assert desk.counted() == {"malformed": 4}


def test_a_time_that_cannot_be_is_replaced_by_ours(desk: Desk, uplink_event: Make) -> None:
    for record, at in enumerate((START + timedelta(days=2), datetime(1999, 1, 1, tzinfo=UTC)), 1):
        desk.hear(uplink_event(OURS, *sample(record), at=at))
    assert [admitted.received_us for admitted in desk.pending] == [START_US, START_US]


def test_the_owner_is_told_once_of_a_node_whose_table_is_missing_and_of_qos_0(
    desk: Desk, uplink_event: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            desk.hear(uplink_event(STRANGER, 10, b"\x01\x02", profile="line\nfeed"), qos=0)
    unknown, lossy = sorted(caplog.messages, key=lambda line: "QoS" in line)
    assert STRANGER in unknown and "\\nfeed" in unknown and "devices or profiles" in unknown
    assert "QoS 0" in lossy and "docs/chirpstack.md" in lossy
    assert desk.line.acknowledged == []  # nothing to acknowledge at QoS 0


def test_memory_is_bounded(desk: Desk, uplink_event: Make) -> None:
    topic, content = uplink_event(STRANGER, *sample(1), identity="@@@@")
    for number in range(HANDLED + 500):
        dev_eui = f"{number:016x}".encode()
        event = content.replace(b"@@@@", b"%d" % number).replace(STRANGER.encode(), dev_eui)
        desk.hear((topic.replace(STRANGER, dev_eui.decode()), event))
    assert len(desk.source._handled) == HANDLED
    assert len(desk.source._applications) == HANDLED
    assert not desk.source._unacknowledged


def test_an_application_is_named_by_an_id_and_not_by_a_whole_topic(desk: Desk, uplink_event: Make) -> None:
    topic, content = uplink_event(OURS, *sample(1))
    desk.hear((topic.replace(topic.split("/")[1], "a" * 60_000), content))
    assert not desk.source._applications
    assert desk.server.counters["malformed"] == 1


CASES = 100_000


@pytest.mark.slow
def test_whatever_is_published_no_error_comes_out(desk: Desk, uplink_event: Make) -> None:
    """100,000 mutated events: bytes, topics and fields. Each is kept, counted or passed over, and acknowledged."""
    chance = random.Random(20260601)
    messages = [
        uplink_event(OURS, *sample(1, ack_from=1), at=START),
        uplink_event(SOIL, 2, LSE01, at=START),
        uplink_event(TANK, 85, bytes.fromhex("01756403770200"), at=START, profile=PROFILE),
        uplink_event(STRANGER, 10, b"\x01\x02", at=START),
    ]
    events = [(topic, json.loads(content)) for topic, content in messages]
    values: list[Any] = [None, True, -1, 0, 2, 3, 85, 1e308, 2**70, "", "x", "A" * 5000, [], {}, [{}], [None], {"a": 1}]
    values += [
        "2026-06-01T04:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59+14:00",
        "IAEAACEBAQAA",
        "\ud800",
        OURS,
    ]
    logging.disable(logging.WARNING)
    try:
        for case in range(CASES):
            if case % 2:
                topic, content = chance.choice(messages)
                data = bytearray(content)
                for _ in range(chance.randint(1, 6)):
                    at = chance.randrange(len(data))
                    match chance.randrange(3):
                        case 0:
                            data[at] = chance.randrange(256)
                        case 1:
                            del data[at : at + chance.randint(1, 40)]
                        case _:
                            data[at:at] = chance.randbytes(chance.randint(1, 8))
                content = bytes(data)
            else:
                topic, event = chance.choice(events)
                content = json.dumps(mutated(event, chance, values)).encode()
            if chance.random() < 0.1:
                topic = "/".join(chance.choices([*topic.split("/"), "", "\0", "x" * 300], k=chance.randint(1, 7)))
            desk.hear((topic, content))
            if case % 500 == 499:
                desk.commit()
    finally:
        logging.disable(logging.NOTSET)
    desk.commit()
    counted = desk.counted()
    print(f"{CASES} events: {counted}, {len(desk.kept())} samples kept")
    assert desk.line.acknowledged == list(range(1, CASES + 1))
    assert counted["malformed"] > CASES // 4 and counted["accepted"] > 100
    limit_us = START_US + 86_400_000_000
    assert all(1_577_836_800_000_000 <= time_us <= limit_us + 1_000_000 for _, _, time_us, _ in desk.kept()[:20_000])


def mutated(event: dict[str, Any], chance: random.Random, values: list[Any]) -> dict[str, Any]:
    """The event with one to three fields changed, taken away or put in, at any depth; its identity is new."""
    made = json.loads(json.dumps(event))
    made["deduplicationId"] = str(chance.random())
    for _ in range(chance.randint(1, 3)):
        where = made
        while isinstance(where, dict) and where:
            key = chance.choice(list(where))
            inner = where[key][0] if isinstance(where[key], list) and where[key] else where[key]
            if isinstance(inner, dict) and chance.random() < 0.6:
                where = inner
                continue
            if chance.random() < 0.2:
                del where[key]
            else:
                where[key] = chance.choice(values)
            break
    return made


def test_the_vendors_that_may_be_named_are_those_with_a_table() -> None:
    assert set(get_args(Vendor)) == set(VENDORS)


STATION = {"name": "Asy", "data_dir": "/tmp/suat"}
GUIDE = Path(__file__).parents[3] / "docs" / "chirpstack.md"


def test_the_guides_configuration_is_one() -> None:
    blocks = [block.split("```")[0] for block in GUIDE.read_text().split("```toml\n")[1:]]
    (ours,) = [block for block in blocks if "[[ingest]]" in block]
    (table,) = parse({"station": STATION, **tomllib.loads(ours)}).ingest
    assert isinstance(table, ChirpstackTable)
    assert set(table.profiles.values()) | set(table.devices.values()) < set(VENDORS)
    assert all(f"`{name}`" in GUIDE.read_text() for name in VENDORS)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"broker": "here"}, '"here" is not HOST:PORT'),
        ({"devices": {"A84041": "dragino_lse01"}}, "devices"),
        ({"devices": {SOIL: "dragino_lse02"}}, '"dragino_lse02" is not one of dragino_lse01'),
        ({"application": "a/#"}, "application"),
        ({"client_id": "two words"}, "client_id"),
        ({"password_file": "secret"}, "password_file needs username"),
        ({"tls": True, "cert_file": "a.pem"}, "cert_file and key_file go together"),
        ({"ca_file": "a.pem"}, "need tls = true"),
        ({"bind": "127.0.0.1:1"}, "unknown key"),
    ],
)
def test_a_fault_of_the_configuration_is_one_line_that_names_it(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"station": STATION, "ingest": [{"kind": "chirpstack", **fields}]})
    (line,) = caught.value.faults
    assert told in line and "chirpstack" in line
