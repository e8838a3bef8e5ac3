"""The crash log and the program around the node: what is kept, what is survived, how long it rests."""

import io
import os
import sys
import time
from binascii import crc32

import bench
import esp32
import flash
import machine
import network
from suat_node import crash, power

DAY_S = 86400
LOG = bench.FOLDER + "/crash.txt"


def fresh(board="pico_waveshare"):
    flash.remove_tree(bench.FOLDER)
    os.mkdir(bench.FOLDER)
    module = bench.hardware(board, network.Network())
    forget()
    return module, bench.settings(board)


def forget():
    """As a start does: the program's modules are new."""
    global crash
    for name in ("suat_node.crash", "suat_node.main"):
        sys.modules.pop(name, None)
    import suat_node

    for name in ("crash", "main"):
        if hasattr(suat_node, name):
            delattr(suat_node, name)
    from suat_node import crash as again

    crash = again
    crash.FILE = LOG


def start(fail, board, conf, armed=True, console=None):
    """One start of main.py whose node does `fail`; (seconds until the reset, seconds of it asleep)."""
    from suat_node import config, node

    machine.cause = machine.DEEPSLEEP_RESET  # nobody is asked for Enter
    forget()
    config.load = lambda path="/suat.json": conf

    def life():
        if armed:
            power.start(board)
        fail()

    node.main = life
    begin = time.now_us
    slept = [0]
    light = machine.lightsleep

    def lightsleep(ms):
        slept[0] += ms
        light(ms)

    machine.lightsleep = lightsleep
    out = sys.print_exception
    try:
        import suat_node.main  # noqa: F401
    except machine.Reset:
        return (time.now_us - begin) / 1e6, slept[0] / 1000
    except machine.DeepSleep as sleep:
        rested = (time.now_us - begin) / 1e6
        power._wdt = None
        forget()
        try:
            import suat_node.main as _again  # noqa: F401
        except machine.Reset:
            return rested, slept[0] / 1000 + sleep.args[0] / 1000
    finally:
        machine.lightsleep = light
        assert sys.print_exception is out
    raise AssertionError("it ended without a reset")


def boom():
    raise ValueError("boom")


def raised(call):
    try:
        call()
    except Exception as error:
        return error


def test_it_keeps_the_traceback_with_time_and_count():
    board, conf = fresh()
    node = bench.start(conf, board)
    crash.counters = node.counters
    node.counters.utc_offset = 1767225600 - power.clock() & 0xFFFFFFFF
    node.counters.boots = 7
    assert crash.last() == 0 and crash.entries() == []
    for _ in range(3):
        crash.note(raised(boom))
    assert len(crash.entries()) == 1
    (times, _clock, utc, start, _row), text = crash.entries()[0]
    assert (times, start) == (3, 7) and 1767225600 <= utc < 1767225610
    assert "ValueError: boom" in text and "crash.py" in text
    stream = io.StringIO()
    sys.print_exception(raised(boom), stream)
    assert crash.last() == crc32(stream.getvalue().rstrip("\n").encode())


