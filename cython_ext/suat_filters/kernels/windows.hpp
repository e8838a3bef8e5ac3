// Rolling median and Hampel over whole series, of one channel or of many, on several threads.
//
// Missing readings (NaN) are taken out first and put back after. Full windows are the kernels' work (lanes.hpp); those
// that the ends cut short are gone through one by one.
#pragma once

#include <algorithm>
#include <atomic>
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

// The values of a window in ascending order; -0.0 becomes 0.0, as the order of equal values must not show in the bits.
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

// Calls full(i, count, memory) for the readings from i on whose windows are full, on several threads, then
// cut(i, sorted) for each other one. False, and nothing worth having done, if a reading is missing; `full` tells so
// by false.
template <class Full, class Cut>
bool over_windows(const Kernels& kernels, const double* v, size_t n, Window window, int threads, Full full, Cut cut) {
    constexpr size_t PIECE = 1 << 16;
    const size_t others = static_cast<size_t>(window.size - 1), ahead = window.ahead(), behind = window.behind();
    if (n <= others) {
        for (size_t i = 0; i < n; ++i) if (v[i] != v[i]) return false;
        roll(v, n, window, 0, n, cut);
        return true;
    }
    const size_t most = n - others, piece = threads > 1 ? PIECE : most;
    std::atomic<bool> whole{true};
    in_parallel((most + piece - 1) / piece, threads, [&](size_t i) {
        const auto memory = room_for<double>(kernels.window_memory(window.size));
        if (whole && !full(behind + i * piece, std::min(piece, most - i * piece), memory.get())) whole = false;
    });
    if (!whole) return false;
    roll(v, others, window, 0, behind, cut);
    const size_t tail = n - others;
    roll(v + tail, others, window, others - ahead, others,
         [&](size_t i, const Sorted& sorted) { cut(tail + i, sorted); });
    return true;
}

inline bool medians_of(
    const Kernels& kernels, const double* v, double* out, size_t n, Window window, int threads) {
    return over_windows(kernels, v, n, window, threads,
        [&](size_t i, size_t count, double* memory) {
            return kernels.medians(v + i - window.behind(), out + i, count, window.size, memory);
        },
        [&](size_t i, const Sorted& sorted) { out[i] = sorted.median(); });
}

// `scale` is n_sigmas * 1.4826.
inline bool judged(const Kernels& kernels, const double* v, double* clean, uint8_t* outlier, size_t n, Window window,
                   double scale, int threads) {
    const int at = static_cast<int>(window.behind());
    return over_windows(kernels, v, n, window, threads,
        [&](size_t i, size_t count, double* memory) {
            return kernels.hampel(v + i - at, clean + i, outlier + i, count, window.size, at, scale, memory);
        },
        [&](size_t i, const Sorted& sorted) {
            const double m = sorted.median();
            outlier[i] = std::fabs(v[i] - m) > scale * sorted.mad(m);
            clean[i] = outlier[i] ? m : v[i];
        });
}

// The readings that are not missing, and how many.
inline std::unique_ptr<double[]> valid_of(const double* x, size_t n, size_t& kept) {
    auto valid = room_for<double>(n);
    kept = 0;
    for (size_t i = 0; i < n; ++i) {
        valid[kept] = x[i];
        kept += x[i] == x[i];
    }
    return valid;
}

inline void rolling_median(const Kernels& kernels, const double* x, double* out, size_t n, Window window, int threads) {
    if (medians_of(kernels, x, out, n, window, threads)) return;
    size_t kept;
    const auto valid = valid_of(x, n, kept), found = room_for<double>(n);
    medians_of(kernels, valid.get(), found.get(), kept, window, threads);
    for (size_t i = 0, k = 0; i < n; ++i) {
        out[i] = x[i] == x[i] ? found[k] : NOTHING;
        k += x[i] == x[i];
    }
}

inline void hampel(const Kernels& kernels, const double* x, double* clean, uint8_t* outlier, size_t n, Window window,
                   double scale, int threads) {
    if (judged(kernels, x, clean, outlier, n, window, scale, threads)) return;
    size_t kept;
    const auto valid = valid_of(x, n, kept), found = room_for<double>(n);
    const auto beyond = room_for<uint8_t>(n);
    judged(kernels, valid.get(), found.get(), beyond.get(), kept, window, scale, threads);
    for (size_t i = 0, k = 0; i < n; ++i) {
        clean[i] = x[i] == x[i] ? found[k] : NOTHING;
        outlier[i] = x[i] == x[i] ? beyond[k] : 0;
        k += x[i] == x[i];
    }
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
