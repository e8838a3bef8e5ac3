"""ChirpStack's events, version 4: the way out when a site outgrows the built-in network server.

    application/{id}/device/{devEui}/event/up       JSON: what a node sent     (chirpstack-api, integration.UplinkEvent)
    application/{id}/device/{devEui}/command/down   JSON: what it is to be told

A payload of one of our own nodes goes on as it is, with its record numbers; a foreign node's is read by the table that
`devices` (DevEUI) or `profiles` (name of its device profile) gives it. ChirpStack has told the node that it was heard
before we have kept anything, so two things protect a reading: the broker is told only after the commit and sends the
event again until then, and our own nodes keep their ring until the acknowledgement that we send them ourselves.

Whoever may publish at the broker is believed: its access list is the door. Each field is hostile all the same.
"""

from __future__ import annotations

import logging
from binascii import a2b_base64, b2a_base64
from collections import OrderedDict, deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field
from suat_wire.fields import PayloadError
from suat_wire.payload import PORT_HEALTH, PORT_READINGS

from suat.clock import UNDATED_US
from suat.ingest.base import Ingress, source
from suat.ingest.vendors import VENDORS, Decoded, decode
from suat.mqtt import LARGEST, BrokerSession, BrokerTable
from suat.records import Downlink, Measured, Relayed

log = logging.getLogger(__name__)

Vendor = Literal["dragino_lse01", "dragino_ldds75", "milesight_em500_smtc", "milesight_em500_swl"]
DevEui = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class ChirpstackTable(BrokerTable):
    kind: Literal["chirpstack"]
    application: Annotated[str, Field(pattern=r"^(\+|[^/+#]{1,64})$")] = "+"  # its id; +: all that the broker shows
    devices: dict[DevEui, Vendor] = Field(default_factory=dict)
    profiles: dict[str, Vendor] = Field(default_factory=dict)


LONGEST_ID = 64  # of an application; a topic may have 65,535 bytes
HANDLED = 4096  # events remembered by their deduplicationId
MAX_NODES = 4096  # remembered with their application, for downlinks
MAX_UNKNOWN = 256  # DevEUIs that were complained of
AGAIN_S = 30.0  # what the journal gave up is handed in again after this time
AHEAD_US = 86_400_000_000  # a time this far ahead of ours is not believed
LATEST_US = 4_102_444_800_000_000  # 2100
BEGINNING_US = 1_577_836_800_000_000  # nor one before 2020
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Kept = Relayed | Measured


class _Event:
    """An event between the broker and the journal."""

    __slots__ = ("open",)

    def __init__(self, frames: int) -> None:
        self.open = frames  # of its frames that are neither on disk nor refused