def test_it_stays_small_and_keeps_the_newest_different_ones():
    fresh()
    for i in range(60):
        crash.note(ValueError("%d " % (i // 2) + "x" * 900))
        assert os.stat(LOG)[6] < 2048, os.stat(LOG)[6]
    known = crash.entries()
    # what is cut from the front is the same for all of these: they count as one
    assert [numbers[0] for numbers, _ in known] == [60] and len(known[0][1]) == 400
    for i in range(12):
        crash.note(ValueError("x" * 900 + "%d" % (i // 2)))
        assert os.stat(LOG)[6] < 2048, os.stat(LOG)[6]
    known = crash.entries()
    assert [(numbers[0], text[-1]) for numbers, text in known] == [(2, "2"), (2, "3"), (2, "4"), (2, "5")], known
    crash.note(OSError(28))
    assert "OSError: 28" in crash.entries()[-1][1]
    crash.note(KeyError("k"))
    crash.note(OSError(28))
    assert crash.entries()[-1][0][0] == 2 and "OSError" in crash.entries()[-1][1]
    assert len([1 for _, text in crash.entries() if "OSError" in text]) == 1


def test_it_never_raises():
    fresh()
    crash.FILE = bench.FOLDER + "/none/crash.txt"
    assert crash.note(raised(boom)) == 3600 and crash.last() == 0
    crash.FILE = LOG
    for damage in (
        b"\xff\xfe\x00",
        b"#",
        b"#1 2\nx",
        b"#a b c d e\nx",
        b"\n#\n#\n",
        bytes(range(256)) * 8,
        b"#1 2 3 4",
    ):
        with open(LOG, "wb") as file:
            file.write(damage)
        crash.entries()
        crash.last()
        assert crash.note(raised(boom)) in (60, 300, 900, 3600)
        assert "boom" in crash.entries()[-1][1]
        assert os.stat(LOG)[6] < 2048


def test_a_crash_loop_rests_longer_each_time_and_wears_no_flash():
    board, conf = fresh()
    rests = [start(boom, board, conf)[0] for _ in range(6)]
    for rest, want in zip(rests, (60, 300, 900, 3600, 3600, 3600)):  # noqa: B905
        assert want <= rest < want + 15, rests
    begin = time.now_us
    starts = 0
    while time.now_us - begin < DAY_S * 1000000:
        start(boom, board, conf)
        starts += 1
    assert starts <= 24, starts
    assert crash.entries()[-1][0][0] == 6 + starts


def test_the_first_hour_of_a_crash_loop_writes_four_times():
    board, conf = fresh()
    begin = time.now_us
    starts = 0
    while time.now_us - begin < 3600 * 1000000:
        start(boom, board, conf)
        starts += 1
    assert starts == 4, starts


def test_after_hours_of_good_work_the_rest_is_short_again():
    board, conf = fresh()
    for _ in range(4):
        start(boom, board, conf)

    def works():
        for _ in range(9000):
            power.wait_ms(1000)
        boom()

    assert start(works, board, conf)[0] - 9000 < 75
    assert start(boom, board, conf)[0] > 290, "and grows again"


def test_a_clock_that_begins_anew_at_each_reset_does_not_hide_the_loop():
    board, conf = fresh()  # an RP2040: its clock starts with the program
    epoch = time.epoch_s
    rests = []
    try:
        for _ in range(4):
            time.epoch_s = epoch - time.now_us // 1000000
            rests.append(start(boom, board, conf)[0])
    finally:
        time.epoch_s = epoch
    assert rests[0] < 75 and rests[1] >= 300 and rests[2] >= 900 and rests[3] >= 3600, rests


def test_it_rests_asleep_with_the_radio_asleep_and_the_watchdog_fed():
    """In light sleep on an RP2040; in deep sleep on an ESP32, whose next start makes itself the reset."""
    for name in ("pico_waveshare", "heltec_v3"):
        board, conf = fresh(name)
        for _ in range(3):
            start(boom, board, conf)
        machine.chip.asleep = False
        whole, light = start(boom, board, conf)  # the fake clock raises when the watchdog starves
        assert machine.chip.asleep
        assert whole - light < 1, (whole, light)


def test_a_running_meter_does_not_cut_the_rest_short():
    board, conf = fresh("heltec_v3")
    power.pulse_pin, power.pulse_level = 5, 0
    armed = []
    wake_on_ext1 = esp32.wake_on_ext1
    esp32.wake_on_ext1 = lambda pins, level: armed.append(pins)
    try:
        assert start(boom, board, conf)[0] >= 60
    finally:
        esp32.wake_on_ext1 = wake_on_ext1
        power.pulse_pin, power.pulse_level = -1, None
    assert armed == []


def test_a_radio_that_hangs_does_not_keep_it_from_resting():
    board, conf = fresh()
    machine.chip.stuck = True
    assert start(boom, board, conf)[0] >= 60
    machine.chip.stuck = False


def test_memory_that_runs_out_is_noted_like_anything_else():
    board, conf = fresh()

    def hungry():
        held = []
        while True:
            held.append(bytearray(1 << 16))

    start(hungry, board, conf)
    assert "MemoryError" in crash.entries()[-1][1]


def test_an_unusable_configuration_is_looked_at_once_an_hour():
    board, conf = fresh()
    assert 3600 <= start(lambda: None, board, conf, armed=False)[0] < 3610
    assert crash.entries() == []
