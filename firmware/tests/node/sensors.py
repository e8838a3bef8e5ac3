"""Each sensor with the faults it really has: the right code, and never more than its own reading."""

import sys
import time

import bench
import esp32
import machine
import onewire
from suat_node import power
from suat_node import sensors as all_sensors
from suat_node.keep import meter
from suat_node.keep.counters import Counters
from suat_node.sensors import (
    battery,
    capacitive,
    current,
    ds18b20,
    flow,
    logger,
    pressure,
    rs485,
    solar,
    switch,
    ultrasonic,
)
from suat_node.sensors.rs485 import crc16


def made(sensor):
    """The sensor's options as the configuration gives them."""
    return bench.settings(kind="water", sensors=[sensor]).sensors[0]


def fault(read, sensor, board):
    try:
        out = read(sensor, board)
    except all_sensors.Fault as error:
        return error.code
    raise AssertionError(out)


def test_capacitive_is_the_median_of_the_normalised_count():
    board = bench.hardware()
    sensor = made({"kind": "capacitive", "at": "probe1", "adc": 27, "samples": 5})
    machine.analog = {27: [30000, 30010, 65535, 30005, 0]}
    assert capacitive.read(sensor, board) == {"count": 30005 / 65535}
    for counts, code in (([0], 5), ([900, 1000, 1100], 5), ([65535], 4), ([5000, 60000, 20000, 45000, 33000], 7)):
        machine.analog = {27: counts}
        assert fault(capacitive.read, sensor, board) == code, counts


def test_battery_through_divider_and_switch():
    board = bench.hardware("heltec_v3")
    machine.analog = {1: [int(3.6 / 4.9 / 3.1 * 65535)]}
    machine.writes.clear()
    volts = battery.read(made({"kind": "battery"}), board)["battery"]
    assert abs(volts - 3.6) < 0.01, volts
    assert machine.writes == [(37, 0), (37, 1)]


def test_pressure_current_loop():
    board = bench.hardware()
    sensor = made({"kind": "pressure", "adc": 28, "shunt_ohm": 100.0, "full_m": 5.0})

    def counts(milliamps):
        return [int(milliamps / 1000 * 100 / 3.3 * 65535 + 0.5)]

    for milliamps, depth in ((4.0, 0.0), (12.0, 2.5), (20.0, 5.0), (3.9, 0.0)):
        machine.analog = {28: counts(milliamps)}
        assert abs(pressure.read(sensor, board)["depth"] - depth) < 0.005, milliamps
    machine.analog = {28: counts(0.1)}
    assert fault(pressure.read, sensor, board) == 4
    machine.analog = {28: counts(22.0)}
    assert fault(pressure.read, sensor, board) == 5


def pad(raw, damage=0):
    out = bytearray((raw & 255, raw >> 8 & 255, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10, 0))
    out[8] = onewire.OneWire(machine.Pin(5)).crc8(out[:8])
    out[0] ^= damage
    return bytes(out)


def test_ds18b20_values_of_the_data_sheet():
    # data sheet, table 1: temperature / data relationship
    board = bench.hardware()
    sensor = made({"kind": "ds18b20", "at": "water", "pin": 5})
    table = ((0x07D0, 125.0), (0x0191, 25.0625), (8, 0.5), (0, 0), (0xFFF8, -0.5), (0xFE6F, -25.0625), (0xFC90, -55.0))
    for raw, celsius in table:
        onewire.pads = {5: [pad(raw)]}
        assert ds18b20.read(sensor, board) == {"temperature": celsius}
    onewire.pads = {5: [pad(0x0191)]}
    assert ds18b20.read(made({"kind": "ds18b20", "at": "node", "pin": 5}), board) == {"air_temperature": 25.0625}


