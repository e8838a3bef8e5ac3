// Theil-Sen line: the exact median of the slopes of all pairs.
//
// Slopes drawn at random give a bracket about the median (order.hpp tells how many pairs lie below and inside). Once it
// holds few, their slopes are worked out and the median is selected among them. Heights are rounded, so a slope close
// to an edge of the bracket may be counted on its wrong side; pairs so close in time that this could reach the median
// are judged by their slope itself. Where a slope is met very often, or not defined, every pair is looked at.
#pragma once

#include <optional>
#include <vector>

#include "kernels/common.hpp"
#include "kernels/order.hpp"
#include "kernels/select.hpp"

namespace suat {

struct Line { double slope, intercept; };

class Slopes {
public:
    // Ordered by time, then by reading; no NaN.
    Slopes(const std::vector<double>& times, const std::vector<double>& readings) : t(times), x(readings) {
        const size_t n = t.size();
        later.resize(n);
        for (size_t i = n; i-- > 0;) later[i] = i + 1 < n && t[i + 1] == t[i] ? later[i + 1] : i + 1;
        for (size_t i = 0; i < n; ++i) total += n - later[i];
        for (const double value : x) largest = std::max(largest, std::fabs(value));
    }

    // NaN when no two times differ, or when a slope is undefined (inf - inf).
    double median() const {
        if (!total) return NOTHING;
        if (total <= ALL_AT_ONCE) return within(-INF, INF).value();
        if (std::isfinite(largest))
            for (uint64_t seed = 1; seed <= 2; ++seed)
                if (const std::optional<double> slope = narrowed(seed)) return *slope;
        return of_all();
    }

private:
    static constexpr size_t ALL_AT_ONCE = 1 << 14, BLOCK = 512, FEWEST_DRAWN = 1 << 10, MOST_DRAWN = 1 << 18;

    // Slopes between `low` and `high`: how many there are, and how many lie below.
    struct Bracket {
        double low, high;
        uint64_t below, inside;
    };

    double between(size_t i, size_t j) const { return (x[j] - x[i]) / (t[j] - t[i]) + 0.0; }

    std::optional<double> narrowed(uint64_t seed) const {
        const uint64_t few = std::max<uint64_t>({1 << 17, 16 * t.size(), std::min<uint64_t>(total / 16, 1 << 22)});
        Bracket bracket{-INF, INF, 0, total};
        Dice dice{seed};
        while (bracket.inside > few) {
            const uint64_t before = bracket.inside;
            if (!narrow(bracket, dice) || bracket.inside > before / 2) return {};
        }
        return select(bracket);
    }

    // Some slopes of the bracket, drawn at random and sorted; nothing where it takes too long to find them.
    std::vector<double> draw(const Bracket& from, Dice& dice) const {
        const double worth = std::pow(static_cast<double>(from.inside) / 4, 2. / 3);  // as much as selecting will take
        const size_t size = std::clamp(static_cast<size_t>(worth), FEWEST_DRAWN, MOST_DRAWN);
        const size_t n = t.size();
        std::vector<double> drawn;
        drawn.reserve(size);
        for (uint64_t tries = 16 * size * (n * n / from.inside + 1); drawn.size() < size; --tries) {
            if (!tries) return {};
            const size_t i = dice.below(n), j = dice.below(n);
            if (t[i] == t[j]) continue;
            const double slope = between(i, j);
            if (from.low < slope && slope < from.high) drawn.push_back(slope);
        }
        std::sort(drawn.begin(), drawn.end());
        return drawn;
    }

    // Three standard deviations about the place of the median among those drawn, on both sides up to another value.
    bool narrow(Bracket& bracket, Dice& dice) const {
        const std::vector<double> drawn = draw(bracket, dice);
        if (drawn.empty()) return false;
        const double size = static_cast<double>(drawn.size());
        const double place = static_cast<double>(total / 2 - bracket.below) / static_cast<double>(bracket.inside);
        const double reach = 1.5 * std::sqrt(size);
        const auto at = [&](double rank) { return drawn[static_cast<size_t>(std::clamp(rank, 0.0, size - 1))]; };
        const auto lower = std::lower_bound(drawn.begin(), drawn.end(), at(place * size - reach));
        const auto upper = std::upper_bound(drawn.begin(), drawn.end(), at(place * size + reach));
        if (lower == drawn.begin() || upper == drawn.end()) return false;
        bracket.low = *(lower - 1);
        bracket.high = *upper;
        Order order = by_time();
        bracket.below = order.turn(bracket.low, [](size_t, size_t, size_t) {});
        bracket.inside = order.turn(bracket.high, [](size_t, size_t, size_t) {});
        return bracket.below <= (total - 1) / 2 && total / 2 < bracket.below + bracket.inside;
    }

    Order by_time() const {
        Order order(t, x);
        order.t_zero = t[t.size() / 2];
        return order;
    }

