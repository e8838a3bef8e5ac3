"""The simulated hardware under a real MicroPython: watchdog, sleeps, restarts, power cuts, ticks, flash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat_node.config import ConfigError
from suat_sim.fleet import Fleet, FleetError
from suat_sim.node_process import NodeSpec

PROGRAM = str(Path(__file__).with_name("sim_probe_program.py"))
PWRON, HARD, WDT, DEEPSLEEP = 1, 2, 3, 4  # machine's constants on an ESP32


class Nothing:
    """An environment without sensors."""

    def at(self, t_unix: float) -> dict[str, float | None]:
        return {"node.battery": 3.9}


def run(plan: list[list[Any]], until_s: float, *, strict: bool = True, **spec: Any) -> tuple[Fleet, list[list[str]]]:
    """Run the test program with a plan; the fleet (closed) and the words of its notes."""
    config = {
        "board": "heltec_v3", "kind": "soil", "sensors": [{"kind": "battery", "at": "node"}],
        "abp": {"dev_addr": "01020304", "nwk_skey": "00" * 16, "app_skey": "11" * 16},
    }  # fmt: skip
    config["board"] = spec.pop("board", config["board"])
    files = {"plan.json": json.dumps(plan).encode()}
    node = NodeSpec("n", config, Nothing(), main="sim_probe_program", programs=(PROGRAM,), files=files, **spec)
    with Fleet(VirtualScheduler(0), [node], strict=strict) as fleet:
        fleet.run(until_s)
        notes = (fleet.nodes[0].flash / "notes").read_text().splitlines()
    return fleet, [line.split() for line in notes]


def starts(notes: list[list[str]]) -> list[tuple[int, int, int]]:
    """(reset cause, a module's variable, a module's table) of each start."""
    return [(int(line[1]), int(line[2]), int(line[3])) for line in notes if line[0] == "start"]


def kinds(fleet: Fleet) -> list[str]:
    """What befell the nodes."""
    return [incident.kind for incident in fleet.incidents]


@pytest.mark.parametrize("fresh_every", [1, 32])
def test_deep_sleep_starts_the_program_anew_and_keeps_rtc_memory(fresh_every: int) -> None:
    fleet, notes = run([["deepsleep", 600_000]], 3000, fresh_every=fresh_every)
    assert starts(notes)[:4] == [(PWRON, 0, 0), (DEEPSLEEP, 0, 0), (DEEPSLEEP, 0, 0), (DEEPSLEEP, 0, 0)]
    assert [line[1] for line in notes if line[0] == "rtc"][:4] == ["1", "2", "3", "4"]
    at = [(int(line[4]), int(line[5])) for line in notes if line[0] == "start"]
    assert all(ticks < 30 for ticks, _ in at)  # the tick counter starts again
    assert 600 <= at[1][1] - at[0][1] <= 601  # the real-time clock does not
    assert kinds(fleet) == []


@pytest.mark.parametrize("sleep", ["sleep", "lightsleep"])
def test_a_watchdog_that_is_not_fed_resets_the_node_in_sleep_too(sleep: str) -> None:
    fleet, notes = run([["wdt", 8000], [sleep, 20_000]], 30)
    assert starts(notes)[:3] == [(PWRON, 0, 0), (WDT, 0, 0), (WDT, 0, 0)]
    assert kinds(fleet)[:2] == ["watchdog", "watchdog"]
    first, second = (incident.at_us for incident in fleet.incidents[:2])
    assert 8_250_000 <= first < 8_350_000
    assert abs(second - 2 * first) < 100_000
    assert ["done", sleep] not in notes


def test_a_watchdog_that_is_fed_in_time_does_nothing() -> None:
    fleet, notes = run([["wdt", 8000], ["sleep", 7000], ["feed", 8000], ["sleep", 7000], ["deepsleep", 100_000]], 40)
    assert starts(notes) == [(PWRON, 0, 0)]
    assert kinds(fleet) == []


def test_a_watchdog_that_expires_in_an_rp2040s_lightsleep_locks_it_up() -> None:
    fleet, _ = run([["wdt", 8000], ["lightsleep", 20_000]], 60, board="pico_waveshare", strict=False)
    assert kinds(fleet) == ["fault", "locked"]


def test_the_tick_counter_wraps_at_two_to_the_thirty() -> None:
    before_wrap_ms = (1 << 30) - 3000
    _, notes = run([["ticks", 10_000], ["deepsleep", 10**8]], 60, ticks_offset_us=before_wrap_ms * 1000)
    _, before, after, forward, backward = next(line for line in notes if line[0] == "ticks")
    assert int(before) > (1 << 30) - 4000
    assert int(after) < 10_000
    assert 10_000 <= int(forward) <= 10_001
    assert int(backward) == -int(forward)


def test_a_fast_crystal_sleeps_short() -> None:
    _, notes = run([["deepsleep", 10_000_000]], 10_000.2, ppm=50)
    assert len(starts(notes)) == 2  # 10,000 s less 0.5 s, plus the start of the processor
    _, notes = run([["deepsleep", 10_000_000]], 10_000.2, ppm=0)
    assert len(starts(notes)) == 1


def test_a_power_cut_ends_whatever_runs_and_forgets_rtc_memory() -> None:
    cuts = ((1_000_000_000, 60_000_000),)
    fleet, notes = run([["deepsleep", 300_000]], 1900, power_cuts=cuts)
    assert kinds(fleet) == ["power"]
    assert [start[0] for start in starts(notes)] == [
        PWRON,
        DEEPSLEEP,
        DEEPSLEEP,
        DEEPSLEEP,
        PWRON,
        DEEPSLEEP,
        DEEPSLEEP,
    ]
    assert [line[1] for line in notes if line[0] == "rtc"] == ["1", "2", "3", "4", "1", "2", "3"]


def test_the_power_can_fail_at_any_change_of_the_flash() -> None:
    seen = set()
    for cut in range(3, 12):
        fleet, notes = run([["write", 2], ["deepsleep", 10**8]], 20, flash_cut=cut)
        assert kinds(fleet) == ["power"]
        assert [start[0] for start in starts(notes)][-1] == PWRON
        seen.add(sum(line[0] == "done" for line in notes))
    assert len(seen) > 1  # some cuts fell before the writing, some after


def test_a_crash_is_reported_with_its_traceback() -> None:
    with pytest.raises(FleetError, match=r"(?s)n at .* crash: .*sim_probe_program.*ValueError: as planned"):
        run([["raise"]], 10)


def test_without_a_watchdog_a_crashed_node_stays_at_its_prompt() -> None:
    fleet, notes = run([["raise"]], 1000, strict=False)
    assert kinds(fleet) == ["crash"]
    assert len(starts(notes)) == 1
    fleet, notes = run([["wdt", 8000], ["raise"]], 100, strict=False)
    assert kinds(fleet)[:4] == ["crash", "watchdog", "crash", "watchdog"]


def test_a_rule_of_the_chip_that_is_broken_fails_the_run() -> None:
    with pytest.raises(FleetError, match=r"fault: SetTx without SetPacketType"):
        run([["sleep", 10], ["spi", [0x97, 2, 0, 1, 0x40]], ["sleep", 10], ["spi", [0x83, 0, 0, 0]], ["sleep", 10]], 10)


def test_a_program_in_which_no_time_passes_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "sim_spin_program.py"
    program.write_text("while True:\n    pass\n")
    monkeypatch.setattr("suat_sim.fleet.HUNG_S", 0.5)
    config = {
        "board": "heltec_v3", "kind": "soil", "sensors": [{"kind": "battery", "at": "node"}],
        "abp": {"dev_addr": "01020304", "nwk_skey": "00" * 16, "app_skey": "11" * 16},
    }  # fmt: skip
    node = NodeSpec("spin", config, Nothing(), main="sim_spin_program", programs=(str(program),))
    with Fleet(VirtualScheduler(0), [node]) as fleet, pytest.raises(FleetError, match="spin says nothing"):
        fleet.run(10)


class Broken:
    """An environment that no simulated probe can show."""

    def at(self, t_unix: float) -> dict[str, float | None]:
        return {"probe1.vwc": float("inf"), "probe1.temperature": 1.0, "probe1.ec": 1.0}


def test_a_fault_of_the_simulator_is_not_taken_for_the_sensors() -> None:
    config = {
        "board": "heltec_v3",
        "kind": "soil",
        "sensors": [{"kind": "rs485", "at": "probe1", "uart": 1, "tx": 43, "rx": 44}],
        "abp": {"dev_addr": "01020304", "nwk_skey": "00" * 16, "app_skey": "11" * 16},
    }
    with (
        Fleet(VirtualScheduler(0), [NodeSpec("n", config, Broken())]) as fleet,
        pytest.raises(FleetError, match=r"(?s)n at .* simulator: Traceback.*devices.py"),
    ):
        fleet.run(60)


def test_a_sensor_on_a_pin_of_the_radio_is_refused() -> None:
    config = {
        "board": "xiao_s3_wio",
        "kind": "soil",
        "sensors": [{"kind": "capacitive", "at": "probe1", "adc": 7}],
        "abp": {"dev_addr": "01020304", "nwk_skey": "00" * 16, "app_skey": "11" * 16},
    }
    with pytest.raises(ConfigError, match="adc: pin 7 is taken by the radio"):
        Fleet(VirtualScheduler(0), [NodeSpec("n", config, Nothing())])
