"""Promise 9: whatever the machine's clock says, no reading is dated before the floor, and none is lost for it.

The machine here is a model: a true time that nobody tells, a clock that may be wrong, a monotonic clock from each boot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from suat import hardware
from suat.clock import UNDATED_US, VirtualScheduler
from suat.config import parse
from suat.errors import UsageError
from suat.ingest.semtech_udp import SemtechUdp
from suat.records import Admitted, Batch, DeviceRecord, Measured, Probe, Row
from suat.station import Station
from suat.store.journal import Journal
from suat.store.rows import Derived
from suat.timekeeping import FLOOR, Timekeeping, TimeTable, Told, chosen, now_us
from suat_wire.payload import pack

TRUE_US = 1_790_000_000_000_000  # 2026-09-21, when the machine of these tests starts
YEAR_US = 31_557_600_000_000
FLOOR_US = round(datetime(FLOOR.year, FLOOR.month, FLOOR.day, tzinfo=UTC).timestamp() * 1e6)
DAY_S = 86_400.0


class Machine:
    """A gateway computer. `wrong_us` is how far its clock is off; `disciplined` what the kernel says of it."""

    def __init__(self, folder: Path, *, off_us: int = 0, start_us: int = TRUE_US, boot: str = "b1") -> None:
        self.folder = folder
        self.boot = boot
        self.start_us = start_us
        self.off_us = off_us
        self.disciplined = False
        self.chip: tuple[str, int | None] | None = None  # name, how far it is off [us]
        self.scheduler = VirtualScheduler(0)

    @property
    def true_us(self) -> int:
        return self.start_us + round(self.scheduler.monotonic() * 1e6)

    def chips(self) -> list[hardware.ClockChip]:
        if self.chip is None:
            return []
        name, off_us = self.chip
        return [hardware.ClockChip("rtc0", name, None if off_us is None else (self.true_us + off_us) // 1_000_000)]

    def keep_time(self, **table: Any) -> Timekeeping:
        return Timekeeping(
            self.scheduler,
            TimeTable(**({"sources": ("rtc", "gateway", "ntp", "confirmed")} | table)),
            self.folder,
            machine=lambda: self.true_us + self.off_us,
            synchronised=lambda: self.disciplined,
            chips=self.chips,
            boot=self.boot,
        )

    def error_s(self) -> float:
        """How far the station's time is from the true one."""
        assert self.scheduler.trusted
        return (self.scheduler.wall_us() - self.true_us) / 1e6

    def pass_s(self, seconds: float) -> None:
        self.scheduler.run_until(self.scheduler.monotonic() + seconds)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# -- which clock is believed


@pytest.mark.parametrize("off_us", [-TRUE_US, -10 * YEAR_US, 10 * YEAR_US, -3_600_000_000, 0])
def test_a_clock_that_nothing_vouches_for_is_not_believed_however_plausible(machine: Machine, off_us: int) -> None:
    machine.off_us = off_us
    machine.keep_time().start()
    machine.pass_s(3600)
    assert not machine.scheduler.trusted
    assert machine.scheduler.wall_us() == 3_600_000_000 < UNDATED_US  # it counts from the machine's start


@pytest.mark.parametrize("off_us", [-TRUE_US, -10 * YEAR_US, 10 * YEAR_US, 0])
def test_a_clock_chip_with_a_battery_gives_the_time_at_once_whatever_the_machine_believes(
    machine: Machine, off_us: int
) -> None:
    machine.chip = ("rtc-ds1307 1-0068 ds3231", 0)
    machine.off_us = off_us
    keeping = machine.keep_time()
    keeping.start()
    assert keeping.source == "rtc"
    assert abs(machine.error_s()) <= 0.5  # a chip tells whole seconds


@pytest.mark.parametrize(
    "chip",
    [
        ("rtc-ds1307 ds3231", None),  # its oscillator stopped: the kernel gives no time
        ("rtc-ds1307 ds3231", -TRUE_US + 946_684_800_000_000),  # 2000-01-01: its battery failed
        ("rpi_rtc", 0),  # a Pi 5's own clock, which may have no battery
    ],
)
def test_a_chip_that_lost_its_time_or_has_no_battery_is_not_believed(
    machine: Machine, chip: tuple[str, int | None]
) -> None:
    machine.chip = chip
    machine.keep_time().start()
    assert not machine.scheduler.trusted


