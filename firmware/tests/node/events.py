"""What a water point must say at once, and what it must not: thresholds and margins of docs/events.md."""

import bench
import flash
import network
from suat_node import events, power, sample
from suat_node import node as program
from suat_wire import payload

LEAK, EMPTY, FREEZING, TAMPER, LOW, FLOOR, SETTINGS_BACK, UPDATE_BACK = [1 << i for i in range(8)]
MIDNIGHT = 1767225600  # 2026-01-01T00:00:00Z
NIGHT = MIDNIGHT + 18 * 3600  # the default `night_from`
QUARTER = 900


class Point:
    """A water node with the settings given, and the clock of its samples."""

    def __init__(self, at=MIDNIGHT, board="pico_waveshare", **settings):
        flash.remove_tree(bench.FOLDER)
        self.conf = bench.settings(board, kind="water", settings=settings)
        self.board = bench.hardware(board)
        self.at = at
        self.boot()

    def boot(self):
        self.node = bench.start(self.conf, self.board)
        self.counters = self.node.counters
        self.counters.utc_offset = MIDNIGHT - 1000000  # the node's clock is not UTC

    def sample(self, pause=QUARTER, **water):
        """Judge one sample after `pause`: whether it is urgent, and the bits as they stand."""
        self.at += pause
        readings = {}
        for name in water:
            readings[("node" if name == "tamper" else "water", name)] = water[name]
        urgent = events.judge(self.node, readings, self.at - MIDNIGHT + 1000000)
        self.told = readings.get(("node", "events"))
        return urgent

    def bits(self):
        return self.counters.events & 0xFF

    def course(self, samples, pause=QUARTER):
        """The bits after each of many samples, and how many were urgent."""
        seen = []
        urgent = 0
        for water in samples:
            urgent += self.sample(pause, **water)
            seen.append(self.bits())
        return seen, urgent


def test_an_empty_trough_is_urgent_once_and_over_20_mm_higher():
    point = Point()
    point.sample(depth=0.3)
    assert point.told is None, "nothing to say"
    point.sample(depth=0.050)
    assert point.told is None, "at 50 mm it is not empty"
    assert point.sample(depth=0.049) and point.told == EMPTY
    assert not point.sample(depth=0.02) and point.told == EMPTY
    assert point.course([{"depth": 0.069}] * 4) == ([EMPTY] * 4, 0), "within the margin"
    assert not point.sample(depth=0.070) and point.told == EMPTY, "one sample is a wave"
    assert not point.sample(depth=0.3) and point.told == 0, "that it is over is said, once, and is not urgent"
    point.sample(depth=0.3)
    assert point.told is None


def test_a_float_switch_says_empty_alone_and_beside_a_depth():
    point = Point()
    point.sample(float=1)
    assert point.sample(float=0) and point.bits() == EMPTY
    assert point.course([{"float": 1}, {"float": 0}, {"float": 1}]) == ([EMPTY] * 3, 0)
    point.sample(float=1)
    assert point.bits() == 0
    assert point.sample(float=0, depth=0.4), "the float is right where the probe hangs in mud"
    point.course([{"float": 1, "depth": 0.4}] * 2)
    assert point.sample(float=1, depth=0.01)


def test_a_failed_sensor_leaves_its_event_as_it_was():
    point = Point()
    point.sample(float=0)
    assert point.course([{"fault": 1}] * 5) == ([EMPTY] * 5, 0)
    point = Point()
    assert point.course([{"fault": 1}] * 5) == ([0] * 5, 0)


def test_freezing_begins_below_1_degree_and_ends_at_2():
    point = Point()
    courses = ((3.0, 0), (1.0, 0), (0.9375, FREEZING), (1.5, FREEZING), (1.9375, FREEZING), (2.0, FREEZING), (2.0, 0))
    for celsius, want in courses:
        point.sample(temperature=celsius)
        assert point.bits() == want, (celsius, point.bits())
    point = Point(freezing=-50)
    assert point.course([{"temperature": t} for t in (0.0, -0.5, -0.5625)]) == ([0, 0, FREEZING], 1)


