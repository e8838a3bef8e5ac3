"""One scheduler owns time: the same station runs in real and in virtual time.

Nothing in the pipeline asks the operating system what time it is. It asks the scheduler it was given, and the
scheduler calls it back. `LoopScheduler` stands on asyncio, `VirtualScheduler` on a heap of events.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Done = Callable[[T | None, BaseException | None], None]

# Until its clock is trusted a station counts from the machine's start: a time below this is no date. Ten years.
UNDATED_US = 315_576_000_000_000


class Timer(Protocol):
    """A call that is due; `cancel` may be called at any time, also after it ran."""

    def cancel(self) -> None: ...


class Scheduler(Protocol):
    """Time and what happens in it. All callbacks run on one thread, the scheduler's."""

    trusted: bool  # whether `wall_us` is the date; until then it counts from the machine's start (UNDATED_US)

    def monotonic(self) -> float:
        """Seconds that only grow; the zero is arbitrary."""

    def wall_us(self) -> int:
        """UTC in microseconds since 1970, as well as the station knows it; it never follows a jump by itself."""

    def steer(self, offset_us: int, trusted: bool) -> None:
        """From now on `wall_us` is the monotonic time and this [us] (timekeeping.py)."""

    def call_at(self, when: float, call: Callable[..., None], *args: Any) -> Timer:
        """Run `call(*args)` at monotonic time `when` [s]."""

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Timer:
        """Run `call(*args)` after `delay` seconds."""

    def offload(self, work: Callable[[], T], done: Done[T], lane: str = "journal") -> None:
        """Run blocking `work` off this thread, then `done(result, error)` on this thread.

        Work of one lane runs one after the other; what may hang (a database that is down) has a lane of its own.
        """


# guard(name of a part, how it is brought back) -> the scheduler it works with
Guard = Callable[[str, Callable[[], None]], Scheduler]


class _Lane:
    """Work done one after the other on a thread of its own; `answer(done, result, error)` is called on that thread.

    concurrent.futures does the same at four times the cost. A process that ends does not wait for the thread.
    """

    def __init__(self, name: str, answer: Callable[[_Lane, Done[Any], Any, BaseException | None], None]) -> None:
        self.handed_over: deque[float] = deque()  # when each work that is not done was given [monotonic s]
        self._queue: SimpleQueue[tuple[Callable[[], Any], Done[Any]] | None] = SimpleQueue()
        self._answer = answer
        self._thread = threading.Thread(target=self._run, name=f"suat-{name}", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], Any], done: Done[Any]) -> None:
        self._queue.put((work, done))

    def close(self) -> None:
        """Wait for the work that was handed over."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (given := self._queue.get()) is not None:
            work, done = given
            result: Any = None
            fault: BaseException | None = None
            try:
                result = work()
            except BaseException as error:
                fault = error
            self._answer(self, done, result, fault)
            del given, work, done, result, fault  # else they would live until the next work comes


class LoopScheduler:
    """Real time on an asyncio loop; blocking work on one thread a lane, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lanes: dict[str, _Lane] = {}
        self._offset_us = time.time_ns() // 1000 - int(loop.time() * 1e6)
        self.trusted = True

    def monotonic(self) -> float:
        return self._loop.time()

    def wall_us(self) -> int:
        return int(self._loop.time() * 1e6) + self._offset_us

    def steer(self, offset_us: int, trusted: bool) -> None:
        self._offset_us = offset_us
        self.trusted = trusted

    def call_at(self, when: float, call: Callable[..., None], *args: Any) -> Timer:
        return self._loop.call_at(when, call, *args)

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Timer:
        return self._loop.call_later(delay, call, *args)

    def offload(self, work: Callable[[], T], done: Done[T], lane: str = "journal") -> None:
        found = self._lanes.get(lane)
        if found is None:
            found = self._lanes[lane] = _Lane(lane, self._worked)
        found.handed_over.append(self._loop.time())
        found.put(work, done)

    def _worked(self, lane: _Lane, done: Done[Any], result: Any, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
            self._loop.call_soon_threadsafe(self._taken, lane, done, result, error)

    def _taken(self, lane: _Lane, done: Done[Any], result: Any, error: BaseException | None) -> None:
        lane.handed_over.popleft()
        if lane.handed_over:
            lane.handed_over[0] = self._loop.time()  # its turn has only now come
        done(result, error)

    def working_s(self) -> dict[str, float]:
        """By lane: how long its present work has gone on [s], 0 when there is none."""
        now = self._loop.time()
        return {name: now - lane.handed_over[0] if lane.handed_over else 0.0 for name, lane in self._lanes.items()}

    def close(self) -> None:
        """Wait for the work that was handed over, then let the threads go."""
        for lane in self._lanes.values():
            lane.close()


class _Event:
    __slots__ = ("args", "call")

    def __init__(self, call: Callable[..., None] | None, args: tuple[Any, ...]) -> None:
        self.call = call
        self.args = args

    def cancel(self) -> None:
        self.call = None
        self.args = ()


class VirtualScheduler:
    """Time that advances from event to event; equal times run in the order they were asked for."""

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us
        self.trusted = True
        self._now = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, _Event]] = []

    def monotonic(self) -> float:
        return self._now

    def wall_us(self) -> int:
        return self._start_us + round(self._now * 1e6)

    def steer(self, offset_us: int, trusted: bool) -> None:
        self._start_us = offset_us
        self.trusted = trusted

    def at_us(self, wall_us: int) -> float:
        """The monotonic time [s] of a wall instant [us]."""
        return (wall_us - self._start_us) / 1e6

    def call_at(self, when: float, call: Callable[..., None], *args: Any) -> Timer:
        event = _Event(call, args)
        heapq.heappush(self._events, (max(when, self._now), next(self._order), event))
        return event

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Timer:
        return self.call_at(self._now + delay, call, *args)

    def offload(self, work: Callable[[], T], done: Done[T], lane: str = "journal") -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except Exception as fault:
            error = fault
        self.call_at(self._now, done, result, error)

    def next_time(self) -> float | None:
        """When the next event is due [s], None when there is none."""
        while self._events and self._events[0][2].call is None:
            heapq.heappop(self._events)
        return self._events[0][0] if self._events else None

    def run_until(self, when: float) -> None:
        """Run all events up to and including `when` [s]; the clock then stands at `when`."""
        while (due := self.next_time()) is not None and due <= when:
            _, _, event = heapq.heappop(self._events)
            self._now = due
            if event.call is not None:
                event.call(*event.args)
        self._now = max(self._now, when)
