"""The node's time: what the network tells, how fast the node's own clock runs, when a sample was taken."""

import random
import time

import bench
import flash
import network
from suat_node import power, sample
from suat_node.keep import times
from suat_node.keep.backlog import Entry
from suat_node.keep.counters import Counters

UTC_MS = network.UTC_S * 1000
HOUR, DAY = 3600, 86400


def fresh(board="pico_waveshare", **options):
    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    board_module = bench.hardware(board, net)
    return net, board_module, bench.settings(board, **options)


class Clock:
    """A clock that runs fast by so many ppm, and the counters of the node that it belongs to."""

    def __init__(self, ppm):
        self.ppm = ppm
        self.ms = 0  # true, since the node was switched on
        self.shown_ms = 5000000
        self.counters = Counters(bench.FOLDER)
        self.counters.boots = 1

    def run(self, seconds, ppm=None):
        if ppm is not None:
            self.ppm = ppm
        self.ms += seconds * 1000
        self.shown_ms += seconds * 1000 + seconds * self.ppm // 1000

    def told(self, error_ms=0):
        times.learn(self.counters, UTC_MS + self.ms + error_ms, self.shown_ms)

    def now(self):
        return self.shown_ms // 1000

    def sample(self, record=0):
        return Entry(record, *times.stamp(self.counters, self.now()), 0, b"")

    def age(self, entry):
        return times.age(self.counters, entry, self.shown_ms)

    def off_ms(self):
        """How far the node's idea of UTC is from the truth."""
        return times.utc(self.counters, self.now()) * 1000 + self.shown_ms % 1000 - UTC_MS - self.ms


def test_the_drift_is_found_within_2_ppm_whatever_the_answers_jitter():
    random.seed(3)
    for ppm in (40, -40, 0, 7, 950, -20000, 50000):
        clock = Clock(ppm)
        for _ in range(48):
            clock.told(random.getrandbits(6) - 32)
            clock.run(HOUR)
        share = ppm * 10 / (1 + ppm / 1000000)  # of what the clock shows
        assert abs(times.drift(clock.counters) - share) <= 20, (ppm, times.drift(clock.counters))


def test_three_days_without_time_at_40_ppm():
    # uncorrected that is 10.4 s
    for ppm in (40, -40):
        clock = Clock(ppm)
        for _ in range(3):
            clock.told()
            clock.run(6 * HOUR)
        clock.told()
        clock.run(3 * DAY)
        assert abs(clock.off_ms()) <= 2000, clock.off_ms()


def test_daily_answers_are_enough():
    clock = Clock(30)
    for _ in range(4):
        clock.told()
        clock.run(DAY)
    assert abs(times.drift(clock.counters) - 300) <= 5 and abs(clock.off_ms()) <= 1000


def test_a_warm_noon_is_not_the_drift_of_the_day():
    # a tuning-fork crystal: -0.035 ppm/K^2 around 25 degC; day 25, night 5 degC
    clock = Clock(20)
    for _ in range(3):
        for ppm in (20, 20, 6, 6):
            clock.told()
            clock.run(6 * HOUR, ppm)
    clock.told()
    mean = 13
    clock.run(3 * DAY, mean)
    assert abs(clock.off_ms()) <= 2000, clock.off_ms()


def test_samples_of_an_outage_are_dated_between_the_answers_around_it():
    # an RC oscillator: 2 % off, and 0.3 % further in the cold fortnight
    clock = Clock(20000)
    for _ in range(10):
        clock.told()
        clock.run(HOUR)
    clock.told()
    kept = []
    for i in range(14 * 24):
        clock.run(HOUR, 23000)
        kept.append((clock.ms, clock.sample(i)))
    clock.told()
    clock.run(600)
    for at_ms, entry in kept:
        error = clock.age(entry) * 1000 - (clock.ms - at_ms)
        assert abs(error) <= 2000, (entry.record, error)


