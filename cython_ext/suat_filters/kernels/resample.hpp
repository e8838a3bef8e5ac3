// Buckets of equal width over one series. Bucket k holds edge(k) <= t < edge(k + 1), with edge(k) = origin + k * width.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/common.hpp"
#include "kernels/paths.hpp"
#include "kernels/select.hpp"

namespace suat {

struct Bucket {
    double start, min, max, mean, last, median;
    int64_t count;
};

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

// The buckets in which there are readings, missing ones too: where each begins in time and in the series, whose length
// is the last of `begin`.
struct Cut {
    std::vector<double> start;
    std::vector<size_t> begin;

    size_t size() const { return start.size(); }
};

// First index from `low` on whose time is not below `end`: looked for about a guess without a branch, else by halving.
inline size_t first_from(const double* t, size_t low, size_t n, size_t guess, double end) {
    constexpr size_t NEAR = 8;
    const size_t from = guess > low + NEAR / 2 ? guess - NEAR / 2 : low;
    if (from + NEAR <= n) {
        size_t before = 0;
        for (size_t i = 0; i < NEAR; ++i) before += t[from + i] < end;
        if (before < NEAR && (before || from == low)) return from + before;
    }
    size_t high = std::min(std::max(low, guess), n), step = 1;
    if (high < n && t[high] < end)
        for (; high < n && t[high] < end; step *= 2) {
            low = high + 1;
            high = std::min(n, high + step);
        }
    else
        for (size_t down = high; down > low; step *= 2) {
            down = down - low > step ? down - step : low;
            if (t[down] < end) { low = down + 1; break; }
            high = down;
        }
    return static_cast<size_t>(std::lower_bound(t + low, t + high, end) - t);
}

// `t` is in order and finite.
inline Cut cut(const double* t, size_t n, double width, double origin) {
    Cut found;
    const Edges edges{origin, width};
    if (n) {
        const double expected = std::min((t[n - 1] - t[0]) / width + 2, static_cast<double>(n));
        found.start.reserve(static_cast<size_t>(expected));
        found.begin.reserve(static_cast<size_t>(expected) + 1);
    }
    double k = 0;
    size_t size = 1;
    for (size_t at = 0; at < n;) {
        k = at && t[at] < edges.at(k + 2) ? k + 1 : edges.of(t[at]);
        found.start.push_back(edges.at(k));
        found.begin.push_back(at);
        const size_t next = first_from(t, at, n, at + size, edges.at(k + 1));
        SUAT_CHECK(at < next && next <= n);
        size = next - at;
        at = next;
    }
    found.begin.push_back(n);
    return found;
}

// NaN as one bit pattern: what the arithmetic gives differs between CPUs.
inline double known(double v) { return v == v ? v : NOTHING; }

// Of one bucket, as `summarise` of the paths' kernels (buckets.hpp) gives it. `start` is left to the caller.
inline Bucket summary(const double* x, size_t n, std::vector<double>& values) {
    values.resize(n);
    size_t count = 0;
    double low = INF, high = -INF, last = NOTHING, sum = 0, lost = 0;
    for (size_t i = 0; i < n; ++i) {
        const double v = x[i], key = v + 0.0;  // -0.0 becomes 0.0: equal values must not differ in their bits
        const bool valid = v == v;
        values[count] = key;
        count += valid;
        last = valid ? v : last;
        low = key < low ? key : low;
        high = key > high ? key : high;
        const double term = valid ? v : 0.0;
        const double grown = sum + term, part = grown - sum;  // Knuth's two-sum keeps what the addition rounds away
        lost += (sum - (grown - part)) + (term - part);
        sum = grown;
    }
    if (!count) return {NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, 0};
    const double mean = (std::isfinite(sum) ? sum + lost : sum) / static_cast<double>(count);
    const double median = median_of_many(values.data(), count);
    return {NOTHING, low, high, known(mean), last, known(median), static_cast<int64_t>(count)};
}

inline std::vector<Bucket> resample(const double* t, const double* x, size_t n, double width, double origin) {
    std::vector<Bucket> out;
    std::vector<double> values;
    const Cut buckets = cut(t, n, width, origin);
    for (size_t i = 0; i < buckets.size(); ++i) {
        Bucket one = summary(x + buckets.begin[i], buckets.begin[i + 1] - buckets.begin[i], values);
        one.start = buckets.start[i];
        if (one.count) out.push_back(one);
    }
    return out;
}

inline Columns behind(const Columns& to, size_t i) {
    return {to.start + i, to.min + i, to.max + i, to.mean + i, to.last + i,
            to.median ? to.median + i : nullptr, to.count + i};
}

// Writes the buckets that hold a valid reading, without medians where there is no column for them; gives how many.
inline size_t fill(const Kernels& kernels, const Cut& buckets, const double* x, const Columns& out) {
    std::vector<double> values;
    size_t kept = 0;
    const auto size = [&](size_t i) { return buckets.begin[i + 1] - buckets.begin[i]; };
    const auto by_kernel = [&](size_t i) { return !out.median || size(i) <= SMALL; };
    for (size_t i = 0; i < buckets.size();) {
        size_t next = i;
        while (next < buckets.size() && by_kernel(next)) ++next;
        if (next > i) {
            kept += kernels.summarise(x, &buckets.begin[i], &buckets.start[i], next - i, behind(out, kept));
        } else {
            const Bucket one = summary(x + buckets.begin[i], size(i), values);
            const Columns to = behind(out, kept);
            *to.start = buckets.start[i];
            *to.min = one.min;
            *to.max = one.max;
            *to.mean = one.mean;
            *to.last = one.last;
            *to.median = one.median;
            *to.count = one.count;
            kept += one.count > 0;
            ++next;
        }
        i = next;
    }
    return kept;
}

}  // namespace suat
