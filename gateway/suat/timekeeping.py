"""Which clock the station believes, and what it does until there is one.

A gateway without a battery-backed clock starts in the past; a wrong battery, a forged NTP answer or a slip of the hand
makes it jump by years. So the station keeps time by the machine's monotonic clock alone and asks five sources for the
one number that makes it UTC:

    rtc        a clock chip with a battery (DS3231 and its like), by the kernel
    gateway    the concentrator's GPS: the `time` of frames, when it is steady and not the machine's own clock
    ntp        the machine's clock, while the kernel says that something disciplines it
    confirmed  a person looked at a watch and confirmed the time with the PIN
    system     the machine's clock as it is; only where [time] sources names it (a container, whose host keeps it)

They rank in the order of [time] sources. Those that agree outvote one that does not, and the finest of them counts.
Nothing before [time] floor is
believed. Until one speaks, times count from the machine's start (clock.UNDATED_US): readings are kept and acknowledged
all the same, and dated once the time is known (store/undated.py). A clock that is trusted never follows a jump of its
own source: then the station goes on by itself and says so.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal, NamedTuple, cast

from pydantic import Field

from suat import hardware
from suat.clock import Scheduler, VirtualScheduler
from suat.errors import UsageError
from suat.tables import Table

log = logging.getLogger(__name__)

SourceName = Literal["rtc", "gateway", "ntp", "confirmed", "system"]
RANKED: tuple[SourceName, ...] = ("rtc", "gateway", "ntp", "confirmed")
FINEST: tuple[SourceName, ...] = ("ntp", "system", "gateway", "rtc", "confirmed")
FLOOR = date(2026, 1, 1)  # of this version: raised with each, but never above what nodes may still have to send

LOOK_S = (1.0, 10.0)  # between two looks: while the time is unknown, and later
FINE_US = 2_000_000  # a clock chip tells whole seconds; below this its time and the machine's are the same
CHIP_US = 1_000_000  # half of one either way, when its time was taken over and now
AGREE_US = 60_000_000  # two sources that are this near to each other agree
DRIFT = 200e-6  # no machine's own clock is worse; what differs by more has jumped, or stands still
ECHO_US = 200_000  # a gateway's time this near to the machine's clock is that clock
STEADY = 3  # so many times of a gateway, a second apart, must agree
MAX_GATEWAYS = 8
LATEST_US = 4_102_444_800_000_000  # 2100: no clock that says more is right
FILE = "clock.json"


def _sources() -> tuple[SourceName, ...]:
    """What `SUAT_TIME_SOURCES` names, for a container; else all that say where they have the time from."""
    named = os.environ.get("SUAT_TIME_SOURCES")
    return cast(tuple[SourceName, ...], tuple(named.split(","))) if named else RANKED


class TimeTable(Table):
    """[time]"""

    sources: tuple[SourceName, ...] = Field(default_factory=_sources, validate_default=True)
    floor: date = FLOOR

    @property
    def floor_us(self) -> int:
        return round(datetime(self.floor.year, self.floor.month, self.floor.day, tzinfo=UTC).timestamp()) * 1_000_000


class Told(NamedTuple):
    """What a source says: UTC is the monotonic time and `offset_us`."""

    source: SourceName
    offset_us: int
    now: bool = True  # False: said earlier in this boot


def machine_us() -> int:
    """The machine's own clock [UTC us], right or wrong."""
    return time.time_ns() // 1000