def test_an_rc_oscillator_is_known_after_ten_minutes():
    clock = Clock(-50000)
    clock.told()
    clock.run(660)
    clock.told()
    entry = clock.sample()
    clock.run(5 * HOUR)
    assert abs(clock.age(entry) - 5 * HOUR) <= 5, clock.age(entry)


def test_impossible_dates_are_never_believed():
    for utc_s in (0, 1704067199, 4102444800, 4294967295):
        clock = Clock(0)
        for _ in range(3):
            times.learn(clock.counters, utc_s * 1000, clock.shown_ms)
        assert not clock.counters.utc_offset and times.utc(clock.counters, clock.now()) == 0
        clock.told()
        for _ in range(3):
            times.learn(clock.counters, utc_s * 1000, clock.shown_ms)
        assert abs(clock.off_ms()) < 1000


def test_a_step_is_believed_when_it_is_repeated():
    for step_ms in (3600000, -86400000, 60000):
        clock = Clock(40)
        for _ in range(30):
            clock.told()
            clock.run(HOUR)
        drift = times.drift(clock.counters)
        clock.told(step_ms)
        assert abs(clock.off_ms()) < 1000, "once may be a mistake"
        clock.run(HOUR)
        clock.told()
        clock.run(HOUR)
        clock.told(step_ms)
        assert abs(clock.off_ms()) < 1000, "it was contradicted in between"
        clock.run(HOUR)
        clock.told(step_ms)
        assert abs(clock.off_ms() - step_ms) < 1000, "twice the same"
        assert times.drift(clock.counters) == drift, "a step is no drift"
        clock.run(12 * HOUR)
        clock.told(step_ms)
        assert abs(times.drift(clock.counters) - 400) <= 10


def test_a_step_of_the_stations_clock_changes_no_age():
    clock = Clock(40)
    for _ in range(30):
        clock.told()
        clock.run(HOUR)
    entry = clock.sample()
    for _ in range(3):
        clock.run(HOUR)
        clock.told(-3 * DAY * 1000)
    assert abs(clock.age(entry) - 3 * HOUR) <= 1, clock.age(entry)


def test_small_steps_of_the_stations_clock_are_not_taken_for_drift():
    clock = Clock(40)
    for hour in range(48):
        clock.told(4000 if hour > 24 else 0)
        clock.run(HOUR)
    assert abs(times.drift(clock.counters) - 400) <= 20, times.drift(clock.counters)


def test_a_power_cut_between_samples_and_their_date():
    clock = Clock(40)
    for _ in range(20):
        clock.told()
        clock.run(HOUR)
    dated = clock.sample()
    counters = clock.counters
    clock.run(HOUR)
    counters.cold()  # off for a minute; the clock begins anew
    counters.boots = 2
    clock.shown_ms = 1000
    counters.started = 1
    clock.run(60)
    undated = clock.sample()
    assert clock.age(dated) is None, "it waits for the time"
    clock.run(600)
    assert clock.age(undated) == 600, "without time there are ages"
    clock.told()
    assert abs(clock.age(dated) - HOUR - 660) <= 1
    counters.cold()
    counters.boots = 3
    clock.shown_ms = 1000
    counters.started = 1
    clock.run(100)
    clock.told()
    assert abs(clock.age(dated) - HOUR - 760) <= 1 and abs(clock.age(undated) - 700) <= 1


def test_a_start_that_never_learnt_the_time():
    clock = Clock(0)
    entry = clock.sample()
    clock.run(HOUR)
    counters = clock.counters
    counters.boots = 2
    counters.started = clock.now()
    clock.run(500)
    assert clock.age(entry) == 500, "the least it can be"
    clock.told()
    assert clock.age(entry) == 500


def test_a_network_that_never_tells_the_time_gets_the_least_age_after_three_days():
    clock = Clock(0)
    clock.told()
    entry = clock.sample()
    clock.counters.boots = 2
    clock.counters.started = clock.now()
    clock.run(3 * DAY)
    assert clock.age(entry) is None
    clock.run(10)
    assert clock.age(entry) == 3 * DAY + 10


