// The window that a channel holds: its readings as they came (the ring) and the same sorted, with exact median and MAD.
// Compiled once for each CPU path (paths.hpp).
//
// The sorted array always holds w values in ascending order; places not yet filled hold +inf, so that filling, sliding
// and emptying are one operation: take the oldest out, put the new one in. A few more places behind them hold +inf for
// good, so that vectors may read past the end. NaN never gets here.
#pragma once

#include "kernels/common.hpp"

namespace suat {
namespace {

constexpr int WIDEST = 4;  // lanes of the widest vector used here

// Places of the sorted array: whole vectors, for the window and for the run of readings that begins in its middle.
constexpr int places_of(int w) {
    const int whole = (w + WIDEST - 1) / WIDEST * WIDEST, run = w / 2 + (w / 2 + WIDEST) / WIDEST * WIDEST;
    return w == 0 ? 0 : whole > run ? whole : run;
}

#ifdef __AVX__
typedef double Ranks __attribute__((vector_size(32)));
typedef int64_t Places __attribute__((vector_size(32)));
constexpr Places UP = {1, 2, 3, 4}, DOWN = {3, 4, 5, 6};
#else
typedef double Ranks __attribute__((vector_size(16)));  // one register of SSE2 and of NEON alike
typedef int64_t Places __attribute__((vector_size(16)));
constexpr Places UP = {1, 2}, DOWN = {1, 2};
#endif
constexpr int WIDTH = sizeof(Ranks) / sizeof(double);
constexpr int LINEAR_UP_TO = 127;  // measured: below it the branch-free pass beats searching and moving

inline Ranks ranks_at(const double* from) {
    Ranks ranks;
    std::memcpy(&ranks, from, sizeof ranks);
    return ranks;
}

inline Ranks every(double value) { return Ranks{} + value; }
inline double smaller(double a, double b) { return a < b ? a : b; }

struct Held {
    double* const ring;
    double* const sorted;
    const int w;

    Held(double* from, int window) : ring(from), sorted(from + window), w(window) {}

    void clear() const {
        for (int i = 0; i < w; ++i) ring[i] = INF;
        for (int i = 0; i < places_of(w); ++i) sorted[i] = INF;
    }

    // After the ring was put back, n readings in it.
    void sort(int n) const {
        for (int i = 0; i < places_of(w); ++i) sorted[i] = INF;
        for (int i = 0; i < n; ++i) replace(INF, ring[i]);
    }

    // -0.0 becomes 0.0, since the order of equal values must not show in the bits.
    void hold(double x, int place) const {
        SUAT_CHECK(place >= 0 && place < w);
        const double old = ring[place];
        replace(old, ring[place] = x + 0.0);
    }

    void replace(double old, double fresh) const {
        if (w <= LINEAR_UP_TO) replace_linear(old, fresh); else replace_search(old, fresh);
    }

    // In one pass: without `old` the values behind it move down a place, and of what is then at the place before and at
    // the place itself `fresh` is the middle one wherever it belongs.
    void replace_linear(double old, double fresh) const {
        const Ranks gone = every(old), come = every(fresh);
        Ranks before = every(-INF), here = ranks_at(sorted);
        for (int i = 0; i < w; i += WIDTH) {
            const Ranks next = i + WIDTH < w ? ranks_at(sorted + i + WIDTH) : every(INF);
            const Ranks left = here < gone ? here : __builtin_shuffle(here, next, UP);
            const Ranks shifted = __builtin_shuffle(before, left, DOWN);
            const Ranks low = left < come ? left : come;
            const Ranks out = shifted > low ? shifted : low;
            std::memcpy(sorted + i, &out, sizeof out);
            before = left;
            here = next;
        }
    }

    // Where `old` is and where `fresh` belongs, by halving for both at once, without branches: to a branch predictor
    // the comparisons are coin tosses.
    void replace_search(double old, double fresh) const {
        int gone = 0, place = 0;
        for (int left = w; left > 1;) {
            const int half = left / 2;
            gone += half & -static_cast<int>(sorted[gone + half - 1] < old);
            place += half & -static_cast<int>(sorted[place + half - 1] < fresh);
            left -= half;
        }
        gone += sorted[gone] < old;
        place += sorted[place] < fresh;
        SUAT_CHECK(gone < w);
        if (place > gone) {
            std::memmove(sorted + gone, sorted + gone + 1, sizeof(double) * static_cast<size_t>(place - 1 - gone));
            sorted[place - 1] = fresh;
        } else {
            std::memmove(sorted + place + 1, sorted + place, sizeof(double) * static_cast<size_t>(gone - place));
            sorted[place] = fresh;
        }
    }

    // Of the n readings held; of an even number, the mean of the middle two.
    double median(int n) const { return n & 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2; }

    // Median absolute deviation from m = median(n); NaN when m is not finite (inf - inf has no distance).
    double mad(int n, double m) const {
        if (!(m - m == 0)) return NOTHING;
        return n & 1 ? n > LINEAR_UP_TO ? mad_search(n, m) : mad_linear(n, m) : mad_even(n, m);
    }

    // For odd n: the h + 1 values next to m are neighbours s[i] to s[i + h]; the least radius that holds such a run.
    double mad_linear(int n, double m) const {
        const int h = n / 2;
        const Ranks centre = every(m);
        Ranks best = every(INF);
        for (int i = 0; i <= h; i += WIDTH) {
            const Ranks low = centre - ranks_at(sorted + i), high = ranks_at(sorted + i + h) - centre;
            const Ranks radius = low > high ? low : high;
            best = radius < best ? radius : best;
        }
        double least = best[0];
        for (int i = 1; i < WIDTH; ++i) least = smaller(least, best[i]);
        return least;
    }

    // m - s[i] falls and s[i + h] - m rises: their crossing is found by halving.
    double mad_search(int n, double m) const {
        const int h = n / 2;
        int first = 0, last = h;
        while (first < last) {
            const int i = (first + last) / 2;
            if (sorted[i + h] - m >= m - sorted[i]) last = i; else first = i + 1;
        }
        const double right = sorted[first + h] - m;
        return first ? smaller(right, m - sorted[first - 1]) : right;
    }

    // For even n, met only while the window fills: the distances of both sides are merged up to the middle two.
    double mad_even(int n, double m) const {
        int left = n / 2 - 1, right = n / 2;
        double one = 0, two = 0;
        for (int taken = 0; taken <= n / 2; ++taken) {
            const double below = left >= 0 ? m - sorted[left] : INF;
            const double above = right < n ? sorted[right] - m : INF;
            one = two;
            if (left >= 0 && (right >= n || below <= above)) { two = below; --left; } else { two = above; ++right; }
        }
        return (one + two) / 2;
    }
};

}  // namespace
}  // namespace suat
