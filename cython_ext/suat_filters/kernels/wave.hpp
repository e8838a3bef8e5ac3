// The day's wave of a temperature, and what it says of the clock.
//
// Soil and air are warmest some hours after noon, at any one place always about as many. The wave is a vector: its length
// says how far the day swings, its direction when. It is the integral of the temperature's change times a wave of 24
// hours, so that a lasting trend gives nothing. When the days point elsewhere by more than three hours, it is the
// clock that has moved. No sine is needed, so that the bits do not depend on a library.
#pragma once

#include "kernels/state.hpp"

namespace suat {
namespace {

constexpr double DAY = 86400;
constexpr double LONGEST_STEP = DAY / 4;          // between two readings of a day's wave
constexpr int32_t LEAST_COVERED_MS = 72'000'000;  // 20 of the day's 24 hours
constexpr double SWING = 16 / (3.141592653589793 * 3.141592653589793);  // length at a sine's swing of 1, top to bottom
constexpr int LEARNT = 7;                         // days that make the first idea of a channel's wave
constexpr int FOLLOWS = 16;                       // days over which the idea follows the seasons
constexpr int LONGEST_ERROR = 90;                 // days after which a shifted wave counts as the probe's own
constexpr double LONGEST_SILENCE = 180 * DAY;     // after which a probe may lie elsewhere
constexpr double MOST_DAYS = 2147483648.0;

// sin(2 pi u) for 0 <= u < 1, nearly: two parabolas, whose overtones are odd and small.
inline double arch(double u) { return u < 0.5 ? 16 * u * (0.5 - u) : -16 * (u - 0.5) * (1 - u); }

struct Wave {
    State& s;
    const Settings& p;

    void begin_day(int32_t day) {
        s.day = day;
        s.day_re = s.day_im = 0;
        s.covered_ms = 0;
    }

    void forget() {
        s.wave_re = s.wave_im = 0;
        s.learnt = s.shifted = 0;
    }

    // Who came after a gap may have set the clock.
    void silence(double seconds) {
        begin_day(s.day);
        s.run = s.shifted = 0;
        if (seconds > LONGEST_SILENCE) forget();
    }

    void follow(int days) {
        s.wave_re += (s.day_re - s.wave_re) / days;
        s.wave_im += (s.day_im - s.wave_im) / days;
    }

    // One more believed reading. True when something new is known: the clock is wrong since `since`, or right again.
    bool see(double t, double x, double& since) {
        if (!(p.day_swing > 0) || !(s.known & GOOD)) return false;
        const double dt = t - s.good_t, middle = (t + s.good_t) / 2 / DAY;
        if (!(dt > 0 && dt <= LONGEST_STEP && std::fabs(middle) < MOST_DAYS)) return false;
        const int32_t day = static_cast<int32_t>(std::floor(middle));
        bool news = false;
        if (day != s.day) {
            news = close(since);
            begin_day(day);
        }
        const double u = middle - day, rise = x - s.good_x;
        s.day_re += rise * arch(u < 0.75 ? u + 0.25 : u - 0.75);
        s.day_im += rise * arch(u);
        s.covered_ms += static_cast<int32_t>(dt * 1000);
        return news;
    }

private:
    bool close(double& since) {
        const double power = s.day_re * s.day_re + s.day_im * s.day_im, least = SWING * p.day_swing;
        if (s.covered_ms < LEAST_COVERED_MS || !(power >= least * least)) return false;
        if (s.learnt < LEARNT) {
            follow(++s.learnt);
            return false;
        }
        const double dot = s.day_re * s.wave_re + s.day_im * s.wave_im;
        const double length = s.wave_re * s.wave_re + s.wave_im * s.wave_im;
        const bool off = !(dot > 0 && 2 * dot * dot >= power * length);  // 45 degrees: 3 hours
        if (!off && !s.shifted) follow(FOLLOWS);
        if (off == (s.shifted > 0)) {
            s.run = 0;
            if (off && ++s.shifted > LONGEST_ERROR) forget();
            return false;
        }
        if (!s.run) s.run_day = s.day;
        if (++s.run < p.clock_days) return false;
        s.run = 0;
        s.shifted = off;
        since = s.run_day * DAY;
        return true;
    }
};

}  // namespace
}  // namespace suat
