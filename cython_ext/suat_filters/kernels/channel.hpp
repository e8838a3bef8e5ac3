// The quality chain of one reading: how a channel's next reading is judged.
#pragma once

#include "kernels/held.hpp"
#include "kernels/wave.hpp"

namespace suat {
namespace {

constexpr double OPENS = 1.0 / 3;        // share of doubtful readings at which a probe counts as broken
constexpr double CLOSES = 1.0 / 12;      // and at which it no longer does
constexpr double FORGOTTEN = 1.0 / 100;  // and below which an episode cannot begin further back
constexpr double MOST_WEIGHT = 1.0 / 8;  // of one reading in that share
constexpr int STANDSTILL = 3;            // readings after the first that may have one and the same time

// One channel: where its state lies, and the settings that apply.
struct Channel {
    State& s;
    const Settings& p;
    const Held window;
    const uint32_t number;
    Revisions& revisions;

    Channel(unsigned char* block, const Settings& settings, uint32_t which, Revisions& to)
        : s(*reinterpret_cast<State*>(block)), p(settings),
          window(reinterpret_cast<double*>(block + sizeof(State)), settings.window), number(which), revisions(to) {}

    void reset() {
        s = State{};
        s.seen_t = s.before_t = s.gap_from = s.gap_to = -INF;
        forget_window();
    }

    void forget_window() {
        s.place = s.held = 0;
        s.spikes = 0;
        window.clear();
    }

    // After state and ring were put back. False when they cannot have come from here.
    bool restore() {
        if (!sound()) return false;
        window.sort(s.held);
        return true;
    }

    bool sound() const {
        const int w = p.window;
        if (s.place < 0 || s.held < 0 || s.held > w || s.place >= (w ? w : 1)) return false;
        if (s.held < w && s.place != s.held) return false;
        if (s.odd < 0 || s.same < 0 || s.trend < -1 || s.trend > 1 || s.known > (GOOD | SMOOTH | EPISODE)) return false;
        if (s.spikes == INT32_MIN || s.seen_t != s.seen_t) return false;
        if (s.back < 0 || s.back >= (p.clock_accept ? p.clock_accept : 1) || s.still < 0 || s.still > STANDSTILL) return false;
        if (s.run < 0 || s.run >= p.clock_days || s.learnt < 0 || s.learnt > LEARNT) return false;
        if (s.shifted < 0 || s.shifted > LONGEST_ERROR || s.covered_ms < 0 || s.covered_ms > 2 * 86'400'000) return false;
        for (int k = 0; k < w; ++k)
            if (k < s.held ? !std::isfinite(window.ring[k]) : window.ring[k] != INF) return false;
        return true;
    }

    void revise(double since, double until, uint16_t set, uint16_t clear) {
        if (since <= until) revisions.add({number, set, clear, since, until});
    }

    // The level has changed in truth: what was known of the old one would only be in the way.
    void believe_step() {
        forget_window();
        s.known &= static_cast<uint8_t>(~SMOOTH);
        s.odd = 0;
    }

    // Whether the time lies before the last one. A clock that was set back is believed after `clock_accept` readings; had
    // it been ahead since the last gap, what it dated there was dated wrongly.
    bool set_back(double t, double x) {
        if (t >= s.seen_t) {
            if (x == x) s.back = 0;
            return false;
        }
        if (x != x || !p.clock_accept || ++s.back < p.clock_accept) return true;
        if (s.gap_from <= t && t < s.gap_to) revise(s.gap_to, s.seen_t, CLOCK, 0);
        const double re = s.wave_re, im = s.wave_im;
        const int16_t learnt = s.learnt;
        reset();
        s.wave_re = re;
        s.wave_im = im;
        s.learnt = learnt;
        return false;
    }

    bool stands_still(double t) {
        if (t > s.seen_t) {
            s.still = 0;
            return false;
        }
        if (s.still == STANDSTILL) return true;
        ++s.still;
        return false;
    }

