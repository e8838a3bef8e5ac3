// Buckets of equal width over one series. Bucket k holds edge(k) <= t < edge(k + 1), with edge(k) = origin + k * width.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/window.hpp"

namespace suat {

struct Buckets {
    std::vector<double> start, min, max, mean, last, median;
    std::vector<int64_t> count;
};

// Median by selection; disturbs the order of the values.
inline double median_in_place(double* v, size_t n) {
    const size_t half = n / 2;
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

inline Buckets resample(const double* t, const double* x, size_t n, double width, double origin) {
    Buckets out;
    const Edges edges{origin, width};
    std::vector<double> values;
    double k = 0, end = -INF, low = 0, high = 0, last = 0, sum = 0, lost = 0;

    const auto close = [&] {
        if (values.empty()) return;
        const double count = static_cast<double>(values.size());
        out.start.push_back(edges.at(k));
        out.count.push_back(static_cast<int64_t>(values.size()));
        out.min.push_back(low);
        out.max.push_back(high);
        out.mean.push_back((std::isfinite(sum) ? sum + lost : sum) / count);
        out.last.push_back(last);
        out.median.push_back(median_in_place(values.data(), values.size()));
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
