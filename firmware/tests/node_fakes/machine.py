"""`machine` for the node's own tests: pins remember, sensors answer from the tables below."""

import time

PWRON_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 3, 4, 5

levels = {}  # pin -> level
grounded = ()  # pins that stay low whatever drives them
writes = []  # (pin, level) of every output
analog = {}  # pin -> list of counts, given out in turn
lines = {}  # UART id -> function(bytes written) -> bytes answered
chip = None  # object with select(level), transfer(bytes), busy(), dio1()
wiring = None  # the board module
cause = PWRON_RESET
rtc = b""
i2c = {}  # register -> byte
handlers = {}
triggers = {}
held = {}  # pin -> level that an ESP32 keeps in deep sleep
touch_at_us = {}  # pin -> when its interrupt comes


class Reset(BaseException):
    """The program asked for a reset."""


class DeepSleep(BaseException):
    """The program ended in deep sleep."""


def reset_cause():
    return cause


def reset():
    raise Reset()


def lightsleep(ms):
    end = time.now_us + ms * 1000
    for pin in list(touch_at_us):
        if handlers.get(pin) and time.now_us < touch_at_us[pin] <= end:
            end = touch_at_us.pop(pin)
            handlers[pin](Pin(pin))
    time.advance(end - time.now_us)


def deepsleep(ms):
    time.watchdog_us = 0
    time.advance(ms * 1000 * 1000000 // (1000000 + time.fast_ppm))
    raise DeepSleep(ms)


class WDT:
    def __init__(self, timeout):
        time.watchdog_us = timeout * 1000
        self.feed()

    def feed(self):
        time.fed_us = time.now_us


class Pin:
    IN, OUT, PULL_UP, IRQ_RISING, IRQ_FALLING = 1, 3, 2, 1, 2

    def __init__(self, number, mode=-1, pull=-1, value=None, hold=None):
        if hold is not None and wiring is not None and wiring.CHIP == "rp2040":
            raise TypeError("extra keyword arguments given")
        self.number = number
        if hold:
            held[number] = levels.get(number)
        elif hold is False:
            held.pop(number, None)
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            time.advance(1)
            if chip is not None and wiring is not None:
                if self.number == wiring.BUSY:
                    return chip.busy()
                if self.number == wiring.DIO1:
                    return chip.dio1()
            return 0 if self.number in grounded else levels.get(self.number, 1)
        levels[self.number] = level
        writes.append((self.number, level))
        if len(writes) > 200:
            del writes[:100]
        if chip is not None and wiring is not None:
            if self.number == wiring.NSS:
                chip.select(level)
            elif self.number == wiring.RESET:
                chip.reset(level)

    def irq(self, handler=None, trigger=3):
        handlers[self.number] = handler
        if handler:
            triggers[self.number] = trigger


class SPI:
    def __init__(self, number, **options):
        pass

    def write(self, data):
        time.advance(2 + len(data))
        chip.transfer(data)

    def readinto(self, buffer, write=0):
        time.advance(2 + len(buffer))
        buffer[:] = chip.transfer(bytes(len(buffer)))


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, atten=None):
        self.counts = analog.get(pin.number, [0])
        self.at = 0

    def read_u16(self):
        self.at += 1
        return self.counts[(self.at - 1) % len(self.counts)]

    def read_uv(self):
        return self.read_u16() * 3100000 // 65535


class UART:
    def __init__(self, number, **options):
        self.number = number
        self.timeout_ms = options.get("timeout", 0)
        self.queue = b""

    def deinit(self):
        pass

    def any(self):
        return len(self.queue)

    def flush(self):
        pass

    def write(self, data):
        time.advance(len(data) * 1000)
        answer = lines.get(self.number)
        if answer is not None:
            self.queue += answer(bytes(data))

    def read(self, count):
        out, self.queue = self.queue[:count], self.queue[count:]
        if len(out) < count:
            time.advance(self.timeout_ms * 1000)
        return out or None

    def readline(self, size):
        end = self.queue[:size].find(b"\n") + 1
        return self.read(end or len(self.queue) or 1)


class I2C:
    def __init__(self, number, **options):
        pass

    def readfrom_mem(self, address, register, count):
        if not i2c:
            raise OSError(19)
        return bytes([i2c.get(register + i, 0) for i in range(count)])

    def writeto_mem(self, address, register, data):
        for i, byte in enumerate(data):
            i2c[register + i] = byte


class RTC:
    def memory(self, data=None):
        global rtc
        if data is None:
            return rtc
        if len(data) > 2048:
            raise ValueError("buffer too long")
        rtc = bytes(data)
