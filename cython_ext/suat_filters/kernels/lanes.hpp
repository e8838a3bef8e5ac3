// Rolling median and Hampel over full windows, several stretches of one series side by side, one in each lane of a
// vector. Compiled once for each CPU path (path.cpp), hence no std templates and nothing that a linker could merge.
//
// Medians of w values at K neighbouring places: what their windows share (the core) is sorted once, and of it only the
// middle K values can become a median. Half of the places share K/2 values more, which narrows the middle to K/2 values
// for each half, and so on down to one. The values added at each step are K/2, K/4, ... 1 neighbours in order: what a
// merge sort of K neighbours comes by. Cutting into runs: van Herk 1992, Gil and Werman 1993; narrowing by halves:
// A. Adams, Fast median filters using separable sorting networks, ACM Trans. Graph. 40(4), 2021.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace suat {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 8;
#elif defined(__AVX__)
constexpr int LANES = 4;
#else
constexpr int LANES = 2;
#endif
typedef double Lanes __attribute__((vector_size(8 * LANES)));
typedef int64_t Counts __attribute__((vector_size(8 * LANES)));

#define SUAT_INLINE inline __attribute__((always_inline))
#define SUAT_APART __attribute__((noinline))

constexpr double ENDLESS = __builtin_inf();
constexpr int IN_REGISTERS = 8;  // longest run that is sorted without going to memory
constexpr int MAX_RUN = 256;

constexpr int log2_of(int n) { return n < 2 ? 0 : 1 + log2_of(n / 2); }

SUAT_INLINE Lanes all(double value) { return Lanes{} + value; }
SUAT_INLINE Lanes lesser(Lanes a, Lanes b) { return a < b ? a : b; }
SUAT_INLINE Lanes greater(Lanes a, Lanes b) { return a > b ? a : b; }

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
template <int N> SUAT_INLINE void narrow(const Run<N>& core, const Sorting& left, const Sorting& right, int at, Lanes* out) {
    if constexpr (N == 1) {
        out[at] = core.low;
    } else {
        constexpr int H = N / 2;
        narrow<H>(middle<H>(core, take<H>(left.runs_of(H) + at + H)), left, right, at, out);
        narrow<H>(middle<H>(core, take<H>(right.runs_of(H) + at)), left, right, at + H, out);
    }
}

