// Rolling median and Hampel over whole series, of one channel or of many, on several threads.
//
// Missing readings (NaN) are taken out first and put back after. Full windows are the kernels' work (lanes.hpp); those
// that the ends cut short are gone through one by one.
#pragma once

#include <algorithm>
#include <memory>

#include "kernels/common.hpp"
#include "kernels/paths.hpp"
#include "kernels/threads.hpp"

namespace suat {

struct Window {
    int size;
    bool centered;

    size_t ahead() const { return centered ? static_cast<size_t>(size / 2) : 0; }
    size_t behind() const { return static_cast<size_t>(size - 1) - ahead(); }
};

template <class Value> std::unique_ptr<Value[]> room_for(size_t n) { return std::unique_ptr<Value[]>(new Value[n]); }

inline bool any_missing(const double* x, size_t n) {
    constexpr size_t AT_ONCE = 2048;
    for (size_t first = 0; first < n; first += AT_ONCE) {
        const size_t end = std::min(n, first + AT_ONCE);
        bool found = false;
        for (size_t i = first; i < end; ++i) found |= x[i] != x[i];
        if (found) return true;
    }
    return false;
}

// The values of a window in ascending order; -0.0 becomes 0.0, since the order of equal values must not show in the bits.
class Sorted {
public:
    void add(double value) {
        SUAT_CHECK(n < MAX_WINDOW);
        double* const at = std::upper_bound(values, values + n, value + 0.0);
        std::copy_backward(at, values + n, values + n + 1);
        *at = value + 0.0;
        ++n;
    }

    void drop(double value) {
        double* const at = std::lower_bound(values, values + n, value + 0.0);
        SUAT_CHECK(at < values + n);
        std::copy(at + 1, values + n, at);
        --n;
    }

    double median() const { return n & 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2; }

    // Median absolute deviation from the median m; NaN when that is not finite (inf - inf has no distance).
    double mad(double m) const {
        if (!std::isfinite(m)) return NOTHING;
        return n & 1 ? distance(m, n / 2) : (distance(m, n / 2 - 1) + distance(m, n / 2)) / 2;
    }

private:
    // The k-th least distance from m, k from 0: the k + 1 nearest are neighbours, and of all such the closest about m.
    double distance(double m, int k) const {
        const auto radius = [&](int i) { return std::max(m - values[i], values[i + k] - m); };
        int first = 0, last = n - 1 - k;
        while (first < last) {  // m - values[i] falls, values[i + k] - m rises
            const int i = (first + last) / 2;
            if (values[i + k] - m >= m - values[i]) last = i; else first = i + 1;
        }
        return first ? std::min(radius(first - 1), radius(first)) : radius(first);
    }

    double values[MAX_WINDOW];
    int n = 0;
};

// Calls visit(i, sorted) for the readings i of first <= i < end, with what is there of their windows.
template <class Visit>
void roll(const double* v, size_t n, Window window, size_t first, size_t end, Visit visit) {
    const size_t ahead = window.ahead(), behind = window.behind();
    Sorted sorted;
    for (size_t i = 0; i < std::min(ahead, n); ++i) sorted.add(v[i]);
    for (size_t i = 0; i < end; ++i) {
        if (i > behind) sorted.drop(v[i - behind - 1]);
        if (i + ahead < n) sorted.add(v[i + ahead]);
        if (i >= first) visit(i, sorted);
    }
}

// Calls full(i, count, memory) for the readings from i on whose windows are full, on several threads, and cut(i, sorted)
// for each other one.
template <class Full, class Cut>
void over_windows(const Kernels& kernels, const double* v, size_t n, Window window, int threads, Full full, Cut cut) {
    constexpr size_t PIECE = 1 << 16;
    const size_t others = static_cast<size_t>(window.size - 1), ahead = window.ahead(), behind = window.behind();
    if (n <= others) return roll(v, n, window, 0, n, cut);
    roll(v, others, window, 0, behind, cut);
    const size_t most = n - others, piece = threads > 1 ? PIECE : most;
    in_parallel((most + piece - 1) / piece, threads, [&](size_t i) {
        const auto memory = room_for<double>(kernels.window_memory(window.size));
        full(behind + i * piece, std::min(piece, most - i * piece), memory.get());
    });
    const size_t tail = n - others;
    roll(v + tail, others, window, others - ahead, others,
         [&](size_t i, const Sorted& sorted) { cut(tail + i, sorted); });
}

// Calls filter(v, count) with the readings that are not missing; then, if some are, spread(i, k) for each reading i:
// whose result is number k, or none if it is missing.
template <class Filter, class Spread>
void without_missing(const double* x, size_t n, Filter filter, Spread spread) {
    if (!any_missing(x, n)) return filter(x, n, false);
    const auto valid = room_for<double>(n);
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
        valid[kept] = x[i];
        kept += x[i] == x[i];
    }
    filter(valid.get(), kept, true);
    for (size_t i = 0, k = 0; i < n; ++i) {
        spread(i, k);
        k += x[i] == x[i];
    }
}

