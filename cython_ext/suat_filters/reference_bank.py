"""One channel of a FilterBank in the plainest Python that is right: the oracle of kernels/channel.hpp."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from suat_filters.reference import judge, kalman_step
from suat_filters.settings import BROKEN, CLOCK, GAP, RANGE, RATE, SPIKE, STUCK, ChannelSettings

DAY = 86400.0
OPENS = 1 / 3  # share of doubtful readings at which a probe counts as broken
CLOSES = 1 / 12  # and at which it no longer does
FORGOTTEN = 1 / 100  # and below which an episode cannot begin further back
MOST_WEIGHT = 1 / 8  # of one reading in that share
STANDSTILL = 3  # readings after the first that may have one and the same time
LONGEST_STEP = DAY / 4  # between two readings of a day's wave
LEAST_COVERED_MS = 72_000_000  # 20 of the day's 24 hours
SWING = 16 / math.pi**2  # length of the wave's vector for a sine that swings by 1 from lowest to highest
LEARNT = 7  # days that make the first idea of a channel's wave
FOLLOWS = 16  # days over which the idea follows the seasons
LONGEST_ERROR = 90  # days after which a shifted wave counts as the probe's own
LONGEST_SILENCE = 180 * DAY  # after which a probe may lie elsewhere
MOST_DAYS = 2.0**31

Revision = tuple[float, float, int, int]  # since, until, set, clear


def arch(u: float) -> float:
    """sin(2 pi u) for 0 <= u < 1, nearly: two parabolas, whose overtones are odd and small."""
    return 16 * u * (0.5 - u) if u < 0.5 else -16 * (u - 0.5) * (1 - u)


@dataclass
class Doubt:
    """How much of late was noise or out of range; whether that is an episode of a broken probe."""

    settings: ChannelSettings
    share: float = 0.0
    since: float = 0.0
    broken: bool = False
    sound_since: float | None = None
    before: tuple[float, float] | None = None

    def sticks_out(self, t: float, x: float, last: tuple[float, float] | None) -> bool:
        """Whether `last` lies beyond the reading before it and this one, and too far from the line between them."""
        if last is None or self.before is None or not self.settings.max_noise:
            return False
        span = t - self.before[0]
        if not span > 0 or (self.settings.gap_seconds and span > self.settings.gap_seconds):
            return False
        rise, climb = last[1] - self.before[1], x - last[1]
        if not rise * climb < 0:
            return False
        return abs(rise * (t - last[0]) - climb * (last[0] - self.before[0])) / span > self.settings.max_noise

    def see(self, t: float, x: float, last: tuple[float, float] | None, in_range: bool) -> list[Revision]:
        """`x` and `last` are NaN where they are out of range: there is no line to them."""
        seconds = self.settings.broken_seconds
        if not seconds:
            return []
        noise = self.sticks_out(t, x, last)
        self.before = last
        weight = FORGOTTEN
        if last:
            dt = t - last[0]
            weight = dt / (dt + seconds) if dt < seconds / 7 else MOST_WEIGHT
        bad = noise or not in_range
        if bad and self.share < FORGOTTEN and not self.broken:
            self.since = last[0] if noise and last else t
        if bad:
            self.sound_since = t if noise else None
        elif self.sound_since is None:
            self.sound_since = t
        self.share += weight * ((1.0 if bad else 0.0) - self.share)
        if not self.broken and self.share > OPENS:
            self.broken = True
            return [(self.since, last[0], BROKEN, 0)] if last and self.since <= last[0] else []
        if self.broken and self.share < CLOSES and self.sound_since is not None:
            self.broken = False
            return [(self.sound_since, last[0], 0, BROKEN)] if last and self.sound_since <= last[0] else []
        return []


@dataclass
class Wave:
    """The day's wave of a temperature as a vector: how long it is says how far it swings, where it points, when.

    The vector is the integral of the temperature's change times the wave of 24 hours: a lasting trend gives nothing.
    """

    settings: ChannelSettings
    idea: tuple[float, float] = (0.0, 0.0)
    learnt: int = 0
    day: float = 0.0
    vector: tuple[float, float] = (0.0, 0.0)
    covered_ms: int = 0
    run: int = 0
    run_day: float = 0.0
    shifted: int = 0

    def silence(self, seconds: float) -> None:
        """Who came after a gap may have set the clock."""
        self.vector, self.covered_ms, self.run, self.shifted = (0.0, 0.0), 0, 0, 0
        if seconds > LONGEST_SILENCE:
            self.forget()

    def forget(self) -> None:
        self.idea, self.learnt, self.shifted = (0.0, 0.0), 0, 0

    def see(self, t: float, x: float, good: tuple[float, float] | None) -> float | None:
        """What is known now: the time since when the clock has been wrong, or right again; None: nothing new."""
        if not self.settings.day_swing or good is None:
            return None
        dt = t - good[0]
        middle = (t + good[0]) / 2 / DAY
        day = math.floor(middle) if abs(middle) < MOST_DAYS else math.inf
        if not 0 < dt <= LONGEST_STEP or math.isinf(day):
            return None
        since = None
        if day != self.day:
            since = self.close()
            self.day, self.vector, self.covered_ms = float(day), (0.0, 0.0), 0
        u = middle - self.day
        quarter = u + 0.25 if u < 0.75 else u - 0.75
        rise = x - good[1]
        self.vector = self.vector[0] + rise * arch(quarter), self.vector[1] + rise * arch(u)
        self.covered_ms += int(dt * 1000)
        return since

    def close(self) -> float | None:
        re, im = self.vector
        power = re * re + im * im
        least = SWING * self.settings.day_swing
        if self.covered_ms < LEAST_COVERED_MS or not power >= least * least:
            return None
        if self.learnt < LEARNT:
            self.learnt += 1
            self.follow(self.learnt)
            return None
        dot = re * self.idea[0] + im * self.idea[1]
        length = self.idea[0] * self.idea[0] + self.idea[1] * self.idea[1]
        off = not (dot > 0 and 2 * dot * dot >= power * length)  # 45 degrees: 3 hours
        if not off and not self.shifted:
            self.follow(FOLLOWS)
        if off == (self.shifted > 0):
            self.run = 0
            if off:
                self.shifted += 1
                if self.shifted > LONGEST_ERROR:
                    self.forget()
            return None
        if not self.run:
            self.run_day = self.day
        self.run += 1
        if self.run < self.settings.clock_days:
            return None
        self.run, self.shifted = 0, int(off)
        return self.run_day * DAY

    def follow(self, days: int) -> None:
        self.idea = (
            self.idea[0] + (self.vector[0] - self.idea[0]) / days,
            self.idea[1] + (self.vector[1] - self.idea[1]) / days,
        )


@dataclass
class Chain:
    """The whole of a channel."""

    settings: ChannelSettings
    window: list[float] = field(default_factory=list)
    last: tuple[float, float] | None = None
    good: tuple[float, float] | None = None
    odd: list[tuple[float, float]] = field(default_factory=list)
    same: list[float] = field(default_factory=list)
    spikes: list[tuple[float, bool]] = field(default_factory=list)
    trend: int = 0
    state: tuple[float, float] | None = None  # level and variance of the smoother
    back: int = 0
    still: int = 0
    gap: tuple[float, float] | None = None
    revisions: list[Revision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.doubt = Doubt(self.settings)
        self.wave = Wave(self.settings)

    def push(self, t: float, x: float) -> tuple[float, int]:
        limits = self.settings
        if not math.isfinite(t) or self._set_back(t, x):
            return math.nan, CLOCK
        if math.isnan(x):
            return math.nan, 0
        if self._stands_still(t):
            return math.nan, CLOCK
        in_range = limits.minimum <= x <= limits.maximum and not math.isinf(x)
        last, self.last = self.last, (t, x if in_range else math.nan)
        flags = 0
        if last and limits.gap_seconds and t - last[0] > limits.gap_seconds:
            flags |= GAP
            self.window, self.spikes, self.same = [], [], []
            self.gap = last[0], t
            self.wave.silence(t - last[0])
        was_broken = self.doubt.broken
        self.revisions += self.doubt.see(t, self.last[1], last, in_range)
        if self.doubt.broken or was_broken:
            self._begin_anew()
        if self.state and last:
            self.state = self.state[0], self.state[1] + limits.q * (t - last[0])
        if self.doubt.broken:
            flags |= BROKEN
        if not in_range:
            flags |= RANGE
        if flags & (BROKEN | RANGE):
            return math.nan, flags
        flags |= self._rate(t, x, last) | self._stuck(t, x, last)
        if flags & (RATE | STUCK):
            return math.nan, flags
        value, spike = self._despike(t, x, last)
        if not spike:
            since = self.wave.see(t, x, self.good)
            if since is not None and last:
                change = (CLOCK, 0) if self.wave.shifted else (0, CLOCK)
                self.revisions.append((since, last[0], *change))
            self.good = t, x
        if limits.q:
            smooth = kalman_step((t, *self.state), t, value, limits.q, limits.r) if self.state else (t, value, limits.r)
            self.state = smooth[1], smooth[2]
            value = self.state[0]
        if self.wave.shifted:
            return math.nan, flags | spike | CLOCK
        return value, flags | spike

    def _set_back(self, t: float, x: float) -> bool:
        """Whether the time lies before the last one, and isn't believed."""
        if self.last is None or t >= self.last[0]:
            self.back = self.back if math.isnan(x) else 0
            return False
        if math.isnan(x) or not self.settings.clock_accept:
            return True
        self.back += 1
        if self.back < self.settings.clock_accept:
            return True
        if self.gap and self.gap[0] <= t < self.gap[1]:
            self.revisions.append((self.gap[1], self.last[0], CLOCK, 0))
        idea, learnt, revisions = self.wave.idea, self.wave.learnt, self.revisions
        self.__dict__.update(Chain(self.settings).__dict__)
        self.wave.idea, self.wave.learnt, self.revisions = idea, learnt, revisions
        return False

    def _stands_still(self, t: float) -> bool:
        if self.last is None or t > self.last[0]:
            self.still = 0
            return False
        if self.still == STANDSTILL:
            return True
        self.still += 1
        return False

    def _believe_step(self) -> None:
        self.window, self.spikes, self.odd, self.state = [], [], [], None

    def _begin_anew(self) -> None:
        """A broken probe says nothing of the soil: neither while it is broken nor for the time after."""
        self._believe_step()
        self.same, self.good, self.trend = [], None, 0

    def _near(self, t: float, x: float, before: tuple[float, float]) -> bool:
        limit = self.settings.max_rate * (t - before[0]) + self.settings.resolution
        return abs(x - before[1]) <= limit

    def _rate(self, t: float, x: float, last: tuple[float, float] | None) -> int:
        if not self.settings.max_rate or self.good is None:
            return 0
        if self._near(t, x, self.good):
            self.odd, self.trend = [], 0
            return 0
        level = self.good[1]
        direction = 1 if x > level else -1
        if direction != self.trend:
            if self.odd:
                before = self.odd[-1]
                rising = level < before[1] < x
                falling = level > before[1] > x
                if not (self._near(t, x, before) or rising or falling):
                    self.odd = []
            self.odd.append((t, x))
            if not self.settings.rate_accept or len(self.odd) < self.settings.rate_accept:
                self.spikes = []
                return RATE
            assert last is not None
            self.revisions.append((self.odd[0][0], last[0], 0, RATE))
            self.trend = direction
        self._believe_step()
        return 0

    def _stuck(self, t: float, x: float, last: tuple[float, float] | None) -> int:
        if self.same and last and last[1] != x:
            self.same = []
        self.same.append(t)
        count, seconds = self.settings.stuck_count, self.settings.stuck_seconds
        if not (count or seconds) or len(self.same) < max(count, 2) or t - self.same[0] < seconds:
            return 0
        return STUCK

    def _despike(self, t: float, x: float, last: tuple[float, float] | None) -> tuple[float, int]:
        size = self.settings.window
        if not size:
            return x, 0
        self.window = [*self.window, x][-size:]
        m, spike = judge(x, self.window, self.settings.n_sigmas, self.settings.resolution)
        if not spike:
            if self._stayed(x) and last is not None:
                self.revisions.append((self.spikes[0][0], last[0], 0, SPIKE))
            self.spikes = []
            return x, 0
        above = x > m
        self.spikes = [*self.spikes, (t, above)] if self.spikes and self.spikes[0][1] == above else [(t, above)]
        if self.settings.spike_accept and len(self.spikes) >= self.settings.spike_accept:
            assert last is not None
            self.revisions.append((self.spikes[0][0], last[0], 0, SPIKE))
            self._believe_step()
            self.window = [x]
            return x, 0
        return m, SPIKE

    def _stayed(self, x: float) -> bool:
        """Whether x, sound, lies nearer to the spikes just before it than to what was before them."""
        run = len(self.spikes)
        if not run or not self.settings.spike_accept or len(self.window) < run + 2:
            return False
        return abs(x - self.window[-2]) < abs(x - self.window[-run - 2])
