// What is in each of many small buckets, a bucket in each lane of a vector. Compiled once for each CPU path (path.cpp);
// all give the same bits.
#pragma once

#include "kernels/vectors.hpp"

namespace suat {
namespace {

SUAT_INLINE void exchange(Lanes& low, Lanes& high) {
    const Lanes a = low, b = high;
    low = b < a ? b : a;
    high = b < a ? a : b;
}

// Sorts `size` rows, lane by lane: merge exchange (Batcher; Knuth, The Art of Computer Programming 5.2.2, algorithm M).
SUAT_INLINE void sort_rows(Lanes* rows, size_t size) {
    size_t top = 1;
    while (2 * top < size) top *= 2;
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
}

constexpr size_t below_power(size_t size) {
    size_t top = 1;
    while (2 * top < size) top *= 2;
    return top;
}

// The same without a loop, in registers.
template <size_t SIZE> SUAT_INLINE void sort_few(Lanes* rows) {
    constexpr size_t TOP = below_power(SIZE);
    Lanes v[SIZE];
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
#pragma GCC unroll 64
    for (size_t i = 0; i < SIZE; ++i) rows[i] = v[i];
}

constexpr size_t FEW = 32;

// Up to FEW rows; those up to the next size that has its own code hold INF.
SUAT_INLINE void sort(Lanes* rows, size_t size) {
    if (size <= 1) return;
    else if (size <= 2) sort_few<2>(rows);
    else if (size <= 4) sort_few<4>(rows);
    else if (size <= 6) sort_few<6>(rows);
    else if (size <= 8) sort_few<8>(rows);
    else if (size <= 12) sort_few<12>(rows);
    else if (size <= 16) sort_few<16>(rows);
    else if (size <= 20) sort_few<20>(rows);
    else if (size <= 24) sort_few<24>(rows);
    else if (size <= FEW) sort_few<FEW>(rows);
    else sort_rows(rows, size);
}

// As Kernels says it; no bucket holds more than SMALL readings.
SUAT_APART size_t summarise(
    const double* x, const size_t* begin, const double* start, size_t buckets, const Columns& out) {
    Lanes rows[SMALL];
    size_t kept = 0;
    for (size_t first = 0; first < buckets; first += LANES) {
        const size_t lanes = buckets - first < LANES ? buckets - first : LANES;
        const double* from[LANES];
        size_t size[LANES], least = SMALL, most = 0;
        for (size_t lane = 0; lane < LANES; ++lane) {
            const size_t bucket = first + (lane < lanes ? lane : 0);
            from[lane] = x + begin[bucket];
            size[lane] = begin[bucket + 1] - begin[bucket];
            least = size[lane] < least ? size[lane] : least;
            most = size[lane] > most ? size[lane] : most;
        }
        Lanes high = all(-INF), last{}, sum{}, lost{}, count{};
        for (size_t row = 0; row < most; ++row) {
            Lanes value;
            if (row < least) for (int lane = 0; lane < LANES; ++lane) value[lane] = from[lane][row];
            else for (int lane = 0; lane < LANES; ++lane) value[lane] = row < size[lane] ? from[lane][row] : NOTHING;
            const Counts valid = value == value;
            const Lanes term = valid ? value : all(0), key = valid ? value + 0.0 : all(INF);
            rows[row] = key;
            count += valid ? all(1) : all(0);
            last = valid ? value : last;
            high = value + 0.0 > high ? value + 0.0 : high;
            const Lanes grown = sum + term, part = grown - sum;  // Knuth's two-sum keeps what the addition rounds away
            lost += (sum - (grown - part)) + (term - part);
            sum = grown;
        }
        for (size_t row = most; row < 2 * most && row < FEW; ++row) rows[row] = all(INF);
        sort(rows, most);
        const Lanes whole = sum + lost, mean = known((sum - sum == 0 ? whole : sum) / count);
        for (size_t lane = 0; lane < lanes; ++lane) {
            const size_t n = static_cast<size_t>(count[lane]);
            const size_t right = n / 2, left = n ? (n - 1) / 2 : 0;
            out.start[kept] = start[first + lane];
            out.count[kept] = static_cast<int64_t>(n);
            out.min[kept] = rows[0][lane];
            out.max[kept] = high[lane];
            out.mean[kept] = mean[lane];
            out.last[kept] = last[lane];
            const double median = left == right ? rows[left][lane] : (rows[left][lane] + rows[right][lane]) / 2;
            out.median[kept] = median == median ? median : NOTHING;
            kept += n > 0;
        }
    }
    return kept;
}

}  // namespace
}  // namespace suat
