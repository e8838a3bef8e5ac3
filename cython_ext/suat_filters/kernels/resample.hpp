// Buckets of equal width over one series. Bucket k holds edge(k) <= t < edge(k + 1), with edge(k) = origin + k * width.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/window.hpp"

namespace suat {

struct Bucket {
    double start, min, max, mean, last, median;
    int64_t count;
};

// Median by sorting the few and by selecting among the many; disturbs the order of the values.
inline double median_in_place(double* v, size_t n) {
    constexpr size_t FEW = 16;
    const size_t half = n / 2;
    if (n <= FEW) {
        for (size_t i = 1; i < n; ++i) {
            const double moving = v[i];
            size_t to = i;
            for (; to && v[to - 1] > moving; --to) v[to] = v[to - 1];
            v[to] = moving;
        }
        return median_of(v, static_cast<int>(n));
    }
    std::nth_element(v, v + half, v + n);
    if (n & 1) return v[half];
    return (*std::max_element(v, v + half) + v[half]) / 2;
}

struct Edges {
    double origin, width;

    double at(double k) const { return origin + k * width; }

    // The bucket of t. The quotient may round across an edge; the edges themselves decide.
    double of(double t) const {
        double k = std::floor((t - origin) / width);
        if (t < at(k)) k -= 1; else if (t >= at(k + 1)) k += 1;
        if (!(at(k) <= t && t < at(k + 1)))
            throw std::invalid_argument("width is too small to tell these times apart");
        return k;
    }
};

inline std::vector<Bucket> resample(const double* t, const double* x, size_t n, double width, double origin) {
    std::vector<Bucket> out;
    const Edges edges{origin, width};
    std::vector<double> values;
    double k = 0, end = -INF, low = 0, high = 0, last = 0, sum = 0, lost = 0;

    const auto close = [&] {
        if (values.empty()) return;
        const int64_t count = static_cast<int64_t>(values.size());
        const double mean = (std::isfinite(sum) ? sum + lost : sum) / static_cast<double>(count);
        const double median = median_in_place(values.data(), values.size());
        out.push_back({edges.at(k), low, high, mean, last, median, count});
        values.clear();
    };

    for (size_t i = 0; i < n; ++i) {
        const double v = x[i];
        if (v != v) continue;
        if (!(t[i] < end)) {
            close();
            k = edges.of(t[i]);
            end = edges.at(k + 1);
            low = INF;
            high = -INF;
            sum = lost = 0;
        }
        values.push_back(v + 0.0);  // -0.0 becomes 0.0: equal values must not differ in their bits
        last = v;
        low = values.back() < low ? values.back() : low;
        high = values.back() > high ? values.back() : high;
        const double grown = sum + v;  // Knuth's two-sum keeps what the addition rounds away
        const double part = grown - sum;
        lost += (sum - (grown - part)) + (v - part);
        sum = grown;
    }
    close();
    return out;
}

}  // namespace suat
