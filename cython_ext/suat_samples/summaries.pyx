"""Cleaned samples summed up: windows of any lengths, by the kernel that `suat_filters.resample` uses."""

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy
from libcpp.vector cimport vector


cdef extern from "kernels/resample.hpp" namespace "suat" nogil:
    cppclass Bucket:
        double start, min, max, mean, last, median
        int64_t count

    vector[Bucket] resample(const double* t, const double* x, size_t n, double width, double origin) except +


cdef enum:
    CLEANED = 11  # code u8, flags u16, value f64: an entry of a cleaned body (store/packed.py)
    WINDOW = 45  # code u8, n u32, min, max, mean, last, median f64: an entry of a window
    CODES = 256


def summarise(rows, edges):
    """{start: body} of the windows between the rising `edges` [us] that hold a sample: an entry of each channel read.

    `rows` are (time [us], cleaned body) by rising time, all of them between the edges. A channel without a usable value
    has n 0 and NaN. Raises ValueError if a body is damaged or a row lies outside.
    """
    cdef vector[vector[double]] times, values
    times.resize(CODES)
    values.resize(CODES)
    cdef int64_t time_us, start = 0, end = 0
    cdef bytes body
    cdef const unsigned char* at
    cdef Py_ssize_t left
    cdef double value
    cdef bint seen[CODES]
    cdef int code
    for code in range(CODES):
        seen[code] = False
    found = {}
    cdef Py_ssize_t next_edge = 0
    cdef bint filled = False
    for time_us, body in rows:
        if not next_edge or time_us >= end:
            if filled:
                found[start] = _close(times, values, seen, start, end)
            filled = False
            while not next_edge or time_us >= end:
                next_edge += 1
                if next_edge >= len(edges):
                    raise ValueError("a sample behind the last edge")
                start, end = edges[next_edge - 1], edges[next_edge]
        if time_us < start:
            raise ValueError("a sample before its window: rows must rise")
        left = len(body)
        if left % CLEANED:
            raise ValueError("a damaged body")
        at = body
        while left:
            seen[at[0]] = True
            memcpy(&value, at + 3, 8)
            if value == value:
                times[at[0]].push_back(time_us / 1e6)
                values[at[0]].push_back(value)
            at += CLEANED
            left -= CLEANED
        filled = True
    if filled:
        found[start] = _close(times, values, seen, start, end)
    return found


cdef bytes _close(vector[vector[double]]& times, vector[vector[double]]& values, bint* seen, int64_t start, int64_t end):
    """The body of one window; what was gathered for it is forgotten."""
    cdef vector[unsigned char] out
    cdef vector[Bucket] buckets
    cdef Bucket one
    cdef uint32_t count
    cdef int code
    cdef size_t place
    for code in range(CODES):
        if not seen[code]:
            continue
        seen[code] = False
        one.count, one.min, one.max, one.mean, one.last, one.median = 0, NAN, NAN, NAN, NAN, NAN
        if values[code].size():
            buckets = resample(&times[code][0], &values[code][0], values[code].size(), (end - start) / 1e6, start / 1e6)
            if buckets.size() != 1:
                raise ValueError("times of one window in several")
            one = buckets[0]
        place = out.size()
        out.resize(place + WINDOW)
        out[place] = <unsigned char>code
        count = <uint32_t>one.count
        memcpy(&out[place + 1], &count, 4)
        memcpy(&out[place + 5], &one.min, 8)
        memcpy(&out[place + 13], &one.max, 8)
        memcpy(&out[place + 21], &one.mean, 8)
        memcpy(&out[place + 29], &one.last, 8)
        memcpy(&out[place + 37], &one.median, 8)
        times[code].clear()
        values[code].clear()
    return (<const char*>out.data())[:out.size()]
