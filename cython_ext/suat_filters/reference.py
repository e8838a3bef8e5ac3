"""The same filters in the plainest Python that is right: the oracle of the tests. Nothing here is fast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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
