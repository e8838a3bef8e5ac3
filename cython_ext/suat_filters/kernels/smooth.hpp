// EWMA and Kalman, a channel in each lane of a vector: the recurrence of one series waits for its own last result,
// those of several go on side by side. Compiled once for each CPU path (path.cpp); all give the same bits.
#pragma once

#include "kernels/vectors.hpp"

namespace suat {
namespace {

// 1 - exp(-age) for age >= 0, within 1.5 ulp: exp(-age) = 2^-k exp(r) with |r| <= ln(2) / 2, and exp(r) - 1 as its
// Taylor series to r^13, which leaves out less than 2^-56 of it.
SUAT_INLINE Lanes faded(Lanes age) {
    const double LOG2_E = 0x1.71547652b82fep0;
    const double LN2_HIGH = 0x1.62e42fefap-1, LN2_LOW = 0x1.cf79abc9e3b39p-40;  // k * LN2_HIGH is exact
    const double ENOUGH = 64;  // exp(-64) is lost beside 1
    const double ROUNDING = 0x1.8p52 + 1023;  // a sum with it is whole, and ends in the exponent's bits of 2^-k
    age = age < ENOUGH ? age : all(ENOUGH);
    const Lanes rounded = ROUNDING - age * LOG2_E;
    const Lanes power = reinterpret_cast<Lanes>(reinterpret_cast<Counts>(rounded) << 52);
    const Lanes k = ROUNDING - rounded;
    const Lanes r = (k * LN2_HIGH - age) + k * LN2_LOW, r2 = r * r, r4 = r2 * r2;
    const Lanes a = (1. / 2 + r * (1. / 6)) + r2 * (1. / 24 + r * (1. / 120));
    const Lanes b = (1. / 720 + r * (1. / 5040)) + r2 * (1. / 40320 + r * (1. / 362880));
    const Lanes c = (1. / 3628800 + r * (1. / 39916800)) + r2 * (1. / 479001600 + r * (1. / 6227020800));
    const Lanes grown = r + r2 * (a + r4 * (b + r4 * c));
    return (1 - power) - power * grown;
}

// y += (1 - exp(-dt / tau)) (x - y). The time before the first reading is infinitely long ago, which makes y that
// reading. A missing x makes `next` NaN.
struct Ewma {
    static constexpr int GROUPS = 1;  // the exponentials of the next columns fill the wait
    double tau;

    struct State { Lanes y{}, seen = all(-INF); };

    Lanes operator()(State& state, Lanes t, Lanes x) const {
        const Lanes next = state.y + faded((t - state.seen) / tau) * (x - state.y);
        state.y = x == x ? next : state.y;
        state.seen = x == x ? t : state.seen;
        return known(next);
    }
};

// Random walk seen through noise: q is the variance the truth gains in a second, r that of a reading.
struct Walk {
    static constexpr int GROUPS = LANES < 8 ? 8 / LANES : 1;  // one fills the other's wait for its division
    double q, r;

    struct State { Lanes y{}, p{}, seen = all(-INF); };

