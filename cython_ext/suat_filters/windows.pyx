"""Filters over the last readings, or those around one: of one channel (n,), or of many at once (channels, n).

A series or its channels are shared out among `threads`. The loops are C++ (kernels/) and run without the GIL.
"""

import numpy as np

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libcpp cimport bool as cbool

from suat_filters.paths cimport Kernels, kernels

from suat_filters import arguments


cdef extern from "kernels/windows.hpp" namespace "suat" nogil:
    const double MAD_TO_SIGMA

    cppclass Window:
        int size
        cbool centered

    void c_rolling_median "suat::rolling_median"(
        const Kernels& kernels, const double* x, double* out, size_t channels, size_t n, Window window,
        int threads) except +
    void c_hampel "suat::hampel"(
        const Kernels& kernels, const double* x, double* clean, uint8_t* outlier, size_t channels, size_t n,
        Window window, double scale, int threads) except +


cdef Window _window(size, centered):
    cdef Window window
    window.size = arguments.window_size(size)
    window.centered = bool(centered)
    return window


def rolling_median(x, window, centered=False, threads=1):
    """Median of the last `window` valid readings, or of window // 2 valid ones on each side of every reading.

    At the ends the window is truncated; of an even number it is the mean of the middle two. `window` odd, 3 to 999.
    """
    readings = arguments.series(x, "x")
    out = np.empty_like(readings)
    cdef const double[::1] xv = readings.reshape(-1)
    cdef double[::1] ov = out.reshape(-1)
    cdef size_t total = xv.shape[0]
    cdef size_t channels = len(readings) if readings.ndim > 1 else 1
    cdef Window c_window = _window(window, centered)
    cdef int c_threads = arguments.thread_count(threads)
    if total:
        with nogil:
            c_rolling_median(kernels()[0], &xv[0], &ov[0], channels, total // channels, c_window, c_threads)
    return out


def hampel(x, window, n_sigmas=3.0, centered=False, threads=1):
    """(clean, outlier): readings further than n_sigmas * 1.4826 * MAD from their window's median m, replaced by m.

    The MAD is that of the same window about the same median (Hampel 1974; Davies and Gather 1993), exactly. Where it
    is 0, any reading unlike the median is an outlier; where the median is infinite, none is.
    """
    readings = arguments.series(x, "x")
    clean, outlier = np.empty_like(readings), np.empty(readings.shape, dtype=np.bool_)
    cdef const double[::1] xv = readings.reshape(-1)
    cdef double[::1] cv = clean.reshape(-1)
    cdef uint8_t[::1] ov = outlier.reshape(-1).view(np.uint8)
    cdef size_t total = xv.shape[0]
    cdef size_t channels = len(readings) if readings.ndim > 1 else 1
    cdef Window c_window = _window(window, centered)
    cdef double scale = <double>arguments.not_negative(n_sigmas, "n_sigmas") * MAD_TO_SIGMA
    cdef int c_threads = arguments.thread_count(threads)
    if total:
        with nogil:
            c_hampel(kernels()[0], &xv[0], &cv[0], &ov[0], channels, total // channels, c_window, scale, c_threads)
    return clean, outlier
