// Pairs of readings by their slope, without looking at all pairs.
//
// Seen along a slope s, a reading has the height x - s t. A pair whose heights fall with time is less steep than s: to
// sort by height counts those pairs, and the pairs that change places between two such orders are those whose slope
// lies between (Matousek 1991; Dillencourt, Mount and Netanyahu 1992).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace suat {

// The readings as they are ordered along a slope, and the merges that bring them there.
class Order {
public:
    std::vector<double> height, t, x;

    Order(const std::vector<double>& times, const std::vector<double>& readings) : t(times), x(readings) {
        for (std::vector<double>* other : {&height, &next_height, &next_t, &next_x}) other->resize(t.size());
    }

    // Sorts by height along `slope`; gives how many pairs changed places. Each pair is told: swapped(i, j, k) says that
    // the readings at i to j - 1, as the arrays stand, go behind that at k.
    template <class Swapped>
    uint64_t turn(double slope, Swapped swapped) {
        const size_t n = t.size();
        for (size_t i = 0; i < n; ++i) height[i] = x[i] - slope * (t[i] - t_zero);
        uint64_t swaps = 0;
        for (size_t width = 1; width < n; width *= 2) {
            for (size_t from = 0; from < n; from += 2 * width) {
                const size_t middle = std::min(from + width, n), end = std::min(from + 2 * width, n);
                size_t left = from, right = middle;
                for (size_t to = from; to < end; ++to) {
                    const bool overtakes = right < end && (left == middle || height[right] < height[left]);
                    const size_t taken = overtakes ? right : left;
                    if (overtakes) swapped(left, middle, right);
                    swaps += overtakes ? middle - left : 0;
                    next_height[to] = height[taken];
                    next_t[to] = t[taken];
                    next_x[to] = x[taken];
                    right += overtakes;
                    left += !overtakes;
                }
            }
            std::swap(height, next_height);
            std::swap(t, next_t);
            std::swap(x, next_x);
        }
        return swaps;
    }

    double t_zero = 0;

private:
    std::vector<double> next_height, next_t, next_x;
};

}  // namespace suat
