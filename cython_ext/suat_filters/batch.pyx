"""Filters over a whole series. The loops are C++ (kernels/) and run without the GIL."""

import math
import operator

import numpy as np

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector

from suat_filters.settings import MAX_WINDOW, MIN_WINDOW


cdef extern from "kernels/series.hpp" namespace "suat" nogil:
    const double MAD_TO_SIGMA
    size_t first_disorder(const double* t, size_t n)
    void c_rolling_median "suat::rolling_median"(const double* x, double* out, size_t n, int w, cbool centered) except +
    void c_hampel "suat::hampel"(
        const double* x, double* clean, uint8_t* outlier, size_t n, int w, double scale, cbool centered) except +
    void c_ewma "suat::ewma"(const double* t, const double* x, double* out, size_t n, double tau)
    void c_kalman "suat::kalman"(const double* t, const double* x, double* out, size_t n, double q, double r)


cdef extern from "kernels/resample.hpp" namespace "suat" nogil:
    cppclass Bucket:
        double start, min, max, mean, last, median
        int64_t count

    vector[Bucket] c_resample "suat::resample"(
        const double* t, const double* x, size_t n, double width, double origin) except +


cdef extern from "kernels/theil_sen.hpp" namespace "suat" nogil:
    cppclass Line:
        double slope, intercept

    Line c_theil_sen "suat::theil_sen"(const double* t, const double* x, size_t n) except +


def _series(values, name):
    series = np.asarray(values)
    if series.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {series.ndim}")
    if series.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers, not {series.dtype}")
    return np.ascontiguousarray(series, dtype=np.float64)


def _window(window):
    size = operator.index(window)
    if size % 2 == 0 or not MIN_WINDOW <= size <= MAX_WINDOW:
        raise ValueError(f"window must be odd and {MIN_WINDOW} to {MAX_WINDOW}, not {size}")
    return size


def _positive(value, name):
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be finite and above 0, not {number!r}")
    return number


def _not_negative(value, name):
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and not negative, not {number!r}")
    return number


def _timed(t, x):
    """Both series, of one length and with times in order."""
    times, readings = _series(t, "t"), _series(x, "x")
    if len(times) != len(readings):
        raise ValueError(f"t has {len(times)} values and x {len(readings)}")
    cdef const double[::1] tv = times
    cdef size_t n = tv.shape[0], i = 0
    if n:
        with nogil:
            i = first_disorder(&tv[0], n)
    if i < n:
        raise ValueError(f"t must be finite and not decrease: t[{i}] is {times[i]!r}"
                         + (f" after {times[i - 1]!r}" if i else ""))
    return times, readings


def rolling_median(x, window, centered=False):
    """Median of the last `window` valid readings, or of window // 2 valid ones on each side of every reading.

    At the ends the window is truncated; of an even number it is the mean of the middle two. `window` odd, 3 to 999.
    """
    readings = _series(x, "x")
    out = np.empty(len(readings), dtype=np.float64)
    cdef const double[::1] xv = readings
    cdef double[::1] ov = out
    cdef size_t n = xv.shape[0]
    cdef int w = _window(window)
    cdef cbool both = bool(centered)
    if n:
        with nogil:
            c_rolling_median(&xv[0], &ov[0], n, w, both)
    return out


def hampel(x, window, n_sigmas=3.0, centered=False):
    """(clean, outlier): readings further than n_sigmas * 1.4826 * MAD from their window's median m, replaced by m.

    The MAD is that of the same window about the same median (Hampel 1974; Davies and Gather 1993), exactly. Where it
    is 0, any reading unlike the median is an outlier; where the median is infinite, none is.
    """
    readings = _series(x, "x")
    clean, outlier = np.empty(len(readings), dtype=np.float64), np.empty(len(readings), dtype=np.bool_)
    cdef const double[::1] xv = readings
    cdef double[::1] cv = clean
    cdef uint8_t[::1] ov = outlier.view(np.uint8)
    cdef size_t n = xv.shape[0]
    cdef int w = _window(window)
    cdef double scale = <double>_not_negative(n_sigmas, "n_sigmas") * MAD_TO_SIGMA
    cdef cbool both = bool(centered)
    if n:
        with nogil:
            c_hampel(&xv[0], &cv[0], &ov[0], n, w, scale, both)
    return clean, outlier