def test_tamper_ends_when_the_contact_is_closed_twice():
    point = Point()
    assert point.course([{"tamper": t} for t in (0, 1, 0, 1, 0, 0)]) == ([0, TAMPER, TAMPER, TAMPER, TAMPER, 0], 1)
    assert sample.bodies({("node", "tamper"): 1, ("node", "events"): TAMPER}) == [
        payload.pack({("node", "events"): TAMPER})
    ]


def test_the_battery_and_what_was_rolled_back():
    point = Point()
    assert not point.sample()
    point.counters.battery_state = 1
    assert point.sample() and point.told == LOW
    point.counters.battery_state = 2
    assert not point.sample() and point.told == LOW | FLOOR, "nothing leaves at the floor"
    point.counters.battery_state = 0
    assert not point.sample() and point.told == 0
    point.counters.events |= SETTINGS_BACK
    assert point.sample() and point.told == SETTINGS_BACK
    assert not point.sample() and point.told == 0, "it happened once"


def test_water_that_runs_for_six_hours_is_a_leak():
    point = Point()
    volume = 1000
    for i in range(25):
        assert not point.sample(volume=volume), i
        volume += 10
    assert point.sample(volume=volume) and point.bits() == LEAK  # 25 quarters after it was first seen to run
    point.sample(volume=volume)
    assert point.bits() == LEAK, "one pause is doubt"
    assert not point.sample(volume=volume) and point.told == 0
    assert point.course([{"volume": volume + i} for i in range(20)])[1] == 0, "it must run for six hours again"


def test_litres_are_counted_whole():
    point = Point()
    assert point.course([{"volume": 100.25}] * 40)[1] == 0


def test_herds_that_drink_are_no_leak():
    # 600 sheep and 70 cattle at one trough: the visits of suat_sim.watering, here seven hours of a summer's evening
    point = Point()
    volume = 0
    for quarter in range(96 * 3):
        hour = quarter / 4 % 24
        if 7.5 <= hour < 8.5 or 10 <= hour < 11.5 or 13 <= hour < 14 or 17.5 <= hour < 20:
            volume += 300
        assert not point.sample(volume=volume), hour
    assert point.bits() == 0


def test_a_meter_that_is_not_seen_is_not_running():
    point = Point()
    point.course([{"volume": 10 * i} for i in range(4)])
    point.course([{"fault": 1}] * 40)
    assert point.bits() == 0, "ten hours without the meter"
    assert point.course([{"volume": 1000 + 10 * i} for i in range(24)]) == ([0] * 24, 0)
    point = Point()
    assert point.course([{"volume": 100 * i} for i in range(12)], 7200)[1] == 0, "samples two hours apart hide pauses"


