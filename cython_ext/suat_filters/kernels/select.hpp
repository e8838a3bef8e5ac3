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

// Moves the values that are wanted to the front; gives how many they are.
template <class Wanted>
size_t gather(double* v, size_t n, Wanted wanted) {
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
        const double value = v[i];
        v[kept] = value;
        kept += wanted(value);
    }
    return kept;
}

// Mean of the values of rank k and l, from 0 and equal or next to each other, of v[0..n), which is used up. No NaN.
// Floyd and Rivest (1975): few lie between two values of a sample, and the wanted ranks nearly always among them.
inline double middle(double* v, size_t n, size_t k, size_t l) {
    constexpr size_t FEW = 64, MANY = 1 << 13, DRAWN_OF_FEW = 32, DRAWN_OF_MANY = 256;
    double drawn[DRAWN_OF_MANY];
    while (n > FEW) {
        SUAT_CHECK(k <= l && l < n);
        const size_t size = n < MANY ? DRAWN_OF_FEW : DRAWN_OF_MANY, step = n / size;
        for (size_t i = 0; i < size; ++i) drawn[i] = v[i * step];
        std::sort(drawn, drawn + size);
        const size_t place = std::min(k / step, size - 1), reach = size / 8 + 2;
        const double low = drawn[place < reach ? 0 : place - reach], high = drawn[std::min(place + reach, size - 1)];
        size_t below = 0, upto = 0;
        for (size_t i = 0; i < n; ++i) {
            below += v[i] < low;
            upto += v[i] <= high;
        }
        const size_t before = n;
        if (l < below) {
            n = gather(v, n, [=](double value) { return value < low; });
        } else if (k >= upto) {
            n = gather(v, n, [=](double value) { return value > high; });
            k -= upto;
            l -= upto;
        } else if (k >= below && l < upto) {
            if (low == high) return k == l ? low : (low + low) / 2;  // the mean of two, overflow and all
            n = gather(v, n, [=](double value) { return (value >= low) & (value <= high); });
            k -= below;
            l -= below;
        }
        if (n == before) break;
    }
    std::nth_element(v, v + l, v + n);
    return k == l ? v[l] : (*std::max_element(v, v + l) + v[l]) / 2;
}

// Of n > 0 values, which are used up.
inline double median_of_many(double* v, size_t n) { return middle(v, n, (n - 1) / 2, n / 2); }

}  // namespace suat