class Timekeeping:
    """Steers a scheduler's clock. All calls are on its thread; `on_trusted` hears when the time becomes known."""

    def __init__(
        self,
        scheduler: Scheduler,
        table: TimeTable,
        data_dir: Path,
        *,
        machine: Callable[[], int] = machine_us,
        synchronised: Callable[[], bool] = hardware.synchronised,
        chips: Callable[[], Iterable[hardware.ClockChip]] = hardware.clock_chips,
        boot: str | None = None,
    ) -> None:
        self.on_trusted: Callable[[], None] = lambda: None
        self.source: SourceName | None = None  # where the time came from
        self.doubt: str | None = None  # why a person should look at the clocks
        self._scheduler = scheduler
        self._table = table
        self._path = data_dir / FILE
        self._machine = machine
        self._synchronised = synchronised
        self._chips = chips
        self._boot = hardware.boot_id() if boot is None else boot
        self._remembered = _read(self._path, self._boot)
        self._heard: dict[str, list[int]] = {}  # gateway -> offsets [us] of its last times
        self._next_heard = 0.0
        self._sure_at = 0.0  # when a source last agreed [monotonic s]
        self._adopted_at = 0.0  # when the time was last taken over from one
        scheduler.steer(0, False)

    # -- what comes from outside

    def heard(self, gateway: str, told_us: int) -> None:
        """A gateway's own time of a frame that has just come in [UTC us]; at most one a second is looked at."""
        now = self._scheduler.monotonic()
        if now < self._next_heard or "gateway" not in self._table.sources:
            return
        self._next_heard = now + 1.0
        if abs(told_us - self._machine()) <= ECHO_US:
            return
        offset_us = told_us - int(now * 1e6)
        times = self._heard.setdefault(gateway, [])
        if times and abs(times[-1] - offset_us) > FINE_US:
            times.clear()
        times.append(offset_us)
        del times[:-STEADY]
        if len(self._heard) > MAX_GATEWAYS:
            self._heard.pop(next(iter(self._heard)))
        if len(times) == STEADY and self._believable(offset_us):
            self._remember("gateway", sorted(times)[STEADY // 2])

    def confirm(self, told_us: int) -> None:
        """A person confirmed this time [UTC us] with the PIN; UsageError when it can't be."""
        offset_us = told_us - int(self._scheduler.monotonic() * 1e6)
        if "confirmed" not in self._table.sources:
            raise UsageError('time: "confirmed" is not among the sources; add it to [time] sources')
        if not self._believable(offset_us):
            raise UsageError(f"time: {iso(told_us)} is before the floor ({self._table.floor}) or after 2100")
        self._remember("confirmed", offset_us)
        self._judge(self._ask())

    def troubles(self) -> list[str]:
        """What a person should do something about."""
        if not self._scheduler.trusted:
            return ["the time is unknown: readings are kept and wait for their dates; confirm the time with the PIN"]
        return [] if self.doubt is None else [f"clocks contradict each other: {self.doubt}"]

    # -- running

    def start(self) -> None:
        """Look at once, then again and again."""
        self._judge(self._ask())
        self._again()

    def _again(self) -> None:
        self._scheduler.call_later(LOOK_S[self._scheduler.trusted], self._look)

    def _look(self) -> None:
        def done(told: list[Told] | None, error: BaseException | None) -> None:
            if told is None:
                log.error("clock: %s", error)
            else:
                self._judge(told)

        self._again()
        self._scheduler.offload(self._ask, done, lane="clock")  # a clock chip on a slow bus

    def _ask(self) -> list[Told]:
        """What each source says, by rank; what can't be is left out."""
        told = []
        for source in self._table.sources:
            offset_us = self._live(source)
            now = offset_us is not None
            if offset_us is None:
                offset_us = self._remembered.get(source)
            if offset_us is not None and self._believable(offset_us):
                told.append(Told(source, offset_us, now))
        return told

    def _live(self, source: SourceName) -> int | None:
        machine_us = self._machine() - int(self._scheduler.monotonic() * 1e6)
        if source == "rtc":
            for chip in self._chips():
                if hardware.kept_by_battery(chip) and chip.seconds is not None:
                    chip_us = chip.seconds * 1_000_000 + 500_000 - int(self._scheduler.monotonic() * 1e6)
                    if self._believable(chip_us):
                        return machine_us if abs(machine_us - chip_us) <= FINE_US else chip_us
        if source == "system" or (source == "ntp" and self._synchronised()):
            return machine_us
        return None

    def _believable(self, offset_us: int) -> bool:
        return self._table.floor_us <= offset_us + int(self._scheduler.monotonic() * 1e6) < LATEST_US

    def _judge(self, told: list[Told]) -> None:
        """Believe the best of them, unless it is a jump that nothing else explains."""
        if not told:
            return
        best, group = chosen(told)
        now_us = self._scheduler.wall_us()
        strangers = [one for one in told if abs(one.offset_us - best.offset_us) > AGREE_US]
        doubt = "; ".join(f"{one.source} says {self._iso(one)}, {best.source} {self._iso(best)}" for one in strangers)
        if not self._scheduler.trusted:
            self._adopt(best)
            log.info("clock: it is %s, by %s", self._iso(best), best.source)
            self.on_trusted()
        else:
            by_us = best.offset_us - self._offset_us()
            drifted = abs(by_us) <= self._drift_us(best.source)
            if drifted or self._outdone(best, group, by_us):
                if abs(by_us) > FINE_US:
                    log.warning("clock: corrected by %+.1f s, by %s", by_us / 1e6, best.source)
                    if drifted:
                        self._carry_along(best, by_us)
                if abs(by_us) > FINE_US or (best.now and best.source in ("ntp", "system")):
                    self._adopt(best)
                if best.now:
                    self._sure_at = self._scheduler.monotonic()
            else:
                doubt = f"{best.source} jumped to {self._iso(best)}; the station goes on from {iso(now_us)}"
        if doubt and self.doubt is None:
            log.error("clock: %s; confirm the time, or mend the source that is wrong", doubt)
        self.doubt = doubt or None

    def _carry_along(self, best: Told, by_us: int) -> None:
        """What others said earlier in this boot has drifted with the machine since, as the station has."""
        before_us = self._offset_us()
        self._remembered = {
            source: offset_us + by_us * (source != best.source and abs(offset_us - before_us) <= AGREE_US)
            for source, offset_us in self._remembered.items()
        }

    def _drift_us(self, source: SourceName) -> float:
        """By how much a source may have parted from us without a jump."""
        now = self._scheduler.monotonic()
        alone_us = FINE_US + DRIFT * 1e6 * (now - self._sure_at)
        if source == "rtc":  # its seconds are whole: what crept to the limit is seen up to a second beyond it
            alone_us = max(alone_us, CHIP_US + min(FINE_US, DRIFT * 1e6 * (now - self._adopted_at)))
        return alone_us

    def _outdone(self, best: Told, group: list[Told], by_us: int) -> bool:
        """Whether a jump is the end of an error, not the beginning of one: never by the word of one source alone."""
        names = [one.source for one in group]
        if len(names) > 1:
            return abs(by_us) <= AGREE_US or self.source not in names or "confirmed" in names
        return self.source == "confirmed" and self._rank(best.source) < self._rank("confirmed")  # a slip of the hand

    def _adopt(self, told: Told) -> None:
        self.source = told.source
        self._sure_at = self._adopted_at = self._scheduler.monotonic()
        self._scheduler.steer(told.offset_us, True)
        if told.now:
            self._remember(told.source, told.offset_us)

    def _offset_us(self) -> int:
        return self._scheduler.wall_us() - int(self._scheduler.monotonic() * 1e6)

    def _rank(self, source: SourceName | None) -> int:
        return self._table.sources.index(source) if source in self._table.sources else len(self._table.sources)

    def _iso(self, told: Told) -> str:
        return iso(told.offset_us + int(self._scheduler.monotonic() * 1e6))

    def _remember(self, source: SourceName, offset_us: int) -> None:
        """For the rest of this boot, also after a restart of the station; a change of a second is none."""
        before = self._remembered.get(source)
        if before is not None and abs(before - offset_us) < 1_000_000:
            return
        self._remembered = {**self._remembered, source: offset_us}
        content = json.dumps({"boot": self._boot, "offsets": self._remembered})
        beside = self._path.with_suffix(".new")
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:  # noqa: PTH123
                file.write(content)
            beside.replace(self._path)
        except OSError as error:
            log.error("%s: %s; after a restart the time is unknown until a source tells it", self._path, error.strerror)


def chosen(told: list[Told]) -> tuple[Told, list[Told]]:
    """The largest group that agrees, of equals the one of the highest rank; in it the source whose time is finest.

    Who speaks now goes before who spoke once: a GPS that has gone silent drifts with the machine, a chip does not.
    """
    groups = [[other for other in told if abs(other.offset_us - one.offset_us) <= AGREE_US] for one in told]
    group = max(groups, key=len)  # the first of equals
    return min(group, key=lambda one: (not one.now, FINEST.index(one.source))), group


def _read(path: Path, boot: str) -> dict[SourceName, int]:
    """What sources told earlier in this boot."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(path.read_bytes())
        if content["boot"] == boot:
            return {source: int(offset) for source, offset in content["offsets"].items()}
    return {}


def iso(time_us: int) -> str:
    """For people; a time that no calendar has as microseconds."""
    try:
        return datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{time_us} us"


def examine(table: TimeTable, data_dir: Path) -> tuple[list[Told], int]:
    """What the sources say right now, asked from outside the station, and the monotonic time [us] of the answer."""
    found = Timekeeping(_Watching(0), table, data_dir)._ask()
    return found, int(time.monotonic() * 1e6)


def now_us(table: TimeTable, data_dir: Path) -> int:
    """The station's time for a command beside it: by the best source there is, the machine's clock without any."""
    told, monotonic_us = examine(table, data_dir)
    return chosen(told)[0].offset_us + monotonic_us if told else machine_us()


class _Watching(VirtualScheduler):
    """The machine's monotonic clock for someone who starts nothing."""

    def monotonic(self) -> float:
        return time.monotonic()
