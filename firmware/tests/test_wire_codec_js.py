"""codec.js, as ChirpStack and The Things Stack run it, against the Python codec: same payloads, same verdicts."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suat_wire import control, fields, payload
from suat_wire.payload import PayloadError, Sample

Node = Callable[[list[dict[str, Any]]], list[Any]]


def told(data: bytes, fport: int) -> dict[str, Any] | None:
    """What codec.js should say of an uplink: the decoded data, or None for an error."""
    try:
        asked, rows = payload.split(data, fport)
    except PayloadError:
        return None
    samples = []
    for record, age, body in rows:
        groups: dict[str, dict[str, float]] = {}
        for (group, name), value in payload.unpack(body).items():
            groups.setdefault(group, {})[name] = value
        samples.append({"record": record, "age_s": age, "readings": groups})
    return {"samples": samples} | ({} if asked is None else {"ack_from": asked})


def compare(node: Node, payloads: list[tuple[bytes, int]]) -> int:
    """Every payload has the same outcome in both; returns how many were valid."""
    results = node([{"do": "uplink", "data": data.hex(), "fport": fport} for data, fport in payloads])
    valid = 0
    for (data, fport), result in zip(payloads, results, strict=True):
        expected = told(data, fport)
        if expected is None:
            assert list(result) == ["errors"], (data.hex(), fport, result)
            assert result["errors"][0]
        else:
            assert result == {"data": expected}, (data.hex(), fport)
            valid += 1
    return valid


def test_random_payloads(node: Node, random_samples: Callable[[random.Random], list[Sample]]) -> None:
    rng = random.Random(5)
    payloads = []
    for _ in range(1500):
        samples = random_samples(rng)
        newest = samples[0].record
        ack_from = rng.choice((None, newest, max(0, newest - rng.randrange(65536))))
        payloads.append(payload.encode(samples, 10000, ack_from, wide=rng.random() < 0.3))
    assert compare(node, payloads) == len(payloads)


def test_golden_payloads(node: Node, vectors: dict[str, Any]) -> None:
    good = [(bytes.fromhex(vector["data"]), vector["fport"]) for vector in vectors["payload"]]
    bad = [(bytes.fromhex(vector["data"]), vector["fport"]) for vector in vectors["bad_payload"]]
    assert compare(node, good + bad) == len(good)


def test_damaged_payloads(node: Node, vectors: dict[str, Any]) -> None:
    """Every single flipped bit and every truncation of the golden payloads, and random bytes."""
    rng = random.Random(6)
    payloads = []
    for vector in vectors["payload"]:
        data, fport = bytes.fromhex(vector["data"]), vector["fport"]
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit >> 3] ^= 1 << (bit & 7)
            payloads.append((bytes(damaged), fport))
        payloads += [(data[:length], fport) for length in range(len(data))]
    payloads += [(b"\x20" + rng.randbytes(rng.randint(0, 30)), rng.choice((2, 3))) for _ in range(2000)]
    valid = compare(node, payloads)
    assert 500 < valid < len(payloads) - 500


def test_the_time_of_a_sample(node: Node) -> None:
    data, fport = payload.encode([Sample(1, 90, {("node", "battery"): 3.6})], 51)
    job = {"do": "uplink", "data": data.hex(), "fport": fport, "received": "2026-06-11T12:00:00.500Z"}
    [result] = node([job])
    assert result["data"]["samples"][0]["time"] == "2026-06-11T11:58:30.500Z"


def test_acknowledgements(node: Node) -> None:
    rng = random.Random(7)
    records = [control.RECORD_MAX] + [rng.choice((-1, 0, rng.randrange(control.RECORD_MAX))) for _ in range(200)]
    acks = [(record, rng.randbytes(rng.randrange(9))) for record in records]
    encoded = [control.encode_ack(*ack).hex() for ack in acks]
    asked = [{"cumulative": cumulative, "bitmap": list(bitmap)} for cumulative, bitmap in acks]
    results = node([{"do": "encode_downlink", "data": {"ack": ack}} for ack in asked])
    assert [(bytes(result["bytes"]).hex(), result["fPort"]) for result in results] == [(data, 4) for data in encoded]
    back = node([{"do": "decode_downlink", "data": data, "fport": 4} for data in encoded])
    for (cumulative, bitmap), result in zip(acks, back, strict=True):
        ack = {"cumulative": cumulative, "bitmap": list(bitmap.rstrip(b"\x00"))}
        assert result == {"data": {"ack": ack}}


def test_settings(node: Node) -> None:
    rng = random.Random(8)
    many = []
    for _ in range(200):
        chosen = rng.sample(control.SETTINGS, rng.randint(1, len(control.SETTINGS)))
        many.append({name: rng.choice((low, high, rng.randint(low, high))) for _, name, _, low, high, _ in chosen})
    encoded = [control.encode_config(settings).hex() for settings in many]
    results = node([{"do": "encode_downlink", "data": {"config": settings}} for settings in many])
    assert [(bytes(result["bytes"]).hex(), result["fPort"]) for result in results] == [(data, 5) for data in encoded]
    back = node([{"do": "decode_downlink", "data": data, "fport": 5} for data in encoded])
    assert back == [{"data": {"config": settings}} for settings in many]


def test_random_downlinks_have_the_same_verdict(node: Node) -> None:
    rng = random.Random(9)
    many = [(rng.randbytes(rng.randrange(14)), 4) for _ in range(100)]
    for _ in range(1500):
        parts = [
            bytes((rng.randint(0, 9), rng.choice((1, 1, 4)))) + rng.randbytes(rng.choice((1, 1, 4)))
            for _ in range(rng.randrange(3))
        ]
        many.append((b"".join(parts), 5))
    decoders = {4: control.decode_ack, 5: control.decode_config}
    results = node([{"do": "decode_downlink", "data": data.hex(), "fport": fport} for data, fport in many])
    verdicts = set()
    for (data, fport), result in zip(many, results, strict=True):
        try:
            decoders[fport](data)
            verdict = "data"
        except PayloadError:
            verdict = "errors"
        verdicts.add((fport, verdict))
        assert list(result) == [verdict], (data.hex(), fport, result)
    assert len(verdicts) == 4


def test_downlinks_that_are_refused(node: Node) -> None:
    refused: list[Any] = [
        {},
        {"ack": {"cumulative": 1}, "config": {"adr": 1}},
        {"ack": {}},
        {"ack": {"cumulative": -2}},
        {"ack": {"cumulative": 4294967295}},
        {"ack": {"cumulative": 1, "bitmap": [0] * 9}},
        {"ack": {"cumulative": 1, "bitmap": [256]}},
        {"config": {}},
        {"config": {"interval_s": 29}},
        {"config": {"interval_s": 900.5}},
        {"config": {"interval_s": "900"}},
        {"config": {"interval_s": None}},
        {"config": {"intervall_s": 900}},
        {"config": {"interval_s": 900, "toString": 1}},
    ]
    results = node([{"do": "encode_downlink", "data": data} for data in refused])
    results += node([{"do": "decode_downlink", "data": "00", "fport": 2}])
    assert [list(result) for result in results] == [["errors"]] * (len(refused) + 1)


def test_the_tables_are_the_same(node: Node) -> None:
    [tables] = node([{"do": "tables"}])
    sizes = {"B": 1, "b": 1, "H": 2, "h": 2, "I": 4}
    assert tables["KINDS"] == {kind: [sizes[row[0]], row[1], row[2]] for kind, row in fields.KINDS.items()}
    assert tables["GROUPS"] == [[group, [list(field[:3]) for field in table]] for group, table in fields.GROUPS]
    assert tables["SETTINGS"] == [list(setting[:5]) for setting in control.SETTINGS]


def test_it_is_small_and_old_enough_for_the_things_stack() -> None:
    """At most 40,960 bytes of ECMAScript 5.1, without modules (The Things Stack, JavaScript payload formatters)."""
    text = (Path(__file__).parents[1] / "codec.js").read_text()
    assert len(text.encode()) <= 40960
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    for newer in ("let ", "const ", "=>", "`", "require(", "class ", "..."):
        assert newer not in code, newer
