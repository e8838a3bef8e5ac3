// The quality chain of one reading, and the channels whose state it keeps, one contiguous block a channel.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels/series.hpp"

namespace suat {

enum Flag : uint16_t { RANGE = 1, RATE = 2, STUCK = 4, SPIKE = 8, GAP = 16, CLOCK = 32 };

// Mirrors ChannelSettings (settings.py), field by field and in its order; there the meaning is written. The saved form
// is this struct.
struct Settings {
    double minimum, maximum, max_rate, stuck_seconds, n_sigmas, resolution, gap_seconds, q, r;
    int32_t rate_accept, stuck_count, window, spike_accept;
};

struct State {
    double seen_t;                  // the last reading that was not missing, refused ones too
    double good_t, good_x;          // the last reading believed
    double odd_t, odd_x;            // the last of `odd` readings that changed too fast
    double same_t, same_x;          // when the present value was first read, `same` times so far
    Kalman kalman;
    int32_t odd, same, spikes;      // spikes in a row; negative below the median
    int32_t trend;                  // the direction of the step just believed, or 0
    int32_t place, held;            // next place in the ring, readings in it
    int32_t has_good, has_kalman;
};

static_assert(sizeof(Settings) == 88 && sizeof(State) == 112, "the saved form has no padding");

inline size_t bytes_of(int window) {
    return sizeof(State) + (window ? sizeof(double) * static_cast<size_t>(2 * window + GUARDS) : 0);
}

// One channel: where its state lies, and the settings that apply.
struct Channel {
    State& s;
    double* ring;    // the readings of the window as they came
    double* sorted;  // the same, sorted, and its guard
    const Settings& p;

    Channel(unsigned char* block, const Settings& settings)
        : s(*reinterpret_cast<State*>(block)), ring(reinterpret_cast<double*>(block + sizeof(State))),
          sorted(ring + settings.window), p(settings) {}

    void reset() {
        s = State{};
        s.seen_t = -INF;
        forget_window();
    }

    void forget_window() {
        s.place = s.held = s.spikes = 0;
        if (!p.window) return;
        std::fill(ring, ring + p.window, INF);
        clear(sorted, p.window);
    }

    // The level has changed in truth: what was known of the old one would only be in the way.
    void believe_step() {
        forget_window();
        s.has_kalman = 0;
        s.odd = 0;
    }

    double allowed(double since, double t) const { return p.max_rate * (t - since) + p.resolution; }

    // Whether the change since the last good reading is too fast. A step that stays, or goes on the same way, for
    // `rate_accept` readings is believed, and so is each further one of the same climb: a tank that is being filled.
    bool too_fast(double t, double x) {
        if (!(p.max_rate > 0) || !s.has_good) return false;
        if (!(std::fabs(x - s.good_x) > allowed(s.good_t, t))) {
            s.odd = s.trend = 0;
            return false;
        }
        const int direction = x > s.good_x ? 1 : -1;
        if (direction != s.trend) {
            const bool stays = std::fabs(x - s.odd_x) <= allowed(s.odd_t, t);
            const bool goes_on = (x - s.odd_x) * direction > 0 && (s.odd_x - s.good_x) * direction > 0;
            s.odd = s.odd && (stays || goes_on) ? s.odd + 1 : 1;
            s.odd_t = t;
            s.odd_x = x;
            if (!p.rate_accept || s.odd < p.rate_accept) return true;
            s.trend = direction;
        }
        believe_step();
        return false;
    }

    bool stuck(double t, double x) {
        if (s.same && x == s.same_x) {
            s.same += s.same < std::numeric_limits<int32_t>::max();
        } else {
            s.same = 1;
            s.same_t = t;
            s.same_x = x;
        }
        const bool judged = p.stuck_count > 0 || p.stuck_seconds > 0;
        return judged && s.same > 1 && s.same >= p.stuck_count && t - s.same_t >= p.stuck_seconds;
    }

    void hold(double x) {
        const double old = ring[s.place], fresh = x + 0.0;
        replace(sorted, p.window, old, fresh);
        ring[s.place] = fresh;
        s.place = s.place + 1 == p.window ? 0 : s.place + 1;
        s.held += s.held < p.window;
    }

    // Hampel over the trailing window, x in it; gives what stands for x. The resolution is the least sigma.
    double despike(double x, uint16_t& flags) {
        hold(x);
        const double m = median_of(sorted, s.held);
        const double distance = std::fabs(x - m);
        const double scale = p.n_sigmas * MAD_TO_SIGMA;
        if (!(distance > scale * mad_of(sorted, s.held, m) && distance > p.n_sigmas * p.resolution)) {
            s.spikes = 0;
            return x;
        }
        const int side = x > m ? 1 : -1;
        s.spikes = s.spikes * side > 0 ? s.spikes + side : side;
        if (p.spike_accept && std::abs(s.spikes) >= p.spike_accept) {
            believe_step();
            hold(x);
            return x;
        }
        flags |= SPIKE;
        return m;
    }

