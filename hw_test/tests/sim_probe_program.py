"""A node program for tests of the simulated hardware: does what /plan.json says and keeps notes in /notes."""

import json
import os
import time

import machine

with open("/plan.json") as _file:  # noqa: PTH123
    _plan = json.load(_file)


def note(*words: object) -> None:
    """Append a line."""
    with open("/notes", "a") as file:  # noqa: PTH123
        file.write(" ".join([str(word) for word in words]) + "\n")


value = 0  # a fresh start must find it so again
table = {"starts": 0}


def main() -> None:
    """One life."""
    global value
    note("start", machine.reset_cause(), value, table["starts"], time.ticks_ms(), int(time.time()))
    value += 1
    table["starts"] += 1
    for step in _plan:
        name = step[0]
        if name == "wdt":
            machine.WDT(timeout=step[1])
        elif name == "feed":
            machine.WDT(timeout=step[1]).feed()
        elif name == "sleep":
            time.sleep_ms(step[1])
        elif name == "lightsleep":
            machine.lightsleep(step[1])
        elif name == "deepsleep":
            memory = machine.RTC()
            count = int(memory.memory() or b"0") + 1
            note("rtc", count)
            memory.memory(str(count).encode())
            machine.deepsleep(step[1])
        elif name == "ticks":
            before = time.ticks_ms()
            time.sleep_ms(step[1])
            after = time.ticks_ms()
            note("ticks", before, after, time.ticks_diff(after, before), time.ticks_diff(before, after))
        elif name == "write":
            for i in range(step[1]):
                with open("/file.tmp", "w") as file:  # noqa: PTH123
                    file.write(f"number {i:06d}")
                os.rename("/file.tmp", "/file")  # noqa: PTH104
        elif name == "raise":
            raise ValueError("as planned")
        elif name == "spi":
            bus = machine.SPI(1, baudrate=8000000)
            nss = machine.Pin(8, machine.Pin.OUT, value=1)
            nss.value(0)
            bus.write(bytes(step[1]))
            nss.value(1)
        note("done", name)


main()
