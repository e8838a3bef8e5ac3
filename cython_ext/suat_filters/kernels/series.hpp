// Filters over one series. Missing readings (NaN) are taken out first and put back after, so the loops meet none.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/window.hpp"

namespace suat {

// The valid readings alone; -0.0 becomes 0.0, since the order of equal values must not show in the bits.
inline std::vector<double> valid_of(const double* x, size_t n) {
    std::vector<double> valid(n);
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
        valid[kept] = x[i] + 0.0;
        kept += x[i] == x[i];
    }
    valid.resize(kept);
    return valid;
}

// Calls visit(i, sorted, count) for each valid reading i, with its window sorted: the last w, or h on each side.
template <class Visit>
void roll(const std::vector<double>& v, int w, bool centered, Visit visit) {
    const size_t n = v.size();
    const size_t ahead = centered ? static_cast<size_t>(w / 2) : 0;
    const size_t behind = static_cast<size_t>(w - 1) - ahead;
    alignas(64) double sorted[MAX_WINDOW + GUARDS];
    clear(sorted, w);
    for (size_t i = 0; i < std::min(ahead, n); ++i) replace(sorted, w, INF, v[i]);
    for (size_t i = 0; i < n; ++i) {
        replace(sorted, w, i > behind ? v[i - behind - 1] : INF, i + ahead < n ? v[i + ahead] : INF);
        const size_t first = i > behind ? i - behind : 0;
        const size_t last = std::min(i + ahead, n - 1);
        visit(i, sorted, static_cast<int>(last - first + 1));
    }
}

inline void rolling_median(const double* x, double* out, size_t n, int w, bool centered) {
    const std::vector<double> v = valid_of(x, n);
    size_t to = 0;
    roll(v, w, centered, [&](size_t, const double* sorted, int count) {
        while (x[to] != x[to]) out[to++] = NOTHING;
        SUAT_CHECK(to < n);
        out[to++] = median_of(sorted, count);
    });
    std::fill(out + to, out + n, NOTHING);
}

// `scale` is n_sigmas * 1.4826.
inline void hampel(const double* x, double* clean, uint8_t* outlier, size_t n, int w, double scale, bool centered) {
    const std::vector<double> v = valid_of(x, n);
    size_t to = 0;
    roll(v, w, centered, [&](size_t, const double* sorted, int count) {
        while (x[to] != x[to]) { clean[to] = NOTHING; outlier[to++] = 0; }
        SUAT_CHECK(to < n);
        const double m = median_of(sorted, count);
        const bool out = std::fabs(x[to] - m) > scale * mad_of(sorted, count, m);
        clean[to] = out ? m : x[to];
        outlier[to++] = out;
    });
    for (; to < n; ++to) { clean[to] = NOTHING; outlier[to] = 0; }
}

// Random walk seen through noise: q is the variance the truth gains in a second, r that of a reading.
struct Kalman {
    double t, x, p;

    void begin(double at, double reading, double r) { t = at; x = reading; p = r; }
    void update(double at, double reading, double q, double r) {
        p += q * (at - t);
        const double gain = p / (p + r);
        x += gain * (reading - x);
        p = gain * r;  // = (1 - gain) p, without the cancellation when the gain is near one
        t = at;
    }
};

}  // namespace suat
