// Vectors of doubles, to and from memory.
#pragma once

#include "kernels/common.hpp"
#include "kernels/lanes.hpp"

namespace suat {
namespace {

// NaN as one bit pattern: what the arithmetic gives differs between CPUs.
SUAT_INLINE Lanes known(Lanes v) { return v == v ? v : all(NOTHING); }

SUAT_INLINE Lanes load(const double* from) {
    Lanes v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

SUAT_INLINE void store(double* to, Lanes v) { std::memcpy(to, &v, sizeof v); }

// Swaps, for each two lanes that are STEP apart, the upper one of `a` and the lower one of `b`.
template <int STEP> SUAT_INLINE void cross(Lanes& a, Lanes& b) {
    Counts of_a{}, of_b{};
    for (int i = 0; i < LANES; ++i) {
        of_a[i] = i & STEP ? LANES + i - STEP : i;
        of_b[i] = i & STEP ? LANES + i : i + STEP;
    }
    const Lanes first = __builtin_shuffle(a, b, of_a), second = __builtin_shuffle(a, b, of_b);
    a = first;
    b = second;
}

template <int STEP = 1> SUAT_INLINE void transpose(Lanes (&square)[LANES]) {
    if constexpr (STEP < LANES) {
        for (int i = 0; i < LANES; ++i)
            if (!(i & STEP)) cross<STEP>(square[i], square[i + STEP]);
        transpose<2 * STEP>(square);
    }
}

}  // namespace
}  // namespace suat
