// The middle of many values, looking at most of them only twice and without a branch on them.
#pragma once

#include <algorithm>

#include "kernels/common.hpp"

namespace suat {

// splitmix64 (Steele, Lea and Flood 2014), with fixed seeds, so that a run can be repeated.
struct Dice {
    uint64_t state;

    size_t below(size_t n) {
        uint64_t z = (state += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return static_cast<size_t>((z ^ (z >> 31)) % n);
    }
};

// Mean of the values of rank k and l, from 0 and equal or next to each other, of v[0..n), which is used up. No NaN.
// Floyd and Rivest (1975): between two values of a sample there are few, and those ranks all but surely among them.
inline double middle(double* v, size_t n, size_t k, size_t l) {
    constexpr size_t DRAWN = 512, REACH = 46;  // four standard deviations of the rank, where it varies most
    SUAT_CHECK(k <= l && l < n);
    while (n > 4 * DRAWN) {
        Dice dice{n};
        double drawn[DRAWN];
        for (double& one : drawn) one = v[dice.below(n)];
        std::sort(drawn, drawn + DRAWN);
        const size_t place = k * DRAWN / n;
        const double low = drawn[place < REACH ? 0 : place - REACH], high = drawn[std::min(place + REACH, DRAWN - 1)];
        size_t below = 0, upto = 0;
        for (size_t i = 0; i < n; ++i) {
            below += v[i] < low;
            upto += v[i] <= high;
        }
        if (k < below || l >= upto) break;
        if (low == high) return low;
        size_t kept = 0;
        for (size_t i = 0; i < n; ++i) {
            const double value = v[i];
            v[kept] = value;
            kept += (value >= low) & (value <= high);
        }
        if (kept == n) break;
        n = kept;
        k -= below;
        l -= below;
    }
    std::nth_element(v, v + l, v + n);
    return k == l ? v[l] : (*std::max_element(v, v + l) + v[l]) / 2;
}

// Of n > 0 values, which are used up.
inline double median_of_many(double* v, size_t n) { return middle(v, n, (n - 1) / 2, n / 2); }

}  // namespace suat
