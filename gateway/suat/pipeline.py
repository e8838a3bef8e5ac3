"""The way of a reading: receive > admit > keep > clean > summarise > decide > forward.

    receive    a source hands over a copy of a frame             ingest/
    admit      genuine, new, from one of our nodes               network/
    keep       counter and readings, one transaction             store/journal.py
               and only now the node may be told                 network/downlink.py
    clean      calibrated, filtered, flagged                     quality/clean.py
    summarise  windows of 15 minutes, 1 hour, 1 day              quality/windows.py
    decide     each paddock's and water point's status           pasture/status.py
    forward    points to InfluxDB, out of the journal            store/influx.py

All of it runs on the scheduler's thread, but for what touches the disk or the network: that is offloaded, in order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from suat.clock import Guard, Scheduler, Timer
from suat.config import Config
from suat.errors import SuatError
from suat.ingest.base import take_counters
from suat.metrics import COMMIT_SECONDS, SAMPLES_KEPT
from suat.network.keys import RootKeys
from suat.network.server import NetworkServer
from suat.pasture.decide import Decider
from suat.quality.calibrate import calibrations
from suat.quality.clean import Cleaner
from suat.quality.windows import SINK as WINDOWS
from suat.quality.windows import Windows
from suat.records import Admitted, Batch, Committed, Downlink, KeptSample, SendResult, Uplink
from suat.store.calibration import curves
from suat.store.journal import Journal, JournalError, Reader
from suat.store.retention import Retention
from suat.store.salvage import Salvage
from suat.store.sinks import Sinks

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_S = (0.5, 30.0)  # first and longest wait after the journal refused a batch: promise 8 is 60 s
STALL_S = 60.0  # so much later than it should a turn comes on no machine that works
REPLAY_S = 0.05  # between two steps of a replay
RETAIN_S = 0.1  # between two steps of the retention, and of a salvage
MANY = 8  # frames that wait for no more of them
MAX_PENDING = 100_000  # frames held while the journal can't be written; beyond it nodes must send again


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the stages that follow a clock run [s]."""

    commit: float = 0.08  # between two transactions: what is admitted within it shares the next
    gather: float = 0.12  # a frame whose sender waits for nothing waits so long for others, unless there are MANY
    housekeeping: float = 1.0  # counters of refused frames are written, new nodes are taken over
    summary: float = 60.0
    decision: float = 300.0
    retention: float = 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """A batch that was committed at `at_us`; `fault`: why its samples were not cleaned, None if they were."""

    committed: Committed
    at_us: int
    fault: BaseException | None


