"""The same files on the real MicroPython interpreter: the golden frames, and random payloads against CPython."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suat_wire import fields, payload
from suat_wire.installed import HOST_ONLY
from suat_wire.payload import PayloadError, Sample

MicroPython = Callable[..., str]


def dotted(readings: "payload.Readings") -> dict[str, float]:
    return {".".join(key): value for key, value in readings.items()}


def run_jobs(micropython: MicroPython, jobs: list[dict[str, Any]]) -> list[Any]:
    printed = micropython("wire_on_board.py", stdin="".join(json.dumps(job) + "\n" for job in jobs))
    return [json.loads(line) for line in printed.splitlines()]


def test_golden_frames(micropython: MicroPython, vectors: dict[str, Any]) -> None:
    count = sum(len(kind) for kind in vectors.values())
    assert micropython("-m", "suat_wire.selftest") == f"{count} of {count} golden frames reproduced\n"


def test_random_samples_are_the_same_bytes(
    micropython: MicroPython, random_samples: Callable[[random.Random], list[Sample]]
) -> None:
    rng = random.Random(10)
    jobs: list[dict[str, Any]] = []
    expected: list[Any] = []
    for _ in range(400):
        samples = random_samples(rng)
        ack_from = rng.choice((None, samples[0].record))
        limit = rng.randint(0, 200)
        data, fport = payload.encode(samples, 10000, ack_from)
        expected.append([data.hex(), fport, payload.fit(samples, limit, ack_from)])
        jobs.append({"samples": [[s.record, s.age, dotted(s.readings)] for s in samples]} | {"ack_from": ack_from})
        jobs[-1]["limit"] = limit
    assert run_jobs(micropython, jobs) == expected


def test_random_and_damaged_payloads_have_the_same_outcome(
    micropython: MicroPython, random_samples: Callable[[random.Random], list[Sample]]
) -> None:
    rng = random.Random(11)
    jobs: list[dict[str, Any]] = []
    expected: list[Any] = []
    for number in range(1200):
        data, fport = payload.encode(random_samples(rng), 10000)
        damaged = bytearray(data)
        if number % 3 == 1:
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif number % 3 == 2:
            damaged = damaged[: rng.randrange(len(data))]
        near = rng.randrange(1 << 20)
        jobs.append({"data": damaged.hex(), "fport": fport, "near": near})
        try:
            asked, rows = payload.split(bytes(damaged), fport, near)
        except PayloadError:
            expected.append(None)
            continue
        expected.append([asked, [[record, age, dotted(payload.unpack(body))] for record, age, body in rows]])
    assert run_jobs(micropython, jobs) == expected
    assert 300 < sum(outcome is None for outcome in expected) < 1000


def test_values_out_of_range_are_refused(micropython: MicroPython) -> None:
    """struct.pack wraps silently there: pack("<B", 300) is 44."""
    jobs: list[dict[str, Any]] = []
    expected: list[str | None] = []
    for group, table in fields.GROUPS:
        for name, kind, divisor, _unit in table:
            _, low, high = fields.KINDS[kind]
            for raw in (low - 1, low, high, high + 1):
                jobs.append({"value": [group, name, repr(raw / divisor)]})
                inside = low <= raw <= high
                expected.append(payload.pack({(group, name): raw / divisor}).hex() if inside else None)
            for value in ("nan", "inf", "-inf", "1e300"):
                jobs.append({"value": [group, name, value]})
                expected.append(None)
    assert run_jobs(micropython, jobs) == expected


def test_it_leaves_memory_for_the_node(micropython: MicroPython) -> None:
    """Objects of the 64-bit port are twice those of an RP2040, which has 241 KB: all the link at most a sixth of it."""
    code = (
        "import gc; gc.collect(); before = gc.mem_alloc();"
        "from suat_wire import aes, airtime, commands, lorawan, payload, region; gc.collect();"
        "print(gc.mem_alloc() - before)"
    )
    used = int(micropython("-c", code))
    assert used <= 2 * 40 * 1024, f"{used} bytes on the 64-bit port"


def test_no_file_of_the_link_needs_more_than_the_boards_have(micropython: MicroPython) -> None:
    """Every module for the node imports without CPython's library."""
    folder = Path(payload.__file__).parent
    carried = {path.stem for path in folder.glob("*.py") if path.name not in HOST_ONLY} - {"__init__"}
    names = ", ".join(sorted(carried))
    assert micropython("-c", f"from suat_wire import {names}; print('ok')") == "ok\n"
