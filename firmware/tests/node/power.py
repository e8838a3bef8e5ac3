"""Sleep, wake by pin, held pins, and what a weak battery still allows."""

import time

import bench
import chip
import esp32
import flash
import machine
import network
from suat_node import power


class Numbers:
    """As much of the counters as `plan` touches."""

    battery_mv = 0
    battery_state = power.OK


def states(readings, low, floor):
    numbers = Numbers()
    out = []
    for mv in readings:
        power.plan(numbers, mv, low, floor)
        out.append(numbers.battery_state)
    return out


def test_a_falling_battery_is_low_then_at_the_floor_and_recovers_past_each_margin():
    falling = (3700, 3500, 3499, 3300, 3299)
    assert states(falling, 3500, 3300) == [0, 0, 1, 1, 2]
    rising = (3290, 3399, 3400, 3599, 3604, 3605)  # 100 mV above 3300, 3 % (105 mV) above 3500
    assert states(rising, 3500, 3300) == [2, 2, 1, 1, 1, 0]


def test_a_reading_around_a_threshold_does_not_flap():
    around = [3500 + (20 if i % 2 else -20) for i in range(50)]
    assert states(around, 3500, 3300) == [1] * 50
    around = [3300 + (20 if i % 2 else -20) for i in range(50)]
    assert states(around, 3500, 3300) == [2] * 50


def test_a_lead_battery_has_three_percent_of_margin():
    assert states((11400, 11800, 11844, 11845), 11500, 0) == [1, 1, 1, 0]


def test_a_threshold_of_zero_is_never_met_and_a_missing_reading_changes_nothing():
    assert states((1, 2), 0, 0) == [0, 0]
    assert states((3200, None, 3250, None, 3700), 3500, 3300) == [2, 2, 2, 2, 0]
    assert states((3400, None), 3500, 0) == [1, 1]


def test_thresholds_that_are_taken_back_free_the_node():
    numbers = Numbers()
    power.plan(numbers, 3000, 3500, 3300)
    assert numbers.battery_state == power.FLOOR
    power.plan(numbers, 3000, 0, 0)
    assert numbers.battery_state == power.OK


def test_the_rest_after_false_starts_doubles_from_a_minute_to_some_hours():
    assert [power.rest(n) for n in range(6)] == [0, 0, 0, 0, 60, 120]
    assert power.rest(12) == power.rest(10000) == 256 * 60


def light_sleep(seconds, wake=(), touches=()):
    """How long an RP2040 slept, ms, with touches {pin: ms after the start}."""
    board = bench.hardware()
    power.start(board)
    machine.touch_at_us = {pin: time.now_us + ms * 1000 for pin, ms in touches}
    machine.handlers = {}
    start = time.now_us
    power.sleep(board, seconds, b"", wake)
    return (time.now_us - start) // 1000


def test_light_sleep_lasts_as_long_as_asked_and_feeds_the_watchdog():
    slept = light_sleep(4 * 86400)  # the fake watchdog raises when it is not fed
    assert 4 * 86400000 <= slept < 4 * 86400000 + 5
    assert not power.woken_by_pin()


def test_a_pin_ends_light_sleep_at_its_edge():
    machine.levels = {}
    slept = light_sleep(900, ((9, 0),), ((9, 100500),))
    assert 100500 <= slept < 100510, slept
    assert power.woken_by_pin()
    assert machine.triggers[9] == machine.Pin.IRQ_FALLING
    assert machine.handlers[9] is None  # not armed while awake
    assert 5000 <= light_sleep(5) < 5005
    assert not power.woken_by_pin()


def test_a_pin_that_stands_at_its_level_already_does_not_wake():
    slept = light_sleep(900, ((9, 1),), ((9, 100),))  # an open contact reads 1
    assert slept >= 899999
    assert 9 not in machine.handlers


def deep_sleep(wake=(), blob=b"x", levels=(), name="heltec_v3"):
    board = bench.hardware(name)
    machine.levels = dict(levels)
    esp32.ext0 = esp32.ext1 = None
    esp32.holds = False
    machine.held = {}
    power._outputs.clear()
    power.start(board)
    try:
        power.sleep(board, 900, blob, wake)
    except machine.DeepSleep as slept:
        return slept.args[0]


