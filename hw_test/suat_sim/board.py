"""One node's hardware: clock, radio, pins and sensors behind the fake `machine`. Runs on MicroPython.

Built from the same `suat_node.boards` table and the same configuration as the node's program; what the program does to
it against the rules goes to the host as a fault of the run.
"""

import io
import struct
import sys

from suat_sim import link
from suat_sim import pio as pio  # for fake/rp2.py: when that is imported, this package has left the root
from suat_sim.clock import NEVER, Clock
from suat_sim.devices import (
    Analog,
    Contact,
    EventCounter,
    Logger,
    ModbusProbe,
    PulseMeter,
    Thermometer,
    Ultrasonic,
)
from suat_sim.sx1262 import Sx1262

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VALUES_HOLD_US = 5000000  # what the environment said holds this long: one probe a wake
PROMISE_US = 1000000  # sleeps from this length on are announced to the host
PROMISE_STEP_US = 120000000  # ... but not more often than this
PULSE_STEP_US = 60000000  # how often a pulse input with an interrupt is looked at
BOUNCE_US = 300  # how long a bouncing contact stays in each state, four times
WAKE_STEP_US = 5100000  # how often a pin that may wake the node is looked at: values hold for 5 s
LAST_RTC_PIN = 21  # of an ESP32-S3: only these wake it from deep sleep (datasheet 2.3.4)
COLLAPSE_US = 2000  # after a frame begins that the battery does not bear
WAKE_REASONS = {"ext0": 2, "ext1": 3, "timer": 4}  # ESP-IDF, esp_sleep_source_t


class Restart(BaseException):
    """The processor starts again; no program catches this."""


