"""What must not end is started again, later each time; and systemd hears that all is well only while all gets on.

A *part* is a source, a sink's lane, the board's server or the pipeline itself. Its callbacks run under a guard: an
error that comes out of one is reported in one line, and the part is revived after a back-off. What merely hangs ends
no callback: the watchdog looks at each lane of work and at each turn of the pipeline, and feeds systemd's watchdog
only while every one of them made progress or had nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from suat.clock import Done, Scheduler, Timer
from suat.metrics import PART_FAULTS

log = logging.getLogger(__name__)
T = TypeVar("T")

BACK_OFF_S = (1.0, 60.0)  # first and longest wait before a part is revived
CALM_S = 600.0  # a part that ran for so long begins with the first wait again
BEAT_S = 5.0  # between two looks of the watchdog; systemd waits 30
STALL_S = 60.0  # no piece of work of a lane takes so long: the longest waits 10 s for a database


@dataclass(slots=True)
class Part:
    """Something that is kept going. `revive` brings it back, on the scheduler's thread."""

    name: str
    revive: Callable[[], None]
    faults: int = 0
    fault: str = ""  # the last, until it has run calmly
    wait_s: float = BACK_OFF_S[0]
    fault_at: float = 0.0  # monotonic [s]
    timer: Timer | None = None


class Guarded:
    """A scheduler whose callbacks raise nothing: `fault` gets what they raise."""

    def __init__(self, scheduler: Scheduler, fault: Callable[[BaseException], None]) -> None:
        self._scheduler = scheduler
        self._fault = fault
        self.monotonic = scheduler.monotonic
        self.wall_us = scheduler.wall_us
        self.steer = scheduler.steer

    @property
    def trusted(self) -> bool:
        return self._scheduler.trusted

    @trusted.setter
    def trusted(self, trusted: bool) -> None:
        self._scheduler.trusted = trusted

    def call_at(self, when: float, call: Callable[..., None], *args: Any) -> Timer:
        return self._scheduler.call_at(when, self._run, call, *args)

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Timer:
        return self._scheduler.call_later(delay, self._run, call, *args)

    def offload(self, work: Callable[[], T], done: Done[T], lane: str = "journal") -> None:
        self._scheduler.offload(work, lambda result, error: self._run(done, result, error), lane)

    def _run(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except Exception as error:
            self._fault(error)


class Supervisor:
    """All parts of a station."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.parts: dict[str, Part] = {}
        self._scheduler = scheduler
        self._stopped = False
        self._starting: set[asyncio.Task[None]] = set()

    def guard(self, name: str, revive: Callable[[], None]) -> Scheduler:
        """The scheduler that a part works with."""
        return self.guarded(self.part(name, revive))

    def guarded(self, part: Part) -> Scheduler:
        """The scheduler that a part works with which was taken on already."""
        return Guarded(self._scheduler, lambda error: self.failed(part, error))

    def part(self, name: str, revive: Callable[[], None]) -> Part:
        """Take a part on."""
        part = self.parts[name] = Part(name, revive)
        return part

    def spawn(self, part: Part, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Bring a part back that needs the event loop for it; an error is the part's next failure."""

        async def starting() -> None:
            try:
                await start()
            except Exception as error:
                self.failed(part, error)

        task = asyncio.ensure_future(starting())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def failed(self, part: Part, error: BaseException | None) -> None:
        """A part raised an error, or ended though it should not (None): it is revived after a while."""
        now = self._scheduler.monotonic()
        if now - part.fault_at > CALM_S:
            part.wait_s = BACK_OFF_S[0]
        part.faults += 1
        part.fault_at = now
        part.fault = "ended" if error is None else described(error)
        PART_FAULTS.labels(part.name).inc()
        if part.timer is None and not self._stopped:
            log.error("%s: %s; started again in %.0f s", part.name, part.fault, part.wait_s)
            part.timer = self._scheduler.call_later(part.wait_s, self._revive, part)
            part.wait_s = min(2 * part.wait_s, BACK_OFF_S[1])

    def _revive(self, part: Part) -> None:
        part.timer = None
        try:
            part.revive()
        except Exception as error:
            self.failed(part, error)

    def troubles(self) -> list[str]:
        """Parts that have not run calmly for long enough to forget their last fault."""
        now = self._scheduler.monotonic()
        return [
            f"{part.name}: {part.fault}"
            for part in self.parts.values()
            if part.fault and (part.timer is not None or now - part.fault_at < 2 * part.wait_s)
        ]

    def stray(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's handler of errors that nobody took."""
        error = context.get("exception")
        PART_FAULTS.labels("loop").inc()
        log.error("%s", described(error) if isinstance(error, BaseException) else context.get("message"))

    def stop(self) -> None:
        """Nothing is revived any more."""
        self._stopped = True
        for part in self.parts.values():
            if part.timer is not None:
                part.timer.cancel()
                part.timer = None


def described(error: BaseException) -> str:
    """An error in one line: what, and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""  # noqa: PTH119
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


class Watchdog:
    """Tells systemd how the station does: READY, STATUS, WATCHDOG; nothing happens where systemd did not start it."""

    def __init__(
        self,
        scheduler: Scheduler,
        stalls: Callable[[], list[str]],
        status: Callable[[], str],
        notify: Callable[[str], Any],
    ) -> None:
        self.stalls: list[str] = []  # what hung at the last look
        self._scheduler = scheduler
        self._find_stalls = stalls
        self._status = status
        self._notify = notify
        self._told = ""
        self._timer: Timer | None = None

    def start(self) -> None:
        """The station is up."""
        self._notify("READY=1")
        self._beat()

    def stop(self) -> None:
        """It is told to stop: what remains to be written is a matter of seconds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._notify("STOPPING=1")

    def _beat(self) -> None:
        self._timer = self._scheduler.call_later(BEAT_S, self._beat)
        before, self.stalls = self.stalls, self._find_stalls()
        if not self.stalls:
            self._notify("WATCHDOG=1")
        if self.stalls and self.stalls != before:
            log.error("no progress: %s", "; ".join(self.stalls))
        status = "; ".join(self.stalls) or self._status()
        if status != self._told:
            self._told = status
            self._notify(f"STATUS={status}")


def systemd_notifier() -> Callable[[str], None]:
    """Sends a line to systemd, which named its socket in NOTIFY_SOCKET."""
    from sdnotify import SystemdNotifier  # type: ignore[import-untyped]

    notifier = SystemdNotifier()
    if notifier.socket is not None:
        notifier.socket.setblocking(False)  # systemd that does not listen must not hold up the readings
    # sdnotify takes a text for Latin-1 and drops one that is not; systemd reads UTF-8
    return lambda text: notifier.notify(text.replace("\n", " ").encode().decode("latin-1"))
