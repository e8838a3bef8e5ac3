"""The same filters in the plainest Python that is right: the oracle of the tests. Nothing here is fast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from suat_filters.settings import CLOCK, GAP, RANGE, RATE, SPIKE, STUCK, ChannelSettings

MAD_TO_SIGMA = 1.4826
Floats = Sequence[float]


def median(values: Iterable[float]) -> float:
    """Middle value, or the mean of the middle two; NaN of nothing, or if a value is NaN. -0.0 counts as 0.0."""
    ordered = sorted(value + 0.0 for value in values)
    half = len(ordered) // 2
    if not ordered or any(math.isnan(value) for value in ordered):
        return math.nan
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def windows(x: Floats, window: int, centered: bool) -> list[list[float] | None]:
    """For each reading the valid ones of its window, None where it is missing itself."""
    valid = [value for value in x if not math.isnan(value)]
    half = window // 2
    found: list[list[float] | None] = []
    seen = 0
    for value in x:
        if math.isnan(value):
            found.append(None)
            continue
        first, end = (seen - half, seen + half + 1) if centered else (seen - window + 1, seen + 1)
        found.append(valid[max(first, 0) : end])
        seen += 1
    return found


def rolling_median(x: Floats, window: int, centered: bool = False) -> list[float]:
    return [math.nan if values is None else median(values) for values in windows(x, window, centered)]


def judge(x: float, values: Floats, n_sigmas: float, least_sigma: float = 0.0) -> tuple[float, bool]:
    """(median, outlier) of a reading among the values of its window."""
    m = median(values)
    mad = median(abs(value - m) for value in values)
    distance = abs(x - m)
    return m, distance > n_sigmas * MAD_TO_SIGMA * mad and distance > n_sigmas * least_sigma


def hampel(x: Floats, window: int, n_sigmas: float = 3.0, centered: bool = False) -> tuple[list[float], list[bool]]:
    clean: list[float] = []
    outlier: list[bool] = []
    for value, values in zip(x, windows(x, window, centered), strict=True):
        m, out = (math.nan, False) if values is None else judge(value, values, n_sigmas)
        clean.append(m if out else value)
        outlier.append(out)
    return clean, outlier


def ewma(t: Floats, x: Floats, tau: float) -> list[float]:
    smooth: list[float] = []
    last: tuple[float, float] | None = None
    for at, value in zip(t, x, strict=True):
        if math.isnan(value):
            smooth.append(math.nan)
            continue
        last = (at, value) if last is None else ewma_step(last, at, value, tau)
        smooth.append(last[1])
    return smooth


def ewma_step(state: tuple[float, float], at: float, x: float, tau: float) -> tuple[float, float]:
    """(t, y) after one more reading."""
    t, y = state
    return at, y - math.expm1(-(at - t) / tau) * (x - y)


def kalman(t: Floats, x: Floats, q: float, r: float) -> list[float]:
    smooth: list[float] = []
    last: tuple[float, float, float] | None = None
    for at, value in zip(t, x, strict=True):
        if math.isnan(value):
            smooth.append(math.nan)
            continue
        last = (at, value, r) if last is None else kalman_step(last, at, value, q, r)
        smooth.append(last[1])
    return smooth


def kalman_step(
    state: tuple[float, float, float], at: float, x: float, q: float, r: float
) -> tuple[float, float, float]:
    """(t, y, P) after one more reading."""
    t, y, p = state
    p += q * (at - t)
    gain = p / (p + r)
    return at, y + gain * (x - y), gain * r


def theil_sen(t: Floats, x: Floats) -> tuple[float, float]:
    pairs = [(at, value + 0.0) for at, value in zip(t, x, strict=True) if not math.isnan(value)]
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0]) + 0.0
        for i, earlier in enumerate(pairs)
        for later in pairs[i + 1 :]
        if later[0] != earlier[0]
    ]
    slope = median(slopes)
    if math.isnan(slope):
        return math.nan, math.nan
    return slope, median(value for _, value in pairs) - slope * median(at for at, _ in pairs)


def bucket(t: float, width: float, origin: float) -> int:
    """The k with origin + k * width <= t < origin + (k + 1) * width."""
    k = math.floor((t - origin) / width)
    while t < origin + k * width:
        k -= 1
    while t >= origin + (k + 1) * width:
        k += 1
    return k


def resample(t: Floats, x: Floats, width: float, origin: float = 0.0) -> dict[str, list[float]]:
    buckets: dict[int, list[float]] = {}
    for at, value in zip(t, x, strict=True):
        if not math.isnan(value):
            buckets.setdefault(bucket(at, width, origin), []).append(value)
    rows = [
        {
            "start": origin + k * width,
            "count": len(values),
            "min": min(values) + 0.0,
            "max": max(values) + 0.0,
            "mean": mean(values),
            "last": values[-1],
            "median": median(values),
        }
        for k, values in buckets.items()
    ]
    names = ("start", "count", "min", "max", "mean", "last", "median")
    return {name: [row[name] for row in rows] for name in names}


def mean(values: Floats) -> float:
    """Correctly rounded sum over count, where the sum is finite."""
    plain = sum(values)
    return math.fsum(values) / len(values) if math.isfinite(plain) else plain / len(values)


@dataclass
class Chain:
    """One channel of a FilterBank."""

    settings: ChannelSettings
    window: list[float] = field(default_factory=list)
    seen_t: float = -math.inf
    good: tuple[float, float] | None = None
    odd: list[tuple[float, float]] = field(default_factory=list)
    same: list[tuple[float, float]] = field(default_factory=list)
    spikes: list[tuple[float, bool]] = field(default_factory=list)
    trend: int = 0
    state: tuple[float, float, float] | None = None
    revisions: list[tuple[float, float, int, int]] = field(default_factory=list)

    def push(self, t: float, x: float) -> tuple[float, int]:
        limits = self.settings
        if not math.isfinite(t) or t < self.seen_t:
            return math.nan, CLOCK
        if math.isnan(x):
            return math.nan, 0
        flags = 0
        if limits.gap_seconds and self.seen_t > -math.inf and t - self.seen_t > limits.gap_seconds:
            flags |= GAP
            self.window, self.spikes, self.same = [], [], []
        self.seen_t = t
        if not limits.minimum <= x <= limits.maximum or math.isinf(x):
            return math.nan, flags | RANGE
        flags |= self._rate(t, x) | self._stuck(t, x)
        if flags & (RATE | STUCK):
            return math.nan, flags
        value, spike = self._despike(t, x)
        if not spike:
            self.good = t, x
        if limits.q:
            start = (t, value, limits.r)
            self.state = kalman_step(self.state, t, value, limits.q, limits.r) if self.state else start
            value = self.state[1]
        return value, flags | spike

    def _believe_step(self) -> None:
        self.window, self.spikes, self.odd, self.state = [], [], [], None

    def _near(self, t: float, x: float, before: tuple[float, float]) -> bool:
        limit = self.settings.max_rate * (t - before[0]) + self.settings.resolution
        return abs(x - before[1]) <= limit

    def _rate(self, t: float, x: float) -> int:
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
                return RATE
            self.revisions.append((self.odd[0][0], self.odd[-2][0], 0, RATE))
            self.trend = direction
        self._believe_step()
        return 0

    def _stuck(self, t: float, x: float) -> int:
        if self.same and self.same[0][1] != x:
            self.same = []
        self.same.append((t, x))
        count, seconds = self.settings.stuck_count, self.settings.stuck_seconds
        if not (count or seconds) or len(self.same) < max(count, 2) or t - self.same[0][0] < seconds:
            return 0
        return STUCK

    def _despike(self, t: float, x: float) -> tuple[float, int]:
        size = self.settings.window
        if not size:
            return x, 0
        self.window = [*self.window, x][-size:]
        m, spike = judge(x, self.window, self.settings.n_sigmas, self.settings.resolution)
        if not spike:
            self.spikes = []
            return x, 0
        above = x > m
        self.spikes = [*self.spikes, (t, above)] if self.spikes and self.spikes[0][1] == above else [(t, above)]
        if self.settings.spike_accept and len(self.spikes) >= self.settings.spike_accept:
            self.revisions.append((self.spikes[0][0], self.spikes[-2][0], 0, SPIKE))
            self._believe_step()
            self.window = [x]
            return x, 0
        return m, SPIKE
