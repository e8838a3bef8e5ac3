// The quality chain of one reading: what is remembered of a channel, and how its next reading is judged.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/series.hpp"

namespace suat {

enum Flag : uint16_t { RANGE = 1, RATE = 2, STUCK = 4, SPIKE = 8, GAP = 16, CLOCK = 32, BROKEN = 256 };

// Mirrors ChannelSettings (settings.py), field by field and in its order; there the meaning is written. The saved form
// is this struct.
struct Settings {
    double minimum, maximum, max_rate, stuck_seconds, n_sigmas, resolution, gap_seconds, q, r;
    int32_t rate_accept, stuck_count, window, spike_accept;
};

struct State {
    double seen_t;                  // the last reading that was not missing, refused ones too
    double good_t, good_x;          // the last reading believed
    double odd_since;               // the first of `odd` readings that changed too fast
    double odd_t, odd_x;            // and the last
    double same_t, same_x;          // when the present value was first read, `same` times so far
    double spikes_since, spikes_t;  // the first and the last of `spikes`
    Kalman kalman;
    int32_t odd, same, spikes;      // spikes in a row; negative below the median
    int32_t trend;                  // the direction of the step just believed, or 0
    int32_t place, held;            // next place in the ring, readings in it
    int32_t has_good, has_kalman;
};

static_assert(sizeof(Settings) == 88 && sizeof(State) == 136, "the saved form has no padding");

constexpr uint32_t SAVED_FORM = 3;  // another State or Settings, another number

// What is saved of a channel: its state and the ring. The sorted window behind them follows from the ring.
inline size_t kept_of(int window) { return sizeof(State) + sizeof(double) * static_cast<size_t>(window); }

inline size_t bytes_of(int window) {
    return kept_of(window) + (window ? sizeof(double) * static_cast<size_t>(window + GUARDS) : 0);
}

// A change of mind: the channel's readings of since <= t <= until, all of them before the one just pushed, lose the flags
// `clear`, then get `set`.
struct Revision {
    uint32_t channel;
    uint16_t set, clear;
    double since, until;
};

typedef std::vector<Revision> Revisions;

// One channel: where its state lies, and the settings that apply.
struct Channel {
    State& s;
    double* ring;    // the readings of the window as they came
    double* sorted;  // the same, sorted, and its guard
    const Settings& p;
    const uint32_t number;
    Revisions& revisions;

    Channel(unsigned char* block, const Settings& settings, uint32_t which, Revisions& to)
        : s(*reinterpret_cast<State*>(block)), ring(reinterpret_cast<double*>(block + sizeof(State))),
          sorted(ring + settings.window), p(settings), number(which), revisions(to) {}

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

    // After state and ring were put back. False when they cannot have come from here.
    bool restore() {
        if (!sound()) return false;
        if (!p.window) return true;
        clear(sorted, p.window);
        std::copy(ring, ring + p.window, sorted);
        std::sort(sorted, sorted + s.held);
        return true;
    }

    bool sound() const {
        const int w = p.window;
        if (s.place < 0 || s.held < 0 || s.held > w || s.place >= std::max(w, 1)) return false;
        if (s.held < w && s.place != s.held) return false;
        if (s.odd < 0 || s.same < 0 || s.trend < -1 || s.trend > 1) return false;
        if (s.spikes == std::numeric_limits<int32_t>::min() || s.seen_t != s.seen_t) return false;
        for (int k = 0; k < w; ++k)
            if (k < s.held ? !std::isfinite(ring[k]) : ring[k] != INF) return false;
        return true;
    }

    void revise(double since, double until, uint16_t set, uint16_t clear) {
        revisions.push_back({number, set, clear, since, until});
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
            if (s.odd == 1) s.odd_since = t;
            if (!p.rate_accept || s.odd < p.rate_accept) {
                s.odd_t = t;
                s.odd_x = x;
                return true;
            }
            revise(s.odd_since, s.odd_t, 0, RATE);
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
    double despike(double t, double x, uint16_t& flags) {
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
        if (s.spikes == side) s.spikes_since = t;
        if (p.spike_accept && std::abs(s.spikes) >= p.spike_accept) {
            revise(s.spikes_since, s.spikes_t, 0, SPIKE);
            believe_step();
            hold(x);
            return x;
        }
        s.spikes_t = t;
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
        value = p.window ? despike(t, x, flags) : x;
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

}  // namespace suat