template <int N> SUAT_APART void narrow(const Lanes* core, const Sorting& left, const Sorting& right, int at, Lanes* out) {
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

// The medians of one window size at K places after the other. Reads in[-1] and one value behind the last window too.
template <int K> class Medians {
public:
    Medians(const Lanes* from, int window, Lanes* memory)
        : in(from), w(window), whole((w - K + 1) / K), rest((w - K + 1) % K), spare((K - rest) / 2),
          sorted(memory), both(sorted + (AHEAD + 2) * STEPS * K), narrowed(both + 2 * K), padded(narrowed + K) {
        for (int i = 0; i < 2 * K; ++i) both[i] = all(i < K ? -ENDLESS : ENDLESS);
        for (int i = 0; i < K; ++i) {
            least[i] = i < K - spare ? -ENDLESS : ENDLESS;
            most[i] = i < spare ? -ENDLESS : ENDLESS;
        }
        for (int j = 0; j < whole; ++j) sort_runs<1, K>(run(static_cast<size_t>(j)), true);
    }

    static constexpr size_t memory() { return K * ((AHEAD + 2) * STEPS + 4); }

    // At in[b * K] and the K - 1 places after it; b = 0, 1, 2, ... in this order.
    SUAT_APART void at(size_t b, Lanes* out) {
        const Lanes* const first = in + b * K;
        sort_runs<1, K>(run(b + static_cast<size_t>(whole)), true);
        const Sorting right{first + w, sorted + AHEAD * STEPS * K, K};
        sort_runs<1, K / 2>(right, false);
        const Lanes* core = run(b + 1).runs_of(K);
        if (whole == 2) {
            merge<K>(both, core, run(b + 2).runs_of(K));
            core = both + K / 2;
        }
        if (rest) {
            if (whole == 1) for (int i = 0; i < K; ++i) both[K / 2 + i] = core[i];
            const Lanes* const about = first + K - 1 + whole * K - spare;
            for (int i = 0; i < K; ++i) padded[i] = greater(all(least[i]), lesser(about[i], all(most[i])));
            const Sorting others{padded, sorted + (AHEAD + 1) * STEPS * K, K};
            sort_runs<1, K>(others, true);
            middle<K>(narrowed, both, others.runs_of(K));
            core = narrowed;
        }
        narrow<K>(core, run(b), right, 0, out);
    }

private:
    static constexpr int STEPS = log2_of(K), AHEAD = 4;

    // The K values from in[j * K - 1] on.
    Sorting run(size_t j) const {
        return {in + static_cast<ptrdiff_t>(j * K) - 1, sorted + (j % AHEAD) * STEPS * K, K};
    }

    const Lanes* in;
    int w, whole, rest, spare;              // the core is `whole` runs and `rest` values more
    Lanes *sorted, *both, *narrowed, *padded;
    double least[K], most[K];               // make infinite, in equal parts, what is about the rest
};

constexpr int places_at_once(int w) {
    int k = 2;
    while (k < MAX_RUN && 4 * k - 1 <= w) k *= 2;
    return k;
}

// Places that a lane goes through before the next stretches are laid side by side.
constexpr size_t longest_stretch(int k) { return static_cast<size_t>(k < 64 ? 512 : 8 * k); }

// Lane l of to[i] = in[l * stretch + i], of n values in all; what is behind them does not matter but is a number.
void lay(Lanes* to, const double* in, size_t n, size_t stretch, size_t length) {
    size_t i = 0;
    const size_t begin = (LANES - 1) * stretch;
    for (const size_t end = n > begin ? n - begin : 0; i < length && i < end; ++i)
        for (int l = 0; l < LANES; ++l) to[i][l] = in[static_cast<size_t>(l) * stretch + i] + 0.0;
    for (; i < length; ++i)
        for (int l = 0; l < LANES; ++l) {
            const size_t from = static_cast<size_t>(l) * stretch + i;
            to[i][l] = from < n ? in[from] + 0.0 : 0.0;
        }
}

// The other way: `length` places from `first` on of each stretch, so far as there are n in all.
void give(double* out, size_t n, const Lanes* from, size_t stretch, size_t first, size_t length) {
    for (int l = 0; l < LANES; ++l) {
        const size_t begin = static_cast<size_t>(l) * stretch + first;
        const size_t count = begin >= n ? 0 : n - begin < length ? n - begin : length;
        for (size_t i = 0; i < count; ++i) out[begin + i] = from[i][l];
    }
}

template <int K> void medians_by(const double* in, double* out, size_t n, int w, Lanes* memory) {
    Lanes found[K];
    Lanes* const laid = memory + Medians<K>::memory() + 1;
    while (n) {
        const size_t share = (n + LANES - 1) / LANES, blocks = (share + K - 1) / K;
        const size_t stretch = blocks * K < longest_stretch(K) ? blocks * K : longest_stretch(K);
        laid[-1] = Lanes{};
        lay(laid, in, n + static_cast<size_t>(w) - 1, stretch, stretch + static_cast<size_t>(w));
        Medians<K> medians(laid, w, memory);
        for (size_t b = 0; b < stretch / K; ++b) {
            medians.at(b, found);
            give(out, n, found, stretch, b * K, K);
        }
        const size_t done = stretch * LANES < n ? stretch * LANES : n;
        in += done;
        out += done;
        n -= done;
    }
}

template <int K> constexpr size_t memory_by(int w) {
    return LANES * (Medians<K>::memory() + longest_stretch(K) + static_cast<size_t>(w) + 4);
}

size_t window_memory(int w) {
    switch (places_at_once(w)) {
        case 2: return memory_by<2>(w);
        case 4: return memory_by<4>(w);
        case 8: return memory_by<8>(w);
        case 16: return memory_by<16>(w);
        case 32: return memory_by<32>(w);
        case 64: return memory_by<64>(w);
        case 128: return memory_by<128>(w);
        default: return memory_by<MAX_RUN>(w);
    }
}

SUAT_INLINE Lanes* aligned(double* memory) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(memory), size = sizeof(Lanes);
    return reinterpret_cast<Lanes*>((at + size - 1) / size * size);
}

void medians(const double* in, double* out, size_t n, int w, double* memory) {
    Lanes* const lanes = aligned(memory);
    switch (places_at_once(w)) {
        case 2: return medians_by<2>(in, out, n, w, lanes);
        case 4: return medians_by<4>(in, out, n, w, lanes);
        case 8: return medians_by<8>(in, out, n, w, lanes);
        case 16: return medians_by<16>(in, out, n, w, lanes);
        case 32: return medians_by<32>(in, out, n, w, lanes);
        case 64: return medians_by<64>(in, out, n, w, lanes);
        case 128: return medians_by<128>(in, out, n, w, lanes);
        default: return medians_by<MAX_RUN>(in, out, n, w, lanes);
    }
}

}  // namespace
}  // namespace suat
