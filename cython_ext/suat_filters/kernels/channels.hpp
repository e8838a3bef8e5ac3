// The filters over the series of many channels, on several threads.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/common.hpp"
#include "kernels/paths.hpp"
#include "kernels/resample.hpp"
#include "kernels/theil_sen.hpp"
#include "kernels/threads.hpp"

namespace suat {

// Index of the first time that is not finite or lies before its predecessor; n when all is in order.
inline size_t first_disorder(const Kernels& kernels, const double* t, size_t n) {
    if (kernels.in_order(t, n)) return n;
    for (size_t i = 0; i < n; ++i)
        if (!std::isfinite(t[i]) || (i && t[i] < t[i - 1])) return i;
    return n;
}

// Calls work(first, count) for so many channels that they fill the vectors of any CPU, or fewer, so that all threads
// have some.
template <class Work>
void in_groups(size_t channels, int threads, Work work) {
    constexpr size_t FULL = 16;
    const size_t share = (channels + static_cast<size_t>(threads) - 1) / static_cast<size_t>(threads);
    const size_t group = std::clamp<size_t>(share, 1, FULL);
    in_parallel((channels + group - 1) / group, threads, [&](size_t i) {
        work(i * group, std::min(group, channels - i * group));
    });
}

inline void ewma(const Kernels& kernels, const Rows& rows, size_t channels, double tau, int threads) {
    in_groups(channels, threads, [&](size_t first, size_t count) { kernels.ewma(rows, first, count, tau); });
}

inline void kalman(const Kernels& kernels, const Rows& rows, size_t channels, double q, double r, int threads) {
    in_groups(channels, threads, [&](size_t first, size_t count) { kernels.kalman(rows, first, count, q, r); });
}

// Slopes, then intercepts, to rows.out.
inline void theil_sen(const Rows& rows, size_t channels, int threads) {
    in_parallel(channels, threads, [&](size_t i) {
        const Line line = theil_sen(rows.t + i * rows.t_stride, rows.x + i * rows.n, rows.n);
        rows.out[i] = line.slope;
        rows.out[channels + i] = line.intercept;
    });
}

// Resampling in two steps, so that the caller can make room for what there will be.
struct Resampling {
    std::vector<Cut> cuts;      // one, or one a channel
    std::vector<size_t> place;  // where a channel's buckets begin, and the end
    std::vector<size_t> kept;   // how many of them hold a valid reading

    void cut(const Rows& rows, size_t channels, double width, double origin, int threads) {
        cuts.resize(rows.t_stride ? channels : 1);
        in_parallel(cuts.size(), threads, [&](size_t i) {
            cuts[i] = suat::cut(rows.t + i * rows.t_stride, rows.n, width, origin);
        });
        place.assign(1, 0);
        for (size_t i = 0; i < channels; ++i) place.push_back(place.back() + of(i).size());
        kept.assign(channels, 0);
    }

    // Gives how many buckets there are, one channel's behind the other's.
    size_t fill(const Kernels& kernels, const Rows& rows, const Columns& out, int threads) {
        in_parallel(kept.size(), threads, [&](size_t i) {
            kept[i] = suat::fill(kernels, of(i), rows.x + i * rows.n, behind(out, place[i]));
        });
        size_t end = 0;
        for (size_t i = 0; i < kept.size(); ++i) {
            for (double* column : {out.start, out.min, out.max, out.mean, out.last, out.median})
                if (column) std::memmove(column + end, column + place[i], kept[i] * sizeof *column);
            std::memmove(out.count + end, out.count + place[i], kept[i] * sizeof *out.count);
            end += kept[i];
        }
        return end;
    }

private:
    const Cut& of(size_t channel) const { return cuts[cuts.size() > 1 ? channel : 0]; }
};

}  // namespace suat
