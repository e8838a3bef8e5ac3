"""`make bench` runs, and the running station keeps what its aim says with room to spare on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def bench(*arguments: str, only: str = "throughput") -> str:
    command = [sys.executable, str(ROOT / "tools" / "bench.py"), "--quick", "--only", only, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


@pytest.mark.slow
def test_the_running_station_takes_a_thousand_frames_a_second_without_loss() -> None:
    found = json.loads(bench("--json"))
    assert found["machine"]["cores"] >= 1
    first = found["throughput"]["rates"][0]
    assert first["sent"] == first["received"] == first["admitted"] == first["committed"] == 2000
    assert first["points"] == 2000 * 5  # in a real influxd
    assert 200 < first["p50_ms"] <= first["p99_ms"] <= first["max_ms"]
    assert first["cpu_us"] > first["loop_us"] > 0


@pytest.mark.slow
def test_the_table_names_the_machine_and_each_rate() -> None:
    lines = bench().splitlines()
    assert "cores, Python" in lines[0]
    assert lines[2] == "The running station, one core (gateway/bench/throughput.py)"
    assert any("frames/s" in line and "us/frame" in line and "p99" in line for line in lines)


@pytest.mark.slow
def test_two_thousand_nodes_need_little_memory_and_nothing_is_lost_while_influxdb_is_down() -> None:
    found = json.loads(bench("--json", only="steady"))["steady"]
    assert found["nodes"] == 2000
    assert found["idle_mb"] < found["load_mb"] < 120
    assert found["down_frames"] >= 3000 and found["down_mb"] < 30
    assert found["lost"] == 0
    assert found["p50_10_ms"] <= found["p99_10_ms"] <= found["max_10_ms"]


def test_without_node_red_the_comparison_says_that_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_RED", raising=False)
    assert "skipped: Node-RED is not here; npm install node-red@3 lora-packet" in bench(only="node_red")