    // The median, if it lies within the bracket and not too close to its edges.
    std::optional<double> select(const Bracket& bracket) const {
        std::vector<double> slopes;
        slopes.reserve(bracket.inside);
        Order order = by_time();
        order.turn(bracket.low, [](size_t, size_t, size_t) {});
        order.turn(bracket.high, [&](size_t i, size_t end, size_t k) {
            const double *ts = order.t.data(), *xs = order.x.data();
            const size_t kept = slopes.size();
            slopes.resize(kept + end - i);
            double* to = slopes.data() + kept;
            for (size_t j = i; j < end; ++j) to[j - i] = (xs[k] - xs[j]) / (ts[k] - ts[j]) + 0.0;
        });
        uint64_t below = bracket.below;
        const double edge = (bracket.high - bracket.low) / 64;
        // Of a height no more than this is lost in rounding, and of a difference of two twice as much.
        const double steepest = std::max(std::fabs(bracket.low), std::fabs(bracket.high));
        const double lost = 0x1p-52 * (largest + 4 * steepest * (t.back() - t.front())) + 0x1p-1072;  // denormals too
        if (!std::isfinite(lost) || !judge_close(bracket, 2 * lost / edge, below, slopes)) return {};
        const uint64_t k = (total - 1) / 2, l = total / 2;
        if (k < below || l >= below + slopes.size()) return {};
        const double found = middle(slopes.data(), slopes.size(), k - below, l - below);
        if (!(bracket.low + edge < found && found < bracket.high - edge)) return {};
        return found;
    }

    // Pairs less than `apart` from each other in time that were counted on the wrong side of the bracket's edges.
    bool judge_close(const Bracket& bracket, double apart, uint64_t& below, std::vector<double>& slopes) const {
        const auto height = [&](size_t i, double slope) { return x[i] - slope * (t[i] - t[t.size() / 2]); };
        uint64_t looked_at = 0;
        for (size_t i = 0; i < t.size(); ++i) {
            for (size_t j = later[i]; j < t.size() && t[j] - t[i] < apart; ++j) {
                if (++looked_at > total / 8) return false;
                const double slope = between(i, j);
                const bool counted_below = height(j, bracket.low) < height(i, bracket.low);
                const bool counted_above = !(height(j, bracket.high) < height(i, bracket.high));
                if (counted_below && counted_above) return false;
                if ((counted_below && slope > bracket.low) || (counted_above && slope < bracket.high)) {
                    below -= counted_below;
                    slopes.push_back(slope);
                }
            }
        }
        return true;
    }

    double of_all() const {
        Dice dice{3};
        const std::vector<double> drawn = draw({-INF, INF, 0, total}, dice);
        if (drawn.empty()) return within(-INF, INF).value();
        const double size = static_cast<double>(drawn.size()), reach = 2 * std::sqrt(size);
        const std::optional<double> slope =
            within(drawn[static_cast<size_t>(size / 2 - reach)], drawn[static_cast<size_t>(size / 2 + reach)]);
        return slope ? *slope : within(-INF, INF).value();
    }

    // The median, if it lies in [low, high]: looks at every pair. Slopes equal to an edge are counted, not kept: a
    // series of few distinct values has few distinct slopes, each met very often.
    std::optional<double> within(double low, double high) const {
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
        if (undefined) return NOTHING;
        if (low == high) at_high = 0;
        const uint64_t k = (total - 1) / 2, l = total / 2;
        if (k < below || l >= below + at_low + kept + at_high) return {};
        const auto ranked = [&](uint64_t rank) {
            if (rank < at_low) return low;
            if (rank >= at_low + kept) return high;
            return middle(inside.data(), kept, rank - at_low, rank - at_low);
        };
        if (k - below >= at_low && l - below < at_low + kept)
            return middle(inside.data(), kept, k - below - at_low, l - below - at_low);
        return (ranked(k - below) + ranked(l - below)) / 2;
    }

    const std::vector<double>&t, &x;
    std::vector<size_t> later;  // for each reading, the first one with a later time
    uint64_t total = 0;
    double largest = 0;
};

inline Line theil_sen(const double* t, const double* x, size_t n) {
    std::vector<double> times, readings;
    for (size_t i = 0; i < n; ++i)
        if (x[i] == x[i]) { times.push_back(t[i]); readings.push_back(x[i] + 0.0); }
    for (size_t from = 0, to = 0; from < times.size(); from = to) {
        while (to < times.size() && times[to] == times[from]) ++to;
        std::sort(readings.begin() + static_cast<ptrdiff_t>(from), readings.begin() + static_cast<ptrdiff_t>(to));
    }
    const double slope = Slopes(times, readings).median();
    if (slope != slope) return {NOTHING, NOTHING};
    const double level = median_of_many(readings.data(), readings.size());
    const double intercept = level - slope * median_of_many(times.data(), times.size());
    return {slope, intercept == intercept ? intercept : NOTHING};
}

}  // namespace suat
