"""Filters over a whole series. The loops are C++ (kernels/) and run without the GIL."""

import math
import operator

import numpy as np

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libcpp cimport bool as cbool

from suat_filters.settings import MAX_WINDOW, MIN_WINDOW


cdef extern from "kernels/series.hpp" namespace "suat" nogil:
    const double MAD_TO_SIGMA
    void c_rolling_median "suat::rolling_median"(const double* x, double* out, size_t n, int w, cbool centered) except +
    void c_hampel "suat::hampel"(
        const double* x, double* clean, uint8_t* outlier, size_t n, int w, double scale, cbool centered) except +


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


def _not_negative(value, name):
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and not negative, not {number!r}")
    return number


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
