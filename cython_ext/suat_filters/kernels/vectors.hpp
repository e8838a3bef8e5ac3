// Vectors of doubles, one lane for each of LANES series or stretches, to and from memory.
#pragma once

#include <utility>

#include "kernels/common.hpp"

namespace suat {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 8;
#elif defined(__AVX__)
constexpr int LANES = 4;
#else
constexpr int LANES = 2;
#endif
typedef double Lanes __attribute__((vector_size(8 * LANES)));
typedef int64_t Counts __attribute__((vector_size(8 * LANES)));
typedef int8_t Bytes __attribute__((vector_size(LANES)));

#define SUAT_INLINE inline __attribute__((always_inline))
#define SUAT_APART __attribute__((noinline))

SUAT_INLINE Lanes all(double value) { return Lanes{} + value; }
SUAT_INLINE Lanes lesser(Lanes a, Lanes b) { return a < b ? a : b; }
SUAT_INLINE Lanes greater(Lanes a, Lanes b) { return a > b ? a : b; }

SUAT_INLINE Lanes distance(Lanes a, Lanes b) {
    return reinterpret_cast<Lanes>(reinterpret_cast<Counts>(a - b) & (Counts{} + INT64_MAX));
}

SUAT_INLINE bool any(Counts truth) {
    int64_t found = 0;
    for (int l = 0; l < LANES; ++l) found |= truth[l];
    return found != 0;
}

// NaN as one bit pattern: what the arithmetic gives differs between CPUs.
SUAT_INLINE Lanes known(Lanes v) { return v == v ? v : all(NOTHING); }

SUAT_INLINE Lanes load(const double* from) {
    Lanes v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

SUAT_INLINE void store(double* to, Lanes v) { std::memcpy(to, &v, sizeof v); }

SUAT_INLINE void store(uint8_t* to, Counts truth) {
    const Bytes bytes = __builtin_convertvector(truth, Bytes) & 1;
    std::memcpy(to, &bytes, sizeof bytes);
}

template <int D, class Row, int... L>
SUAT_INLINE void transpose(Row (&square)[LANES], std::integer_sequence<int, L...> places) {
#pragma GCC unroll 8
    for (int i = 0; i < LANES; ++i) {  // exchange what is D rows below with what is D columns aside
        if (i & D) continue;
        const Row a = square[i], b = square[i + D];
        square[i] = __builtin_shufflevector(a, b, (L & D ? LANES + L - D : L)...);
        square[i + D] = __builtin_shufflevector(a, b, (L & D ? LANES + L : L + D)...);
    }
    if constexpr (2 * D < LANES) transpose<2 * D>(square, places);
}

template <class Row> SUAT_INLINE void transpose(Row (&square)[LANES]) {
    transpose<1>(square, std::make_integer_sequence<int, LANES>{});
}

}  // namespace
}  // namespace suat