    // Whether the last reading lies beyond the one before it and this one, and too far from the line between them.
    bool sticks_out(double t, double x) const {
        const double span = t - s.before_t;
        if (!(p.max_noise > 0 && span > 0) || s.before_t == -INF || (p.gap_seconds > 0 && span > p.gap_seconds))
            return false;
        const double rise = s.seen_x - s.before_x, climb = x - s.seen_x;
        if (!(rise * climb < 0)) return false;
        return std::fabs(rise * (t - s.seen_t) - climb * (s.seen_t - s.before_t)) / span > p.max_noise;
    }

    // The share of noise and readings out of range, over about `broken_seconds`. Above a third an episode begins, with
    // the first of them; below a twelfth it has ended, with the last. What was read soundly in between is given back.
    void doubt(double t, double x) {
        if (!(p.broken_seconds > 0)) return;
        const bool noise = sticks_out(t, x), bad = noise || x != x;
        const bool episode = s.known & EPISODE;
        double weight = FORGOTTEN;
        if (s.seen_t > -INF) {
            const double dt = t - s.seen_t;
            weight = dt < p.broken_seconds / 7 ? dt / (dt + p.broken_seconds) : MOST_WEIGHT;
        }
        if (episode && (bad || !(s.known & GOOD))) {  // what sticks out was the last one, this one may be sound
            s.known = x != x ? EPISODE : EPISODE | GOOD;
            s.good_t = t;
        } else if (bad && s.doubt < FORGOTTEN) {
            s.doubt_since = noise ? s.seen_t : t;
        }
        s.doubt += weight * ((bad ? 1.0 : 0.0) - s.doubt);
        if (!episode && s.doubt > OPENS) {
            s.known = noise ? EPISODE | GOOD : EPISODE;
            s.good_t = t;
            revise(s.doubt_since, s.seen_t, BROKEN, 0);
        } else if (episode && s.doubt < CLOSES && (s.known & GOOD)) {
            s.known = 0;
            revise(s.good_t, s.seen_t, 0, BROKEN);
        } else {
            return;
        }
        believe_step();  // what a broken probe has read says nothing of the time after
        s.same = 0;
        s.trend = 0;
    }

    double allowed(double since, double t) const { return p.max_rate * (t - since) + p.resolution; }

    // Whether the change since the last good reading is too fast. A step that stays, or goes on the same way, for
    // `rate_accept` readings is believed, and so is each further one of the same climb: a tank that is being filled.
    bool too_fast(double t, double x, double last) {
        if (!(p.max_rate > 0) || !(s.known & GOOD)) return false;
        if (!(std::fabs(x - s.good_x) > allowed(s.good_t, t))) {
            s.odd = 0;
            s.trend = 0;
            return false;
        }
        const int direction = x > s.good_x ? 1 : -1;
        if (direction != s.trend) {
            const bool stays = std::fabs(x - s.odd_x) <= allowed(s.odd_t, t);
            const bool goes_on = (x - s.odd_x) * direction > 0 && (s.odd_x - s.good_x) * direction > 0;
            s.odd = s.odd && (stays || goes_on) ? s.odd + (s.odd < INT32_MAX) : 1;
            if (s.odd == 1) s.suspect_since = t;
            if (!p.rate_accept || s.odd < p.rate_accept) {
                s.odd_t = t;
                s.odd_x = x;
                s.spikes = 0;
                return true;
            }
            revise(s.suspect_since, last, 0, RATE);
            s.trend = static_cast<int8_t>(direction);
        }
        believe_step();
        return false;
    }

    bool stuck(double t, double x, double last) {
        if (s.same && x == last) {
            s.same += s.same < INT32_MAX;
        } else {
            s.same = 1;
            s.same_t = t;
        }
        const bool judged = p.stuck_count > 0 || p.stuck_seconds > 0;
        return judged && s.same > 1 && s.same >= p.stuck_count && t - s.same_t >= p.stuck_seconds;
    }

    void hold(double x) {
        window.hold(x, s.place);
        s.place = static_cast<int16_t>(s.place + 1 == p.window ? 0 : s.place + 1);
        s.held = static_cast<int16_t>(s.held + (s.held < p.window));
    }