def test_ds18b20_faults():
    board = bench.hardware()
    sensor = made({"kind": "ds18b20", "at": "probe1", "pin": 5})
    onewire.pads = {}
    assert fault(ds18b20.read, sensor, board) == 1
    for scratchpad, code in ((pad(0x0191, 1), 2), (pad(85 * 16), 6), (b"\xff" * 9, 1), (bytes(9), 5), (pad(0x0800), 3)):
        onewire.pads = {5: [scratchpad]}
        assert fault(ds18b20.read, sensor, board) == code, scratchpad
    onewire.pads = {5: [pad(85 * 16), pad(0x0191)]}  # once the power-on value, then the measurement
    assert ds18b20.read(sensor, board) == {"temperature": 25.0625}


def test_modbus_crc_of_the_specification():
    # Modbus over Serial Line V1.02, 6.2.2: the message 02 07 has the CRC 41 12 on the line
    assert crc16(b"\x02\x07") == b"\x41\x12"


def modbus(words, damage=0, cut=100, exception=0):
    """A probe with these registers."""

    def answer(request):
        assert crc16(request[:6]) == request[6:]
        assert request[:2] == b"\x01\x03"
        first, count = request[3], request[5]
        if exception:
            body = bytes((1, 0x83, exception))
        else:
            body = bytes((1, 3, 2 * count))
            for word in words[first : first + count]:
                body += bytes((word >> 8 & 255, word & 255))
        out = bytearray(body + crc16(body))
        out[3] ^= damage
        return bytes(out[:cut])

    return answer


def test_rs485_probe():
    board = bench.hardware()
    sensor = made({"kind": "rs485", "at": "probe2", "uart": 0, "tx": 0, "rx": 1, "de": 4})
    machine.lines = {0: modbus([253, 65536 - 52, 140])}
    machine.writes.clear()
    out = rs485.read(sensor, board)
    assert abs(out["vwc"] - 0.253) < 1e-9 and abs(out["temperature"] + 5.2) < 1e-9 and abs(out["ec"] - 0.14) < 1e-9
    assert machine.writes == [(4, 1), (4, 0)], "the bus was left to the probe"
    other = made(
        {
            "kind": "rs485",
            "at": "probe2",
            "uart": 0,
            "tx": 0,
            "rx": 1,
            "registers": [["permittivity", 7, 0.01], ["temperature", 4, 0.1]],
        }
    )
    machine.lines = {0: modbus([0, 0, 0, 0, 215, 0, 0, 1234])}
    assert rs485.read(other, board) == {"permittivity": 1234 * 0.01, "temperature": 21.5}


def test_rs485_faults():
    board = bench.hardware()
    sensor = made({"kind": "rs485", "at": "probe2", "uart": 0, "tx": 0, "rx": 1})
    cases = (
        (None, 1),
        (lambda request: b"", 1),
        (modbus([1, 2, 3], damage=1), 2),
        (modbus([1, 2, 3], cut=3), 2),
        (modbus([1, 2, 3], cut=8), 2),
        (modbus([1, 2, 3], exception=2), 2),
        (lambda request: b"\x55" * 11, 2),
    )
    for line, code in cases:
        machine.lines = {0: line}
        assert fault(rs485.read, sensor, board) == code


def test_rs485_second_try_is_heard():
    board = bench.hardware()
    sensor = made({"kind": "rs485", "at": "probe2", "uart": 0, "tx": 0, "rx": 1})
    calls = []

    def once(request):
        calls.append(1)
        return modbus([100, 200, 300])(request) if len(calls) > 1 else b""

    machine.lines = {0: once}
    assert abs(rs485.read(sensor, board)["vwc"] - 0.1) < 1e-9


def frame(mm, damage=0):
    head = (0xFF, mm >> 8, mm & 255)
    return bytes(head + ((sum(head) + damage) & 255,))


def echoes(*frames):
    left = list(frames)

    def answer(_trigger):
        return left.pop(0) if left else b""

    return answer


