"""A line of line protocol while it is written (kernels/line.hpp)."""

from libc.stdint cimport int64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string


cdef extern from "kernels/line.hpp" namespace "suat" nogil:
    cppclass Line:
        void clear()
        const char* data()
        size_t size()
        void text(const char* bytes, size_t size)
        void text(const string& words)
        void mark(char sign)
        void whole(int64_t value)
        cbool real(double value)


cdef inline int write_real(Line& line, double value) except -1:
    """A number as repr writes it."""
    if not line.real(value):
        text = repr(value).encode()
        line.text(<const char*>text, len(text))
    return 0