inline void rolling_median(const Kernels& kernels, const double* x, double* out, size_t n, Window window, int threads) {
    std::unique_ptr<double[]> apart;
    without_missing(x, n, [&](const double* v, size_t count, bool some_missing) {
        if (some_missing) apart = room_for<double>(n);
        double* const to = some_missing ? apart.get() : out;
        over_windows(kernels, v, count, window, threads,
            [&](size_t i, size_t places, double* memory) {
                kernels.medians(v + i - window.behind(), to + i, places, window.size, memory);
            },
            [&](size_t i, const Sorted& sorted) { to[i] = sorted.median(); });
    }, [&](size_t i, size_t k) { out[i] = x[i] == x[i] ? apart[k] : NOTHING; });
}

// `scale` is n_sigmas * 1.4826.
inline void hampel(const Kernels& kernels, const double* x, double* clean, uint8_t* outlier, size_t n, Window window,
                   double scale, int threads) {
    std::unique_ptr<double[]> clean_apart;
    std::unique_ptr<uint8_t[]> outlier_apart;
    without_missing(x, n, [&](const double* v, size_t count, bool some_missing) {
        if (some_missing) {
            clean_apart = room_for<double>(n);
            outlier_apart = room_for<uint8_t>(n);
        }
        double* const to = some_missing ? clean_apart.get() : clean;
        uint8_t* const flag = some_missing ? outlier_apart.get() : outlier;
        over_windows(kernels, v, count, window, threads,
            [&](size_t i, size_t places, double* memory) {
                const double* const first = v + i - window.behind();
                const int at = static_cast<int>(window.behind());
                kernels.hampel(first, to + i, flag + i, places, window.size, at, scale, memory);
            },
            [&](size_t i, const Sorted& sorted) {
                const double m = sorted.median();
                flag[i] = std::fabs(v[i] - m) > scale * sorted.mad(m);
                to[i] = flag[i] ? m : v[i];
            });
    }, [&](size_t i, size_t k) {
        const bool valid = x[i] == x[i];
        clean[i] = valid ? clean_apart[k] : NOTHING;
        outlier[i] = valid & outlier_apart[k];
    });
}

// The same of channels, one after the other, n readings of each.
inline void rolling_median(
    const Kernels& kernels, const double* x, double* out, size_t channels, size_t n, Window window, int threads) {
    in_parallel(channels, threads, [&](size_t i) {
        rolling_median(kernels, x + i * n, out + i * n, n, window, channels > 1 ? 1 : threads);
    });
}

inline void hampel(const Kernels& kernels, const double* x, double* clean, uint8_t* outlier, size_t channels, size_t n,
                   Window window, double scale, int threads) {
    in_parallel(channels, threads, [&](size_t i) {
        const size_t at = i * n;
        hampel(kernels, x + at, clean + at, outlier + at, n, window, scale, channels > 1 ? 1 : threads);
    });
}

}  // namespace suat
