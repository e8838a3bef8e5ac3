// A window of w readings kept sorted, its median and its MAD: all exact.
//
// The array always holds w values in ascending order; places not yet filled hold +inf, so that filling, sliding and
// emptying are one operation: take `old` out, put `fresh` in. s[-1] is -inf and s[w] is +inf (the guards), which lets
// the small windows be updated without a branch. NaN never gets here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <stdexcept>

#ifdef SUAT_BOUNDSCHECK
#define SUAT_CHECK(condition) \
    do { if (!(condition)) throw std::out_of_range("suat_filters: index out of range: " #condition); } while (0)
#else
#define SUAT_CHECK(condition) do { } while (0)
#endif

namespace suat {

constexpr double INF = std::numeric_limits<double>::infinity();
constexpr double NOTHING = std::numeric_limits<double>::quiet_NaN();
constexpr double MAD_TO_SIGMA = 1.4826;  // of a normal distribution: 1 / Phi^-1(3/4)
constexpr int MAX_WINDOW = 999;
constexpr int GUARDS = 2;
constexpr int LINEAR_UP_TO = 64;  // measured: below it the branch-free pass beats searching and moving

inline void clear(double* s, int w) {
    s[-1] = -INF;
    std::fill(s, s + w + 1, INF);
}

// First place whose value is not below v. Without branches: the comparisons are coin tosses to a branch predictor.
inline int place_of(const double* s, int w, double v) {
    const double* base = s;
    int left = w;
    while (left > 1) {
        const int half = left / 2;
        base += base[half - 1] < v ? half : 0;
        left -= half;
    }
    return static_cast<int>(base - s) + (*base < v);
}

// out = s without `old` and with `fresh`, one pass, two comparisons a place; out and s are different arrays.
inline void replace_linear(const double* __restrict s, double* __restrict out, int w, double old, double fresh) {
    for (int i = 0; i < w; ++i) {
        const double before = s[i - 1] < old ? s[i - 1] : s[i];
        const double here = s[i] < old ? s[i] : s[i + 1];
        const double low = here < fresh ? here : fresh;
        out[i] = before > low ? before : low;
    }
}

inline void replace_search(double* s, int w, double old, double fresh) {
    const int gone = place_of(s, w, old);
    const int place = place_of(s, w, fresh);
    SUAT_CHECK(gone < w);
    if (place > gone) {
        std::memmove(s + gone, s + gone + 1, sizeof(double) * static_cast<size_t>(place - 1 - gone));
        s[place - 1] = fresh;
    } else {
        std::memmove(s + place + 1, s + place, sizeof(double) * static_cast<size_t>(gone - place));
        s[place] = fresh;
    }
}

// Median of the first n of the sorted values; of an even number, the mean of the middle two.
inline double median_of(const double* s, int n) {
    return n & 1 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

// MAD for odd n: the h+1 values next to m are neighbours s[i..i+h]; the least radius that holds such a run is it.
inline double mad_odd(const double* s, int n, double m) {
    const int h = n / 2;
    if (n > LINEAR_UP_TO) {  // m - s[i] falls, s[i+h] - m rises: their crossing is found by halving
        int first = 0, last = h;
        while (first < last) {
            const int i = (first + last) / 2;
            if (s[i + h] - m >= m - s[i]) last = i; else first = i + 1;
        }
        const double right = s[first + h] - m;
        return first ? std::min(right, m - s[first - 1]) : right;
    }
    typedef double pair __attribute__((vector_size(16)));
    const pair centre = {m, m};
    pair best = {INF, INF};
    int i = 0;
    for (; i + 1 <= h; i += 2) {
        pair low, high;
        std::memcpy(&low, s + i, sizeof low);
        std::memcpy(&high, s + i + h, sizeof high);
        low = centre - low;
        high = high - centre;
        const pair radius = low > high ? low : high;
        best = radius < best ? radius : best;
    }
    double least = best[0] < best[1] ? best[0] : best[1];
    if (i <= h) least = std::min(least, std::max(m - s[i], s[i + h] - m));
    return least;
}

// MAD for even n, met only while a window fills or empties: merge the distances of both sides up to the middle two.
inline double mad_even(const double* s, int n, double m) {
    int left = n / 2 - 1, right = n / 2;
    double one = 0, two = 0;
    for (int taken = 0; taken <= n / 2; ++taken) {
        const double below = left >= 0 ? m - s[left] : INF;
        const double above = right < n ? s[right] - m : INF;
        one = two;
        if (left >= 0 && (right >= n || below <= above)) { two = below; --left; } else { two = above; ++right; }
    }
    return (one + two) / 2;
}

// Median absolute deviation from m = median_of(s, n); NaN when m is not finite (inf - inf has no distance).
inline double mad_of(const double* s, int n, double m) {
    if (!std::isfinite(m)) return NOTHING;
    return n & 1 ? mad_odd(s, n, m) : mad_even(s, n, m);
}

// A sorted window for one long series: two buffers, written in turn.
class SortedWindow {
public:
    explicit SortedWindow(int window) : w(window) {
        clear(front(), w);
        clear(back(), w);
    }
    void replace(double old, double fresh) {
        if (w <= LINEAR_UP_TO) {
            replace_linear(front(), back(), w, old, fresh);
            turn ^= 1;
        } else {
            replace_search(front(), w, old, fresh);
        }
    }
    const double* sorted() { return front(); }

private:
    double* front() { return buffers[turn] + 1; }
    double* back() { return buffers[turn ^ 1] + 1; }
    double buffers[2][MAX_WINDOW + GUARDS];
    int w, turn = 0;
};

}  // namespace suat
