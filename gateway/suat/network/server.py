"""The network server as the pipeline sees it: frames in, admitted frames out, answers after the commit."""

from __future__ import annotations

import logging
from collections.abc import Callable

from suat_wire.control import PORT_ACK, PORT_CONFIG, encode_ack
from suat_wire.region import REGIONS

from suat.clock import Scheduler
from suat.ingest.base import new_counters
from suat.network.admit import Admission
from suat.network.devices import Devices
from suat.network.direct import Answer, Direct
from suat.network.downlink import Downlinks, Write, keep_nothing
from suat.network.join import Joins
from suat.network.keys import RootKeys
from suat.network.tables import DEFAULTS, NetworkTable
from suat.records import Acknowledgement, Admitted, Batch, Committed, Downlink, SendResult, Uplink
from suat.store import downlinks as kept
from suat.store.reader import Reader

log = logging.getLogger(__name__)


def _no_way(_source: str, _dev_eui: str, _fport: int, _payload: bytes) -> bool:
    """For a station without other servers."""
    return False


class NetworkServer:
    """One site's network server. All calls are on the scheduler's thread.

    `on_admitted` gets each frame that is to be kept; `send` hands a downlink to the source named in it, False when
    there is no way; `send_payload(source, DevEUI, FPort, payload)` does the same for a node behind another server. The
    pipeline then calls `committed` or `failed` with the batch that carried the frames. `write(work)` runs
    `work(journal)` where the journal is written.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        region: str,
        reader: Reader,
        keys: RootKeys,
        on_admitted: Callable[[Admitted], None],
        send: Callable[[Downlink], bool],
        *,
        send_payload: Callable[[str, str, int, bytes], bool] = _no_way,
        counters: dict[str, int] | None = None,
        options: NetworkTable = DEFAULTS,
        write: Write = keep_nothing,
    ) -> None:
        plan = REGIONS[region]
        self.counters = new_counters() if counters is None else counters
        self.devices = Devices()
        self.downlinks = Downlinks(scheduler, plan, send, options, write=write)
        self.downlinks.airtime.take_over(reader.read(kept.airtime))
        self._admission = Admission(
            scheduler,
            self.devices,
            Joins(self.devices, plan, self.downlinks, options.extra_channels_hz),
            self.downlinks,
            on_admitted,
            self.counters,
        )
        self.direct = Direct(self.devices, reader, on_admitted, self.counters, self.downlinks)
        self._send_payload = send_payload
        self._reader = reader
        self._keys = keys
        self._version = -1
        self.refresh()

    def receive(self, uplink: Uplink) -> None:
        """One copy of a frame, from any source."""
        self._admission.receive(uplink)

    def seen(self, gateway: str) -> None:
        """A gateway is there: where there are several, the copies of a frame are waited for."""
        self._admission.seen(gateway)

    def downlink_result(self, downlink: Downlink, result: SendResult) -> None:
        """A gateway's verdict on a downlink."""
        self.downlinks.on_result(downlink, result)

    def committed(self, batch: Batch, committed: Committed) -> None:
        """The batch is on disk: send what its frames wait for."""
        for index, admitted in enumerate(batch.admitted):
            acknowledgement = committed.acknowledgements.get(index)
            if isinstance(admitted.reply, Answer):
                self._answer(admitted.reply, acknowledgement)
                admitted.reply.settled(True)
            elif admitted.reply is not None:
                self.downlinks.dispatch(admitted.reply, acknowledgement)

    def _answer(self, answer: Answer, acknowledgement: Acknowledgement | None) -> None:
        """Tell a node behind another server what is committed, or else its settings."""
        order = None
        if answer.ours:
            order = self.downlinks.orders.due(answer.device.registration, acknowledgement is not None)
        if order is not None:
            if self._send_payload(answer.source, answer.device.dev_eui, PORT_CONFIG, order.order.payload):
                self.downlinks.orders.sent(order)
        elif acknowledgement is not None:
            payload = encode_ack(acknowledgement.cumulative, acknowledgement.bitmap)
            self._send_payload(answer.source, answer.device.dev_eui, PORT_ACK, payload)

    def failed(self, batch: Batch) -> None:
        """The batch is not on disk and will not be: nothing is answered, and the sessions are written anew."""
        for admitted in batch.admitted:
            if isinstance(admitted.reply, Answer):
                admitted.reply.settled(False)
            device = self.devices.by_registration.get(admitted.registration)
            if device is not None and device.session is not None:
                device.session.unsaved = True

    def refresh(self) -> None:
        """Take over nodes that were registered or revoked meanwhile; cheap when nothing changed. SuatError."""
        version = self._reader.registry_version()
        if version == self._version:
            return
        before = self.devices.by_registration.keys() | set()
        records = self._reader.devices(revoked=False)
        links = self._reader.read(kept.links)
        self.devices.load(records, self._reader.sessions(), self._keys.read().app_keys(), links)
        told = {registration: device.link.config for registration, device in self.devices.by_registration.items()}
        names = {record.registration: record.name for record in records}
        self.downlinks.orders.load(self._reader.read(kept.orders), names, told)
        self._version = version
        for registration in before - self.devices.by_registration.keys():
            self.downlinks.orders.forget(registration)
            log.info("node %d is revoked", registration)

    def flush(self) -> None:
        """Judge what is still being collected: the station is about to stop."""
        self._admission.flush()
