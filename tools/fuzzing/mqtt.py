"""The broker's door: ChirpStack's events (the fields of integration.UplinkEvent), of our nodes and of vendors'."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from random import Random
from typing import Any

from suat.ingest.chirpstack import Chirpstack, ChirpstackTable, Vendor
from suat_sim import witness

from fuzzing import mutate
from fuzzing.site import Site
from fuzzing.target import BrokenError, size_of

TOPIC = "application/52f14cd4-c6f1-4fbd-8f87-4025e1d49242/device/{}/event/up"
VENDORS: tuple[Vendor, ...] = ("dragino_lse01", "dragino_ldds75", "milesight_em500_smtc", "milesight_em500_swl")
# Payloads as the vendors' documents have them, with the FPort they come on.
FOREIGN = {
    "dragino_lse01": (2, "0d1000001105095c103110"),
    "dragino_ldds75": (2, "0cd705140000f501"),
    "milesight_em500_smtc": (85, "01756403670d0104ca281e057f5802"),
    "milesight_em500_swl": (85, "017564037700f0"),
}
WAITING = 256  # what MQTT's receive maximum lets the broker have under way


class Target:
    refusals: tuple[type[Exception], ...] = ()
    chunk = 250

    def __init__(self, folder: Path, chance: Random) -> None:
        self.site = Site(folder, chance)
        self.foreign = {f"{number:016x}": vendor for number, vendor in enumerate(VENDORS, 1)}
        table = ChirpstackTable(kind="chirpstack", devices=self.foreign)
        self.source = Chirpstack(self.site.station.ingress, table)
        self.site.station.sources[self.source.name] = self.source
        self.number = 0

    def make(self, chance: Random) -> tuple[str, bytes, int]:
        dev_eui = f"{chance.randrange(1, 24):016x}"
        vendor = self.foreign.get(dev_eui)
        if vendor is None or chance.random() < 0.2:
            record = chance.choice((self.number, chance.getrandbits(16)))
            sample = witness.soil_sample(record, [{"vwc": 0.2, "ec": 0.4}], 3.3, ack_from=max(0, record - 3))
            fport, data = chance.choice((2, 2, 3, 0, 5)), sample
        else:
            fport, data = FOREIGN[vendor][0], bytes.fromhex(FOREIGN[vendor][1])
        if chance.random() < 0.5:
            data = mutate.raw(chance, data, 300)
        event = _event(dev_eui, fport, data, str(uuid.UUID(int=chance.getrandbits(128))))
        if chance.random() < 0.6:
            event = mutate.tree(chance, event)
        body = mutate.as_json(chance, event)
        topic = TOPIC.format(dev_eui)
        wild = chance.random()
        if wild < 0.01:
            topic = topic.replace("52f14cd4", "a" * chance.choice((1, 60, 3000)))
        elif wild < 0.05:
            topic = mutate.text(chance, topic)[:65_535]
        return topic, body, chance.randrange(3)

    def feed(self, case: tuple[str, bytes, int]) -> None:
        topic, body, qos = case
        self.number += 1
        self.source.message_received(topic, body, self.number & 0xFFFF, qos)
        if self.number % 100 == 0:
            self.site.pass_time(2.0)
        if self.number % 5000 == 0:
            self.source.connection_lost()

    def look(self) -> int:
        self.site.pass_time(60.0)  # what the journal gave up has been handed in again
        waiting = len(self.source._unacknowledged)
        if waiting > WAITING:
            raise BrokenError(f"{waiting} events wait for a commit that is done")
        return max((size_of(pair) for pair in self.source._applications.items()), default=0)

    def reached(self) -> dict[str, int]:
        return self.site.reached()

    def close(self) -> None:
        self.site.close()


def _event(dev_eui: str, fport: int, data: bytes, identity: str) -> dict[str, Any]:
    return {
        "deduplicationId": identity,
        "time": "2026-06-01T00:00:00.123456+00:00",
        "deviceInfo": {
            "tenantId": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
            "tenantName": "upu",
            "applicationId": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
            "deviceProfileName": "node",
            "deviceName": "a node",
            "devEui": dev_eui,
            "tags": {"paddock": "p1"},
        },
        "devAddr": "01fa8ad4",
        "adr": True,
        "dr": 3,
        "fCnt": 7,
        "fPort": fport,
        "confirmed": False,
        "data": base64.b64encode(data).decode(),
        "object": {"battery": 3.3},
        "rxInfo": [
            {"gatewayId": "a84041ffff1ee2b4", "uplinkId": 4217, "rssi": -117, "snr": -4.5, "crcStatus": "CRC_OK"},
            {"gatewayId": "a84041ffff1ee2b5", "uplinkId": 4218, "rssi": -98},
        ],
        "txInfo": {
            "frequency": 865062500,
            "modulation": {"lora": {"bandwidth": 125000, "spreadingFactor": 9, "codeRate": "CR_4_5"}},
        },
    }