def test_ntp_is_believed_from_when_the_kernel_says_so_and_keeps_the_fraction(machine: Machine) -> None:
    machine.off_us = -TRUE_US
    keeping = machine.keep_time()
    heard: list[float] = []
    keeping.on_trusted = lambda: heard.append(machine.scheduler.monotonic())
    keeping.start()
    machine.pass_s(100)
    assert not machine.scheduler.trusted
    machine.off_us, machine.disciplined = 123_456, True
    machine.pass_s(2)
    assert machine.error_s() == pytest.approx(0.123456)
    (at,) = heard
    assert 100 < at <= 102
    machine.off_us = -20_000  # a slew
    machine.pass_s(11)
    assert machine.error_s() == pytest.approx(-0.02)


@pytest.mark.parametrize("years", [-10, 10])
def test_a_trusted_clock_does_not_follow_a_jump_of_its_source(
    machine: Machine, years: int, caplog: pytest.LogCaptureFixture
) -> None:
    machine.disciplined = True
    keeping = machine.keep_time(floor=date(2010, 1, 1))
    keeping.start()
    machine.pass_s(60)
    machine.off_us = years * YEAR_US
    machine.pass_s(2 * DAY_S)
    assert machine.error_s() == pytest.approx(0.0)
    assert keeping.doubt is not None and "ntp jumped to" in keeping.doubt
    assert sum("jumped" in line for line in caplog.messages) == 1  # said once
    machine.off_us = 0
    machine.pass_s(60)
    assert keeping.doubt is None


def test_what_a_clock_drifts_by_without_any_source_is_no_jump(machine: Machine) -> None:
    machine.disciplined = True
    machine.keep_time().start()
    machine.pass_s(60)
    machine.disciplined = False
    machine.pass_s(2 * DAY_S)
    machine.off_us, machine.disciplined = 9_000_000, True  # 50 ppm of two days
    machine.pass_s(60)
    assert machine.error_s() == pytest.approx(9.0)


@pytest.mark.parametrize("ppm", [20, -20])
def test_a_chip_and_the_machine_that_drift_apart_are_no_contradiction(machine: Machine, ppm: float) -> None:
    """Off the grid a chip is the only source: a DS3231 and a computer's crystal part by 2 s a day."""
    machine.chip = ("rtc-ds1307 1-0068", 0)
    timekeeping = machine.keep_time()
    timekeeping.start()
    doubts = 0
    while machine.scheduler.monotonic() < 4 * DAY_S:
        drift_us = round(machine.scheduler.monotonic() * ppm)
        machine.chip = ("rtc-ds1307 1-0068", drift_us)
        machine.pass_s(10.0)
        doubts += timekeeping.doubt is not None
        assert abs(machine.error_s() - drift_us / 1e6) < 4.0
    assert doubts == 0


def test_what_was_said_once_goes_along_with_what_the_machine_drifts_by(machine: Machine) -> None:
    """A time that was confirmed when the station was set up contradicts no chip weeks later."""
    machine.chip = ("rtc-ds1307 1-0068", 0)
    keeping = machine.keep_time()
    keeping.start()
    keeping.confirm(machine.true_us)
    doubts = 0
    while machine.scheduler.monotonic() < 8 * DAY_S:  # 83 s
        drift_us = round(machine.scheduler.monotonic() * 120)
        machine.chip = ("rtc-ds1307 1-0068", drift_us)
        machine.pass_s(10.0)
        doubts += keeping.doubt is not None
        assert abs(machine.error_s() - drift_us / 1e6) < 4.0
    assert doubts == 0


@pytest.mark.parametrize("pace", [0.0, 0.9, 1.2])
def test_a_chip_that_stands_still_or_runs_wild_does_not_take_the_station_along(machine: Machine, pace: float) -> None:
    machine.chip = ("ds3231", 0)
    keeping = machine.keep_time()
    keeping.start()
    machine.pass_s(60)
    for _ in range(360):
        machine.chip = ("ds3231", round(machine.chip[1] + (pace - 1) * 10e6))  # type: ignore[operator]
        machine.pass_s(10)
    assert abs(machine.error_s()) < 3
    assert keeping.doubt is not None and "rtc jumped" in keeping.doubt


