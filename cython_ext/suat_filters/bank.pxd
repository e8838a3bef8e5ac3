"""What other extensions see of a bank: its C++ side, so that a reading can be pushed without an object."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector

from suat_filters.paths cimport Kernels


cdef extern from "kernels/bank.hpp" namespace "suat" nogil:
    const uint32_t SAVED_FORM

    cppclass Settings:
        pass

    struct Revision:
        uint32_t channel
        uint16_t set, clear
        double since, until

    cppclass Bank:
        void use(const Kernels* chosen)
        size_t size()
        const uint32_t* kinds()
        void admit(const Settings& settings) except +
        void grow(const uint32_t* which, size_t more) except +
        void reset(size_t channel) except +
        uint16_t push(size_t channel, double t, double x, double& value) except +
        cbool push_many(
            const int64_t* which, const double* t, const double* x, double* values, uint16_t* flags, size_t n) except +
        cbool revised()
        vector[Revision] take_revisions() except +
        size_t saved_bytes()
        size_t saved_bytes(uint32_t row)
        void save(unsigned char* to) except +
        cbool load(const unsigned char* of) except +
        size_t bytes()


cdef class FilterBank:
    cdef Bank bank
    cdef dict rows  # of the table of settings
