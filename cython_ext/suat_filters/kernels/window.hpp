// A window of w readings kept sorted, its median and its MAD: all exact.
//
// The array always holds w values in ascending order; places not yet filled hold +inf, so that filling, sliding and
// emptying are one operation: take `old` out, put `fresh` in. One more place behind it (the guard) holds +inf for good,
// which makes the number of places even and lets the small windows be updated in pairs, without a branch. NaN never
// gets here.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/common.hpp"

namespace suat {

constexpr int GUARDS = 1;
constexpr int LINEAR_UP_TO = 127;  // measured: below it the branch-free pass beats searching and moving

typedef double Pair __attribute__((vector_size(16)));  // one register of SSE2 and of NEON alike

inline Pair load_pair(const double* from) {
    Pair pair;
    std::memcpy(&pair, from, sizeof pair);
    return pair;
}

inline void clear(double* s, int w) { std::fill(s, s + w + GUARDS, INF); }

// In one pass: without `old` the values behind it move down a place, and of what is then at the place before and at the
// place itself `fresh` is the middle one wherever it belongs.
inline void replace_linear(double* s, int w, double old, double fresh) {
    const Pair gone = {old, old}, come = {fresh, fresh};
    Pair before = {-INF, -INF}, here = load_pair(s);
    for (int i = 0; i < w; i += 2) {
        const Pair next = i + 2 < w ? load_pair(s + i + 2) : Pair{INF, INF};
        const Pair behind = {here[1], next[0]};
        const Pair left = here < gone ? here : behind;
        const Pair shifted = {before[1], left[0]};
        const Pair low = left < come ? left : come;
        const Pair out = shifted > low ? shifted : low;
        std::memcpy(s + i, &out, sizeof out);
        before = left;
        here = next;
    }
}

// Where `old` is and where `fresh` belongs, by halving for both at once, without branches: to a branch predictor the
// comparisons are coin tosses.
inline void replace_search(double* s, int w, double old, double fresh) {
    int gone = 0, place = 0;
    for (int left = w; left > 1;) {
        const int half = left / 2;
        gone += half & -static_cast<int>(s[gone + half - 1] < old);
        place += half & -static_cast<int>(s[place + half - 1] < fresh);
        left -= half;
    }
    gone += s[gone] < old;
    place += s[place] < fresh;
    SUAT_CHECK(gone < w);
    if (place > gone) {
        std::memmove(s + gone, s + gone + 1, sizeof(double) * static_cast<size_t>(place - 1 - gone));
        s[place - 1] = fresh;
    } else {
        std::memmove(s + place + 1, s + place, sizeof(double) * static_cast<size_t>(gone - place));
        s[place] = fresh;
    }
}

inline void replace(double* s, int w, double old, double fresh) {
    if (w <= LINEAR_UP_TO) replace_linear(s, w, old, fresh); else replace_search(s, w, old, fresh);
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
    const Pair centre = {m, m};
    Pair best = {INF, INF};
    int i = 0;
    for (; i + 1 <= h; i += 2) {
        const Pair low = centre - load_pair(s + i), high = load_pair(s + i + h) - centre;
        const Pair radius = low > high ? low : high;
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

}  // namespace suat