class Chirpstack:
    """The events without a connection: bytes in by `message_received`, what is settled out by `session`."""

    def __init__(self, ingress: Ingress, table: ChirpstackTable, session: BrokerSession | None = None) -> None:
        self.name = f"chirpstack {table.broker} {table.client_id}"
        topic = f"application/{table.application}/device/+/event/up"
        self.session = session or BrokerSession(table, topic, self.message_received, self.connection_lost)
        self._table = table
        self._scheduler = ingress.scheduler
        self._ingress = ingress
        self._handled: OrderedDict[str, _Event] = OrderedDict()
        self._unacknowledged: deque[tuple[_Event, int, int]] = deque()  # with packet number and QoS, as they came
        self._applications: OrderedDict[str, str] = OrderedDict()
        self._unknown: set[str] = set()
        self._warned_qos = False

    async def start(self) -> None:
        await self.session.start()

    async def stop(self) -> None:
        await self.session.stop()
        self.connection_lost()

    # -- down

    def send_downlink(self, downlink: Downlink) -> bool:
        """ChirpStack seals its frames itself."""
        return False

    def send_payload(self, dev_eui: str, fport: int, payload: bytes) -> bool:
        application = self._applications.get(dev_eui)
        if application is None:
            return False  # it was not heard since the start
        text = b2a_base64(payload, newline=False).decode()
        command = {"devEui": dev_eui, "confirmed": False, "fPort": fport, "data": text}
        return self.session.publish(f"application/{application}/device/{dev_eui}/command/down", orjson.dumps(command))

    # -- up

    def message_received(self, topic: str, payload: bytes, number: int, qos: int) -> None:
        """Handle one message; whatever it holds, it is passed on, counted or passed over, and no error comes out."""
        if qos == 0 and not self._warned_qos:
            self._warned_qos = True
            log.warning(
                "%s: events come with QoS 0 and are lost while the station is down; see docs/chirpstack.md", self.name
            )
        frames: list[Kept] = []
        identity = ""
        try:
            identity, frames = self._read(topic, payload)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            log.debug("%s: %s: %r", self.name, topic, error)
            self._ingress.counters["received"] += 1
            self._ingress.counters["malformed"] += 1
        event = self._handled.get(identity)
        if event is not None:  # it came before: it waits for the same commit
            self._ingress.counters["received"] += 1
            self._ingress.counters["duplicate"] += 1
            frames = []
        else:
            event = _Event(len(frames))
            if frames:
                self._handled[identity] = event
            if len(self._handled) > HANDLED:
                self._handled.popitem(last=False)
        self._unacknowledged.append((event, number, qos))
        for frame in frames:
            self._hand_in(event, frame)
        self._acknowledge()

    def connection_lost(self) -> None:
        """What was not acknowledged comes again."""
        self._unacknowledged.clear()

    def _hand_in(self, event: _Event, frame: Kept) -> None:
        self._ingress.counters["received"] += 1
        told = replace(frame, settled=lambda kept: self._settled(event, frame, kept))
        if isinstance(told, Relayed):
            self._ingress.on_relayed(told)
        else:
            self._ingress.on_measured(told)

    def _settled(self, event: _Event, frame: Kept, kept: bool) -> None:
        if not kept:
            self._scheduler.call_later(AGAIN_S, self._hand_in, event, frame)
            return
        event.open -= 1
        self._acknowledge()

    def _acknowledge(self) -> None:
        """In the order in which they came, as MQTT wants it (5.0, 4.6)."""
        waiting = self._unacknowledged
        while waiting and waiting[0][0].open == 0:
            _, number, qos = waiting.popleft()
            if qos:
                self.session.acknowledge(number, qos)

    def _read(self, topic: str, payload: bytes) -> tuple[str, list[Kept]]:
        """(what makes the event unique, what is to be kept of it); an error of the kinds above when it is no event."""
        if len(payload) > LARGEST:
            raise ValueError("too large")
        _, application, _, dev_eui, _, _ = topic.split("/")
        if len(application) > LONGEST_ID:
            raise ValueError("application")
        event = orjson.loads(payload)
        about = event["deviceInfo"]
        if about["devEui"] != dev_eui or len(dev_eui) != 16 or dev_eui != bytes.fromhex(dev_eui).hex():
            raise ValueError("devEui")
        identity = event["deduplicationId"]
        if type(identity) is not str or not 0 < len(identity) <= 64:
            raise ValueError("deduplicationId")
        fport = _whole(event.get("fPort", 0), 255)
        fcnt = _whole(event.get("fCnt", 0), 0xFFFFFFFF)
        data = a2b_base64(event.get("data", ""), strict_mode=True)
        received_us = self._received_us(event["time"])
        rssi, snr = _levels(event.get("rxInfo", []))
        form = self._form(dev_eui, about.get("deviceProfileName", ""))
        self._remember(dev_eui, application)
        if form is None:
            if fport == 0 or not data:
                return identity, []  # nothing but the radio's own business
            if fport not in (PORT_READINGS, PORT_HEALTH):
                self._complain(dev_eui, fport, about.get("deviceProfileName"))
                raise PayloadError(f"FPort {fport} is not ours")
            return identity, [Relayed(self.name, dev_eui, received_us, fport, data, fcnt, rssi, snr)]
        return identity, [
            Measured(
                self.name, dev_eui, received_us, _taken_us(sample, received_us), sample.readings, fcnt, rssi, snr
            )
            for sample in decode(VENDORS[form], fport, data)
        ]  # fmt: skip

    def _form(self, dev_eui: str, profile: Any) -> Vendor | None:
        found = self._table.devices.get(dev_eui)
        return self._table.profiles.get(profile) if found is None and type(profile) is str else found

    def _remember(self, dev_eui: str, application: str) -> None:
        self._applications[dev_eui] = application
        self._applications.move_to_end(dev_eui)
        if len(self._applications) > MAX_NODES:
            self._applications.popitem(last=False)

    def _complain(self, dev_eui: str, fport: int, profile: Any) -> None:
        if dev_eui not in self._unknown and len(self._unknown) < MAX_UNKNOWN:
            self._unknown.add(dev_eui)
            log.warning(
                "%s: node %s (device profile %.60r) sends on FPort %d, which no node of ours does;"
                " name its vendor's table under devices or profiles of this ingest",
                self.name,
                dev_eui,
                profile,
                fport,
            )

    def _received_us(self, text: Any) -> int:
        """When ChirpStack heard it [UTC us]; it may have lain in the broker for days. Ours where that can't be."""
        since = datetime.fromisoformat(text) - _EPOCH
        told_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        now_us = self._scheduler.wall_us()
        return told_us if BEGINNING_US <= told_us <= now_us + AHEAD_US else now_us


def _whole(value: Any, highest: int) -> int:
    if type(value) is not int or not 0 <= value <= highest:
        raise ValueError("no such number")
    return value


def _taken_us(sample: Decoded, received_us: int) -> int:
    """When a vendor's node took a sample [UTC us]; ValueError when its own clock says what can't be."""
    if sample.taken_s is None:
        return received_us
    taken_us = sample.taken_s * 1_000_000
    latest_us = received_us + AHEAD_US if received_us >= UNDATED_US else LATEST_US  # ours is not known: the node's is
    if not BEGINNING_US <= taken_us <= latest_us:
        raise ValueError("the node's clock is wrong")
    return taken_us


def _levels(entries: Any) -> tuple[float | None, float | None]:
    """(RSSI [dBm], SNR [dB]) at the gateway that heard it best; an SNR of zero is left out of the JSON."""
    best: tuple[float | None, float | None] = (None, None)
    if type(entries) is not list:
        raise TypeError("rxInfo")
    for entry in entries:
        rssi, snr = entry.get("rssi", 0), entry.get("snr", 0.0)
        if type(rssi) not in (int, float) or type(snr) not in (int, float):
            raise TypeError("rxInfo")
        if not -400.0 < rssi < 400.0 or not -400.0 < snr < 400.0:
            raise ValueError("rxInfo")
        if best[1] is None or snr > best[1]:
            best = float(rssi), float(snr)
    return best


@source("chirpstack", ChirpstackTable)
def _open(table: ChirpstackTable, ingress: Ingress) -> Chirpstack:
    return Chirpstack(ingress, table)