    Lanes operator()(State& state, Lanes t, Lanes x) const {
        const Lanes p = state.p + q * (t - state.seen);
        const Lanes gain = state.seen > -INF ? p / (p + r) : all(1);
        const Lanes next = state.y + gain * (x - state.y);
        state.y = x == x ? next : state.y;
        state.p = x == x ? gain * r : state.p;
        state.seen = x == x ? t : state.seen;
        return known(next);
    }
};

constexpr int COLUMNS = 32;  // of a tile; a multiple of LANES

// A tile of so many channels' values, one vector a column and group of channels.
template <int GROUPS> struct Tile {
    Lanes at[COLUMNS][GROUPS];

    void read(const double* const* rows, size_t from, int columns) {
        for (int g = 0; g < GROUPS; ++g) {
            const double* const* row = rows + g * LANES;
            int column = 0;
            for (; column + LANES <= columns; column += LANES) {
                Lanes square[LANES];
                for (int i = 0; i < LANES; ++i) square[i] = load(row[i] + from + column);
                transpose(square);
                for (int i = 0; i < LANES; ++i) at[column + i][g] = square[i];
            }
            for (; column < columns; ++column)
                for (int i = 0; i < LANES; ++i) at[column][g][i] = row[i][from + static_cast<size_t>(column)];
        }
    }

    void write(double* const* rows, size_t from, int columns) const {
        for (int g = 0; g < GROUPS; ++g) {
            double* const* row = rows + g * LANES;
            int column = 0;
            for (; column + LANES <= columns; column += LANES) {
                Lanes square[LANES];
                for (int i = 0; i < LANES; ++i) square[i] = at[column + i][g];
                transpose(square);
                for (int i = 0; i < LANES; ++i) store(row[i] + from + column, square[i]);
            }
            for (; column < columns; ++column)
                for (int i = 0; i < LANES; ++i) row[i][from + static_cast<size_t>(column)] = at[column][g][i];
        }
    }
};

// Up to GROUPS * LANES channels. A lane without a channel repeats the last one.
template <class Filter>
void smooth_some(const Filter& filter, const Rows& rows, size_t first, size_t count) {
    constexpr int GROUPS = Filter::GROUPS;
    const double *t[GROUPS * LANES], *x[GROUPS * LANES];
    double* out[GROUPS * LANES];
    for (size_t lane = 0; lane < GROUPS * LANES; ++lane) {
        const size_t channel = first + (lane < count ? lane : count - 1);
        t[lane] = rows.t + channel * rows.t_stride;
        x[lane] = rows.x + channel * rows.n;
        out[lane] = rows.out + channel * rows.n;
    }
    typename Filter::State state[GROUPS];
    Tile<GROUPS> times, values;
    for (size_t from = 0; from < rows.n; from += COLUMNS) {
        const int columns = static_cast<int>(rows.n - from < COLUMNS ? rows.n - from : COLUMNS);
        values.read(x, from, columns);
        const auto run = [&](auto time) __attribute__((always_inline)) {
            for (int column = 0; column < columns; ++column)
                for (int g = 0; g < GROUPS; ++g)
                    values.at[column][g] = filter(state[g], time(column, g), values.at[column][g]);
        };
        if (rows.t_stride) {
            times.read(t, from, columns);
            run([&](int column, int g) __attribute__((always_inline)) { return times.at[column][g]; });
        } else {
            const double* shared = t[0] + from;
            run([&](int column, int) __attribute__((always_inline)) { return all(shared[column]); });
        }
        values.write(out, from, columns);
    }
}

template <class Filter>
void smooth(const Filter& filter, const Rows& rows, size_t first, size_t count) {
    constexpr size_t MOST = Filter::GROUPS * LANES;
    for (; count > MOST; first += MOST, count -= MOST) smooth_some(filter, rows, first, MOST);
    if (count) smooth_some(filter, rows, first, count);
}

// One series: what may go on side by side, the exponentials, is done for a block ahead of the recurrence. In a block of
// which nothing is missing, and after a reading, times and readings are taken as they lie.
SUAT_INLINE void ewma_one(const double* t, const double* x, double* out, size_t n, double tau) {
    constexpr size_t BLOCK = 8;
    double y = 0, seen = -INF, share[BLOCK] = {};
    for (size_t from = 0; from < n; from += BLOCK) {
        const size_t size = n - from < BLOCK ? n - from : BLOCK;
        bool whole = size == BLOCK && from && x[from - 1] == x[from - 1];
        if (whole) {
            Counts valid = ~Counts{};
            for (size_t i = 0; i < BLOCK; i += LANES) valid &= load(x + from + i) == load(x + from + i);
            for (int lane = 0; lane < LANES; ++lane) whole &= valid[lane] != 0;
        }
        if (whole) {
            for (size_t i = 0; i < BLOCK; i += LANES)
                store(share + i, faded((load(t + from + i) - load(t + from + i - 1)) / tau));
            for (size_t i = 0; i < BLOCK; ++i) out[from + i] = y += share[i] * (x[from + i] - y);
            for (size_t i = 0; i < BLOCK; i += LANES) store(out + from + i, known(load(out + from + i)));
            seen = t[from + BLOCK - 1];
            continue;
        }
        for (size_t i = 0; i < size; ++i) {
            share[i] = t[from + i] - seen;
            seen = x[from + i] == x[from + i] ? t[from + i] : seen;
        }
        for (size_t i = 0; i < BLOCK; i += LANES) store(share + i, faded(load(share + i) / tau));
        for (size_t i = 0; i < size; ++i) {
            const double value = x[from + i], next = y + share[i] * (value - y);
            y = value == value ? next : y;
            out[from + i] = next == next ? next : NOTHING;
        }
    }
}

SUAT_INLINE void kalman_one(const double* t, const double* x, double* out, size_t n, double q, double r) {
    double y = 0, p = 0, seen = -INF;
    for (size_t i = 0; i < n; ++i) {
        const double value = x[i], grown = p + q * (t[i] - seen);
        const double gain = seen > -INF ? grown / (grown + r) : 1;
        const double next = y + gain * (value - y);
        y = value == value ? next : y;
        p = value == value ? gain * r : p;
        seen = value == value ? t[i] : seen;
        out[i] = next == next ? next : NOTHING;
    }
}

// Whether the times are finite and do not decrease.
SUAT_APART bool in_order(const double* t, size_t n) {
    if (!n) return true;
    Counts right = ~Counts{};
    size_t i = 1;
    for (; i + LANES <= n; i += LANES) right &= load(t + i - 1) <= load(t + i);
    bool all_right = -INF < t[0] && t[n - 1] < INF;
    for (int lane = 0; lane < LANES; ++lane) all_right &= right[lane] != 0;
    for (; i < n; ++i) all_right &= t[i - 1] <= t[i];
    return all_right;
}

SUAT_APART void ewma(const Rows& rows, size_t first, size_t count, double tau) {
    const double* t = rows.t + first * rows.t_stride;
    if (count == 1) ewma_one(t, rows.x + first * rows.n, rows.out + first * rows.n, rows.n, tau);
    else smooth(Ewma{tau}, rows, first, count);
}

SUAT_APART void kalman(const Rows& rows, size_t first, size_t count, double q, double r) {
    const double* t = rows.t + first * rows.t_stride;
    if (count == 1) kalman_one(t, rows.x + first * rows.n, rows.out + first * rows.n, rows.n, q, r);
    else smooth(Walk{q, r}, rows, first, count);
}

}  // namespace
}  // namespace suat
