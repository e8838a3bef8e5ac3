"""The same filters as plain loops, compiled by numba: what a scientist would write who needs speed and knows how."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

MAD_TO_SIGMA = 1.4826


@nb.njit
def _put(s: Any, size: int, new: float) -> None:
    """Into the first `size` places, which are sorted."""
    i = size
    while i > 0 and s[i - 1] > new:
        s[i] = s[i - 1]
        i -= 1
    s[i] = new


@nb.njit
def _swap(s: Any, size: int, old: float, new: float) -> None:
    """One value of a sorted window for another."""
    i = np.searchsorted(s[:size], old)
    if new > old:
        while i + 1 < size and s[i + 1] < new:
            s[i] = s[i + 1]
            i += 1
    else:
        while i > 0 and s[i - 1] > new:
            s[i] = s[i - 1]
            i -= 1
    s[i] = new


@nb.njit
def _middle(s: Any, size: int) -> float:
    return s[size // 2] if size % 2 else (s[size // 2 - 1] + s[size // 2]) / 2


@nb.njit
def _mad(s: Any, size: int, m: float) -> float:
    """Median distance from the median `m` of a sorted window: the narrowest half around it, or by sorting."""
    if size % 2 == 0:
        return np.median(np.abs(s[:size] - m))
    half = size // 2
    least = math.inf
    for i in range(half + 1):
        least = min(least, max(m - s[i], s[i + half] - m))
    return least


@nb.njit
def rolling_median(x: Any, w: int) -> Any:
    out, s = np.empty(x.size), np.empty(w)
    for i in range(x.size):
        if i < w:
            _put(s, i, x[i])
        else:
            _swap(s, w, x[i - w], x[i])
        out[i] = _middle(s, min(i + 1, w))
    return out


@nb.njit
def hampel(x: Any, w: int, n_sigmas: float) -> Any:
    out, s = np.empty(x.size), np.empty(w)
    for i in range(x.size):
        if i < w:
            _put(s, i, x[i])
        else:
            _swap(s, w, x[i - w], x[i])
        size = min(i + 1, w)
        m = _middle(s, size)
        out[i] = m if abs(x[i] - m) > n_sigmas * MAD_TO_SIGMA * _mad(s, size, m) else x[i]
    return out


@nb.njit
def hampel_by_median(x: Any, w: int, n_sigmas: float) -> Any:
    """With numba's own np.median, twice for each reading."""
    out = np.empty(x.size)
    for i in range(x.size):
        window = x[max(i - w + 1, 0) : i + 1]
        m = np.median(window)
        mad = np.median(np.abs(window - m))
        out[i] = m if abs(x[i] - m) > n_sigmas * MAD_TO_SIGMA * mad else x[i]
    return out


@nb.njit
def ewma(t: Any, x: Any, tau: float) -> Any:
    out = np.full(x.size, math.nan)
    begun, last, y = False, 0.0, 0.0
    for i in range(x.size):
        if math.isnan(x[i]):
            continue
        y = y + (1.0 - math.exp(-(t[i] - last) / tau)) * (x[i] - y) if begun else x[i]
        begun, last, out[i] = True, t[i], y
    return out


@nb.njit
def kalman(t: Any, x: Any, q: float, r: float) -> Any:
    """Each row of `x` is a channel; all were read at `t`."""
    out = np.full(x.shape, math.nan)
    for channel in range(x.shape[0]):
        begun, last, y, p = False, 0.0, 0.0, r
        for i in range(x.shape[1]):
            reading = x[channel, i]
            if math.isnan(reading):
                continue
            if begun:
                p += q * (t[i] - last)
                gain = p / (p + r)
                y += gain * (reading - y)
                p = gain * r
            else:
                begun, y = True, reading
            last, out[channel, i] = t[i], y
    return out


@nb.njit
def resample(t: Any, x: Any, width: float) -> Any:
    """(start, count, min, max, mean, last) of each bucket, without the median."""
    out = np.empty((6, x.size))
    k, end = -1, -math.inf
    for i in range(x.size):
        if math.isnan(x[i]):
            continue
        if t[i] >= end:
            k += 1
            out[0, k] = math.floor(t[i] / width) * width
            out[1, k], out[2, k], out[3, k], out[4, k] = 0, x[i], x[i], 0.0
            end = out[0, k] + width
        out[1, k] += 1
        out[2, k] = min(out[2, k], x[i])
        out[3, k] = max(out[3, k], x[i])
        out[4, k] += x[i]
        out[5, k] = x[i]
    out[4, : k + 1] /= out[1, : k + 1]
    return out[:, : k + 1]


@nb.njit
def theil_sen(t: Any, x: Any) -> float:
    slopes = np.empty(x.size * (x.size - 1) // 2)
    n = 0
    for i in range(x.size):
        for j in range(i + 1, x.size):
            if t[j] != t[i]:
                slopes[n] = (x[j] - x[i]) / (t[j] - t[i])
                n += 1
    return np.median(slopes[:n])


@nb.njit
def push(state: Any, ring: Any, ordered: Any, channel: int, now: float, x: float, limits: Any) -> tuple[float, int]:
    """Range, rate, stuck, Hampel, Kalman. `state`: t and value of the last good one, since when and how many alike,
    how many seen, y, P, last t, last value: of each channel."""
    low, high, max_rate, resolution, stuck_count, stuck_seconds, n_sigmas, q, r = limits
    w = ring.shape[1]
    s = state[channel]
    if not low <= x <= high:
        return math.nan, 1
    seen = int(s[4])
    if seen and abs(x - s[1]) > max_rate * (now - s[0]) + resolution:
        return math.nan, 2
    if seen and x == s[8]:
        s[3] += 1
    else:
        s[2], s[3], s[8] = now, 1, x
    if s[3] >= stuck_count and now - s[2] >= stuck_seconds:
        return math.nan, 4
    window, place = ordered[channel], seen % w
    if seen < w:
        _put(window, seen, x)
    else:
        _swap(window, w, ring[channel, place], x)
    ring[channel, place] = x
    size = min(seen + 1, w)
    m = _middle(window, size)
    distance, value, flags = abs(x - m), x, 0
    if distance > n_sigmas * MAD_TO_SIGMA * _mad(window, size, m) and distance > n_sigmas * resolution:
        flags, value = 8, m
    else:
        s[0], s[1] = now, x
    if seen:
        s[6] += q * (now - s[7])
        gain = s[6] / (s[6] + r)
        s[5] += gain * (value - s[5])
        s[6] = gain * r
    else:
        s[5], s[6] = value, r
    s[7], s[4] = now, seen + 1
    return s[5], flags


@nb.njit
def push_many(state: Any, ring: Any, ordered: Any, channels: Any, t: Any, x: Any, limits: Any) -> Any:
    values, flags = np.empty(x.size), np.empty(x.size, np.uint16)
    for i in range(x.size):
        values[i], flags[i] = push(state, ring, ordered, channels[i], t[i], x[i], limits)
    return values, flags
