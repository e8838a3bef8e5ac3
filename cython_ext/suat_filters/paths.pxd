"""The kernels of the chosen CPU path, for other extensions."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libcpp cimport bool as cbool


cdef extern from "kernels/paths.hpp" namespace "suat" nogil:
    cppclass Rows:
        const double *t
        const double *x
        double* out
        size_t n, t_stride

    cppclass Columns:
        double *start
        double *min
        double *max
        double *mean
        double *last
        double *median
        int64_t* count

    cppclass Kernels:
        size_t window_memory(int w)
        cbool medians(const double* x, double* out, size_t n, int w, double* memory)
        cbool hampel(
            const double* x, double* clean, uint8_t* outlier, size_t n, int w, int at, double scale, double* memory)


cdef const Kernels* kernels() noexcept nogil
