"""One scheduler owns time, real or virtual."""

from __future__ import annotations

import asyncio
import threading

from suat.clock import LoopScheduler, VirtualScheduler

START_US = 1_780_000_000_000_000


def test_virtual_events_run_in_time_order_and_ties_in_the_order_asked() -> None:
    time = VirtualScheduler(START_US)
    seen: list[tuple[str, float]] = []
    for name, due in (("b", 2.0), ("a", 1.0), ("c", 2.0)):
        time.call_at(due, lambda name=name: seen.append((name, time.monotonic())))
    time.run_until(1.5)
    assert seen == [("a", 1.0)]
    time.run_until(5)
    assert seen == [("a", 1.0), ("b", 2.0), ("c", 2.0)]
    assert time.monotonic() == 5
    assert time.wall_us() == START_US + 5_000_000


def test_an_event_in_the_past_runs_now_and_time_never_goes_back() -> None:
    time = VirtualScheduler(START_US)
    time.run_until(10)
    seen: list[float] = []
    time.call_at(3, lambda: seen.append(time.monotonic()))
    time.run_until(10)
    assert seen == [10]


def test_a_cancelled_event_does_not_run() -> None:
    time = VirtualScheduler(START_US)
    seen: list[int] = []
    time.call_later(1, seen.append, 1).cancel()
    assert time.next_time() is None
    time.run_until(2)
    assert seen == []


def test_virtual_offload_gives_result_or_error_in_a_later_event() -> None:
    time = VirtualScheduler(START_US)
    seen: list[object] = []
    time.offload(lambda: 7, lambda result, error: seen.append((result, error)))
    time.offload(lambda: 1 // 0, lambda result, error: seen.append((result, type(error))))
    assert seen == []
    time.run_until(0)
    assert seen == [(7, None), (None, ZeroDivisionError)]


async def test_real_offload_runs_elsewhere_in_order_and_answers_here() -> None:
    time = LoopScheduler(asyncio.get_running_loop())
    here = threading.get_ident()
    work_threads: list[int] = []
    answers: list[tuple[int | None, int]] = []
    finished = asyncio.Event()

    def work(number: int) -> int:
        work_threads.append(threading.get_ident())
        return number

    def done(result: int | None, error: BaseException | None) -> None:
        assert error is None
        answers.append((result, threading.get_ident()))
        if len(answers) == 3:
            finished.set()

    for number in range(3):
        time.offload(lambda number=number: work(number), done)
    await asyncio.wait_for(finished.wait(), 5)
    time.close()
    assert answers == [(0, here), (1, here), (2, here)]
    assert here not in work_threads
    assert len(set(work_threads)) == 1


async def test_real_timers_follow_the_loop() -> None:
    time = LoopScheduler(asyncio.get_running_loop())
    due = asyncio.Event()
    before = time.monotonic()
    time.call_later(0.01, due.set)
    time.call_later(0.005, due.set).cancel()
    await asyncio.wait_for(due.wait(), 5)
    assert time.monotonic() - before >= 0.009
    time.close()