def test_ultrasonic_median_ghosts_and_faults():
    board = bench.hardware()
    sensor = made({"kind": "ultrasonic", "uart": 1, "tx": 4, "rx": 5, "samples": 5})
    good = frame(1500)
    machine.lines = {1: echoes(good, frame(300), good, frame(1504), b"\x12\x34" + good)}  # a ghost; a late start
    assert ultrasonic.read(sensor, board) == {"distance": 1.5}
    cases = (
        ((), 1),
        ((frame(1500, 1),) * 5, 2),
        ((frame(100),) * 5, 3),
        ((frame(6000),) * 5, 3),
        ((frame(500), frame(1500), frame(900), frame(2500), frame(3000)), 7),
        ((b"\xff\x05",) * 5, 2),
    )
    for frames, code in cases:
        machine.lines = {1: echoes(*frames)}
        assert fault(ultrasonic.read, sensor, board) == code, frames


def test_flow_by_external_counter():
    board = bench.hardware()
    counters = Counters(bench.FOLDER)
    meter.bind(counters)
    sensor = made({"kind": "flow", "source": "pcf8583", "sda": 4, "scl": 5, "pulses_per_l": 1.0})
    machine.i2c = {}
    try:
        flow.read(sensor, board)
    except OSError as error:
        assert all_sensors.fault_code(error) == 1
    machine.i2c = {0: 0, 1: 0, 2: 0, 3: 0}
    assert flow.read(sensor, board) == {"volume": 0} and machine.i2c[0] == 0x20
    machine.i2c = {0: 0x20, 1: 0x56, 2: 0x34, 3: 0x12}
    assert flow.read(sensor, board) == {"volume": 123456}
    machine.i2c = {0: 0x20, 1: 0x99, 2: 0x99, 3: 0x99}
    assert flow.read(sensor, board) == {"volume": 999999}
    machine.i2c = {0: 0x20, 1: 0x05, 2: 0, 3: 0}  # the counter went round
    assert flow.read(sensor, board) == {"volume": 1000005}
    machine.i2c = {0: 0, 1: 0, 2: 0, 3: 0}  # it lost its supply, and nobody knows what ran since
    assert fault(flow.read, sensor, board) == 6
    machine.i2c = {0: 0x20, 1: 0x03, 2: 0, 3: 0}
    assert flow.read(sensor, board) == {"volume": 1000008}
    machine.i2c = {0: 0x20, 1: 0x0F, 2: 0, 3: 0}
    assert fault(flow.read, sensor, board) == 3


def test_litres_do_not_hang_on_the_precision_of_a_float():
    # 33 / 1.1 is 29.999... in 64 bits; a board's float has 32, where 36,500,003 / 1.0 is 36,500,004
    board = bench.hardware()
    counters = Counters(bench.FOLDER)
    meter.bind(counters)
    sensor = {"kind": "flow", "source": "pcf8583", "sda": 4, "scl": 5}
    for pulses, per_l, litres in ((33, 1.1, 30), (36500003, 1.0, 36500003), (1234, 0.001, 1234000), (899, 450.0, 1)):
        machine.i2c = {0: 0x20, 1: 0, 2: 0, 3: 0}
        counters.pulses, counters.pulse_last = pulses, 0
        sensor["pulses_per_l"] = per_l
        assert flow.read(made(dict(sensor)), board) == {"volume": litres}


class Pcnt:
    """`esp32.PCNT` of one life: counts what the test says."""

    INCREMENT = 1
    edges = 0

    def __init__(self, unit, pin, falling, filter):
        assert falling == self.INCREMENT and 1 <= filter <= 1023

    def start(self):
        Pcnt.edges = 0

    def value(self):
        return Pcnt.edges


def esp32_life(counters, sensor, board, contact, woken=False, edges=0, sampled=False):
    """One life of the program: (the level that ends its sleep, fields or fault code of its sample)."""
    for name in list(sys.modules):
        if name.startswith("suat_node.sensors.pulses"):
            del sys.modules[name]
    machine.wake_pins = lambda: (16,) if woken else ()
    machine.levels = {16: contact}
    power.pulse_level = None
    meter.bind(counters)
    flow.start(sensor, board)
    Pcnt.edges = edges
    found = None
    if sampled:
        try:
            found = flow.read(sensor, board)
        except all_sensors.Fault as error:
            found = error.code
    assert all_sensors.wake_pins([]) == []
    return power.pulse_level, found


