// What is in each of many small buckets, a bucket in each lane of a vector. Compiled once for each CPU path (path.cpp);
// all give the same bits.
#pragma once

#include "kernels/common.hpp"
#include "kernels/lanes.hpp"
#include "kernels/paths.hpp"

namespace suat {
namespace {

constexpr size_t SIDE = LANES < 4 ? LANES : 4;  // buckets at a time: measured, more take too long to gather
typedef double Side __attribute__((vector_size(8 * SIDE)));
typedef int64_t SideCounts __attribute__((vector_size(8 * SIDE)));

SUAT_INLINE void exchange(Side& low, Side& high) {
    const Side a = low, b = high;
    low = a < b ? a : b;
    high = a > b ? a : b;
}

constexpr size_t power_below(size_t size) {
    size_t power = 1;
    while (2 * power < size) power *= 2;
    return power;
}

struct Middle { Side left, right; };

// The middle two of an even number of rows in order, lane by lane. Merge exchange (Batcher; Knuth, The Art of Computer
// Programming 5.2.2, algorithm M).
SUAT_APART Middle middle_of_many(Side* rows, size_t size) {
    const size_t top = power_below(size);
    for (size_t p = top; p; p /= 2) {
        size_t remainder = 0, distance = p;
        for (size_t q = top;; q /= 2) {
            for (size_t from = remainder; from + distance < size; from += 2 * p)
                for (size_t i = from; i < from + p && i + distance < size; ++i) exchange(rows[i], rows[i + distance]);
            if (q == p) break;
            distance = q - p;
            remainder = p;
        }
    }
    return {rows[size / 2 - 1], rows[size / 2]};
}

// The same without its loops: the compiler leaves out what the middle does not need.
template <size_t SIZE> SUAT_APART Middle middle_of(const Side* rows) {
    constexpr size_t TOP = power_below(SIZE);
    Side v[SIZE];
#pragma GCC unroll 64
    for (size_t i = 0; i < SIZE; ++i) v[i] = rows[i];
#pragma GCC unroll 64
    for (size_t p = TOP; p; p /= 2)
#pragma GCC unroll 64
        for (size_t q = TOP; q >= p; q /= 2)
#pragma GCC unroll 64
            for (size_t i = 0; i < SIZE; ++i) {
                const size_t remainder = q == TOP ? 0 : p, distance = q == TOP ? p : 2 * q - p;
                if ((i & p) == remainder && i + distance < SIZE) exchange(v[i], v[i + distance]);
            }
    return {v[SIZE / 2 - 1], v[SIZE / 2]};
}

struct Network {
    size_t size;
    Middle (*middle)(const Side* rows);
};

constexpr Network NETWORKS[] = {
    {2, middle_of<2>},   {4, middle_of<4>},   {6, middle_of<6>},   {8, middle_of<8>},   {12, middle_of<12>},
    {16, middle_of<16>}, {20, middle_of<20>}, {24, middle_of<24>}, {32, middle_of<32>}, {48, middle_of<48>},
    {64, middle_of<64>},
};
constexpr size_t MOST_UNROLLED = 64;

template <bool MEDIAN>
SUAT_APART size_t summarise(
    const double* x, const size_t* begin, const double* start, size_t buckets, const Columns& out) {
    const Side nothing = Side{} + NOTHING;
    size_t kept = 0;
    for (size_t first = 0; first < buckets; first += SIDE) {
        const size_t lanes = buckets - first < SIDE ? buckets - first : SIDE;
        const double* from[SIDE];
        size_t last_row[SIDE], least = begin[buckets], most = 0;
        Side size;
        for (size_t lane = 0; lane < SIDE; ++lane) {
            const size_t bucket = first + (lane < lanes ? lane : 0), rows = begin[bucket + 1] - begin[bucket];
            from[lane] = x + begin[bucket];
            last_row[lane] = rows - 1;
            size[lane] = static_cast<double>(rows);
            least = rows < least ? rows : least;
            most = rows > most ? rows : most;
        }
        Side keys[MEDIAN ? SMALL : 1], low = Side{} + INF, high = -low, last{}, sum{}, lost{};
        SideCounts count{};
        // What stands for a missing reading: an infinity of either sign in turn, so that the middle stays where it is.
        Side absent = Side{} + INF;
        const auto take = [&](size_t row, Side value) __attribute__((always_inline)) {
            const SideCounts valid = value == value;
            const Side key = value + 0.0, term = valid ? value : Side{};
            if constexpr (MEDIAN) {
                keys[row] = valid ? key : absent;
                absent = valid ? absent : -absent;
            }
            count -= valid;
            last = valid ? value : last;
            low = key < low ? key : low;
            high = key > high ? key : high;
            const Side grown = sum + term, part = grown - sum;  // Knuth's two-sum keeps what the addition rounds away
            lost += (sum - (grown - part)) + (term - part);
            sum = grown;
        };
        for (size_t row = 0; row < least; ++row) {
            Side value;
            for (size_t lane = 0; lane < SIDE; ++lane) value[lane] = from[lane][row];
            take(row, value);
        }
        for (size_t row = least; row < most; ++row) {
            Side value;
            for (size_t lane = 0; lane < SIDE; ++lane)
                value[lane] = from[lane][row < last_row[lane] ? row : last_row[lane]];
            take(row, static_cast<double>(row) < size ? value : nothing);
        }
        const Side whole = sum + lost;
        const Side mean = (sum - sum == 0 ? whole : sum) / __builtin_convertvector(count, Side);
        Side found[] = {low, high, mean == mean ? mean : nothing, last, nothing};
        if constexpr (MEDIAN) {
            const Network* network = NETWORKS;
            while (most <= MOST_UNROLLED && network->size < most) ++network;
            const size_t filled = most <= MOST_UNROLLED ? network->size : most + (most & 1);
            for (size_t row = most; row < filled; ++row) {
                keys[row] = absent;
                absent = -absent;
            }
            const Middle middle = most <= MOST_UNROLLED ? network->middle(keys) : middle_of_many(keys, filled);
            const Side median = (count & 1) != 0 ? middle.left : (middle.left + middle.right) / 2;
            found[4] = median == median ? median : nothing;
        }
        double* const columns[] = {out.min, out.max, out.mean, out.last, out.median};
        bool all_filled = lanes == SIDE;
        for (size_t lane = 0; lane < SIDE; ++lane) all_filled &= count[lane] > 0;
        if (all_filled) {
            std::memcpy(out.start + kept, start + first, sizeof(Side));
            std::memcpy(out.count + kept, &count, sizeof(Side));
            for (size_t i = 0; i < 4 + MEDIAN; ++i) std::memcpy(columns[i] + kept, &found[i], sizeof(Side));
            kept += SIDE;
            continue;
        }
        for (size_t lane = 0; lane < lanes; ++lane) {
            out.start[kept] = start[first + lane];
            out.count[kept] = count[lane];
            for (size_t i = 0; i < 4 + MEDIAN; ++i) columns[i][kept] = found[i][lane];
            kept += count[lane] > 0;
        }
    }
    return kept;
}

// As Kernels says it; where medians are wanted, no bucket holds more than SMALL readings.
size_t summarise(const double* x, const size_t* begin, const double* start, size_t buckets, const Columns& out) {
    const auto wanted = out.median ? summarise<true> : summarise<false>;
    return wanted(x, begin, start, buckets, out);
}

}  // namespace
}  // namespace suat