class Board:
    """The hardware of this process's node; `board.current` after `boot` made it."""

    def __init__(self, setup: "dict[str, Any]", stream: "Any", wiring: "Any") -> None:
        self.setup = setup
        self.stream = stream
        self.out = bytearray()
        self.wiring = wiring
        self.chip_name = wiring.CHIP
        self.nss, self.reset, self.busy, self.dio1 = wiring.NSS, wiring.RESET, wiring.BUSY, wiring.DIO1
        self.esp32 = wiring.CHIP.startswith("esp32")
        # A pin that nobody drives reads 1: where the board file leaves the level open, the divider is off there.
        self.battery_level = 0 if wiring.BATTERY_LEVEL is None else wiring.BATTERY_LEVEL
        self.clock = Clock(setup["now"], setup["ppm"], setup["ticks_offset"])
        self.clock.power_cut_at = setup["power_cut"] or NEVER
        self.clock.on_power_cut = self.power_cut
        self.clock.on_watchdog = self.watchdog
        self.clock.schedule()
        supply: list[float] = setup["supply"] or [0.0, 0.0]
        self.least_v, self.sag_v = supply
        self.wake_pins: dict[str, tuple[list[int], int]] = {}  # source -> pins, level
        self.wake_reason = 0
        self.woken_by: list[int] = []  # the pins of ext1 that ended deep sleep
        self.cause = setup["cause"]
        self.rtc = bytes.fromhex(setup["rtc"]) if setup["rtc"] else b""
        self.rtc_us = setup["rtc_us"]  # what the real-time clock had counted when the program started
        self.rtc_set_s = 946684800 if self.esp32 else 1609459200  # what it shows after power-on: 2000, 2021
        self.deep_hold = False
        self.names: list[str] = setup["names"]
        self.format = f"<{len(self.names)}d"
        self.values: dict[str, float | None] = {}
        self.values_at = -NEVER
        self.prefetched = -1
        self.horizon: int = setup["horizon"]  # no node runs on beyond it by itself
        self.promise_from = 0
        self.levels: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.interrupts: dict[int, tuple[Any, Any, int]] = {}
        self.sleeping = False
        self.woken = False
        self.radio = Sx1262(
            self,
            self.fault,
            wiring.TCXO_CV,
            wiring.TCXO_US,
            wiring.DIO2_RF_SWITCH,
            wiring.DCDC,
            setup["now"] - 10000,
        )
        self.radio.watch = self._radio_event
        self._connect(setup["config"])

    # -- wiring ---------------------------------------------------------------------------------------------------

    def _connect(self, config: "dict[str, Any]") -> None:
        self.analog: dict[int, Analog] = {}
        self.serial: dict[int, list[Any]] = {}
        self.wires: dict[int, Thermometer] = {}
        self.meters: dict[int, PulseMeter] = {}
        self.contacts: dict[int, Contact] = {}
        self.state_machines: list[Any] = []  # state machines that look at a pin
        self.i2c: dict[int, EventCounter] = {}
        self.buses: dict[int, EventCounter] = {}  # by their pins
        serial = {"rs485": ModbusProbe, "ultrasonic": Ultrasonic, "logger": Logger}
        for sensor in config["sensors"]:
            kind = sensor["kind"]
            if kind in serial:
                self.serial.setdefault(sensor["uart"], []).append(serial[kind](self, sensor))
            elif kind == "battery":
                self.analog[self.wiring.BATTERY_ADC] = Analog(self, sensor)
            elif kind in ("capacitive", "pressure", "current", "solar"):
                self.analog[sensor["adc"]] = Analog(self, sensor)
            elif kind == "ds18b20":
                self.wires[sensor["pin"]] = Thermometer(self, sensor)
            elif kind == "switch":
                self.contacts[sensor["pin"]] = Contact(self, sensor)
            elif kind == "flow" and sensor.get("source", "pin") == "pin":
                self.meters[sensor["pin"]] = PulseMeter(self, sensor)
            elif kind == "flow":
                counter = EventCounter(PulseMeter(self, sensor))
                self.i2c[sensor["i2c"]] = self.buses[sensor["sda"]] = self.buses[sensor["scl"]] = counter
            else:
                raise ValueError(f"the simulator has no sensor of kind {kind!r}")

    def powered(self, sensor: "dict[str, Any]") -> bool:
        """Whether the sensor's supply is on."""
        if sensor["kind"] == "battery":
            return True
        vext = self.wiring.VEXT
        if vext is not None and self.levels.get(vext) != self.wiring.VEXT_LEVEL:
            return False
        pin = sensor.get("power")
        return pin is None or self.levels.get(pin) == sensor.get("power_level", 1)

    def pin_value(self, number: int, level: "int | None") -> "int | None":
        """As Pin.value."""
        if level is None:
            return self.pin_read(number)
        self.pin_written(number, level)
        return None

    def pin_written(self, number: int, level: int) -> None:
        """An output changed."""
        level = 1 if level else 0
        if number in self.held:
            level = self.held[number]
        self.levels[number] = level
        clock = self.clock
        clock.now += 1
        if number == self.nss:
            self.radio.nss(clock.now, level)
        elif number == self.reset:
            self.radio.reset(clock.now, level)

    def pin_read(self, number: int) -> int:
        """The level at a pin; reading it takes a microsecond."""
        clock = self.clock
        clock.now += 1
        if number == self.busy:
            return self.radio.busy(clock.now)
        if number == self.dio1:
            return self.radio.dio1(clock.now)
        if number in self.wires and self.levels.get(number) == 0:
            return 0
        for devices in (self.meters, self.contacts, self.wires):
            if number in devices:
                return self.guard(devices[number].level)  # type: ignore[no-any-return]
        if number in self.buses:
            return int(self.guard(self.buses[number].mode) != "shorted")
        return self.levels.get(number, 1)

    # -- interrupts -----------------------------------------------------------------------------------------------

    def interrupt(self, pin: "Any", number: int, handler: "Any", trigger: int) -> None:
        """As Pin.irq: DIO1 of the radio and pulse inputs can interrupt."""
        if handler is None:
            self.interrupts.pop(number, None)
            return
        self.interrupts[number] = (handler, pin, trigger)
        if number == self.dio1:
            self._radio_event(self.radio.event_at)
        elif number in self.meters:
            self.counted = self.guard(self.meters[number].pulses)
            self.meters[number].edge = 1
            self._watch_pulses(number)
        else:
            self._watch_level(number, self.pin_read(number))

    def _radio_event(self, at: int) -> None:
        if at < NEVER and self.dio1 in self.interrupts:
            self.clock.call_at(max(at, self.clock.now), self._radio_interrupt)

    def _radio_interrupt(self) -> None:
        entry = self.interrupts.get(self.dio1)
        if entry is not None and self.radio.dio1(self.clock.now):
            self.woken = True
            entry[0](entry[1])

    def _watch_pulses(self, number: int) -> None:
        # The meter is looked at once a minute; what came since is played out in the minute after.
        if number not in self.interrupts:
            return
        meter = self.meters[number]
        now = self.guard(meter.pulses)
        count = min(now - self.counted, PULSE_STEP_US // 20000)
        bounces = self.guard(meter.bounces)
        for i in range(count):
            begin = self.clock.now + PULSE_STEP_US * i // count
            for level, at in ((0, begin), (1, begin + PULSE_STEP_US // count // 2)):
                for j in range(5 if bounces else 1):
                    self._edge_at(at + j * BOUNCE_US, number, level ^ (j & 1))
        self.counted = now
        self.clock.call_at(self.clock.now + PULSE_STEP_US, lambda: self._watch_pulses(number))

    def _edge_at(self, at: int, number: int, level: int) -> None:
        self.clock.call_at(at, lambda: self._edge(number, level))

    def _edge(self, number: int, level: int) -> None:
        for machine in self.state_machines:
            machine.catch_up()
        self.meters[number].edge = level
        entry = self.interrupts.get(number)
        if entry is not None and entry[2] & (1 if level else 2):  # IRQ_RISING, IRQ_FALLING
            self.woken = True
            entry[0](entry[1])

    def _watch_level(self, number: int, before: int) -> None:
        entry = self.interrupts.get(number)
        if entry is None:
            return
        now = self.pin_read(number)
        if now != before and entry[2] & (1 if now else 2):  # IRQ_RISING, IRQ_FALLING
            self.woken = True
            entry[0](entry[1])
        self.clock.call_at(self.clock.now + WAKE_STEP_US, lambda: self._watch_level(number, now))

    # -- sleep and restarts ---------------------------------------------------------------------------------------

    def sleep(self, us: int, light: bool = False) -> None:
        """Let the node's `us` pass; in light sleep an interrupt ends it early and the PIO stands still."""
        clock = self.clock
        if light:
            for machine in self.state_machines:
                machine.catch_up()
        until = clock.now + us - us * clock.ppm // 1000000
        if self.dio1 in self.interrupts:
            self.radio.listen_until(until)
        if until >= self.promise_from and us >= PROMISE_US:
            self.promise(until)
        if until < clock.limit and not (light and self.state_machines):
            clock.now = until
            return
        self.woken = False
        self.sleeping = light
        clock.pass_until(until, (lambda: self.woken) if light else None)
        self.sleeping = False
        if light:
            for machine in self.state_machines:
                machine.at = clock.now

    def promise(self, until: int, probe: bool = False) -> None:
        """Tell the host that no frame comes before `until`; with `probe`, ask for the sensors' values of then."""
        until = min(until, self.clock.limit)
        if probe:
            self._drain()
        if until > self.horizon:
            self._drain()
            self.send("H", struct.pack("<Q", until))
            self.flush()
            self.horizon = struct.unpack("<Q", self.read(8))[0]
        self.promise_from = min(until + PROMISE_STEP_US, self.horizon + 1)
        self.send("S" if probe else "s", struct.pack("<Q", until))
        self.flush()
        if probe:
            self.prefetched = until

    def deepsleep(self, us: int) -> None:
        """The program ends here; the hardware wakes after `us` (0: never) and starts it anew."""
        clock = self.clock
        until = clock.now + clock.true_us(us) if us else NEVER
        if self.esp32:
            clock.watchdog_at = NEVER  # the processor and its watchdog are without power
        clock.events = []
        self.interrupts = {}
        clock.schedule()
        self.wake_reason = WAKE_REASONS["timer"]
        self.woken_by = []
        if self.wake_pins:
            self._sleep_until_touched(until)
        else:
            self.promise(min(until, NEVER - 1), us != 0)
            clock.pass_until(until)
        self.wake_pins = {}
        self.restart("deepsleep")

    def may_wake(self, source: str, pins: "list[int]", level: int) -> None:
        """Pins on which deep sleep ends: any of them at `level`."""
        for number in pins:
            if number > LAST_RTC_PIN:
                raise ValueError("invalid pin")
        self.wake_pins[source] = (pins, level)

    def _sleep_until_touched(self, until: int) -> None:
        clock = self.clock
        while clock.now < until:
            for source, (pins, level) in self.wake_pins.items():
                touched = [number for number in pins if self.pin_read(number) == level]
                if touched:
                    self.wake_reason = WAKE_REASONS[source]
                    self.woken_by = touched if source == "ext1" else []
                    return
            step = min(until, clock.now + WAKE_STEP_US)
            self.promise_from = 0  # nothing longer was promised: a pin may wake the node at any step
            self.promise(step)
            clock.pass_until(step)

    def restart(self, cause: str) -> None:
        """Start the program again in this process: everything in memory but RTC memory is gone."""
        if cause == "reset":
            self.send("Z", struct.pack("<Q", self.clock.now))
        self.cause = cause
        if cause != "deepsleep":
            self.wake_reason = 0
            self.woken_by = []
        self.state_machines = []
        clock = self.clock
        clock.watchdog_at = NEVER
        clock.events = []
        clock.schedule()
        self.interrupts = {}
        if not self.deep_hold:
            self.held = {}
        for number in list(self.levels):
            if number not in self.held:
                del self.levels[number]
        raise Restart(cause)

    def boot(self) -> None:
        """The processor runs: from now on its own time counts from 0 again."""
        clock = self.clock
        clock.spend(self.setup["boot_us"])
        self.rtc_us += clock.elapsed()
        clock.booted = clock.now

    def watchdog(self) -> None:
        """The watchdog expired."""
        if not self.esp32 and self.sleeping:
            self.fault(self.clock.now, "the watchdog expired in lightsleep: an RP2040 locks up (micropython#17228)")
            self.stop(link.OFF_LOCKED)
        self.stop(link.OFF_WATCHDOG)

    def power_cut(self) -> None:
        """The supply is gone in the middle of whatever the program did."""
        self.stop(link.OFF_POWER)

    def guard(self, call: "Any", *arguments: "Any") -> "Any":
        """Call a simulated device; its own faults must not reach the driver, which would take them for the sensor's."""
        try:
            return call(*arguments)
        except Exception as error:
            self.report(b"B", error)
            return self.stop(link.OFF_DEAD)

    def report(self, kind: bytes, error: "BaseException | str") -> None:
        """Tell the host of an exception."""
        text = error if isinstance(error, str) else traceback_of(error)
        self.send(kind.decode(), struct.pack("<Q", self.clock.now) + text.encode()[:4000])
        self.flush()

    def stop(self, why: int) -> None:
        """Tell the host and stand still: it ends this process, so that nothing of the program runs any more."""
        lost = why == link.OFF_POWER
        rtc_us = 0 if lost else self.rtc_us + self.clock.elapsed()
        self.send("X", struct.pack(link.STOP_FORMAT, self.clock.now, why, rtc_us) + (b"" if lost else self.rtc))
        self.flush()
        while True:
            self.read(1)

    # -- environment ----------------------------------------------------------------------------------------------

    def value(self, name: str) -> "float | None":
        """What the environment says of one sensor now."""
        if not 0 <= self.clock.now - self.values_at <= VALUES_HOLD_US:
            if self.prefetched >= 0 and 0 <= self.clock.now - self.prefetched <= VALUES_HOLD_US:
                self._take_values(self.prefetched)
            else:
                self._drain()
                self.send("P", struct.pack("<Q", self.clock.now))
                self.flush()
                self._take_values(self.clock.now)
        return self.values.get(name)

    def _take_values(self, at: int) -> None:
        self.prefetched = -1
        numbers = struct.unpack(self.format, self.read(8 * len(self.names)))
        self.values = {name: None if x != x else x for name, x in zip(self.names, numbers)}  # noqa: B905
        self.values_at = at

    def _drain(self) -> None:
        """An answer that was asked for ahead must be read before the next one."""
        if self.prefetched >= 0:
            self._take_values(self.prefetched)

    def ask_host(self, data: bytes) -> bytes:
        """The answer of a device that lives on the host."""
        self._drain()
        self.send("Q", struct.pack("<Q", self.clock.now) + data)
        self.flush()
        size = struct.unpack("<H", self.read(2))[0]
        return bytes(self.read(size)) if size else b""

    # -- host -----------------------------------------------------------------------------------------------------

    def send(self, kind: str, body: bytes) -> None:
        """Queue a message; `flush` sends what is queued."""
        self.out += struct.pack("<BH", ord(kind), len(body))
        self.out += body

    def flush(self) -> None:
        """Send what is queued; without a host there is nothing left to do."""
        try:
            self.stream.write(self.out)
        except OSError:
            raise SystemExit from None
        self.out = bytearray()

    def read(self, size: int) -> bytes:
        """So many bytes from the host."""
        data: bytes = self.stream.read(size)
        if len(data) < size:
            raise SystemExit
        return data

    def fault(self, t: int, text: str) -> None:
        """A rule of the hardware was broken."""
        self.send("F", struct.pack("<Q", t) + text.encode()[:2000])

    def transmit(
        self, start: int, hz: int, sf: int, bw: int, dbm: int, flags: int, preamble: int, airtime: int, payload: bytes
    ) -> None:
        """The radio sends (see sx1262.Air); nobody waits for an answer."""
        self._antenna(start, 0, 1)
        if self.sag_v:
            volts = self.value("node.battery")
            if volts is not None and volts - self.sag_v < self.least_v:
                self.clock.power_cut_at = min(self.clock.power_cut_at, start + COLLAPSE_US)
                self.clock.schedule()
                return  # nobody can read what leaves until then
        self.send("T", struct.pack(link.TX_FORMAT, start, hz, bw, airtime, preamble, sf, dbm, flags) + payload)

    def _antenna(self, t: int, rx: int, tx: "int | None") -> None:
        """The antenna switch must stand right: some boards move it by pins."""
        for name, pin, level in (("RX", self.wiring.RX_SWITCH, rx), ("TX", self.wiring.TX_SWITCH, tx)):
            if pin is not None and level is not None and self.levels.get(pin) != level:
                self.fault(t, f"the antenna switch stands wrong: pin {pin} ({name}) must be {level}")

    def receive(
        self, start: int, close: int, hz: int, sf: int, bw: int, flags: int, after: int
    ) -> "tuple[int, int, bytes, float, float]":
        """The radio listens (see sx1262.Air): wait until the host knows what it heard."""
        self._antenna(start, 1, None)
        self._drain()
        self.send("R", struct.pack(link.RX_FORMAT, start, close, after, hz, bw, sf, flags, 0))
        self.flush()
        end, kind, rssi, snr, size = struct.unpack(link.HEARD_FORMAT, self.read(link.HEARD_SIZE))
        payload = bytes(self.read(size)) if size else b""
        return end, kind, payload, rssi / 10, snr / 10

    def detect(self, start: int, close: int, hz: int, sf: int, bw: int, flags: int) -> bool:
        """The radio looks for activity (see sx1262.Air)."""
        self._antenna(start, 1, None)
        self._drain()
        self.send("C", struct.pack(link.RX_FORMAT, start, close, 0, hz, bw, sf, flags, 0))
        self.flush()
        return self.read(1) == b"\x01"


def traceback_of(error: BaseException) -> str:
    """An exception's lines."""
    text = io.StringIO()
    sys.print_exception(error, text)  # type: ignore[attr-defined]
    return text.getvalue()


current: "Any" = None
