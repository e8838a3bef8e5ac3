// What all kernels share.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#ifdef SUAT_BOUNDSCHECK
#define SUAT_CHECK(condition) \
    do { if (!(condition)) throw std::out_of_range("suat_filters: index out of range: " #condition); } while (0)
#else
#define SUAT_CHECK(condition) do { } while (0)
#endif

namespace suat {

constexpr double INF = __builtin_inf();
constexpr double NOTHING = __builtin_nan("");
constexpr double MAD_TO_SIGMA = 1.4826;  // of a normal distribution: 1 / Phi^-1(3/4)
constexpr int MAX_WINDOW = 999;

}  // namespace suat
