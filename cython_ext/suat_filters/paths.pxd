"""The kernels of the chosen CPU path, for other extensions."""

from libc.stddef cimport size_t


cdef extern from "kernels/paths.hpp" namespace "suat" nogil:
    cppclass Kernels:
        size_t window_memory(int w)
        void medians(const double* x, double* out, size_t n, int w, double* memory)


cdef const Kernels* kernels() noexcept nogil
