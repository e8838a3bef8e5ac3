"""Which instructions the kernels use: chosen when this is imported, the fastest that the machine has.

SUAT_FILTERS_CPU names another one: baseline, v3 (AVX2) or v4 (AVX-512) of x86-64, neon of aarch64. All of them give the
same bits.
"""

import os

from libcpp cimport bool as cbool


cdef extern from "kernels/paths.hpp" namespace "suat" nogil:
    cppclass Path:
        const char* name
        const Kernels* kernels
        cbool here

    const Path PATHS[]
    const int PATH_COUNT


cdef const Path* _chosen = NULL


cdef const Kernels* kernels() noexcept nogil:
    return _chosen.kernels


def cpu_path():
    """Name of the path in use."""
    return _chosen.name.decode()


def cpu_paths():
    """Names of the paths that this machine can run, the fastest last."""
    return tuple(PATHS[i].name.decode() for i in range(PATH_COUNT) if PATHS[i].here)


cdef int _choose(wanted) except -1:
    global _chosen
    cdef int i
    for i in range(PATH_COUNT):
        if PATHS[i].here and wanted in ("", PATHS[i].name.decode()):
            _chosen = &PATHS[i]
    if _chosen == NULL:
        raise ImportError(f"SUAT_FILTERS_CPU is {wanted!r}: on this machine it can be {', '.join(cpu_paths())}")
    return 0


_choose(os.environ.get("SUAT_FILTERS_CPU", ""))
