// Theil-Sen line: the exact median of the slopes of all pairs, without keeping all pairs.
//
// A sample of pairs gives a bracket that holds the middle slopes all but surely; one pass over the pairs counts those
// below it and collects those inside; the median is selected there. If the bracket missed, a wider one follows.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/resample.hpp"

namespace suat {

struct Line { double slope, intercept; };

class Slopes {
public:
    // t does not decrease; x holds no NaN.
    Slopes(const std::vector<double>& times, const std::vector<double>& readings) : t(times), x(readings) {
        const size_t n = t.size();
        later.resize(n);
        for (size_t i = n; i-- > 0;) later[i] = i + 1 < n && t[i + 1] == t[i] ? later[i + 1] : i + 1;
        for (size_t i = 0; i < n; ++i) total += n - later[i];
    }

    // NaN when no two times differ, or when a slope is undefined (inf - inf).
    double median() {
        if (!total) return NOTHING;
        if (total <= ALL_AT_ONCE) return within(-INF, INF);
        double sigmas = 4;
        for (uint64_t seed = 1; seed <= 4; ++seed, sigmas *= 4) {
            const std::vector<double> drawn = sample(seed);
            const double size = static_cast<double>(drawn.size());
            const double reach = sigmas * 0.5 * std::sqrt(size);
            const double low = size / 2 - reach, high = size / 2 + reach;
            const double slope = within(low < 0 ? -INF : drawn[static_cast<size_t>(low)],
                                        high >= size ? INF : drawn[static_cast<size_t>(high)]);
            if (!missed) return slope;
        }
        return within(-INF, INF);
    }

private:
    static constexpr size_t ALL_AT_ONCE = 1 << 14, BLOCK = 512, MOST_DRAWN = 1 << 18;

    double between(size_t i, size_t j) const { return (x[j] - x[i]) / (t[j] - t[i]) + 0.0; }

    std::vector<double> sample(uint64_t seed) const {
        const size_t n = t.size(), size = std::min<size_t>(MOST_DRAWN, std::max<size_t>(1 << 10, total >> 7));
        std::vector<double> drawn;
        drawn.reserve(size);
        uint64_t state = seed * 0x9E3779B97F4A7C15u;
        const auto next = [&] {  // splitmix64: fixed seeds, so that a run can be repeated
            uint64_t z = (state += 0x9E3779B97F4A7C15u);
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
            return z ^ (z >> 31);
        };
        while (drawn.size() < size) {
            size_t i = next() % n, j = next() % n;
            if (i > j) std::swap(i, j);
            if (t[i] == t[j]) continue;
            const double slope = between(i, j);
            drawn.push_back(slope == slope ? slope : 0.0);
        }
        std::sort(drawn.begin(), drawn.end());
        return drawn;
    }

    // The median, if it lies in [low, high]; else `missed`. Slopes equal to an edge are counted, not kept: a series of
    // few distinct values has few distinct slopes, each met very often.
    double within(double low, double high) {
        uint64_t below = 0, at_low = 0, at_high = 0, undefined = 0;
        std::vector<double> inside;
        size_t kept = 0;
        double block[BLOCK];
        for (size_t i = 0; i < t.size(); ++i) {
            for (size_t j = later[i]; j < t.size(); j += BLOCK) {
                const size_t size = std::min(BLOCK, t.size() - j);
                const double* to = t.data() + j;
                const double* up = x.data() + j;
                for (size_t k = 0; k < size; ++k) block[k] = (up[k] - x[i]) / (to[k] - t[i]) + 0.0;
                if (inside.size() < kept + BLOCK) inside.resize(2 * (kept + BLOCK));
                double* free = inside.data() + kept;
                size_t more = 0;
                for (size_t k = 0; k < size; ++k) {
                    const double slope = block[k];
                    below += slope < low;
                    at_low += slope == low;
                    at_high += slope == high;
                    undefined += slope != slope;
                    free[more] = slope;
                    more += (slope > low) & (slope < high);
                }
                kept += more;
            }
        }
        if (low == high) at_high = 0;
        const uint64_t ranks[2] = {(total - 1) / 2, total / 2};
        missed = !undefined && (ranks[0] < below || ranks[1] >= below + at_low + kept + at_high);
        if (undefined || missed) return NOTHING;
        double middle[2];
        for (int side = 0; side < 2; ++side) {
            const uint64_t rank = ranks[side] - below;
            if (rank < at_low) middle[side] = low;
            else if (rank >= at_low + kept) middle[side] = high;
            else {
                const auto place = inside.begin() + static_cast<ptrdiff_t>(rank - at_low);
                std::nth_element(inside.begin(), place, inside.begin() + static_cast<ptrdiff_t>(kept));
                middle[side] = *place;
            }
        }
        return total & 1 ? middle[0] : (middle[0] + middle[1]) / 2;
    }

    const std::vector<double>&t, &x;
    std::vector<size_t> later;  // for each reading, the first one with a later time
    uint64_t total = 0;
    bool missed = false;
};

inline Line theil_sen(const double* t, const double* x, size_t n) {
    std::vector<double> times, readings;
    for (size_t i = 0; i < n; ++i)
        if (x[i] == x[i]) { times.push_back(t[i]); readings.push_back(x[i] + 0.0); }
    const double slope = Slopes(times, readings).median();
    if (slope != slope) return {NOTHING, NOTHING};
    const double level = median_in_place(readings.data(), readings.size());
    const double middle = median_in_place(times.data(), times.size());
    return {slope, level - slope * middle};
}

}  // namespace suat
