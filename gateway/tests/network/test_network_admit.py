"""Which frames come in: by an independent node through an independent packet forwarder into the real journal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat.network import admit, provision
from suat_wire import payload
from suat_wire.payload import Sample

# where npm lora-packet is installed
PEERS = Path(__file__).parents[3] / "firmware" / "tests"


def reading(record: int, age: int = 0, vwc: float = 0.25, ask: int | None = None) -> bytes:
    values = {("probe1", "vwc"): vwc, ("node", "battery"): 3.3}
    return payload.encode([Sample(record, age, values)], 51, ask)[0]


def test_a_genuine_frame_is_kept_with_its_own_sample_time(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(node.uplink(0, reading(7, age=30)))
    site.pass_time()
    (frame,) = site.admitted
    (row,) = frame.rows
    assert site.counted() == {"accepted": 1}
    assert (row.record, row.time_us) == (7, 1_780_000_000_000_000 - 30_000_000 + 7)
    assert payload.unpack(row.body) == {("probe1", "vwc"): 0.25, ("node", "battery"): 3.3}
    assert (frame.fcnt, frame.rssi, frame.snr, frame.ack_from, frame.reply) == (0, -90, 5.5, None, None)
    assert site.records() == [(1, 7)]


def test_several_samples_of_one_frame_are_rows_of_their_own(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    values = {("node", "battery"): 3.3}
    samples = [Sample(1002, 5, values), Sample(1001, 905, values), Sample(900, 905, values)]
    forwarder.hear(node.uplink(0, payload.encode(samples, 51)[0]))
    site.pass_time()
    assert [(row.record, row.time_us - 1_780_000_000_000_000) for row in site.admitted[0].rows] == [
        (1002, -5_000_000 + 2),
        (1001, -905_000_000 + 1),
        (900, -905_000_000 + 900),
    ]


def flipped(phy: bytes, bit: int) -> bytes:
    return (int.from_bytes(phy, "big") ^ (1 << bit)).to_bytes(len(phy), "big")


REFUSED: dict[str, tuple[Callable[[Any, Any], bytes], str]] = {
    "a flipped bit of the MIC": (lambda n, s: flipped(n.uplink(5, reading(9)), 3), "bad_mic"),
    "a flipped bit of the payload": (lambda n, s: flipped(n.uplink(5, reading(9)), 50), "bad_mic"),
    "another's key": (lambda n, s: type(n)(n.dev_eui, n.dev_addr, bytes(16), n.app).uplink(5, reading(9)), "bad_mic"),
    "an unknown DevAddr": (lambda n, s: type(n)("", 0x01020304, n.nwk, n.app).uplink(5, reading(9)), "unknown_device"),
    "an old counter": (lambda n, s: n.uplink(3, reading(9)), "old_counter"),
    "the last frame again": (lambda n, s: n.uplink(4, reading(4)), "duplicate"),
    "the last counter with other bytes": (lambda n, s: n.uplink(4, reading(9)), "duplicate"),
    "a counter more than 65535 ahead": (lambda n, s: n.uplink(5 + 65536, reading(9)), "bad_mic"),
    "a downlink": (lambda n, s: b"\x60" + n.uplink(5, reading(9))[1:], "malformed"),
    "a proprietary frame": (lambda n, s: b"\xe0" + bytes(20), "malformed"),
    "another major version": (lambda n, s: b"\x41" + n.uplink(5)[1:], "malformed"),
    "FOpts longer than the frame": (lambda n, s: n.uplink(5, fport=None, flags=0x0F), "malformed"),
    "MAC commands twice": (lambda n, s: n.uplink(5, b"\x02", 0, fopts=b"\x02"), "malformed"),
    "a join request too short": (lambda n, s: bytes(20), "malformed"),
    "a join of an unknown node": (
        lambda n, s: type(n)("00" * 8, 0, b"", b"", bytes(16)).join_request(0),
        "unknown_device",
    ),
    "a join of a node that never joins": (
        lambda n, s: type(n)(n.dev_eui, 0, b"", b"", bytes(16)).join_request(0),
        "unknown_device",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_counted_and_nothing_new(site: Any, case: str) -> None:
    node, forwarder = site.abp(), site.forwarder()
    for fcnt in (2, 3, 4):
        forwarder.hear(node.uplink(fcnt, reading(fcnt)))
        site.pass_time()
    make, counter = REFUSED[case]
    forwarder.hear(make(node, site))
    site.pass_time()
    assert site.counted() == {"accepted": 3, counter: 1}
    assert site.records() == [(1, 2), (1, 3), (1, 4)]
    forwarder.hear(node.uplink(5, reading(5)))  # and the node goes on as if nothing had been
    site.pass_time()
    assert site.records()[-1] == (1, 5)


def test_every_flipped_bit_is_refused(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    phy = node.uplink(0, reading(1))
    for bit in range(8 * len(phy)):
        forwarder.hear(flipped(phy, bit))
    site.pass_time()
    assert site.admitted == []
    assert site.counters["received"] == 8 * len(phy)
    assert set(site.counted()) <= {"bad_mic", "unknown_device", "malformed"}


def test_payload_that_cannot_be_read_still_counts_up(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(node.uplink(0, b"\xff\xff\xff"))
    site.pass_time()
    forwarder.hear(node.uplink(0, reading(1)))
    forwarder.hear(node.uplink(1, b"hello", 77))  # another application's port
    site.pass_time()
    forwarder.hear(node.uplink(2, b"", None))
    site.pass_time()
    assert site.counted() == {"malformed": 1, "duplicate": 1, "accepted": 2}
    assert [frame.rows for frame in site.admitted] == [(), (), ()]
    assert site.reader.sessions()[0].fcnt_up == 3


def test_copies_of_several_gateways_are_one_frame_with_the_best_reception(site: Any) -> None:
    node = site.abp()
    near, far, deaf = site.forwarder(), site.forwarder("00000000000000aa", 2), site.forwarder("00000000000000bb", 3)
    phy = node.uplink(0, reading(1))
    far.hear(phy, lsnr=-3.0, rssi=-110)
    site.pass_time(0.1)
    near.hear(phy, lsnr=8.25, rssi=-71)
    deaf.push({key: value for key, value in deaf.rxpk(phy).items() if key not in ("lsnr", "rssi")})
    assert site.admitted == []
    site.pass_time(0.15)
    assert site.counted() == {"accepted": 1, "duplicate": 2}
    assert (site.admitted[0].snr, site.admitted[0].rssi) == (8.25, -71)
    far.hear(phy)  # a copy that comes late
    site.pass_time()
    assert site.counted() == {"accepted": 1, "duplicate": 3}


def alone(site: Any) -> Any:
    """The only forwarder there is, after the time in which others would have shown themselves."""
    forwarder = site.forwarder()
    site.pass_time(admit.SHOW_S)
    return forwarder


def test_where_there_is_one_gateway_alone_no_copy_is_waited_for(site: Any) -> None:
    node, forwarder = site.abp(), alone(site)
    forwarder.hear(node.uplink(0, reading(1)))
    assert site.counted() == {"accepted": 1}
    forwarder.hear(node.uplink(0, reading(1)))  # a concentrator that tells it twice
    assert site.counted() == {"accepted": 1, "duplicate": 1}
    site.pass_time(0.3)
    forwarder.hear(node.uplink(0, reading(1)))
    site.pass_time(0.3)
    assert site.counted() == {"accepted": 1, "duplicate": 2}
    assert len(site.admitted) == 1
    assert site.records() == [(1, 1)]


def test_a_second_gateway_makes_the_station_wait_for_its_copies_for_a_day(site: Any) -> None:
    node, near = site.abp(), alone(site)
    far = site.forwarder("00000000000000aa", 2)  # it asks for downlinks, and has heard nothing yet
    near.hear(node.uplink(0, reading(1)))
    assert site.admitted == []
    site.pass_time(0.25)
    assert site.counted() == {"accepted": 1}
    site.pass_time(admit.ALONE_S - 1.0)
    near.hear(node.uplink(1, reading(2)), lsnr=-3.0)
    far.hear(node.uplink(1, reading(2)), lsnr=6.0)
    site.pass_time(0.25)
    assert site.admitted[1].snr == 6.0
    site.pass_time(admit.ALONE_S)
    far.hear(node.uplink(2, reading(3)))  # the other is no more
    assert len(site.admitted) == 3


def test_a_copy_of_a_gateway_that_was_not_known_is_the_frame_that_is_kept_already(site: Any) -> None:
    node, near = site.abp(), alone(site)
    phy = node.uplink(0, reading(1))
    near.hear(phy)
    site.forwarder("00000000000000aa", 2).hear(phy, lsnr=9.0)
    site.pass_time()
    assert site.counted() == {"accepted": 1, "duplicate": 1}
    near.hear(node.uplink(1, reading(2)))
    assert len(site.admitted) == 1


def test_signal_levels_that_were_not_told_are_unknown(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    entry = forwarder.rxpk(node.uplink(0, reading(1)))
    del entry["lsnr"], entry["rssi"]
    forwarder.push(entry)
    site.pass_time()
    assert (site.admitted[0].snr, site.admitted[0].rssi) == (None, None)


def test_the_counter_rolls_over_sixteen_bits(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    for fcnt in (65_534, 65_536, 65_537, 131_071, 131_072):
        forwarder.hear(node.uplink(fcnt, reading(fcnt)))
        site.pass_time()
    assert [frame.fcnt for frame in site.admitted] == [65_534, 65_536, 65_537, 131_071, 131_072]
    forwarder.hear(node.uplink(65_537, reading(1)))  # the same low half, one turn earlier
    forwarder.hear(node.uplink(1, reading(1)))  # two turns earlier
    site.pass_time()
    assert site.counted() == {"accepted": 5, "old_counter": 1, "bad_mic": 1}
    site.restart()
    forwarder.hear(node.uplink(131_073, reading(131_073)))
    site.pass_time()
    assert site.admitted[-1].fcnt == 131_073
    assert site.counted() == {"accepted": 1}


def test_a_restart_forgets_no_counter(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(node.uplink(41, reading(1)))
    site.pass_time()
    site.restart()
    for fcnt in (41, 40, 0):
        forwarder.hear(node.uplink(fcnt, reading(2)))
    site.pass_time()
    assert site.counted() == {"duplicate": 1, "old_counter": 2}
    assert site.records() == [(1, 1)]


def test_two_nodes_with_one_dev_addr_are_told_apart_by_their_keys(site: Any) -> None:
    one, two, forwarder = site.abp("one"), site.abp("two"), site.forwarder()
    for fcnt, node in ((10, one), (3, two), (11, one), (4, two)):
        forwarder.hear(node.uplink(fcnt, reading(fcnt)))
        site.pass_time()
    assert [(frame.registration, frame.fcnt) for frame in site.admitted] == [(1, 10), (2, 3), (1, 11), (2, 4)]
    forwarder.hear(two.uplink(4, reading(4)))
    forwarder.hear(one.uplink(4, reading(4)))
    site.pass_time()
    assert site.counted() == {"accepted": 4, "duplicate": 1, "old_counter": 1}


def test_record_numbers_beyond_sixteen_bits_follow_the_journal(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    for fcnt, record in enumerate((30_000, 60_000, 80_000, 100_000)):
        forwarder.hear(node.uplink(fcnt, reading(record)))
        site.pass_time()
    site.restart()
    forwarder.hear(node.uplink(9, reading(120_000)))
    site.pass_time()
    assert [record for _, record in site.records()] == [30_000, 60_000, 80_000, 100_000, 120_000]


def test_a_node_added_or_revoked_while_running(site: Any) -> None:
    first, forwarder = site.abp("first"), site.forwarder()
    forwarder.hear(first.uplink(7, reading(1)))
    site.pass_time()
    second = site.abp("second", 0x01020304)
    forwarder.hear(second.uplink(0, reading(1)))
    forwarder.hear(first.uplink(7, reading(1)))  # the running session was left as it is
    site.pass_time()
    assert site.counted() == {"accepted": 2, "duplicate": 1}
    provision.revoke(site.journal, site.keys, "first", 1)
    site.network.refresh()
    forwarder.hear(first.uplink(8, reading(2)))
    forwarder.hear(second.uplink(1, reading(2)))
    site.pass_time()
    assert site.counted() == {"accepted": 3, "duplicate": 1, "unknown_device": 1}
    assert site.records() == [(1, 1), (2, 1), (2, 2)]


def test_a_flood_is_bounded_and_harms_nobody(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admit, "MAX_WAITING", 50)
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(node.uplink(0, reading(1)))
    for number in range(1000):
        forwarder.hear(b"\x40" + number.to_bytes(4, "little") + bytes(20))
    assert len(site.network._admission._waiting) <= 50
    site.pass_time()
    assert site.counted() == {"accepted": 1, "unknown_device": 1000}


def test_refusals_are_logged_once_a_minute(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    forwarder = site.forwarder()
    for number in range(100):
        forwarder.hear(b"\x40" + number.to_bytes(4, "little") + bytes(20))
        site.pass_time(1.0)
    assert 2 <= len(caplog.records) <= 3
    assert "unknown_device: DevAddr 00000000, heard by a84041ffff1ee2b4 (1 of this kind" in caplog.text
    assert "(60 of this kind" in caplog.text or "(61 of this kind" in caplog.text


def test_stopping_judges_what_is_still_being_collected(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(node.uplink(0, reading(1)))
    site.network.flush()
    assert len(site.admitted) == 1
    site.pass_time()
    assert site.counted() == {"accepted": 1}


def test_frames_of_lora_packet(site: Any) -> None:
    """npm lora-packet builds the frames: counters with a high half, and ports 0, 2 and 77."""
    nwk, app = bytes.fromhex("44024241ed4ce9a68c6a8bc055233fd3"), bytes.fromhex("ec925802ae430ca77fd3dd73cb2cc588")
    cases = [
        {"fcnt": 5, "port": 2, "payload": reading(1).hex()},
        {"fcnt": 0x10005, "port": 2, "payload": reading(2).hex()},
        {"fcnt": 0x10006, "port": 77, "payload": b"Hello steppe!".hex()},
        {"fcnt": 0x20000, "port": 0, "payload": "0d"},
    ]
    script = """
    const lp = require('lora-packet'), h = (s) => Buffer.from(s, 'hex');
    const [nwk, app, cases] = JSON.parse(process.argv[1]);
    console.log(JSON.stringify(cases.map((c) => {
      const msb = Buffer.alloc(2); msb.writeUInt16LE(c.fcnt >>> 16);
      return lp.fromFields({MType: 'Unconfirmed Data Up', DevAddr: h('26011bda'), FCnt: c.fcnt & 0xffff,
        FCtrl: {ADR: true}, FPort: c.port, payload: h(c.payload)},
        h(app), h(nwk), undefined, msb).getPHYPayload().toString('hex');
    })));
    """
    made = subprocess.run(
        ["node", "-e", script, "--", json.dumps([nwk.hex(), app.hex(), cases])],
        cwd=PEERS,
        capture_output=True,
        text=True,
        check=True,
    )
    site.abp(nwk=nwk, app=app)
    forwarder = site.forwarder()
    for phy in json.loads(made.stdout):
        forwarder.hear(bytes.fromhex(phy))
        site.pass_time()
    assert site.counted() == {"accepted": 4}
    assert [frame.fcnt for frame in site.admitted] == [case["fcnt"] for case in cases]
    assert site.records() == [(1, 1), (1, 2)]
    assert site.admitted[3].reply is not None  # DeviceTimeReq on port 0


def test_who_was_refused_is_named(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    node, forwarder = site.otaa(), site.forwarder()
    forwarder.hear(type(node)("0102030405060708", 0, b"", b"", bytes(16)).join_request(0))
    forwarder.hear(b"\xe0" + bytes(20))
    site.pass_time()
    assert "unknown_device: join of DevEUI 0102030405060708" in caplog.text
    assert "malformed: frame e00000" in caplog.text


def test_copies_of_one_frame_are_bounded(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    phy = node.uplink(0, reading(1))
    for _ in range(100):
        forwarder.hear(phy)
    (copies,) = site.network._admission._waiting.values()
    assert len(copies) == admit.MAX_COPIES
    site.pass_time()
    assert site.counted() == {"accepted": 1, "duplicate": 99}
