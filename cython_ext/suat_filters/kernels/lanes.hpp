// Rolling median and Hampel over full windows, several stretches of one series side by side, one in each lane of a
// vector. Compiled once for each CPU path (path.cpp), hence no std templates and nothing that a linker could merge.
//
// Medians of w values at K neighbouring places: what their windows share (the core) is sorted once, and of it only the
// middle K values can become a median. Half of the places share K/2 values more, which narrows the middle to K/2 values
// for each half, and so on down to one. The values added at each step are K/2, K/4, ... 1 neighbours in order: what a
// merge sort of K neighbours comes by. Cutting into runs: van Herk 1992, Gil and Werman 1993; narrowing by halves:
// A. Adams, Fast median filters using separable sorting networks, ACM Trans. Graph. 40(4), 2021.
#pragma once

#include "kernels/runs.hpp"

namespace suat {
namespace {

constexpr int MAX_RUN = 256;
constexpr int GROUP = 4;  // places that Hampel judges at once

// The medians of one window size at K places after the other. Reads in[-1] and one value behind the last window too.
template <int K> class Medians {
public:
    Medians(const Lanes* from, int window, Lanes* memory)
        : in(from), w(window), whole((w - K + 1) / K), rest((w - K + 1) % K), spare((K - rest) / 2),
          sorted(memory), both(sorted + (AHEAD + 2) * STEPS * K), narrowed(both + 2 * K), padded(narrowed + K) {
        for (int i = 0; i < 2 * K; ++i) both[i] = all(i < K ? -INF : INF);
        for (int i = 0; i < K; ++i) {
            least[i] = i < K - spare ? -INF : INF;
            most[i] = i < spare ? -INF : INF;
        }
        for (int j = 0; j < whole; ++j) sort_runs<1, K>(run(static_cast<size_t>(j)), true);
    }

    static constexpr size_t memory() { return K * ((AHEAD + 2) * STEPS + 4); }

    // At in[b * K] and the K - 1 places after it; b = 0, 1, 2, ... in this order.
    SUAT_INLINE void at(size_t b, Lanes* out) {
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
        if constexpr (K < IN_REGISTERS) narrow<K>(take<K>(core), run(b), right, 0, out);
        else narrow<K>(core, run(b), right, 0, out);
    }

    SUAT_APART void at_apart(size_t b, Lanes* out) { at(b, out); }

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

// Lane l of to[i] = in[l * stretch + i], of n values in all; what lies behind them is 0. False if one is NaN.
bool lay(Lanes* to, const double* in, size_t n, size_t stretch, size_t length) {
    const size_t last = (LANES - 1) * stretch, common = n < last ? 0 : n - last < length ? n - last : length;
    Counts missing{};
    size_t i = 0;
    for (; i + LANES <= common; i += LANES) {
        Lanes square[LANES];
#pragma GCC unroll 8
        for (int l = 0; l < LANES; ++l) {
            square[l] = load(in + static_cast<size_t>(l) * stretch + i);
            missing |= square[l] != square[l];
        }
        transpose(square);
#pragma GCC unroll 8
        for (int l = 0; l < LANES; ++l) to[i + static_cast<size_t>(l)] = square[l];
    }
    for (; i < length; ++i) {
        for (int l = 0; l < LANES; ++l) {
            const size_t from = static_cast<size_t>(l) * stretch + i;
            to[i][l] = from < n ? in[from] : 0.0;
        }
        missing |= to[i] != to[i];
    }
    return !any(missing);
}

SUAT_INLINE void put_one(double* to, double value) { *to = value; }
SUAT_INLINE void put_one(uint8_t* to, int64_t truth) { *to = truth != 0; }

// The other way, for `count` places (a multiple of LANES) of each stretch from `first` on, so far as there are n.
template <class Value, class Row>
SUAT_INLINE void give(Value* out, size_t n, const Row* from, size_t count, size_t stretch, size_t first) {
    if (first + count + (LANES - 1) * stretch <= n) {
        for (size_t i = 0; i < count; i += LANES) {
            Row square[LANES];
#pragma GCC unroll 8
            for (int l = 0; l < LANES; ++l) square[l] = from[i + static_cast<size_t>(l)];
            transpose(square);
#pragma GCC unroll 8
            for (int l = 0; l < LANES; ++l) store(out + static_cast<size_t>(l) * stretch + first + i, square[l]);
        }
    } else {
        for (int l = 0; l < LANES; ++l)
            for (size_t i = 0, at = static_cast<size_t>(l) * stretch + first; i < count && at < n; ++i, ++at)
                put_one(out + at, from[i][l]);
    }
}

// Places that a lane goes through before the next stretches are laid side by side.
constexpr size_t longest_stretch(int k) { return k < 64 ? 512 : 8 * static_cast<size_t>(k); }

template <int K> constexpr size_t memory_by(int w) {
    return LANES * (Medians<K>::memory() + longest_stretch(K) + static_cast<size_t>(w) + 4);
}

template <int K> constexpr size_t places_at_once() { return K < 8 ? 8 : K; }  // whole groups, whole squares

// Calls then(found, window, stretch, first, done) for 8 or more places at a time: their medians, where their first
// windows begin, the length of the stretches, the place in each, and the places of all stretches before these.
// False if a value is NaN: then no more is done.
template <int K, class Then> SUAT_INLINE
bool stretches(const double* in, size_t n, int w, double* memory, Then then) {
    constexpr size_t STEP = places_at_once<K>();
    const uintptr_t free = reinterpret_cast<uintptr_t>(memory);
    Lanes* const work = reinterpret_cast<Lanes*>((free + sizeof(Lanes) - 1) / sizeof(Lanes) * sizeof(Lanes));
    Lanes* const laid = work + Medians<K>::memory() + 1;
    Lanes found[STEP];
    laid[-1] = Lanes{};
    for (size_t done = 0; done < n;) {
        const size_t share = ((n - done + LANES - 1) / LANES + STEP - 1) / STEP * STEP;
        const size_t stretch = share < longest_stretch(K) ? share : longest_stretch(K);
        const size_t before = static_cast<size_t>(w) - 1;
        if (!lay(laid, in + done, n - done + before, stretch, stretch + before + 1)) return false;
        Medians<K> medians(laid, w, work);
        for (size_t first = 0; first < stretch; first += STEP) {
            for (size_t k = 0; k < STEP; k += K) {
                if constexpr (K < STEP) medians.at((first + k) / K, found + k);
                else medians.at_apart((first + k) / K, found + k);
            }
            for (size_t k = 0; k < STEP; ++k) found[k] += 0.0;  // -0.0 becomes 0.0
            then(found, laid + first, STEP, stretch, first, done);
        }
        done += stretch * LANES;
    }
    return true;
}

template <int K> struct Size { static constexpr int k = K; };

// act(Size<K>) for the K that suits windows of w: 2 K - 1 <= w.
template <class Act> SUAT_INLINE auto by_size(int w, Act act) {
    if (w < 7) return act(Size<2>{});
    if (w < 15) return act(Size<4>{});
    if (w < 31) return act(Size<8>{});
    if (w < 63) return act(Size<16>{});
    if (w < 127) return act(Size<32>{});
    if (w < 255) return act(Size<64>{});
    if (w < 511) return act(Size<128>{});
    return act(Size<MAX_RUN>{});
}

size_t window_memory(int w) {
    return by_size(w, [w](auto size) { return memory_by<size.k>(w); });
}

bool medians(const double* in, double* out, size_t n, int w, double* memory) {
    return by_size(w, [=](auto size) {
        const auto then = [=](const Lanes* found, const Lanes*, size_t count, size_t stretch, size_t first, size_t done) {
            give(out + done, n - done, found, count, stretch, first);
        };
        return stretches<size.k>(in, n, w, memory, then);
    });
}

// Whether |x - m| > scale * MAD of a window, at GROUP places and in each lane. The MAD itself is not needed: rounding
// never turns an order round, so it is to say that scale * |v - m| < |x - m| for more than half of the values v.
SUAT_INLINE void judge(Counts* passed, const Lanes* window, int w, const Lanes* m, const Lanes* x, double scale) {
    const int half = w / 2;
    Lanes d[GROUP];
    Counts nearer[GROUP] = {};
    for (int g = 0; g < GROUP; ++g) d[g] = distance(x[g], m[g]);
    const auto count = [&](int first, int end) {
        for (int j = first; j < end; ++j)
            for (int g = 0; g < GROUP; ++g) nearer[g] -= scale * distance(window[j + g], m[g]) < d[g];
    };
    const auto open = [&](int left) {
        Counts found{};
        for (int g = 0; g < GROUP; ++g) found |= nearer[g] > half - left;
        return any(found);
    };
    if (w < 32) {
        count(0, w);
    } else {  // three quarters mostly show that it is not so, the outer ones sooner: a drift puts them far from m
        const int sample = half + half / 2 + 1, first = sample / 2, rest = w - sample;
        count(0, first);
        count(first + rest, w);
        if (open(rest)) count(first, first + rest);
    }
    for (int g = 0; g < GROUP; ++g) passed[g] = nearer[g] > half;
}

// `at` is the place in its window of the value that is judged.
bool hampel(
    const double* in, double* clean, uint8_t* outlier, size_t n, int w, int at, double scale, double* memory) {
    return by_size(w, [=](auto size) {
        const auto then = [=](Lanes* found, const Lanes* window, size_t count, size_t stretch, size_t first, size_t done) {
            Counts passed[places_at_once<size.k>()];
            for (size_t i = 0; i < count; i += GROUP) {
                const Lanes* const x = window + i + at;
                judge(passed + i, window + i, w, found + i, x, scale);
                for (int g = 0; g < GROUP; ++g) found[i + g] = passed[i + g] ? found[i + g] : x[g];
            }
            give(clean + done, n - done, found, count, stretch, first);
            give(outlier + done, n - done, passed, count, stretch, first);
        };
        return stretches<size.k>(in, n, w, memory, then);
    });
}

}  // namespace
}  // namespace suat