    uint16_t push(double t, double x, double& value) {
        value = NOTHING;
        if (!std::isfinite(t) || t < s.seen_t) return CLOCK;
        if (x != x) return 0;
        uint16_t flags = 0;
        if (p.gap_seconds > 0 && s.seen_t > -INF && t - s.seen_t > p.gap_seconds) {
            flags |= GAP;
            forget_window();
            s.same = 0;
        }
        s.seen_t = t;
        if (!(x >= p.minimum && x <= p.maximum && std::isfinite(x))) return flags | RANGE;
        if (too_fast(t, x)) flags |= RATE;
        if (stuck(t, x)) flags |= STUCK;
        if (flags & (RATE | STUCK)) return flags;
        value = p.window ? despike(x, flags) : x;
        if (!(flags & SPIKE)) {
            s.good_t = t;
            s.good_x = x;
            s.has_good = 1;
        }
        if (p.q > 0) {
            if (s.has_kalman) s.kalman.update(t, value, p.q, p.r); else s.kalman.begin(t, value, p.r);
            s.has_kalman = 1;
            value = s.kalman.x;
        }
        return flags;
    }
};

// All channels. Calls from several threads take turns.
class Bank {
public:
    size_t size() const { return kind.size(); }
    size_t kinds() const { return table.size(); }
    const Settings* settings() const { return table.data(); }
    const uint32_t* kind_of() const { return kind.data(); }

    // `more` channels; channel i of them has settings number which[i] of `added` (which may repeat what is known).
    void grow(const Settings* added, size_t n_added, const uint32_t* which, size_t more) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        const uint32_t first = static_cast<uint32_t>(table.size());
        size_t bytes = memory.size();
        for (size_t i = 0; i < more; ++i) {
            SUAT_CHECK(which[i] < n_added);
            bytes += bytes_of(added[which[i]].window);
        }
        memory.reserve(bytes);  // whatever can fail for want of memory fails before anything has changed
        offset.reserve(offset.size() + more);
        kind.reserve(kind.size() + more);
        table.insert(table.end(), added, added + n_added);
        for (size_t i = 0; i < more; ++i) {
            offset.push_back(memory.size());
            kind.push_back(first + which[i]);
            memory.resize(memory.size() + bytes_of(added[which[i]].window));
            channel(size() - 1).reset();
        }
    }

    void reset(size_t i) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        channel(i).reset();
    }

    uint16_t push(size_t i, double t, double x, double& value) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        return channel(i).push(t, x, value);
    }

    // False, and nothing done, when one of the channels does not exist.
    bool push_many(const int64_t* which, const double* t, const double* x, double* values, uint16_t* flags, size_t n) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        for (size_t i = 0; i < n; ++i)
            if (which[i] < 0 || static_cast<uint64_t>(which[i]) >= size()) return false;
        for (size_t i = 0; i < n; ++i) flags[i] = channel(static_cast<size_t>(which[i])).push(t[i], x[i], values[i]);
        return true;
    }

    // Saved form of the states: each channel's State and the ring of its window. The sorted window follows from it.
    size_t saved_bytes() const {
        size_t bytes = 0;
        for (const uint32_t k : kind) bytes += sizeof(State) + sizeof(double) * static_cast<size_t>(table[k].window);
        return bytes;
    }

    void save(unsigned char* to) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        for (size_t i = 0; i < size(); ++i) {
            const size_t bytes = sizeof(State) + sizeof(double) * static_cast<size_t>(table[kind[i]].window);
            std::memcpy(to, memory.data() + offset[i], bytes);
            to += bytes;
        }
    }

    // False when a state could not have been saved by us; the bank must then be thrown away.
    bool load(const unsigned char* from) {
        for (size_t i = 0; i < size(); ++i) {
            Channel c = channel(i);
            const int w = c.p.window;
            const size_t bytes = sizeof(State) + sizeof(double) * static_cast<size_t>(w);
            std::memcpy(memory.data() + offset[i], from, bytes);
            from += bytes;
            if (c.s.place < 0 || c.s.held < 0 || c.s.held > w || c.s.place >= std::max(w, 1)) return false;
            if (c.s.held < w && c.s.place != c.s.held) return false;
            if (c.s.odd < 0 || c.s.same < 0 || c.s.trend < -1 || c.s.trend > 1) return false;
            if (c.s.spikes == std::numeric_limits<int32_t>::min() || c.s.seen_t != c.s.seen_t) return false;
            for (int k = 0; k < w; ++k)
                if (k < c.s.held ? !std::isfinite(c.ring[k]) : c.ring[k] != INF) return false;
            std::copy(c.ring, c.ring + w, c.sorted);
            std::sort(c.sorted, c.sorted + w);
        }
        return true;
    }

private:
    Channel channel(size_t i) {
        SUAT_CHECK(i < kind.size());
        return Channel(memory.data() + offset[i], table[kind[i]]);
    }

    std::vector<unsigned char> memory;
    std::vector<size_t> offset;
    std::vector<uint32_t> kind;
    std::vector<Settings> table;
    std::mutex one_at_a_time;
};

}  // namespace suat
