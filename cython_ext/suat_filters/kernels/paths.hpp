// The kernels that are compiled once for each CPU path, and which paths this build and this machine have.
//
// A path's objects hold instructions that other machines lack. They must therefore define nothing that the linker could
// take in place of another path's: no std templates, no inline functions of external linkage (test_filters_paths.py).
#pragma once

#include <cstddef>
#include <cstdint>

namespace suat {

struct Kernels {
    // Doubles of memory that the two below need for windows of w.
    size_t (*window_memory)(int w);
    // out[i] = median of in[i] to in[i + w - 1], for i below n; the values hold no NaN.
    void (*medians)(const double* in, double* out, size_t n, int w, double* memory);
};

struct Path {
    const char* name;
    const Kernels* kernels;
    bool here;  // this machine can run it
};

extern const Path PATHS[];  // the fastest last
extern const int PATH_COUNT;

}  // namespace suat
