// Runs of values kept in order by comparing alone, in each lane by itself: no branch depends on a value.
#pragma once

#include "kernels/vectors.hpp"

namespace suat {
namespace {

constexpr int IN_REGISTERS = 8;  // longest run that is sorted without going to memory

constexpr int log2_of(int n) { return n < 2 ? 0 : 1 + log2_of(n / 2); }

// N values; N a power of two.
template <int N> struct Run { Run<N / 2> low, high; };
template <> struct Run<1> { Lanes low; };

template <int N, class At> SUAT_INLINE Run<N> gather(At at, int first = 0) {
    if constexpr (N == 1) return {at(first)};
    else return {gather<N / 2>(at, first), gather<N / 2>(at, first + N / 2)};
}

template <int N> SUAT_INLINE Run<N> take(const Lanes* from) {
    return gather<N>([from](int i) { return from[i]; });
}

template <int N> SUAT_INLINE void put(Lanes* to, const Run<N>& run) {
    if constexpr (N == 1) *to = run.low;
    else { put(to, run.low); put(to + N / 2, run.high); }
}

template <int N> SUAT_INLINE Run<N> lesser(const Run<N>& a, const Run<N>& b) {
    if constexpr (N == 1) return {lesser(a.low, b.low)};
    else return {lesser(a.low, b.low), lesser(a.high, b.high)};
}

template <int N> SUAT_INLINE Run<N> greater(const Run<N>& a, const Run<N>& b) {
    if constexpr (N == 1) return {greater(a.low, b.low)};
    else return {greater(a.low, b.low), greater(a.high, b.high)};
}

template <int N> SUAT_INLINE Run<N> backwards(const Run<N>& run) {
    if constexpr (N == 1) return run;
    else return {backwards(run.high), backwards(run.low)};
}

// Sorts a bitonic run: one that rises once and falls once, its end taken as joined to its beginning (Batcher 1968).
template <int N> SUAT_INLINE Run<N> settled(const Run<N>& run) {
    if constexpr (N == 1) return run;
    else return {settled(lesser(run.low, run.high)), settled(greater(run.low, run.high))};
}

// The same in memory, of the values at(0) to at(N - 1), which must not lie where the result goes unless in its place.
template <int N, class At> SUAT_INLINE void settle(Lanes* to, At at) {
    if constexpr (N <= IN_REGISTERS) {
        put(to, settled(gather<N>(at)));
    } else {
        constexpr int PARTS = N == 2 * IN_REGISTERS ? 2 : 4, PART = N / PARTS;  // two steps at once where there are two
        for (int i = 0; i < PART; ++i) {
            const Run<PARTS> some = settled(gather<PARTS>([=](int part) { return at(i + part * PART); }));
            if constexpr (PARTS == 2) {
                to[i] = some.low.low;
                to[i + PART] = some.high.low;
            } else {
                to[i] = some.low.low.low;
                to[i + PART] = some.low.high.low;
                to[i + 2 * PART] = some.high.low.low;
                to[i + 3 * PART] = some.high.high.low;
            }
        }
        for (int first = 0; first < N; first += PART) {
            Lanes* part = to + first;
            settle<PART>(part, [part](int i) { return part[i]; });
        }
    }
}

// Two sorted runs of N into one of 2 N.
template <int N> SUAT_INLINE void merge(Lanes* to, const Lanes* a, const Lanes* b) {
    settle<N>(to, [=](int i) { return lesser(a[i], b[N - 1 - i]); });
    settle<N>(to + N, [=](int i) { return greater(a[i], b[N - 1 - i]); });
}

// Of 2 N sorted values and N sorted others the N in the middle, sorted. Value j of the others counts as itself between
// a[N-1-j] and a[2N-1-j]: for zeros and ones this is counting, and what sorts those sorts all.
template <int N> SUAT_INLINE void middle(Lanes* to, const Lanes* a, const Lanes* b) {
    settle<N>(to, [=](int j) { return greater(a[N - 1 - j], lesser(b[j], a[2 * N - 1 - j])); });
}

template <int N> SUAT_INLINE Run<N> middle(const Run<2 * N>& a, const Run<N>& b) {
    return settled(greater(backwards(a.low), lesser(b, backwards(a.high))));
}

// What a merge sort of K neighbours passes through: the values as they came, and sorted in runs of 2, 4, ... K.
struct Sorting {
    const Lanes* raw;
    Lanes* steps;
    int k;

    SUAT_INLINE const Lanes* runs_of(int n) const { return n == 1 ? raw : steps + (log2_of(n) - 1) * k; }
    SUAT_INLINE Lanes* place_of(int n) const { return steps + (log2_of(n) - 1) * k; }
};

// Up to runs of `UpTo`; without the last run of each length if it is not asked for.
template <int N, int UpTo> SUAT_INLINE void sort_runs(const Sorting& s, bool last) {
    if constexpr (N < UpTo) {
        for (int i = 0; i + (last ? 0 : 2 * N) < s.k; i += 2 * N)
            merge<N>(s.place_of(2 * N) + i, s.runs_of(N) + i, s.runs_of(N) + i + N);
        sort_runs<2 * N, UpTo>(s, last);
    }
}

// Medians at N places, from the N middle values of what their windows share. Their windows begin in `left` and end in
// `right`: place i lacks the first i + 1 values of the one and has the first i of the other.
template <int N>
SUAT_INLINE void narrow(const Run<N>& core, const Sorting& left, const Sorting& right, int at, Lanes* out) {
    if constexpr (N == 1) {
        out[at] = core.low;
    } else {
        constexpr int H = N / 2;
        narrow<H>(middle<H>(core, take<H>(left.runs_of(H) + at + H)), left, right, at, out);
        narrow<H>(middle<H>(core, take<H>(right.runs_of(H) + at)), left, right, at + H, out);
    }
}

template <int N>
SUAT_APART void narrow(const Lanes* core, const Sorting& left, const Sorting& right, int at, Lanes* out) {
    if constexpr (N <= IN_REGISTERS) {
        narrow<N>(take<N>(core), left, right, at, out);
    } else {
        constexpr int H = N / 2;
        alignas(64) Lanes half[H];
        middle<H>(half, core, left.runs_of(H) + at + H);
        narrow<H>(half, left, right, at, out);
        middle<H>(half, core, right.runs_of(H) + at);
        narrow<H>(half, left, right, at + H, out);
    }
}

}  // namespace
}  // namespace suat
