// The kernels that are compiled once for each CPU path, and which paths this build and this machine have.
//
// A path's objects hold instructions that other machines lack. They must therefore define nothing that the linker could
// take in place of another path's: no std templates, no inline functions of external linkage (test_filters_paths.py).
#pragma once

#include <cstddef>
#include <cstdint>

namespace suat {

// Readings of channels, one after the other, n of each; t_stride is n where each has times of its own, else 0.
struct Rows {
    const double *t, *x;
    double* out;
    size_t n, t_stride;
};

// What is in buckets, one place a bucket; `median` is null where it is not wanted.
struct Columns {
    double *start, *min, *max, *mean, *last, *median;
    int64_t* count;
};

constexpr size_t SMALL = 512;  // readings in a bucket for `summarise`, at most, where medians are wanted

struct Settings;
struct Revisions;

// Where the channels of a bank have their states, and what is set for each kind of them.
struct Blocks {
    unsigned char* memory;
    const uint32_t* place;  // of a channel's block, in units of memory
    const uint32_t* kind;   // row of the settings
    const Settings* settings;
    Revisions* revisions;
};

constexpr size_t UNIT = 16;  // bytes

struct Kernels {
    // Doubles of memory that the two below need for windows of w, odd, 3 to 1023. They are false, and what they wrote
    // worth nothing, if one of the values is NaN.
    size_t (*window_memory)(int w);
    // out[i] = median of in[i] to in[i + w - 1], for i below n.
    bool (*medians)(const double* in, double* out, size_t n, int w, double* memory);
    // outlier[i]: in[i + at] is further from that median than scale * MAD of those values; clean[i] stands for it.
    bool (*hampel)(const double* in, double* clean, uint8_t* outlier, size_t n, int w, int at, double scale,
                   double* memory);
    // Whether times are finite and do not decrease.
    bool (*in_order)(const double* t, size_t n);
    // Of `count` channels from `first` on.
    void (*ewma)(const Rows& rows, size_t first, size_t count, double tau);
    void (*kalman)(const Rows& rows, size_t first, size_t count, double q, double r);
    // Of buckets that hold x[begin[i]] to x[begin[i + 1] - 1]. Those without a valid reading are left out; gives how
    // many are written.
    size_t (*summarise)(const double* x, const size_t* begin, const double* start, size_t buckets, const Columns& out);
    // As if nothing had been read on the channel.
    void (*reset)(const Blocks& blocks, size_t channel);
    // After state and ring were put back; false when they cannot have come from here.
    bool (*restore)(const Blocks& blocks, size_t channel);
    // Flags of one reading, and what stands for it.
    uint16_t (*judge)(const Blocks& blocks, size_t channel, double t, double x, double& value);
    void (*judge_many)(
        const Blocks& blocks, const int64_t* channels, const double* t, const double* x, double* values, uint16_t* flags,
        size_t n);
};

struct Path {
    const char* name;
    const Kernels* kernels;
    bool here;  // this machine can run it
};

extern const Path PATHS[];  // the fastest last
extern const int PATH_COUNT;

}  // namespace suat