def test_pulses_on_an_esp32_are_counted_awake_and_by_the_wakes():
    board = bench.hardware("lilygo_t3s3")
    esp32.PCNT = Pcnt
    counters = Counters(bench.FOLDER)
    sensor = made({"kind": "flow", "pin": 16, "pulses_per_l": 1.0})
    try:
        assert esp32_life(counters, sensor, board, 1) == (0, None)  # asleep with an open contact
        assert esp32_life(counters, sensor, board, 0, woken=True) == (1, None)  # it closed: a pulse
        assert counters.pulses == 1
        assert esp32_life(counters, sensor, board, 1, woken=True) == (0, None)  # it opened: none
        assert esp32_life(counters, sensor, board, 1, woken=True) == (0, None)  # a pulse shorter than the start
        assert counters.pulses == 2
        assert esp32_life(counters, sensor, board, 1, edges=3, sampled=True) == (0, {"volume": 5})  # seen while awake
        assert power.pulse_pin == 16 and counters.pulses == 5
        # a contact that chatters costs so many wakes, then the node sleeps through to its sample, which says so
        wakes = 0
        while esp32_life(counters, sensor, board, wakes & 1, woken=True)[0] is not None:
            wakes += 1
        assert wakes == 79  # and one after the sample: 80
        assert esp32_life(counters, sensor, board, 1, sampled=True) == (0, 7)
        assert esp32_life(counters, sensor, board, 1, sampled=True)[1] == {"volume": counters.pulses}
        counters.battery_state = power.FLOOR
        assert esp32_life(counters, sensor, board, 1) == (None, None), "no pulse wakes a node without charge"
    finally:
        del esp32.PCNT
        del machine.wake_pins
        power.pulse_level = meter.before_sleep = None
        power.pulse_pin = -1


def line(text):
    body = text.encode()
    low, high = crc16(body)
    return body + b"*%02X%02X\n" % (high, low)


ROWS = (
    (0, "ROW 0 7200 probe1.vwc=0.213 probe1.temperature=-1.5 node.air_temperature=-12.25"),
    (1, "ROW 1 3600 probe1.vwc=0.215"),
    (5, "ROW 5 0 probe1.vwc=0.217"),
)


def adapter(request):
    word, since, most = request.split()
    assert word == b"SINCE"
    rows = [text for number, text in ROWS if number >= int(since)][: int(most)]
    return b"".join([line(text) for text in rows]) + line("END 5")


def test_logger_rows():
    board = bench.hardware()
    sensor = made({"kind": "logger", "uart": 0, "tx": 0, "rx": 1, "rows": 2})
    machine.lines = {0: adapter}
    rows = logger.rows(sensor, board, 0)
    assert [row[:2] for row in rows] == [(0, 7200), (1, 3600)]
    assert rows[0][2] == {
        ("probe1", "vwc"): 0.213,
        ("probe1", "temperature"): -1.5,
        ("node", "air_temperature"): -12.25,
    }
    assert [row[0] for row in logger.rows(sensor, board, 2)] == [5]
    assert logger.rows(sensor, board, 6) == []


def test_logger_line_damage_costs_only_what_follows():
    board = bench.hardware()
    sensor = made({"kind": "logger", "uart": 0, "tx": 0, "rx": 1, "rows": 10})
    good = [line(text) for _n, text in ROWS]
    flipped = good[1][:10] + b"9" + good[1][11:]
    for bad in (flipped, b"ROW 1 3600\n", line("ROW x 1 a=b"), line("ROW 0 1 probe1.vwc=1"), b"\xff\xfe\n"):
        machine.lines = {0: lambda request, bad=bad: good[0] + bad + good[2]}
        assert [row[0] for row in logger.rows(sensor, board, 0)] == [0], bad
    machine.lines = {}
    assert fault_rows(sensor, board) == 1
    machine.lines = {0: lambda request: b"garbage\n"}
    assert fault_rows(sensor, board) == 2


def fault_rows(sensor, board):
    try:
        logger.rows(sensor, board, 0)
    except all_sensors.Fault as error:
        return error.code