def test_what_agrees_outvotes_the_first_and_of_two_the_rank_decides(machine: Machine) -> None:
    machine.chip = ("ds3231", 10 * YEAR_US)
    machine.disciplined = True
    keeping = machine.keep_time()
    keeping.start()
    assert keeping.source == "rtc" and keeping.doubt is not None and "ntp says 2026" in keeping.doubt
    keeping.confirm(machine.true_us)
    assert keeping.source == "ntp"
    assert machine.error_s() == pytest.approx(0.0)


def test_a_chip_that_is_half_a_minute_off_gives_way_to_ntp_and_may_then_be_set(machine: Machine) -> None:
    machine.chip, machine.off_us = ("ds3231", 30_000_000), 30_000_000
    keeping = machine.keep_time()
    keeping.start()
    assert machine.error_s() == pytest.approx(30.0)
    machine.disciplined, machine.off_us = True, 0
    machine.pass_s(60)
    assert (keeping.source, keeping.doubt) == ("ntp", None)
    assert machine.error_s() == pytest.approx(0.0)
    machine.chip = ("ds3231", 0)  # the kernel sets it every 11 minutes while NTP holds
    machine.pass_s(60)
    assert keeping.doubt is None


def test_a_chip_that_fails_while_ntp_holds_is_named_and_not_followed(machine: Machine) -> None:
    machine.chip, machine.disciplined = ("ds3231", 0), True
    keeping = machine.keep_time()
    keeping.start()
    for _ in range(60):
        machine.chip = ("ds3231", machine.chip[1] - 10_000_000)  # type: ignore[operator]
        machine.pass_s(10)
    assert machine.error_s() == pytest.approx(0.0)
    assert keeping.doubt is not None and "rtc" in keeping.doubt