def test_a_slow_meter_in_quick_samples():
    # a pulse of 10 L every five minutes, looked at every minute and out of turn: it runs
    point = Point()
    seen, urgent = point.course([{"volume": i // 5 * 10} for i in range(375)], 60)
    assert urgent == 1 and seen[360] == 0 and seen[-1] == LEAK, seen.index(LEAK)
    # one every eleven minutes: it may as well stand still in between
    point = Point()
    assert point.course([{"volume": i // 11 * 10} for i in range(800)], 60)[1] == 0


def night(point, mm_per_h, start_mm=1500, noise=(0,), field="depth", nights=1, first=0, **also):
    """Nights of four hours in quarters, and the days between; all that was said, with the quarter of its night."""
    out = []
    sign = -1 if field == "depth" else 1
    for n in range(first, first + nights):
        point.at = NIGHT + 86400 * n - 120
        for i in range(16):
            mm = start_mm + sign * mm_per_h * i / 4 + noise[i % len(noise)]
            water = dict(also)
            water[field] = round(mm) / 1000
            if point.sample(**water):
                out.append((n, i))
    return out


def test_a_level_that_falls_at_night_is_a_leak():
    # 20 mm/h, the limit 10: from 2 h on (40 mm - 3 for noise against 20); what counts as first is the last sample of
    # the first hour (quarter 3 or 4); the second look at 2 h and more agrees
    found = night(Point(leak_fall=10), 20)
    assert found == [(0, 12)], found
    found = night(Point(leak_fall=10), 20, start_mm=500, field="distance")
    assert found == [(0, 12)], found
    found = night(Point(leak_fall=25), 20)
    assert found == []


def test_noise_of_3_mm_and_rising_water_are_no_leak():
    noise = (3, -3, 2, 0, -3, 3, 3, -2, 1, -3, -3, 3)
    for start in range(len(noise)):
        turned = noise[start:] + noise[:start]
        point = Point(leak_fall=2)
        assert night(point, 0, noise=turned, nights=3) == [] and point.bits() == 0, start
    assert night(Point(leak_fall=2), -30) == []
    for bits in range(16):  # hourly samples: the first stands alone
        point = Point(leak_fall=1, at=NIGHT - 3600)
        assert point.course([{"depth": 1 + (0.003 if bits >> i & 1 else -0.003)} for i in range(4)], 3600)[1] == 0, bits


def test_one_wrong_reading_is_no_leak():
    for at in range(16):
        noise = [0] * 16
        noise[at] = -700  # an air lock
        point = Point()
        assert night(point, 0, noise=noise) == [] and point.bits() == 0, at
        noise[at] = -900  # a ghost echo from near: the water seems high
        assert night(Point(), 0, noise=noise, field="distance") == [], at
    noise = [0, 0, 0, 0, 0, 0, 0, 0, 0, -700, 0, -700, 0, 0, -700, 0]
    assert night(Point(), 0, noise=noise) == [], "nor are several"


def test_a_depth_is_not_compared_with_a_distance():
    point = Point(at=NIGHT)
    point.course([{"distance": 1.0}] * 5)
    assert point.course([{"depth": 1.5}] * 10)[1] == 0


def test_what_falls_by_day_or_at_an_unknown_time_is_not_judged():
    point = Point(at=MIDNIGHT + 6 * 3600)
    assert point.course([{"depth": 1.5 - 0.02 * i} for i in range(48)])[1] == 0  # till 18:00
    point = Point()
    point.counters.utc_offset = 0
    assert point.course([{"depth": 5 - 0.0125 * i} for i in range(96)])[1] == 0


def test_each_night_has_its_own_beginning():
    point = Point(leak_fall=10)
    assert night(point, 0, start_mm=1000) == []
    assert night(point, 20, start_mm=1500, first=1) == [(1, 12)], "it was filled by day"


def test_a_night_leak_ends_with_a_night_without_a_fall():
    point = Point(leak_fall=10)
    assert night(point, 20) == [(0, 12)]
    point.course([{"depth": 1.2}] * 60)
    assert point.bits() == LEAK, "by day nothing is known"
    point.at = NIGHT + 86400 - 120
    # half the limit is still a leak
    assert set(point.course([{"depth": 1.2 - 0.007 * i / 4} for i in range(16)])[0]) == {LEAK}
    point.at = NIGHT + 2 * 86400 - 120
    seen, urgent = point.course([{"depth": 1.1}] * 16)
    assert urgent == 0 and seen[8] == LEAK and seen[-1] == 0, seen


def test_an_empty_trough_does_not_end_its_leak():
    point = Point(leak_fall=10)
    assert night(point, 20) == [(0, 12)]
    point.at = NIGHT + 86400 - 120
    seen, _ = point.course([{"depth": 0.01}] * 16)
    assert seen == [LEAK | EMPTY] * 16


def test_long_intervals_need_two_nights():
    point = Point()
    depth = 3.0
    said = []
    for i in range(24):
        depth -= 0.06  # 30 mm/h, every two hours
        if point.sample(7200, depth=depth):
            said.append(i)
    assert len(said) == 1 and said[0] > 12, said


def test_zero_switches_an_event_off():
    point = Point(leak_fall=0, leak_flow=0, trough_empty=0, events_per_h=4)
    assert night(point, 50, volume=0) == []
    assert point.course([{"depth": 0.0, "volume": 10 * i} for i in range(60)]) == ([0] * 60, 0)
    assert point.sample(float=0), "a float switch needs no threshold"


def test_beyond_the_cap_nothing_is_urgent_but_all_is_told():
    point = Point(events_per_h=2)
    said = []
    for i in range(48):  # a contact that comes and goes, every five minutes for four hours
        if point.sample(300, tamper=int(i % 3 == 0)):
            said.append(i)
        assert point.told is not None
    hours = [i // 12 for i in said]
    assert [hours.count(hour) for hour in range(4)] == [2, 2, 2, 2], said
    assert not Point(events_per_h=0).sample(float=0)


def test_wakes_by_pin_and_urgent_uplinks_share_the_cap():
    point = Point(events_per_h=3)
    now = 5000
    assert [events.allowed(point.node, now + i) for i in range(5)] == [True, True, True, False, False]
    assert events.spent_until(point.node, now + 10) == now + 3600
    assert events.allowed(point.node, now + 3600) and events.spent_until(point.node, now + 3600) <= now + 3600
    point.counters.battery_state = 2
    assert events.spent_until(point.node, now + 9000) > now + 9000, "at the floor no switch wakes the node"
    never = Point(events_per_h=0)
    for now in (5, 5000, 500000):
        assert not events.allowed(never.node, now)


def test_deep_sleep_remembers_and_a_power_cut_begins_anew():
    point = Point(leak_fall=10)
    for name in ("events", "flow_since", "flow_at", "flow_last", "night_mm", "night_at", "event_hour", "event_count"):
        setattr(point.counters, name, 7)
    blob = point.counters.pack(point.node.session)
    point.counters.save(point.node.session)
    again = bench.start(point.conf, point.board).counters  # without RTC memory
    left = [again.events & 0xFF, again.flow_since, again.flow_at, again.night_mm, again.night_at, again.event_count]
    assert left == [0] * 6, left
    warm = type(again)(bench.FOLDER)
    warm.unpack(blob, point.node.session)
    assert (warm.events, warm.night_mm, warm.flow_since) == (7, 7, 7)


def test_after_a_power_cut_the_first_sample_takes_back_what_no_longer_holds():
    point = Point()
    point.sample(float=0)
    point.counters.events |= UPDATE_BACK
    point.counters.save(point.node.session)
    point.boot()
    assert point.sample(float=1) and point.told == UPDATE_BACK, "the trough is full, the update was rolled back"
    assert not point.sample(float=1) and point.told == 0


def test_the_first_samples_after_a_power_cut_judge_nothing():
    point = Point(leak_fall=10)
    point.course([{"volume": 10 * i} for i in range(20)])
    point.counters.save(point.node.session)
    point.boot()
    assert point.course([{"volume": 200 + 10 * i} for i in range(24)])[1] == 0
    point = Point(leak_fall=10)
    point.at = NIGHT
    point.course([{"depth": 1.5 - 0.01 * i} for i in range(8)])
    point.counters.save(point.node.session)
    point.boot()
    assert point.course([{"depth": 1.42 - 0.01 * i} for i in range(7)])[1] == 0, "not two hours yet"


def water_node(**settings):
    """A whole node on the bench that has just sent; the next sample is due in a quarter of an hour."""
    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    board = bench.hardware("pico_waveshare", net)
    node = bench.start(bench.settings(kind="water", sensors=[{"kind": "battery"}], settings=settings), board)
    bench.life(node, 2)
    program.wake(node)
    return net, node


def wake_by_pin(node):
    power._touched = True
    program.wake(node)
    power._touched = False


def test_a_switch_that_moves_gives_one_sample_more_and_leaves_the_schedule():
    net, node = water_node()
    due = node.counters.next_sense
    count = len(net.copies)
    wake_by_pin(node)
    assert node.counters.next_sense == due and len(net.copies) == count + 1
    program.wake(node)  # something else woke it
    assert len(net.copies) == count + 1


def test_wakes_by_pin_are_capped():
    net, node = water_node(events_per_h=3)
    count = node.counters.record
    for _ in range(10):
        wake_by_pin(node)
    assert node.counters.record == count + 3
    program.sleep(node)
    bench.life(node, 2)
    assert node.counters.record == count + 5, "samples that are due go on"


def test_a_soil_node_judges_nothing_until_there_is_something():
    flash.remove_tree(bench.FOLDER)
    board = bench.hardware("pico_waveshare", network.Network())
    node = bench.start(bench.settings(), board)
    judged = []
    judge = events.judge
    events.judge = lambda node, readings, now: judged.append(readings) or judge(node, readings, now)
    try:
        bench.life(node, 3)
        assert not judged
        node.config.settings["battery_low"] = 20000
        sample.sense(node, power.clock())
        assert [readings[("node", "events")] for readings in judged] == [LOW]
    finally:
        events.judge = judge