def test_deep_sleep_is_woken_by_any_pin_of_one_level_and_one_of_the_other():
    assert deep_sleep(((4, 0), (5, 0), (6, 1)), levels=((6, 0),)) == 900000
    assert esp32.ext1 == ([4, 5], False)  # WAKEUP_ALL_LOW: on an S3 any of them
    assert esp32.ext0 == (6, True)
    deep_sleep(((4, 1), (5, 1), (6, 0)), levels=((4, 0), (5, 0)))
    assert esp32.ext1 == ([4, 5], True)
    assert esp32.ext0 == (6, False)
    deep_sleep(((4, 1),), levels=((4, 0),))
    assert esp32.ext1 == ([4], True) and esp32.ext0 is None


def test_a_pin_that_would_wake_at_once_is_not_armed():
    deep_sleep(((4, 1),))  # an open contact reads 1
    assert esp32.ext1 is None and esp32.ext0 is None


def test_the_wake_reason_of_the_chip_tells_a_pin_from_the_time():
    for reason, by_pin in ((2, True), (3, True), (4, False), (0, False)):
        machine.wake_reason = lambda reason=reason: reason
        assert power.woken_by_pin() == by_pin
    del machine.wake_reason


def test_every_driven_pin_is_held_through_deep_sleep_and_let_go_when_it_is_driven_again():
    board = bench.hardware("heltec_v3")
    machine.levels = {}
    power._outputs.clear()
    machine.held = {}
    power.start(board)
    power.output(7, 0)  # Vext was never driven in this life: it is off all the same
    try:
        power.sleep(board, 60, b"")
    except machine.DeepSleep:
        pass
    off = 1 - board.VEXT_LEVEL
    assert machine.held == {board.NSS: 1, board.RESET: 1, board.VEXT: off, 7: 0}, machine.held
    assert esp32.holds
    power.output(7, 1)
    assert 7 not in machine.held and machine.levels[7] == 1


def test_too_much_for_the_rtc_memory_is_refused():
    try:
        deep_sleep(blob=bytes(2049))
        raise AssertionError
    except ValueError as error:
        assert "2049" in str(error)


def test_a_radio_that_was_not_set_up_is_asleep_in_deep_sleep():
    from suat_node.radio.sx126x import Sx126x

    board = bench.hardware("heltec_v3", network.Network())
    radio = Sx126x(board)
    radio.sleep(False)
    assert machine.chip.asleep
    radio.wake(865062500)
    assert not machine.chip.asleep
    radio.ready = False  # as after a RadioError
    radio.sleep(False)
    assert machine.chip.asleep


def test_a_battery_that_breaks_down_at_each_frame_burns_neither_counters_nor_flash():
    """Meshtastic#1470, and a DevNonce space that would last a week at a reset every ten seconds."""
    for name in ("heltec_v3", "pico_waveshare"):
        flash.remove_tree(bench.FOLDER)
        net = network.Network()
        conf = bench.settings(name, otaa=True)
        machine.rtc = memory = b""
        node = None
        resets = 0
        begin = time.now_us
        while time.now_us - begin < 7 * 86400 * 1000000:
            try:
                if node is None:
                    board = bench.hardware(name, net)
                    machine.chip.breaks_down = True
                    if memory:
                        machine.rtc, machine.cause = memory, machine.DEEPSLEEP_RESET
                    node = bench.start(conf, board)
                bench.life(node, 1)
            except machine.DeepSleep:
                assert machine.chip.asleep, "the radio lies still too"
                memory, node = machine.rtc, None
            except chip.BrownOut:
                memory, last, node = b"", node, None
                resets += 1
        counters = last.counters
        assert 40 < resets < 60, resets  # 7 days at 256 min each, after the first few
        assert counters.dev_nonce <= resets + 1
        assert counters.generation < 4 * resets + 5, (counters.generation, resets)
        machine.chip.breaks_down = False  # the sun has charged it
        begin = time.now_us
        while not net.committed:
            if power.restarts(board):
                node = bench.deep_life(conf, board, 1)
            else:
                node = node or bench.start(conf, board)
                bench.life(node, 1)
        assert time.now_us - begin < 6 * 3600 * 1000000
        assert node.counters.false_starts == 0


def test_the_battery_divider_is_connected_at_the_level_that_the_board_does_not_rest_at():
    from suat_node.sensors import battery

    for rest in (1, 0):  # Heltec V3.0 and V3.1; V3.2
        board = bench.hardware("heltec_v3")
        machine.levels = {board.BATTERY_ENABLE: rest}
        machine.writes = []
        battery.read({"samples": 1}, board)
        assert machine.writes == [(37, 1 - rest), (37, rest)], machine.writes
        battery.read({"samples": 1}, board)  # after deep sleep the pin is held where it rested
        assert machine.writes[2:] == [(37, 1 - rest), (37, rest)]