def test_a_clock_ahead_of_utc():
    # set to the local time of a computer east of Greenwich: UTC - node clock is negative
    for name in ("heltec_v3", "pico_waveshare"):
        net, board, conf = fresh(name)
        before = time.epoch_s
        time.epoch_s = network.UTC_S + 18000
        begin = time.now_us // 1000000
        try:
            if name == "heltec_v3":
                bench.deep_life(conf, board, 6)
            else:
                bench.life(bench.start(conf, board), 6)
        finally:
            time.epoch_s = before
        taken = [net.dated_us[record] / 1000000 - begin for record in sorted(net.dated_us)[1:]]
        assert len(taken) == 6 and abs(taken[0]) <= 2, taken
        assert all([abs(taken[i + 1] - taken[i] - 900) <= 2 for i in range(2, 5)]), taken


def test_a_sample_older_than_the_clock_keeps_its_age_over_a_power_cut():
    counters = Counters(bench.FOLDER)
    counters.boots = 1
    taken, boot = times.stamp(counters, 100 - 5000)  # a logger's row of 5,000 s ago, 100 s after a start at zero
    entry = Entry(0, taken, boot, 0, b"")
    assert times.age(counters, entry, 100000) == 5000
    times.learn(counters, UTC_MS, 100000)
    assert times.age(counters, entry, 100000) == 5000
    counters.cold()
    counters.boots = 2
    times.learn(counters, UTC_MS + 3600000, 60000)
    assert times.age(counters, entry, 60000) == 5000 + 3600


def lived(fast_ppm, phases):
    """(record -> true second of its sample, what the network dated), of an ESP32: deep sleep hangs on the slow clock.

    `phases`: hours, and whether the network hears the node in them.
    """
    net, board, conf = fresh("heltec_v3")
    taken = {}
    real = sample.keep

    def keep(node, readings, now, source):
        real(node, readings, now, source)
        taken[node.counters.record - 1] = time.now_us / 1000000

    sample.keep = keep
    time.fast_ppm = fast_ppm
    try:
        for hours, heard in phases:
            net.hears = lambda phy, heard=heard: heard
            bench.deep_life(conf, board, hours * 4)
    finally:
        sample.keep = real
        time.fast_ppm = 0
    return taken, {record: net.dated_us[record] / 1000000 for record in net.dated_us}


def test_sample_times_after_three_days_of_silence():
    # a crystal of 40 ppm; every sample, from before, in and after the silence
    for fast_ppm in (40, -40):
        taken, dated = lived(fast_ppm, ((30, True), (72, False), (10, True)))
        assert len(dated) >= 112 * 4, len(dated)
        worst = max([abs(dated[record] - taken[record]) for record in taken])
        assert worst <= 2, worst


def test_the_grid_holds_although_the_clock_runs_2_percent_fast():
    taken, _ = lived(20000, ((24, True),))
    moments = [taken[record] for record in sorted(taken)]
    gaps = [moments[i + 1] - moments[i] for i in range(len(moments) - 40, len(moments) - 1)]
    assert all([898 <= gap <= 902 for gap in gaps if gap > 1]), gaps


def test_a_network_that_does_not_tell_the_time_gets_ages():
    net, board, conf = fresh()
    net.utc_us = None
    begin = time.now_us // 1000000
    bench.life(bench.start(conf, board), 8)
    taken = [net.committed[record][0] - network.UTC_S - begin for record in sorted(net.committed)]
    assert [abs(at - 900 * i) <= 2 for i, at in enumerate(taken[1:])] == [True] * 8, taken


def test_sensors_that_take_ten_seconds_do_not_shift_the_grid():
    from suat_node import sensors

    net, board, conf = fresh()
    real = sensors.read_all

    def slow(*arguments):
        power.wait_ms(10000)
        return real(*arguments)

    sensors.read_all = slow
    try:
        bench.life(bench.start(conf, board), 12)
    finally:
        sensors.read_all = real
    taken = [net.dated_us[record] / 1000000 for record in sorted(net.dated_us)]
    assert all([abs(taken[i + 1] - taken[i] - 900) <= 2 for i in range(3, 11)]), taken