def test_a_better_source_corrects_a_slip_of_the_hand(machine: Machine) -> None:
    keeping = machine.keep_time()
    keeping.start()
    keeping.confirm(machine.true_us - YEAR_US // 12)
    assert machine.scheduler.trusted
    machine.chip = ("ds3231", 0)
    machine.pass_s(20)
    assert keeping.source == "rtc"
    assert abs(machine.error_s()) <= 0.5


def test_a_person_confirms_the_time_and_a_restart_does_not_ask_again(machine: Machine) -> None:
    keeping = machine.keep_time()
    keeping.start()
    for wrong_us in (FLOOR_US - 1, 0, 4_102_444_800_000_000):
        with pytest.raises(UsageError, match=r"before the floor|after 2100"):
            keeping.confirm(wrong_us)
    assert not machine.scheduler.trusted
    keeping.confirm(machine.true_us)
    assert machine.error_s() == pytest.approx(0.0)
    machine.scheduler.steer(0, False)
    again = machine.keep_time()
    again.start()
    assert again.source == "confirmed"
    assert machine.error_s() == pytest.approx(0.0)
    assert (machine.folder / "clock.json").stat().st_mode & 0o777 == 0o600
    machine.boot = "b2"
    machine.keep_time().start()
    assert not machine.scheduler.trusted  # the machine was off: nobody knows for how long
    with pytest.raises(UsageError, match="not among the sources"):
        machine.keep_time(sources=("rtc",)).confirm(machine.true_us)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot": "b1"}', '{"boot": "b1", "offsets": {"ntp": "x"}}'])
def test_a_damaged_note_of_the_clock_is_as_good_as_none(machine: Machine, content: str) -> None:
    (machine.folder / "clock.json").write_text(content)
    machine.keep_time().start()
    assert not machine.scheduler.trusted


def push(machine: Machine, udp: SemtechUdp, told_us: int) -> None:
    """A datagram with one frame that carries the gateway's time."""
    text = datetime.fromtimestamp(told_us / 1e6, UTC).isoformat()
    entry = {"tmst": 1, "freq": 865.0625, "datr": "SF9BW125", "data": "QAEAAAAAAAACAAAAAAAA", "time": text}
    udp.datagram_received(b"\x02\x00\x01\x00" + bytes(8) + json.dumps({"rxpk": [entry]}).encode(), None)


@pytest.fixture
def concentrator(machine: Machine) -> Callable[[Timekeeping], SemtechUdp]:
    from suat.ingest.base import Ingress

    def make(keeping: Timekeeping) -> SemtechUdp:
        return SemtechUdp(Ingress(machine.scheduler, lambda uplink: None, on_gateway_time=keeping.heard))

    return make


def test_three_steady_times_of_a_gateway_are_its_gps(machine: Machine, concentrator: Any) -> None:
    machine.off_us = -TRUE_US
    keeping = machine.keep_time()
    keeping.start()
    udp = concentrator(keeping)
    for _ in range(2):
        push(machine, udp, machine.true_us)
        machine.pass_s(60)
    assert not machine.scheduler.trusted
    push(machine, udp, machine.true_us)
    machine.pass_s(2)
    assert keeping.source == "gateway"
    assert machine.error_s() == pytest.approx(0.0, abs=0.001)


@pytest.mark.parametrize("step_s", [0, 3, -3, 3600])
def test_a_gateways_time_that_is_not_steady_is_none(machine: Machine, concentrator: Any, step_s: int) -> None:
    machine.off_us = -TRUE_US
    keeping = machine.keep_time()
    keeping.start()
    udp = concentrator(keeping)
    for number in range(10):
        stands = TRUE_US if step_s == 0 else machine.true_us  # 0: a clock that stands still
        push(machine, udp, stands + number * step_s * 1_000_000)
        machine.pass_s(60)
    assert not machine.scheduler.trusted


def test_a_gateway_that_repeats_the_machines_clock_knows_nothing(machine: Machine, concentrator: Any) -> None:
    machine.off_us = 3 * YEAR_US
    keeping = machine.keep_time()
    keeping.start()
    udp = concentrator(keeping)
    for _ in range(10):
        push(machine, udp, machine.true_us + machine.off_us - 50_000)
        machine.pass_s(60)
    assert not machine.scheduler.trusted


def test_only_the_sources_that_are_named_are_asked(machine: Machine) -> None:
    machine.chip, machine.disciplined = ("ds3231", 0), True
    machine.keep_time(sources=("confirmed",)).start()
    assert not machine.scheduler.trusted
    keeping = machine.keep_time(sources=("system",))
    keeping.start()
    assert keeping.source == "system"


def test_the_configuration_names_sources_and_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUAT_TIME_SOURCES", raising=False)
    station = {"name": "T", "data_dir": str(tmp_path)}
    assert parse({"station": station}).time.sources == ("rtc", "gateway", "ntp", "confirmed")
    assert parse({"station": station}).time.floor_us == FLOOR_US
    told = parse({"station": station, "time": {"sources": ["ntp"], "floor": date(2030, 5, 1)}}).time
    assert (told.sources, told.floor_us) == (("ntp",), 1_903_824_000_000_000)  # date -u -d 2030-05-01 +%s
    monkeypatch.setenv("SUAT_TIME_SOURCES", "rtc,system")
    assert parse({"station": station}).time.sources == ("rtc", "system")
    with pytest.raises(UsageError, match=r"time\.sources"):
        parse({"station": station, "time": {"sources": ["sundial"]}})


def test_a_command_beside_the_station_has_the_stations_time(tmp_path: Path) -> None:
    table = TimeTable(sources=("confirmed",))
    assert abs(now_us(table, tmp_path) - Timekeeping.__init__.__kwdefaults__["machine"]()) < 1_000_000  # no source
    scheduler = VirtualScheduler(0)
    import time

    scheduler.run_until(time.monotonic())
    keeping = Timekeeping(scheduler, table, tmp_path)
    keeping.confirm(TRUE_US)
    assert 0 <= now_us(table, tmp_path) - TRUE_US < 5_000_000


# -- what is received before the time is known


DEVICE = DeviceRecord(0, "n1", "soil", "00" * 7 + "01", None, "p", None, (Probe("upper", 10, 1),), 0)
BODY = pack({("probe1", "vwc"): 0.25})


def frame(registration: int, received_us: int, *records: int, age_us: int = 0, ask: int | None = None) -> Admitted:
    rows = tuple(Row(record, (received_us - age_us) // 1000 * 1000 + record % 1000, BODY) for record in records)
    return Admitted(registration, None, received_us, records[0], -90.0, 5.0, rows, ask)


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    with Journal(tmp_path / "journal.db", durable=False) as opened:
        opened.boot = "b1"
        yield opened


def test_samples_without_a_date_are_kept_acknowledged_and_seen_by_nobody(journal: Journal) -> None:
    node = journal.add_device(DEVICE)
    committed = journal.commit(Batch((frame(node, 5_000_000, 1, 2, 3, ask=1), frame(node, 6_000_000, 4, ask=1))))
    assert committed.samples == () and committed.undated == 2
    assert [answer.cumulative for answer in committed.acknowledgements.values()] == [4, 4]
    reader = journal.reader()
    assert list(reader.samples()) == [] and reader.uncleaned() == {}
    assert reader.devices()[0].newest_record == 4  # the next record's high part is inferred from it
    reader.close()


def test_dating_moves_each_sample_once_and_keeps_its_identity(journal: Journal) -> None:
    node = journal.add_device(DEVICE)
    journal.commit(Batch((frame(node, 5_000_000, 1, age_us=3_600_000_000), frame(node, 6_000_000, 2))))
    journal.commit(Batch((frame(node, 7_000_000, 2),)))  # sent again
    journal.commit(Batch((frame(node, TRUE_US + 9_000_000, 1, 3),)))  # again, when the time was known already
    samples, more = journal.date(TRUE_US)
    assert not more
    assert [(s.record, s.time_us) for s in samples] == [(2, TRUE_US + 6_000_002)]
    times = {s.record: s.time_us for s in journal.reader().samples()}
    assert times == {1: TRUE_US + 9_000_001, 2: TRUE_US + 6_000_002, 3: TRUE_US + 9_000_003}
    assert journal.date(TRUE_US) == ((), False)


def test_a_sample_that_its_device_dated_keeps_that_date(journal: Journal) -> None:
    from suat.ingest.chirpstack import _taken_us
    from suat.ingest.vendors import Decoded

    node = journal.add_device(DEVICE)
    taken_s = TRUE_US // 1_000_000 - 86_400  # out of a vendor node's memory, heard while our clock was not known
    taken_us = _taken_us(Decoded(taken_s, {}), 5_000_000)
    assert taken_us == taken_s * 1_000_000
    with pytest.raises(ValueError, match="the node's clock is wrong"):
        _taken_us(Decoded(4_200_000_000, {}), 5_000_000)
    journal.commit(Batch((Admitted(node, None, 5_000_000, 1, None, None, (Row(1, taken_us + 1, BODY),), None),)))
    samples, _ = journal.date(TRUE_US)
    assert [sample.time_us for sample in samples] == [taken_us + 1]


def test_a_boot_that_never_learned_the_time_ended_when_the_next_began(journal: Journal) -> None:
    node = journal.add_device(DEVICE)
    hour_us = 3_600_000_000
    for boot, record, at_us in (("b1", 1, hour_us), ("b1", 2, 3 * hour_us), ("b2", 3, 2 * hour_us), ("b3", 4, hour_us)):
        journal.boot = boot
        journal.commit(Batch((frame(node, at_us, record),)))
    found: dict[int, int] = {}
    more = True
    while more:
        samples, more = journal.date(TRUE_US)
        found |= {sample.record: sample.time_us for sample in samples}
    # b3 began at TRUE_US; b2 lasted 2 h at least, b1 3 h
    ends = {4: hour_us, 3: 0, 2: -2 * hour_us, 1: -4 * hour_us}
    assert found == {record: TRUE_US + at_us + record for record, at_us in ends.items()}


def test_of_too_many_without_a_date_the_oldest_go_and_are_counted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from suat.metrics import REGISTRY

    def dropped() -> float:
        return REGISTRY.get_sample_value("suat_rows_dropped_total", {"kind": "undated", "why": "no date"}) or 0.0

    monkeypatch.setattr("suat.store.undated.MOST_HELD", 30)
    node = journal.add_device(DEVICE)
    before = dropped()
    for number in range(1, 51):
        journal.commit(Batch((frame(node, 1_000_000 * number, number),)))
    samples, _ = journal.date(TRUE_US)
    assert [sample.record for sample in samples] == list(range(21, 51))
    assert dropped() - before == 20
    assert "1 readings had to go" in caplog.text


def test_many_samples_are_dated_in_pieces(journal: Journal) -> None:
    node = journal.add_device(DEVICE)
    journal.commit(Batch(tuple(frame(node, 1_000_000 * n, n) for n in range(1, 5001))))
    pieces = []
    more = True
    while more:
        samples, more = journal.date(TRUE_US)
        pieces.append(len(samples))
    assert pieces == [2000, 2000, 1000]


def test_dating_that_fails_loses_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    node = journal.add_device(DEVICE)
    journal.commit(Batch((frame(node, 5_000_000, 1),)))
    keep = Journal._keep

    def fails(*arguments: Any) -> Any:
        keep(*arguments)
        raise RuntimeError("power cut")

    monkeypatch.setattr(Journal, "_keep", fails)
    with pytest.raises(RuntimeError):
        journal.date(TRUE_US)
    monkeypatch.setattr(Journal, "_keep", keep)
    samples, _ = journal.date(TRUE_US)
    assert [sample.record for sample in samples] == [1]


@pytest.mark.parametrize("age_us", [0, YEAR_US, 60 * YEAR_US])
def test_no_sample_is_dated_before_the_floor_whatever_age_its_node_tells(journal: Journal, age_us: int) -> None:
    journal.floor_us = FLOOR_US
    node = journal.add_device(DEVICE)
    journal.commit(Batch((frame(node, TRUE_US, 1, 2, age_us=age_us), frame(node, 5_000_000, 3, age_us=age_us))))
    journal.date(TRUE_US)
    samples = list(journal.reader().samples())
    assert len(samples) == 3
    assert all(sample.time_us >= FLOOR_US for sample in samples)
    assert len({sample.time_us for sample in samples}) == 3  # three points, not one over the other


# -- the whole station in virtual time


@pytest.mark.slow
@pytest.mark.parametrize("off_us", [-TRUE_US, -10 * YEAR_US, 10 * YEAR_US])
def test_a_station_with_a_wrong_clock_keeps_every_reading_and_dates_it_when_it_can(
    tmp_path: Path, off_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings for two days; the first boot never learns the time, the second after six hours."""
    content = {
        "station": {"name": "T", "data_dir": str(tmp_path)},
        "paddock": [
            {
                "id": "p",
                "name": {"en": "P"},
                "area_ha": 10,
                "kind": "summer",
                "soil": "loam",
                "alternative": "river",
            }
        ],
    }
    taken: dict[int, int] = {}  # record -> true time
    monkeypatch.setattr(Journal, "derive", _watched(Journal.derive, derived := []))
    for boot, start_us, trusted_after_s in (("b1", TRUE_US, None), ("b2", TRUE_US + 30 * 3_600_000_000, 6 * 3600.0)):
        machine = Machine(tmp_path, off_us=off_us, start_us=start_us, boot=boot)
        keeping = machine.keep_time()
        keeping.start()
        station = Station(machine.scheduler, parse(content), durable=False, timekeeping=keeping)
        station.journal.boot = boot
        if boot == "b1":
            station.journal.add_device(DEVICE)
            station.pipeline.server.refresh()
        station.pipeline.start()
        for _ in range(24 * 4):
            machine.pass_s(899)
            if trusted_after_s is not None and machine.scheduler.monotonic() >= trusted_after_s:
                machine.disciplined, machine.off_us = True, 0
            now = machine.scheduler.wall_us()
            sample = Measured("wire", DEVICE.dev_eui, now, now, {("probe1", "vwc"): 0.25})
            taken[len(taken) + 1] = machine.true_us
            station.ingress.counters["received"] += 1
            station.ingress.on_measured(sample)
            machine.pass_s(1)
        station.pipeline.stop()
        machine.pass_s(1)
        assert station.pipeline.fatal is None
        found = {sample.record: sample for sample in station.reader.samples()}
        station.close()
        if boot == "b1":
            assert found == {}
    assert set(found) == set(taken)  # 192 readings, none lost
    assert all(sample.cleaned is not None for sample in found.values())
    second = [record for record in taken if record > 96]
    worst_s = max(abs(found[record].time_us - taken[record]) for record in second) / 1e6
    assert worst_s < 0.01
    # The first boot's are late by the six hours that the machine was off, and no more.
    late = {round((found[record].time_us - taken[record]) / 3.6e9, 1) for record in taken if record <= 96}
    assert late <= {6.0, 6.2}
    assert min(sample.time_us for sample in found.values()) >= FLOOR_US
    dated = [window.start_us for d in derived for window in d.windows] + [s.at_us for d in derived for s in d.statuses]
    assert dated and min(dated) >= FLOOR_US and max(dated) <= TRUE_US + 60 * 3_600_000_000


def _watched(derive: Callable[..., Any], seen: list[Derived]) -> Callable[..., Any]:
    def watching(journal: Journal, written: Derived) -> Any:
        seen.append(written)
        return derive(journal, written)

    return watching


def test_a_chip_that_speaks_goes_before_a_gps_that_spoke_once() -> None:
    silent, chip = Told("gateway", 0, now=False), Told("rtc", 5_000_000)
    assert chosen([chip, silent])[0] == chip
    assert chosen([chip, Told("gateway", 0)])[0].source == "gateway"
