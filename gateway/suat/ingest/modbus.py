"""Wired transmitters, flow meters and pump meters: Modbus RTU on an RS-485 line, or Modbus TCP.

Each device is asked in its own interval, one after the other on a thread of the line. What it gives becomes a
`Measured` with the instant of its answer; what it does not give becomes the `fault` of the group, with the codes that
our nodes use. A device that fails is asked once, without retries, and the less often the longer it fails, so that a
dead one costs the others a time limit in five minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace

from suat.clock import Timer
from suat.ingest.base import Ingress, source
from suat.ingest.bus.client import GOOD, OUTCOMES, Bus, Register
from suat.ingest.bus.tables import DeviceTable, ModbusTable
from suat.metrics import MODBUS_FAULT, MODBUS_READS
from suat.network.wired import wired_eui
from suat.records import Downlink, Measured

log = logging.getLogger(__name__)

SPREAD_S = 0.2  # between the first readings of two devices
SELDOM_S = 300.0  # a device that fails is asked at least so often, or in its own longer interval
AGAIN_S = 30.0  # what the journal gave up is handed in again after this time
MOST_WAITING = 1024  # readings that wait for it
STOP_S = 4.0


class Modbus:
    """One line and the devices on it."""

    def __init__(self, ingress: Ingress, table: ModbusTable) -> None:
        self.name = f"modbus {table.place}"
        self._ingress = ingress
        self._scheduler = ingress.scheduler
        self._table = table
        self._bus = Bus(table)
        self._timers: dict[str, Timer] = {}
        self._asking = 0  # devices whose answers are on their way
        self._failures: Counter[str] = Counter()  # readings in a row with a fault, by device
        self._told: dict[str, str] = {}  # the last fault that was logged, by device
        self._waiting = 0
        self._stopped = False

    async def start(self) -> None:
        if self._stopped:  # it is brought back after an error
            self._stopped, self._bus = False, Bus(self._table)
        for place, device in enumerate(self._table.devices):
            self._ask_after(place * SPREAD_S, device)

    async def stop(self) -> None:
        self._stopped = True
        self._bus.give_up()
        for timer in self._timers.values():
            timer.cancel()
        self._asking += 1
        self._scheduler.offload(self._bus.close, self._closed, lane=self.name)
        deadline = self._scheduler.monotonic() + STOP_S
        while self._asking and self._scheduler.monotonic() < deadline:
            await asyncio.sleep(0.005)

    def send_downlink(self, downlink: Downlink) -> bool:
        return False  # there is no radio

    def send_payload(self, dev_eui: str, fport: int, payload: bytes) -> bool:
        return False

    # -- asking

    def _ask_after(self, delay_s: float, device: DeviceTable) -> None:
        if not self._stopped:
            if device.device in self._timers:  # an answer from before a stop: one turn a device
                self._timers[device.device].cancel()
            self._timers[device.device] = self._scheduler.call_later(delay_s, self._ask, device)

    def _ask(self, device: DeviceTable) -> None:
        began = self._scheduler.monotonic()
        retries = 0 if self._failures[device.device] else self._table.retries
        self._asking += 1
        self._scheduler.offload(
            lambda: self._bus.read(device, retries),
            lambda found, error: self._answered(device, began, found, error),
            lane=self.name,
        )

    def _answered(
        self, device: DeviceTable, began: float, found: list[Register] | None, error: BaseException | None
    ) -> None:
        self._asking -= 1
        if self._stopped:
            return
        if found is None:
            log.error("%s: %s: %r", self.name, device.device, error)
            found = []
        faults = [register for register in found if register.fault != GOOD]
        self._failures[device.device] = self._failures[device.device] + 1 if faults or not found else 0
        self._tell(device, faults)
        if found:
            self._hand_in(device, found)
        interval_s = device.interval_s
        if len(faults) == len(found):
            interval_s = min(interval_s * 2 ** min(self._failures[device.device] - 1, 16), max(interval_s, SELDOM_S))
        self._ask_after(max(0.0, began + interval_s - self._scheduler.monotonic()), device)

    def _closed(self, _result: None, _error: BaseException | None) -> None:
        self._asking -= 1

    # -- what came

    def _hand_in(self, device: DeviceTable, found: list[Register]) -> None:
        now_us = self._scheduler.wall_us()
        readings = {_key(register): register.value for register in found if register.value is not None}
        readings |= {(register.entry.group, "fault"): register.fault for register in found if register.fault != GOOD}
        self._ingress.counters["received"] += 1
        sample = Measured(self.name, wired_eui(device.device), now_us, now_us, readings)
        self._ingress.on_measured(replace(sample, settled=lambda kept: self._settled(sample, kept)))

    def _settled(self, sample: Measured, kept: bool) -> None:
        """What the journal gave up comes again; a device numbers nothing and forgets."""
        if not kept and self._waiting < MOST_WAITING:
            self._waiting += 1
            self._scheduler.call_later(AGAIN_S, self._again, sample)

    def _again(self, sample: Measured) -> None:
        self._waiting -= 1
        self._ingress.counters["received"] += 1
        self._ingress.on_measured(replace(sample, settled=lambda kept: self._settled(sample, kept)))

    def _tell(self, device: DeviceTable, faults: list[Register]) -> None:
        """Figures at each reading; a line when something changes."""
        name = device.device
        worst = max((register.fault for register in faults), default=GOOD)
        MODBUS_READS.labels(name, OUTCOMES[worst]).inc()
        MODBUS_FAULT.labels(name).set(worst)
        state = "; ".join(dict.fromkeys(f"{register.entry.field}: {register.text}" for register in faults))
        kind = "; ".join(dict.fromkeys(f"{register.entry.field} {register.fault}" for register in faults))
        if kind != self._told.get(name, ""):
            self._told[name] = kind
            if faults:
                log.warning("%s: %s (unit %d): %s", self.name, name, device.unit, state)
            else:
                log.warning("%s: %s answers again", self.name, name)


def _key(register: Register) -> tuple[str, str]:
    group, _, name = register.entry.field.partition(".")
    return group, name


@source("modbus", ModbusTable)
def _open(table: ModbusTable, ingress: Ingress) -> Modbus:
    return Modbus(ingress, table)
