// What is set for a channel, what is remembered of it, and what is thought better of.
#pragma once

#include <cstdint>

#include "kernels/held.hpp"

namespace suat {

enum Flag : uint16_t { RANGE = 1, RATE = 2, STUCK = 4, SPIKE = 8, GAP = 16, CLOCK = 32, BROKEN = 256 };

// Mirrors ChannelSettings (settings.py), field by field and in its order; there the meaning is written. The saved form
// is this struct.
struct Settings {
    double minimum, maximum, max_rate, stuck_seconds, n_sigmas, resolution, gap_seconds, q, r, max_noise, broken_seconds,
        day_swing;
    int32_t rate_accept, stuck_count, window, spike_accept, clock_accept, clock_days;
};

// Bits of State::known.
enum Known : uint8_t { GOOD = 1, SMOOTH = 2, EPISODE = 4 };

struct State {
    double seen_t, seen_x;                      // the last reading that was not missing; NaN: out of range
    double before_t, before_x;                  // and the one before it
    double good_t, good_x;                      // the last reading believed; in an episode: since when it reads soundly
    double suspect_since;                       // the first of `odd`, or of `spikes`: one of them runs at a time
    double odd_t, odd_x;                        // the last of `odd` readings that changed too fast
    double same_t;                              // when the present value was first read, `same` times so far
    double doubt, doubt_since;                  // share of readings that were noise or out of range, and its first one
    double gap_from, gap_to;                    // the readings on both sides of the last gap
    double day_re, day_im, wave_re, wave_im;    // vectors of the present day and of the days before
    double smooth_x, smooth_p;                  // of the smoother, at the last reading
    int32_t odd, same, spikes;                  // spikes in a row; negative below the median
    int32_t day, run_day;                       // the present day; the first of `run`
    int32_t covered_ms;                         // how much of the present day the vector has seen
    int16_t place, held;                        // next place in the ring, readings in it
    int16_t back, still;                        // readings in a row with an earlier, with the same time
    int16_t run, learnt, shifted;               // days that contradict, days the wave was learnt from, of a wrong clock
    int8_t trend;                               // the direction of the step just believed, or 0
    uint8_t known;
};

static_assert(sizeof(Settings) == 120 && sizeof(State) == 200, "the saved form has no padding");

constexpr uint32_t SAVED_FORM = 4;  // another State or Settings, another number

// What is saved of a channel: its state and the ring. The sorted window behind them follows from the ring.
inline size_t kept_of(int window) { return sizeof(State) + sizeof(double) * static_cast<size_t>(window); }

inline size_t bytes_of(int window) { return kept_of(window) + sizeof(double) * static_cast<size_t>(places_of(window)); }

// A change of mind: the channel's readings of since <= t <= until, all pushed before the present one, lose the flags
// `clear`, then get `set`.
struct Revision {
    uint32_t channel;
    uint16_t set, clear;
    double since, until;
};

struct Revisions {
    virtual void add(const Revision& revision) = 0;
};

}  // namespace suat