class Ticking:
    """A pin whose level is a function of the time, us."""

    def __init__(self, level):
        self.level = level

    def get(self, number, default):
        return self.level(time.now_us)


def test_switch_means_water_when_closed_and_an_open_lid_when_open():
    board = bench.hardware()
    water = made({"kind": "switch", "at": "water", "pin": 8})
    lid = made({"kind": "switch", "at": "node", "pin": 8})
    for level, invert, wet, opened in ((0, 0, 1, 0), (1, 0, 0, 1), (0, 1, 0, 1), (1, 1, 1, 0)):
        machine.levels = {8: level}
        assert switch.read(dict(water, invert=invert), board) == {"float": wet}
        assert switch.read(dict(lid, invert=invert), board) == {"tamper": opened}


def test_switch_waits_for_still_water_but_not_for_ever():
    board = bench.hardware()
    water = made({"kind": "switch", "at": "water", "pin": 8})
    begin = time.now_us
    machine.levels = Ticking(lambda now: 0 if now - begin > 400000 else now // 30000 & 1)  # bounces for 0.4 s
    assert switch.read(water, board) == {"float": 1}
    assert 400000 < time.now_us - begin < 620000
    begin = time.now_us
    machine.levels = Ticking(lambda now: now // 30000 & 1)
    assert fault(switch.read, water, board) == 7
    assert time.now_us - begin <= 1010000


def wave(amps_rms, amps_per_v, zero=1.65, harmonic=0.0):
    """One mains period on an RP2040's ADC in 40 counts: a sine of this RMS, with a third harmonic on top."""
    from math import pi, sin, sqrt

    peak = amps_rms / amps_per_v * sqrt(2)
    turns = [2 * pi * i / 40 for i in range(40)]
    volts = [zero + peak * (sin(turn) + harmonic * sin(3 * turn)) for turn in turns]
    return [max(0, min(65535, round(v / 3.3 * 65535))) for v in volts]


def test_pump_current_ac_is_the_rms_over_whole_periods():
    board = bench.hardware()
    sensor = made({"kind": "current", "adc": 28, "amps_per_v": 30.0})
    for amps in (0.0, 0.5, 4.0, 20.0):
        machine.analog = {28: wave(amps, 30.0)}
        begin = time.now_us
        assert abs(current.read(sensor, board)["pump_current"] - amps) < 0.01
        assert 199000 <= time.now_us - begin <= 201000, "ten periods of 50 Hz"
    machine.analog = {28: wave(4.0, 30.0, 1.4)}  # the middle is where it is
    assert abs(current.read(sensor, board)["pump_current"] - 4.0) < 0.01
    machine.analog = {28: wave(4.0, 30.0, harmonic=0.5)}  # sqrt(1 + 0.5^2) of the fundamental
    assert abs(current.read(sensor, board)["pump_current"] - 4.472) < 0.01
    for counts, code in (([0], 4), ([65535], 5), (wave(60.0, 30.0), 3)):
        machine.analog = {28: counts}
        assert fault(current.read, sensor, board) == code


def test_pump_current_dc_is_the_mean_above_its_zero():
    board = bench.hardware()
    sensor = made({"kind": "current", "adc": 28, "mode": "dc", "amps_per_v": 25.0, "zero_v": 1.65})

    def counts(volts):
        return round(volts / 3.3 * 65535)

    for amps in (0.0, 3.0, 12.0):
        steady = counts(1.65 + amps / 25)
        machine.analog = {28: [steady - 800, steady + 800]}  # the controller chops
        assert abs(current.read(sensor, board)["pump_current"] - amps) < 0.01
    machine.analog = {28: [counts(1.645)]}  # a little below its zero is its zero
    assert current.read(sensor, board)["pump_current"] == 0
    for value, code in ((counts(1.2), 3), (0, 4), (65535, 5)):
        machine.analog = {28: [value]}
        assert fault(current.read, sensor, board) == code
    shunt = made({"kind": "current", "adc": 28, "mode": "dc", "amps_per_v": 10.0, "zero_v": 0.001})
    machine.analog = {28: [0]}
    assert current.read(shunt, board) == {"pump_current": 0}


def test_solar_voltage_by_its_divider():
    board = bench.hardware()
    sensor = made({"kind": "solar", "adc": 28, "divider": 11.0})
    for volts in (0.0, 6.0, 21.5):
        machine.analog = {28: [round(volts / 11 / 3.3 * 65535)]}
        assert abs(solar.read(sensor, board)["solar"] - volts) < 0.01
    machine.analog = {28: [65535]}
    assert fault(solar.read, sensor, board) == 3


def test_a_current_loop_that_jumps_is_unsteady():
    board = bench.hardware()
    sensor = made({"kind": "pressure", "adc": 28, "shunt_ohm": 100.0, "full_m": 5.0})
    machine.analog = {28: [int(ma / 1000 * 100 / 3.3 * 65535) for ma in (6, 18, 9, 14, 5, 19, 8, 16, 12)]}
    assert fault(pressure.read, sensor, board) == 7


def test_a_battery_reading_that_no_node_could_run_on_is_a_fault():
    board = bench.hardware()
    machine.analog = {26: [0]}
    assert fault(battery.read, made({"kind": "battery"}), board) == 4


def test_a_wire_or_bus_held_low_costs_no_time():
    board = bench.hardware()
    begin = time.now_us
    machine.levels = {4: 1, 5: 0}
    machine.grounded = (7,)
    onewire.pads = {7: [bytes(9)]}
    assert fault(ds18b20.read, made({"kind": "ds18b20", "at": "water", "pin": 7}), board) == 5
    machine.i2c = {0: 0x20, 1: 1, 2: 0, 3: 0}
    assert fault(flow.read, made({"kind": "flow", "source": "pcf8583", "sda": 4, "scl": 5}), board) == 5
    machine.grounded = ()
    assert time.now_us - begin < 5000


class Trickle(machine.UART):
    """A byte of noise every 400 ms, each of which `readline` waits for (py/stream.c)."""

    def readline(self, size):
        for _ in range(size):
            time.advance(400000)
        return b"\x5a" * size


def test_noise_that_trickles_in_does_not_starve_the_watchdog():
    board = bench.hardware()
    sensor = made({"kind": "logger", "uart": 1, "tx": 4, "rx": 5})
    uart, machine.UART = machine.UART, Trickle
    power.start(board)
    begin = time.now_us
    try:
        assert fault(lambda s, b: logger.rows(s, b, 0), sensor, board) == 2
    finally:
        machine.UART = uart
        time.watchdog_us = 0
    assert time.now_us - begin < 5000000


def test_a_line_on_which_somebody_never_stops_talking():
    board = bench.hardware()
    talk = {1: lambda _data: b"\x5a" * 5000}
    for driver, sensor, code in (
        (rs485.read, {"kind": "rs485", "at": "probe1", "uart": 1, "tx": 4, "rx": 5}, 2),
        (ultrasonic.read, {"kind": "ultrasonic", "uart": 1, "tx": 4, "rx": 5}, 2),
        (lambda s, b: logger.rows(s, b, 0), {"kind": "logger", "uart": 1, "tx": 4, "rx": 5}, 2),
    ):
        machine.lines = talk
        begin = time.now_us
        assert fault(driver, made(sensor), board) == code
        assert time.now_us - begin < 2000000


def test_sensors_on_one_supply_are_switched_on_once_and_warm_up_together():
    board = bench.hardware()
    machine.analog = {27: [30000], 28: [25000]}
    line = {"kind": "rs485", "uart": 1, "tx": 4, "rx": 5, "power": 22}
    conf = bench.settings(
        sensors=[
            dict(line, at="probe1", address=1),
            {"kind": "capacitive", "at": "probe3", "adc": 27, "power": 21},
            {"kind": "battery"},
            dict(line, at="probe2", address=2),
            {"kind": "capacitive", "at": "probe4", "adc": 28, "power": 22},
        ]
    )
    machine.lines = {1: lambda request: modbus([100, 200, 300])(b"\x01" + request[1:6] + crc16(b"\x01" + request[1:6]))}
    machine.writes.clear()
    begin = time.now_us
    out = all_sensors.read_all(conf.sensors, board)
    assert machine.writes == [(22, 1), (22, 0), (21, 1), (21, 0)]
    assert ("probe4", "count") in out and ("probe3", "count") in out and out[("probe1", "vwc")] == 0.1
    assert out[("probe2", "fault")] == 2, "the answer came from address 1"
    assert time.now_us - begin < 1700000, "0.52 s of warming up; the answers take 1 s"


def test_vext_is_on_while_a_sensor_is_read_and_has_warmed_up():
    board = bench.hardware("heltec_v3")
    seen = []
    machine.levels = {}

    class Watching(list):
        def __getitem__(self, i):
            seen.append(machine.levels.get(36))
            return 30000

    machine.analog = {2: Watching([1])}
    conf = bench.settings("heltec_v3", sensors=[{"kind": "capacitive", "at": "probe1", "adc": 2, "warm_ms": 300}])
    begin = time.now_us
    assert ("probe1", "count") in all_sensors.read_all(conf.sensors, board)
    assert set(seen) == {0} and machine.levels[36] == 1, "Vext is on when its pin is low"
    assert time.now_us - begin >= 300000


def test_wake_pins_ask_for_the_other_level():
    bench.hardware()
    sensors = bench.settings(
        sensors=[
            {"kind": "switch", "at": "water", "pin": 8, "wake": True},
            {"kind": "switch", "at": "node", "pin": 9},
            {"kind": "switch", "at": "node", "pin": 7, "wake": True},
            {"kind": "battery"},
        ]
    ).sensors
    machine.levels = {8: 0, 7: 1}
    assert all_sensors.wake_pins(sensors) == [(8, 1), (7, 0)]


def test_a_broken_sensor_costs_only_its_own_reading_and_its_supply_goes_off():
    board = bench.hardware()
    machine.analog = {27: [30000], 26: [25000]}
    conf = bench.settings(
        sensors=[
            {"kind": "rs485", "at": "probe1", "uart": 0, "tx": 0, "rx": 1, "power": 22},
            {"kind": "capacitive", "at": "probe2", "adc": 27, "power": 21},
            {"kind": "ds18b20", "at": "probe2", "pin": 5},
            {"kind": "battery"},
        ]
    )
    onewire.pads = {}
    machine.writes.clear()
    out = all_sensors.read_all(conf.sensors, board)
    assert out[("probe1", "fault")] == 1 and out[("probe2", "fault")] == 1
    assert ("probe2", "count") in out and ("node", "battery") in out and ("probe1", "vwc") not in out
    assert (22, 1) in machine.writes and machine.levels[22] == 0 and machine.levels[21] == 0


def test_a_driver_that_raises_anything_is_a_fault():
    board = bench.hardware()
    conf = bench.settings(sensors=[{"kind": "rs485", "at": "probe1", "uart": 0, "tx": 0, "rx": 1}])

    def explode(request):
        raise ZeroDivisionError

    machine.lines = {0: explode}
    assert all_sensors.read_all(conf.sensors, board) == {("probe1", "fault"): 2}


def test_logger_rows_become_samples_once_each():
    import flash
    import network
    from suat_wire import payload

    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    board = bench.hardware("pico_waveshare", net)
    machine.lines = {0: adapter}
    conf = bench.settings(sensors=[{"kind": "logger", "uart": 0, "tx": 0, "rx": 1, "rows": 16}, {"kind": "battery"}])
    begin = time.now_us // 1000000
    bench.life(bench.start(conf, board), 2)
    bench.life(bench.start(conf, board), 3)
    rows = {}
    for record in net.committed:
        taken, body = net.committed[record]
        readings = payload.unpack(body)
        if ("probe1", "vwc") in readings:
            rows[readings[("probe1", "vwc")]] = taken - network.UTC_S - begin
    assert sorted(rows) == [0.213, 0.215, 0.217], rows
    assert abs(rows[0.213] + 7200) <= 1 and abs(rows[0.215] + 3600) <= 1 and abs(rows[0.217]) <= 1, rows