class Pipeline:
    """The stages in order. `send` hands a downlink to its source."""

    def __init__(
        self,
        scheduler: Scheduler,
        config: Config,
        journal: Journal,
        reader: Reader,
        keys: RootKeys,
        send: Callable[[Downlink], bool],
        pace: Pace,
        send_payload: Callable[[str, str, int, bytes], bool],
        guard: Guard | None = None,
    ) -> None:
        self.scheduler = scheduler
        commit_s = config.journal.commit_s
        self.pace = pace if commit_s is None else replace(pace, commit=commit_s, gather=min(pace.gather, commit_s))
        self.server = NetworkServer(
            scheduler,
            config.station.region,
            reader,
            keys,
            self.keep,
            send,
            send_payload=send_payload,
            options=config.network,
            write=lambda work: self._offload("downlinks", lambda: work(journal)),
        )
        self.windows = Windows(journal, reader, config.station.zone)
        self.cleaner = Cleaner(journal, reader, {}, self.windows.touch)
        self.decider = Decider(config, journal, reader)
        self.sinks = Sinks(scheduler, config.sinks, journal, reader, guard)
        self.retention = Retention(journal, config.journal)
        self.salvage = Salvage(journal)
        self._saving = False
        self._config = config
        self._journal = journal
        self._reader = reader
        self._registry_version = -1
        self._pending: list[Admitted] = []
        self._commit_timer: Timer | None = None
        self._commit_at = 0.0  # when the timer is due [monotonic s]
        self._commit_due = 0.0  # not before [monotonic s]
        self._committing = False
        self._retry_s = RETRY_S[0]
        self._timers: dict[str, Timer] = {}
        self._turns: dict[str, tuple[float, float]] = {}  # name -> (when it last had its turn, every how many seconds)
        self._tried_at = scheduler.monotonic()  # to write what is pending
        self.trouble: str | None = None  # why nothing can be kept at present
        self.fatal: BaseException | None = None

    # -- the stages

    def receive(self, uplink: Uplink) -> None:
        """A copy of a frame: admitted once its other copies have had time to come."""
        self.server.receive(uplink)

    def keep(self, admitted: Admitted) -> None:
        """A genuine frame: it waits for the next transaction."""
        self._pending.append(admitted)
        if len(self._pending) > MAX_PENDING:
            self._give_up(self._pending[: MAX_PENDING // 10])
            del self._pending[: MAX_PENDING // 10]
        self._commit_soon()

    def _commit_soon(self) -> None:
        """At once after a pause when a sender waits for an answer or there are many, else when others have joined."""
        hurry = len(self._pending) >= MANY or any(frame.reply is not None for frame in self._pending)
        if self._committing or (self._commit_timer is not None and (not hurry or self._commit_at <= self._commit_due)):
            return
        if self._commit_timer is not None:
            self._commit_timer.cancel()
        self._commit_at = self._commit_due
        if not hurry:
            self._commit_at = max(self._commit_due, self.scheduler.monotonic() + self.pace.gather)
        self._commit_timer = self.scheduler.call_at(self._commit_at, self._commit)

    def _commit(self) -> None:
        self._commit_timer = None
        self._tried_at = self.scheduler.monotonic()
        if self._committing:
            return
        counters = take_counters(self.server.counters)
        if not self._pending and not counters:
            return
        batch = Batch(tuple(self._pending), counters=counters)
        self._pending = []
        self._committing = True
        self._commit_due = self.scheduler.monotonic() + self.pace.commit
        self.scheduler.offload(lambda: self._write(batch), lambda kept, error: self._kept(batch, kept, error))

    def _write(self, batch: Batch) -> _Kept:
        """Commit and clean, for which the thread need not be woken twice: a lone frame's answer waits 0.2 ms for it."""
        committed = self._journal.commit(batch)
        at_us = self.scheduler.wall_us()
        fault: BaseException | None = None
        if committed.samples:
            try:
                self.cleaner.clean(committed.samples)
            except Exception as error:
                fault = error
        return _Kept(committed, at_us, fault)

    def _kept(self, batch: Batch, kept: _Kept | None, error: BaseException | None) -> None:
        self._committing = False
        if kept is None:
            self._not_kept(batch, error)
            return
        committed = kept.committed
        self._retry_s = RETRY_S[0]
        self.trouble = None
        self.server.committed(batch, committed)
        SAMPLES_KEPT.inc(len(committed.samples))
        if committed.undated:
            self.date_undated()
        else:
            COMMIT_SECONDS.observe([(kept.at_us - admitted.received_us) / 1e6 for admitted in batch.admitted])
        if self._pending:
            self._commit_soon()
        if kept.fault is not None:
            self._failed("clean", kept.fault)
        elif committed.samples:
            self._cleaned()

    def _not_kept(self, batch: Batch, error: BaseException | None) -> None:
        """Nothing is lost yet: the batch goes first into the next attempt."""
        for name, count in batch.counters.items():
            self.server.counters[name] += count
        if not (isinstance(error, JournalError) and error.transient):
            self._give_up(list(batch.admitted))
            self._fail(error)
            return
        self.trouble = str(error)
        log.error("%s; %d frames wait, next attempt in %.0f s", error, len(batch.admitted), self._retry_s)
        self._pending[:0] = batch.admitted
        self._commit_at = 0.0  # however many come meanwhile
        self._commit_timer = self.scheduler.call_later(self._retry_s, self._commit)
        self._retry_s = min(self._retry_s * 2, RETRY_S[1])

    def _give_up(self, frames: list[Admitted]) -> None:
        """These frames will not be kept: their nodes were told nothing and send again."""
        self.server.failed(Batch(tuple(frames)))
        log.error("%d frames could not be kept; their nodes will send them again", len(frames))

    def date_undated(self) -> None:
        """Samples that came before the clock was trusted get their dates, once it is."""
        if self.scheduler.trusted:
            offset_us = self.scheduler.wall_us() - int(self.scheduler.monotonic() * 1e6)
            self._offload("date", lambda: self._journal.date(offset_us), self._dated)

    def _dated(self, result: tuple[tuple[KeptSample, ...], bool] | None) -> None:
        samples, more = result or ((), False)
        if samples:
            log.warning("clock: %d samples that had waited for the time have their dates", len(samples))
            SAMPLES_KEPT.inc(len(samples))
            self._clean(samples)
        if more:
            self.date_undated()

    def _clean(self, samples: tuple[KeptSample, ...]) -> None:
        self._offload("clean", lambda: self.cleaner.clean(samples), self._cleaned)

    def _cleaned(self, _result: object = None) -> None:
        """What came late has sent its node's filters back: they catch up in steps between other work."""
        self._forward()
        self._replay_after(REPLAY_S)

    def _replay_after(self, delay_s: float) -> None:
        if self.cleaner.pending and "replay" not in self._timers:
            self._timers["replay"] = self.scheduler.call_later(delay_s, self._replay)

    def _replay(self) -> None:
        del self._timers["replay"]
        self._offload("clean", self.cleaner.work, self._cleaned)

    def _summarise(self) -> None:
        if not self.scheduler.trusted:
            return
        now_us = self.scheduler.wall_us()
        due_us = self.windows.next_due_us()
        if due_us is not None and due_us <= now_us:
            self._offload("summarise", lambda: self.windows.run(now_us), self._summarised)

    def _summarised(self, closed: object) -> None:
        """One run closes a limited number of windows, so that a commit never waits long behind it."""
        if closed:
            self._forward()
            self._summarise()

    def _decide(self) -> None:
        if not self.scheduler.trusted:
            return
        now_us = self.scheduler.wall_us()
        self._offload("decide", lambda: self.decider.decide(now_us), self._forward)

    def _retain(self) -> None:
        if self._saving and "salvage" not in self._timers:
            self._save()  # the disk was full
        if "retain" in self._timers:
            return  # it is at it
        now_s, now_us = self.scheduler.monotonic(), self.scheduler.wall_us()
        self._offload("retain", lambda: self.retention.look(now_s, now_us), self._retained)

    def _retained(self, more: bool | None) -> None:
        """What must go goes in steps, so that a commit never waits long behind it."""
        if more:
            self._timers["retain"] = self.scheduler.call_later(RETAIN_S, self._retain_more)

    def _save(self) -> None:
        """Rows of a damaged journal that was set aside, a few at a time."""
        self._timers.pop("salvage", None)
        now_us = self.scheduler.wall_us()
        self._offload("salvage", lambda: self.salvage.step(now_us), self._saved)

    def _saved(self, more: bool | None) -> None:
        if more:
            self._saving = True
            self._timers["salvage"] = self.scheduler.call_later(RETAIN_S, self._save)
        elif self._saving:  # there was something: what is not cleaned yet is found as at a start
            self._saving = False
            self._offload("clean", self.cleaner.start, self._cleaned, must=True)
            self._forward()

    def _retain_more(self) -> None:
        del self._timers["retain"]
        self._offload("retain", self.retention.step, self._retained)

    def _forward(self, _result: object = None) -> None:
        self.sinks.wake()

    # -- running

    def start(self) -> None:
        """Take up what a stop or a power cut left unfinished, then keep time."""
        self._offload("forward", lambda: self._journal.keep_sinks({WINDOWS, *self.sinks.forwarders}))
        self._offload("summarise", self.windows.start, must=True)
        self._take_over_registry()
        self._offload("clean", self.cleaner.start, self._cleaned, must=True)
        self.date_undated()
        self._repeat("housekeeping", self.pace.housekeeping, self._housekeeping)
        self._repeat("date", self.pace.summary, self.date_undated)  # the journal may have been busy, or full
        self._repeat("summarise", self.pace.summary, self._summarise)
        self._repeat("decide", self.pace.decision, self._decide)
        self._repeat("retention", self.pace.retention, self._retain)
        self._save()
        self._forward()

    def stop(self) -> None:
        """Judge and commit what was received; afterwards nothing is due any more. The scheduler runs what is left."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.server.flush()
        self._commit()
        self._offload("clean", self.cleaner.save)
        self.sinks.stop()

    @property
    def idle(self) -> bool:
        """Whether all that was admitted has been committed."""
        return not self._pending and not self._committing

    def stalled(self) -> list[str]:
        """Stages that have not had their turn for too long: nothing in them waits for anything outside."""
        now = self.scheduler.monotonic()
        late = [name for name, (at, period_s) in self._turns.items() if now - at > 2 * period_s + STALL_S]
        if self._pending and now - self._tried_at > RETRY_S[1] + STALL_S:
            late.append("commit")
        return late

    def revive(self) -> None:
        """After an error of this program came out of a stage: what waits is taken up again."""
        if self._pending:
            self._commit_soon()
        self._offload("clean", self.cleaner.start, self._cleaned, must=True)  # what was committed when it happened

    def downlink_result(self, downlink: Downlink, result: SendResult) -> None:
        """A gateway's verdict on a downlink."""
        self.server.downlink_result(downlink, result)

    def _housekeeping(self) -> None:
        try:
            self._take_over_registry()
            self.sinks.measure()
        except SuatError as error:
            log.error("%s", error)
        if self._commit_timer is None:
            self._commit()

    def _take_over_registry(self) -> None:
        """Nodes that were registered, revoked, moved or calibrated meanwhile, by a command."""
        version = self._reader.registry_version()
        if version == self._registry_version:
            return
        self.server.refresh()
        heights = {point.id: point.sensor_height_m for point in self._config.water_point}
        known = calibrations(self._reader.devices(), self._reader.read(curves), heights, self._config.limits)
        self._registry_version = version
        self._offload("clean", lambda: self.cleaner.recalibrate(known), self._cleaned)

    def _repeat(self, name: str, period_s: float, call: Callable[[], None]) -> None:
        def again() -> None:
            self._timers[name] = self.scheduler.call_later(period_s, again)  # first: it goes on whatever happens
            self._turns[name] = self.scheduler.monotonic(), period_s
            call()

        self._turns[name] = self.scheduler.monotonic(), period_s
        self._timers[name] = self.scheduler.call_later(period_s, again)

    def _offload(
        self, stage: str, work: Callable[[], T], then: Callable[[T | None], None] | None = None, *, must: bool = False
    ) -> None:
        """`must`: no later turn does the same, so it is tried until the journal takes it."""

        def done(result: T | None, error: BaseException | None) -> None:
            if error is None:
                if then is not None:
                    then(result)
            elif self._failed(stage, error) and must:
                again = self.scheduler.call_later(RETRY_S[1], lambda: self._offload(stage, work, then, must=True))
                self._timers[f"{stage} again"] = again

        self.scheduler.offload(work, done)

    def _failed(self, stage: str, error: BaseException) -> bool:
        """Whether trying again may mend it."""
        if not (isinstance(error, JournalError) and error.transient):
            self._fail(error)
            return False
        log.error("%s: %s; tried again in %.0f s", stage, error, RETRY_S[1])
        self._replay_after(RETRY_S[1])
        return True

    def _fail(self, error: BaseException | None) -> None:
        """A fault that trying again does not mend: the station must stop and say so."""
        if self.fatal is None:
            self.fatal = error
