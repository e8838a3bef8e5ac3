"""Filters over series of readings with their times: those of one channel, or of many at once.

`x` is (n,) or (channels, n), `t` [s] is the same or (n,) for all channels; each row of `t` does not decrease. Channels
are shared out among `threads`. The loops are C++ (kernels/) and run without the GIL.
"""

import math

import numpy as np

from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libcpp.vector cimport vector

from suat_filters.paths cimport Columns, Kernels, Rows, kernels

from suat_filters import arguments


cdef extern from "kernels/channels.hpp" namespace "suat" nogil:
    size_t first_disorder(const Kernels& kernels, const double* t, size_t n)
    void c_ewma "suat::ewma"(
        const Kernels& kernels, const Rows& rows, size_t channels, double tau, int threads) except +
    void c_kalman "suat::kalman"(
        const Kernels& kernels, const Rows& rows, size_t channels, double q, double r, int threads) except +
    void c_theil_sen "suat::theil_sen"(const Rows& rows, size_t channels, int threads) except +

    cppclass Resampling:
        vector[size_t] place, kept
        void cut(const Rows& rows, size_t channels, double width, double origin, int threads) except +
        size_t fill(const Kernels& kernels, const Rows& rows, const Columns& out, int threads) except +


cdef class _Series:
    """The arguments of a filter: where they lie, and the arrays that keep them there."""

    cdef Rows rows
    cdef size_t channels
    cdef object times, readings

    def __init__(self, t, x):
        self.times, self.readings = arguments.timed(t, x)
        if not self.readings.size:
            return  # no channels
        self.channels = len(self.readings) if self.readings.ndim > 1 else 1
        self.rows.n = self.readings.size // self.channels
        self.rows.t_stride = self.rows.n if self.times.ndim > 1 else 0
        self.rows.t, self.rows.x = _at(self.times), _at(self.readings)
        self.check_order()

    def check_order(self):
        cdef size_t count = len(self.times) if self.rows.t_stride else 1
        cdef size_t row, i = 0
        for row in range(count):
            with nogil:
                i = first_disorder(kernels()[0], self.rows.t + row * self.rows.t_stride, self.rows.n)
            if i < self.rows.n:
                times = self.times.reshape(count, self.rows.n)[row].tolist()
                where = f"{row}, {i}" if count > 1 else i
                raise ValueError(f"t must be finite and not decrease: t[{where}] is {times[i]!r}"
                                 + (f" after {times[i - 1]!r}" if i else ""))

    def room(self):
        """An array like the readings, to which the filter will write."""
        out = np.empty_like(self.readings)
        if out.size:
            self.rows.out = <double*>_at(out)
        return out


cdef const double* _at(values):
    cdef const double[::1] flat = values.reshape(-1)
    return &flat[0]


def ewma(t, x, tau, threads=1):
    """Exponentially weighted mean for irregular times: y += (1 - exp(-dt / tau)) (x - y), from the first reading on.

    `tau` [s] is the time after which a reading's weight has fallen to 1/e. The weights are right within 1.5 ulp.
    """
    cdef _Series series = _Series(t, x)
    cdef double c_tau = arguments.positive(tau, "tau")
    cdef int c_threads = arguments.thread_count(threads)
    out = series.room()
    with nogil:
        c_ewma(kernels()[0], series.rows, series.channels, c_tau, c_threads)
    return out


def kalman(t, x, q, r, threads=1):
    """Scalar Kalman filter of a random walk: the truth's variance grows by q a second, that of a reading is r.

    Starts at the first valid reading with P = r; then P += q dt, K = P / (P + r), y += K (x - y), P = K r.
    """
    cdef _Series series = _Series(t, x)
    cdef double c_q = arguments.not_negative(q, "q"), c_r = arguments.positive(r, "r")
    cdef int c_threads = arguments.thread_count(threads)
    out = series.room()
    with nogil:
        c_kalman(kernels()[0], series.rows, series.channels, c_q, c_r, c_threads)
    return out


def theil_sen(t, x, threads=1):
    """(slope per second, intercept): the median slope of all pairs with different times (Theil 1950, Sen 1968).

    intercept = median(x) - slope * median(t). Both NaN below two different times, or where a slope is undefined
    (two infinities). Of many channels, two arrays. Time grows as n log n; with the square of n where one slope is met
    very often.
    """
    cdef _Series series = _Series(t, x)
    cdef int c_threads = arguments.thread_count(threads)
    out = np.full((2, *series.readings.shape[: series.readings.ndim - 1]), math.nan)
    if series.channels:
        series.rows.out = <double*>_at(out)
        with nogil:
            c_theil_sen(series.rows, series.channels, c_threads)
    slope, intercept = out if out.ndim > 1 else out.tolist()
    return slope, intercept


def resample(t, x, width, origin=0.0, threads=1, *, median=True):
    """What is in each bucket [start, start + width) [s]: start, count, min, max, mean, last, median, as arrays.

    Buckets begin at origin + k * width; those without a valid reading are left out. The mean is a compensated sum.
    Without `median` that key is left out, and finding the rest takes less time; all else is the same to the bit. Of
    many channels the buckets stand one channel's behind the other's, and `channel` says whose each is. Raises
    ValueError also when `width` is lost in the rounding of the times.
    """
    cdef _Series series = _Series(t, x)
    cdef double c_width = arguments.positive(width, "width"), c_origin = float(origin)
    cdef int c_threads = arguments.thread_count(threads)
    cdef bint with_median = median
    if not math.isfinite(c_origin):
        raise ValueError(f"origin must be finite, not {c_origin!r}")
    cdef Resampling resampling
    cdef Columns out
    cdef size_t most = 0, size = 0
    with nogil:
        resampling.cut(series.rows, series.channels, c_width, c_origin, c_threads)
        most = resampling.place.back()
    numbers, count = np.empty((5 + with_median, most)), np.empty(most, dtype=np.int64)
    cdef double[:, ::1] nv = numbers
    cdef int64_t[::1] cv = count
    if most:
        out.start, out.min, out.max = &nv[0, 0], &nv[1, 0], &nv[2, 0]
        out.mean, out.last, out.count = &nv[3, 0], &nv[4, 0], &cv[0]
        out.median = &nv[5, 0] if with_median else NULL
        with nogil:
            size = resampling.fill(kernels()[0], series.rows, out, c_threads)
    start, *rest = numbers[:, :size]
    names = ("min", "max", "mean", "last", "median") if with_median else ("min", "max", "mean", "last")
    found = {"start": start, "count": count[:size], **dict(zip(names, rest, strict=True))}
    if series.readings.ndim == 1:
        return found
    return {"channel": np.repeat(np.arange(series.channels), resampling.kept), **found}