def ewma(t, x, tau):
    """Exponentially weighted mean for irregular times: y += (1 - exp(-dt / tau)) (x - y), from the first reading on.

    `tau` [s] is the time after which a reading's weight has fallen to 1/e.
    """
    times, readings = _timed(t, x)
    out = np.empty(len(readings), dtype=np.float64)
    cdef const double[::1] tv = times, xv = readings
    cdef double[::1] ov = out
    cdef size_t n = xv.shape[0]
    cdef double c_tau = _positive(tau, "tau")
    if n:
        with nogil:
            c_ewma(&tv[0], &xv[0], &ov[0], n, c_tau)
    return out


def kalman(t, x, q, r):
    """Scalar Kalman filter of a random walk: the truth's variance grows by q a second, that of a reading is r.

    Starts at the first valid reading with P = r; then P += q dt, K = P / (P + r), y += K (x - y), P = K r.
    """
    times, readings = _timed(t, x)
    out = np.empty(len(readings), dtype=np.float64)
    cdef const double[::1] tv = times, xv = readings
    cdef double[::1] ov = out
    cdef size_t n = xv.shape[0]
    cdef double c_q = _not_negative(q, "q"), c_r = _positive(r, "r")
    if n:
        with nogil:
            c_kalman(&tv[0], &xv[0], &ov[0], n, c_q, c_r)
    return out


def theil_sen(t, x):
    """(slope per second, intercept): the median slope of all pairs with different times (Theil 1950, Sen 1968).

    intercept = median(x) - slope * median(t). Both NaN below two different times, or where a slope is undefined
    (two infinities). Time grows with the square of the number of readings, memory hardly.
    """
    times, readings = _timed(t, x)
    cdef const double[::1] tv = times, xv = readings
    cdef size_t n = xv.shape[0]
    cdef Line line
    if not n:
        return math.nan, math.nan
    with nogil:
        line = c_theil_sen(&tv[0], &xv[0], n)
    return line.slope, line.intercept


def resample(t, x, width, origin=0.0):
    """What is in each bucket [start, start + width) [s]: start, count, min, max, mean, last, median, as arrays.

    Buckets begin at origin + k * width; those without a valid reading are left out. The mean is a compensated sum.
    Raises ValueError also when `width` is lost in the rounding of the times.
    """
    times, readings = _timed(t, x)
    cdef const double[::1] tv = times, xv = readings
    cdef size_t n = xv.shape[0]
    cdef double c_width = _positive(width, "width"), c_origin = float(origin)
    cdef vector[Bucket] buckets
    if not math.isfinite(c_origin):
        raise ValueError(f"origin must be finite, not {c_origin!r}")
    if n:
        with nogil:
            buckets = c_resample(&tv[0], &xv[0], n, c_width, c_origin)
    return _columns(buckets)


cdef _columns(vector[Bucket]& buckets):
    cdef size_t n = buckets.size(), i
    numbers, count = np.empty((6, n), dtype=np.float64), np.empty(n, dtype=np.int64)
    cdef double[:, ::1] nv = numbers
    cdef int64_t[::1] cv = count
    for i in range(n):
        nv[0, i] = buckets[i].start
        nv[1, i] = buckets[i].min
        nv[2, i] = buckets[i].max
        nv[3, i] = buckets[i].mean
        nv[4, i] = buckets[i].last
        nv[5, i] = buckets[i].median
        cv[i] = buckets[i].count
    start, low, high, mean, last, median = numbers
    return {"start": start, "count": count, "min": low, "max": high, "mean": mean, "last": last, "median": median}