    // Whether x, sound, lies nearer to the spikes just before it than to what was before them: then the level has changed,
    // and the window's median with it. A small window goes over to a new level before `spike_accept` is reached.
    bool stayed(double x) const {
        const int spikes = std::abs(s.spikes);
        if (spikes > s.held - 2) return false;
        const auto back = [this](int n) { return window.ring[(s.place + p.window - n) % p.window]; };
        return std::fabs(x - back(2)) < std::fabs(x - back(spikes + 2));
    }

    // Hampel over the trailing window, x in it; gives what stands for x. The resolution is the least sigma.
    double despike(double t, double x, double last, uint16_t& flags) {
        hold(x);
        const double m = window.median(s.held);
        const double distance = std::fabs(x - m);
        const double scale = p.n_sigmas * MAD_TO_SIGMA;
        if (!(distance > scale * window.mad(s.held, m) && distance > p.n_sigmas * p.resolution)) {
            if (s.spikes && p.spike_accept && stayed(x)) revise(s.suspect_since, last, 0, SPIKE);
            s.spikes = 0;
            return x;
        }
        const int side = x > m ? 1 : -1;
        s.spikes = s.spikes * side > 0 ? s.spikes + side * (std::abs(s.spikes) < INT32_MAX) : side;
        if (s.spikes == side) s.suspect_since = t;
        if (p.spike_accept && std::abs(s.spikes) >= p.spike_accept) {
            revise(s.suspect_since, last, 0, SPIKE);
            believe_step();
            hold(x);
            return x;
        }
        flags |= SPIKE;
        return m;
    }

    void believe(double t, double x, double last) {
        Wave wave{s, p};
        double since = 0;
        if (wave.see(t, x, since)) revise(since, last, s.shifted ? CLOCK : 0, s.shifted ? 0 : CLOCK);
        s.good_t = t;
        s.good_x = x;
        s.known |= GOOD;
    }

    // As kalman (smooth.hpp) does it; what the truth has gained since is in smooth_p already.
    double smooth(double x) {
        const double gain = s.known & SMOOTH ? s.smooth_p / (s.smooth_p + p.r) : 1;
        s.smooth_x = s.known & SMOOTH ? s.smooth_x + gain * (x - s.smooth_x) : x;
        s.smooth_p = gain * p.r;
        s.known |= SMOOTH;
        return s.smooth_x;
    }

    uint16_t push(double t, double x, double& value) {
        value = NOTHING;
        if (!std::isfinite(t) || set_back(t, x)) return CLOCK;
        if (x != x) return 0;
        if (stands_still(t)) return CLOCK;
        uint16_t flags = 0;
        const double last_t = s.seen_t, last_x = s.seen_x;
        if (p.gap_seconds > 0 && last_t > -INF && t - last_t > p.gap_seconds) {
            flags |= GAP;
            forget_window();
            s.same = 0;
            s.gap_from = last_t;
            s.gap_to = t;
            Wave{s, p}.silence(t - last_t);
        }
        const bool in_range = x >= p.minimum && x <= p.maximum && std::isfinite(x);
        const double heard = in_range ? x : NOTHING;  // to what is out of range there is no line
        doubt(t, heard);
        if (s.known & SMOOTH) s.smooth_p += p.q * (t - last_t);
        s.before_t = last_t;
        s.before_x = last_x;
        s.seen_t = t;
        s.seen_x = heard;
        if (s.known & EPISODE) flags |= BROKEN;
        if (!in_range) flags |= RANGE;
        if (flags & (BROKEN | RANGE)) return flags;
        if (too_fast(t, x, last_t)) flags |= RATE;
        if (stuck(t, x, last_x)) flags |= STUCK;
        if (flags & (RATE | STUCK)) return flags;
        value = p.window ? despike(t, x, last_t, flags) : x;
        if (!(flags & SPIKE)) believe(t, x, last_t);
        if (p.q > 0) {
            value = smooth(value);
        }
        if (s.shifted) {
            value = NOTHING;
            flags |= CLOCK;
        }
        return flags;
    }
};

}  // namespace
}  // namespace suat
