"""The daemon with wired devices: pymodbus's server on TCP and on an RS-485 line of ptys, `suat readings --json` out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

INGEST = """
[[water_point]]
id = "spring-1"
paddocks = ["jailau-1"]
distance_km = 0.4
tank_l = 10000
depth_m = 2.0

[[ingest]]
kind = "modbus"
transport = "tcp"
host = "{host}"
timeout_s = 0.5

[[ingest.devices]]
device = "tank-level"
unit = 1
interval_s = 1
registers = [
    {{ field = "water.depth", address = 4, type = "i16", scale = 0.001 }},
    {{ field = "water.temperature", address = 10, type = "f32", order = "cdab", function = 4 }},
]

[[ingest]]
kind = "modbus"
transport = "rtu"
port = "{port}"
timeout_s = 0.5

[[ingest.devices]]
device = "spring-flow"
unit = 17
interval_s = 1
registers = [{{ field = "water.volume", address = 0, type = "u32", scale = 10 }}]

[[ingest.devices]]
device = "dead"
unit = 18
interval_s = 1
registers = [{{ field = "water.depth", address = 0 }}]
"""


@pytest.mark.slow
def test_wired_devices_are_read_shown_and_watched(
    make_station: Callable[..., Any], make_modbus_line: Callable[..., Any]
) -> None:
    tcp, rtu = make_modbus_line(1), make_modbus_line(17, rtu=True)
    tcp.put(1, 4, 1234)
    tcp.put(1, 10, 0x0000, 0x4148, function=4)  # 12.5, low register first
    rtu.put(17, 0, 0x0001, 0x86A0)  # 100,000
    station = make_station(INGEST.format(host=tcp.host, port=rtu.cable.near))
    for name in ("tank-level", "spring-flow"):
        station.suat("device", "add", "--wired", "--name", name, "--kind", "water", "--water-point", "spring-1")
    assert "--wired" in station.suat(
        "device", "add", "--wired", "--name", "x", "--kind", "water", "--dev-eui", "70b3d57ed005a1b2", status=2
    )
    listed = [json.loads(line) for line in station.suat("device", "list", "--json").splitlines()]
    assert [(entry["name"], entry["activation"]) for entry in listed] == [
        ("tank-level", "wired"),
        ("spring-flow", "wired"),
    ]
    assert station.suat("device", "list").count("wired") == 2
    assert "good" in station.suat("check")

    shown = station.suat("modbus", "read", "--device", "tank-level")
    assert "04d2" in shown and "= 1.234" in shown and "0000 4148" in shown and "= 12.5" in shown
    (line,) = station.suat("modbus", "read", "--device", "spring-flow", "--json").splitlines()
    assert json.loads(line) == {
        "field": "water.volume", "address": 0, "words": [1, 0x86A0], "number": 100_000.0, "value": 1_000_000.0,
        "fault": None, "why": "",
    }  # fmt: skip
    station.suat("modbus", "read", "--device", "dead", status=1)
    assert 'did you mean "tank-level"' in station.suat("modbus", "read", "--device", "tank-levl", status=2)

    station.start()
    station.wait_for(lambda: len(station.records()) >= 6)
    station.wait_for(lambda: len({entry["channel"] for entry in station.readings()}) == 3)
    values = {(entry["node"], entry["channel"], entry["raw"], entry["unit"]) for entry in station.readings()}
    assert values == {
        ("tank-level", "depth", 1.234, "m"),
        ("tank-level", "temperature", 12.5, "degC"),
        ("spring-flow", "volume", 1_000_000.0, "L"),
    }
    figures = station.metrics()
    assert figures['suat_modbus_reads_total{device="dead",outcome="no answer"}'] >= 1
    assert figures['suat_modbus_fault{device="tank-level"}'] == 0
    assert station.status()["link"]["unknown_device"] >= 1, "nobody has registered the dead one"

    tcp.refuses[1] = 4
    station.wait_for(lambda: station.metrics()['suat_modbus_fault{device="tank-level"}'] == 2)
    station.wait_for(lambda: "tank-level (unit 1): water.depth: refused: device failure (4)" in station.log())
    seen = doctor(station)
    assert "spring-flow" in seen and "unit 17) answers" in seen
    assert "tank-level" in seen and "gave no water the last time: bad answer" in seen
    assert 'suat device add --wired --name "dead" --kind water' in seen
    station.stop()


def doctor(station: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "suat.cli", "doctor", "--config", str(station.config)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr
