"""`machine` as on the boards, over the simulated hardware of `suat_sim.board`."""

from suat_sim import board as _board
from suat_sim.devices import ADC_FULL_V as _ADC_FULL_V

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_b = _board.current
_clock = _b.clock

PWRON_RESET, WDT_RESET = 1, 3
_CAUSES = {"power": PWRON_RESET, "watchdog": WDT_RESET, "deepsleep": WDT_RESET, "reset": WDT_RESET}
if _b.esp32:  # an RP2040 knows none of these; any reset by the program passes for the watchdog's (micropython#19409)
    HARD_RESET, DEEPSLEEP_RESET, SOFT_RESET = 2, 4, 5
    _CAUSES.update(deepsleep=DEEPSLEEP_RESET, reset=HARD_RESET)
_LIGHTSLEEP_MAX_MS = 4294967  # RP2040: 2**32 us
_WDT_MAX_MS = 8388  # RP2040


def unique_id() -> bytes:
    """The chip's own number: differs per node."""
    return bytes(_b.setup["unique_id"])


def reset_cause() -> int:
    """Why the program started."""
    return _CAUSES[_b.cause]


if _b.esp32:

    def wake_reason() -> int:
        """What ended deep sleep (ESP-IDF's numbers); 0 after any other start."""
        return int(_b.wake_reason)

    def wake_pins() -> "tuple[int, ...]":
        """The pins of ext1 that ended deep sleep (MicroPython 1.28)."""
        return tuple(_b.woken_by)


def reset() -> None:
    """Start anew."""
    _b.restart("reset")


soft_reset = reset


def freq(hz: "int | None" = None) -> int:
    """The processor's clock [Hz]; setting it changes nothing here."""
    return 160000000 if _b.esp32 else 125000000


def idle() -> None:
    """Wait for an interrupt, at most a millisecond."""
    _b.sleep(1000)


def lightsleep(ms: "int | None" = None) -> None:
    """Sleep and go on; an interrupt ends it early."""
    if ms is None:
        _b.sleep(1 << 50, True)
        return
    if not _b.esp32 and ms > _LIGHTSLEEP_MAX_MS:
        _b.fault(_clock.now, f"lightsleep({ms}): an RP2040 sleeps at most 71.6 min")
    before = _clock.elapsed()
    _b.sleep(int(ms) * 1000, True)
    if not _b.esp32:  # the seconds of `time` stand still meanwhile (micropython#16519: 1.24 to 1.28)
        _b.rtc_us -= _clock.elapsed() - before


def deepsleep(ms: "int | None" = None) -> None:
    """Sleep and start anew."""
    _b.deepsleep(int(ms) * 1000 if ms else 0)


def disable_irq() -> int:
    """Interrupts come between two calls only; nothing to do."""
    return 0


def enable_irq(state: int) -> None:
    """The counterpart."""


def _nss(level: "int | None" = None) -> "int | None":
    if level is None or _b.held:
        return _b.pin_value(_b.nss, level)
    _clock.now = now = _clock.now + 1
    _b.levels[_b.nss] = level
    _b.radio.nss(now, level)
    return None


def _busy(level: "int | None" = None) -> int:
    _clock.now = now = _clock.now + 1
    return _b.radio.busy(now)


_SPECIAL = {_b.nss: _nss, _b.busy: _busy}


class Pin:
    """A GPIO. Inputs show what the board connects there."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    WAKE_LOW, WAKE_HIGH = 4, 5

    def __init__(
        self,
        number: "int | Pin",
        mode: int = -1,
        pull: "int | None" = -1,
        *,
        value: "int | None" = None,
        hold: "bool | None" = None,
    ) -> None:
        self.number: int = number.number if isinstance(number, Pin) else number
        self.init(mode, pull, value=value, hold=hold)
        special = _SPECIAL.get(self.number)
        if special is not None:  # the radio's lines are moved more often than all others together
            self.value = special

    def init(
        self, mode: int = -1, pull: "int | None" = -1, *, value: "int | None" = None, hold: "bool | None" = None
    ) -> None:
        """Set it up; `hold` keeps the level, also in deep sleep with esp32.gpio_deep_sleep_hold."""
        if hold is not None and not _b.esp32:
            raise TypeError("extra keyword arguments given")
        if hold is False:
            _b.held.pop(self.number, None)
        if value is not None:
            _b.pin_written(self.number, value)
        if hold:
            _b.held[self.number] = _b.levels.get(self.number, 0)

    def value(self, level: "int | None" = None) -> "int | None":
        """Read or write."""
        return _b.pin_value(self.number, level)

    def __call__(self, level: "int | None" = None) -> "int | None":
        return self.value(level)

    def on(self) -> None:
        """High."""
        self.value(1)

    def off(self) -> None:
        """Low."""
        self.value(0)

    high, low = on, off

    def irq(
        self,
        handler: "Callable[[Pin], None] | None" = None,
        trigger: int = 3,
        *,
        wake: "int | None" = None,
        hard: bool = False,
    ) -> "Pin":
        """Call `handler(pin)` at an edge."""
        _b.interrupt(self, self.number, handler, trigger)
        return self


class SPI:
    """A bus; the radio hangs on the one that the board's table names."""

    MSB, LSB = 0, 1

    def __init__(self, number: int, baudrate: int = 1000000, **options: object) -> None:
        self.byte_ns = 8000000000 // baudrate
        self.radio = _b.radio if number == _b.wiring.SPI_ID else None
        if baudrate > 16000000:
            _b.fault(_clock.now, f"SPI at {baudrate} Hz; the SX1262 takes 16 MHz (8.2)")
        if options.get("polarity", 0) or options.get("phase", 0):
            _b.fault(_clock.now, f"SPI mode {options}: the SX1262 wants CPOL = CPHA = 0 (8.2)")

    def init(self, **options: object) -> None:
        """Nothing that the model needs."""

    deinit = init

    def _transfer(self, data: "bytes | bytearray | memoryview") -> bytearray:
        answer = bytearray(len(data)) if self.radio is None else self.radio.transfer(_clock.now, data)
        _clock.now += 3 + len(data) * self.byte_ns // 1000
        return answer

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        """Send."""
        if self.radio is not None:
            self.radio.write(_clock.now, data)
        _clock.now += 3 + len(data) * self.byte_ns // 1000

    def read(self, count: int, write: int = 0) -> bytes:
        """Receive."""
        return bytes(self._transfer(bytes((write,)) * count))

    def readinto(self, buffer: "bytearray | memoryview", write: int = 0) -> None:
        """Receive into a buffer."""
        buffer[:] = self._transfer(bytes((write,)) * len(buffer))

    def write_readinto(self, data: "bytes | bytearray | memoryview", buffer: "bytearray | memoryview") -> None:
        """Send and receive."""
        buffer[:] = self._transfer(data)


class UART:
    """A serial line; what hangs on it answers after its own delay, byte by byte."""

    def __init__(self, number: int, baudrate: int = 9600, **options: object) -> None:
        self.devices = _b.serial.get(number, ())
        self.queue: list[tuple[int, int]] = []  # (arrival, byte)
        self.init(baudrate, **options)

    def init(self, baudrate: int = 9600, **options: object) -> None:
        """As on the boards: timeout and timeout_char in milliseconds, rxbuf in bytes."""
        self.char_us = 10000000 // baudrate
        self.timeout_us = int(options.get("timeout", 0)) * 1000  # type: ignore[call-overload]
        self.timeout_char_us = int(options.get("timeout_char", 0)) * 1000  # type: ignore[call-overload]
        self.rxbuf = int(options.get("rxbuf", 256))  # type: ignore[call-overload]

    def deinit(self) -> None:
        """What had not been read is lost."""
        self.queue = []

    def write(self, data: bytes) -> int:
        """Send; returns at once on the boards, but the line is busy until the last bit."""
        _clock.spend(len(data) * self.char_us)
        for device in self.devices:
            delay, answer = _b.guard(device.heard, bytes(data))
            at = _clock.now + delay
            for byte in answer:
                at += self.char_us
                self.queue.append((at, byte))
        return len(data)

    def flush(self) -> None:
        """All is sent."""

    def txdone(self) -> bool:
        """All is sent."""
        return True

    def _chatters(self) -> bool:
        return any([_b.guard(device.chatters) for device in self.devices])

    def any(self) -> int:
        """Bytes that have arrived."""
        _clock.spend(1)
        if self._chatters():
            return self.rxbuf
        now = _clock.now
        count = 0
        for at, _ in self.queue:
            if at > now:
                break
            count += 1
        if count > self.rxbuf:  # nobody read in time: the buffer ran over
            del self.queue[self.rxbuf : count]
            count = self.rxbuf
        return count

    def _chatter(self, count: "int | None") -> bytes:
        """What a device that talks without end gives; without a limit the read never ends."""
        while count is None:
            _clock.spend(1000000)
        _clock.spend(count * self.char_us)
        return bytes((0x5A,)) * count

    def _collect(self, count: "int | None", newline: bool) -> "bytes | None":
        """Up to `count` bytes or a newline, or what came before the line fell silent; None: nothing came in time."""
        if self._chatters():
            return self._chatter(count)
        self.any()
        queue, now, wait = self.queue, _clock.now, self.timeout_us
        out = bytearray()
        taken = 0
        while count is None or taken < count:
            if taken == len(queue) or queue[taken][0] > now + wait:
                now += wait
                break
            at, byte = queue[taken]
            if at > now:
                now = at
            out.append(byte)
            taken += 1
            if newline and byte == 10:
                break
            wait = self.timeout_char_us
        self.queue = queue[taken:]
        _clock.pass_until(now)
        return bytes(out) if taken else None

    def read(self, count: "int | None" = None) -> "bytes | None":
        """Up to `count` bytes (None: until the line falls silent)."""
        return self._collect(count, False)

    def readinto(self, buffer: bytearray, count: "int | None" = None) -> "int | None":
        """Into a buffer."""
        data = self.read(len(buffer) if count is None else count)
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def readline(self, size: int = -1) -> "bytes | None":
        """Up to and with a newline, at most `size` bytes."""
        return self._collect(None if size < 0 else size, True)


class ADC:
    """A 12-bit converter."""

    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = 0, 1, 2, 3

    def __init__(self, pin: "Pin | int", *, atten: "int | None" = None) -> None:
        number = pin.number if isinstance(pin, Pin) else pin
        self.source = _b.analog.get(number)
        if not _b.esp32:
            if atten is not None:
                raise TypeError("extra keyword arguments given")
            full = _ADC_FULL_V["rp2040"]
        else:
            full = (0.95, 1.25, 1.75, _ADC_FULL_V["esp32s3"])[atten or 0]
        self.full = full

    def _raw(self) -> int:
        _clock.spend(40)
        volts = 0.0 if self.source is None else _b.guard(self.source.volts)
        return max(0, min(4095, int(volts / self.full * 4095 + 0.5)))

    def read_u16(self) -> int:
        """0..65535 of the full scale."""
        raw = self._raw()
        return raw << 4 | raw >> 8

    def read_uv(self) -> int:
        """Microvolts by the chip's own calibration (ESP32)."""
        if not _b.esp32:
            raise AttributeError("'ADC' object has no attribute 'read_uv'")
        return int(self._raw() * self.full * 1000000 / 4095)


class I2C:
    """A bus with at most an event counter on it."""

    def __init__(self, number: int = 0, **options: object) -> None:
        self.device = _b.i2c.get(number)

    def _at(self, address: int) -> "_board.EventCounter":
        _clock.spend(500)
        mode = "missing" if self.device is None or address != 0x50 else _b.guard(self.device.mode)
        if mode in ("missing", "open"):
            raise OSError(19)
        if mode in ("hung", "shorted"):  # it stretches the clock: the port waits for its time limit
            _clock.spend(50000)
            raise OSError(110)
        return self.device

    def scan(self) -> "list[int]":
        """Addresses that answer."""
        return [] if self.device is None else [0x50]

    def readfrom_mem(self, address: int, register: int, count: int) -> bytes:
        """Read registers."""
        return _b.guard(self._at(address).read_mem, register, count)  # type: ignore[no-any-return]

    def writeto_mem(self, address: int, register: int, data: bytes) -> None:
        """Write registers."""
        _b.guard(self._at(address).write_mem, register, bytes(data))


SoftI2C = I2C


class RTC:
    """The real-time clock's memory: 2048 bytes that survive sleep and resets (ESP32)."""

    def memory(self, data: "bytes | None" = None) -> "bytes | None":
        """Read or write."""
        if not _b.esp32:
            raise AttributeError("'RTC' object has no attribute 'memory'")
        if data is None:
            return _b.rtc
        if len(data) > 2048:
            raise ValueError("buffer too long")
        _b.rtc = bytes(data)
        return None


class WDT:
    """The watchdog: once armed it cannot be stopped."""

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:
        if timeout < 1 or (not _b.esp32 and timeout > _WDT_MAX_MS):
            raise ValueError(f"WDT timeout {timeout}")
        _clock.arm_watchdog(timeout * 1000)
        self.feed = _clock.feed  # it is called very often
