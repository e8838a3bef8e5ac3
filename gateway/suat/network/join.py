"""Over-the-air activation (TS001-1.0.4 section 6.2): a join request is judged, a join accept prepared.

DevNonce counts strictly upwards, so that a recorded request is worth nothing. The new session is valid beside the old
one until the node has used it: a join accept that was lost must not silence the node. All of it is on disk before the
accept leaves.
"""

from __future__ import annotations

import logging

from suat_wire import lorawan
from suat_wire.region import Region, encode_cflist

from suat.network.devices import NET_ID, Device, Devices
from suat.network.downlink import Downlinks
from suat.records import Admitted, Uplink

log = logging.getLogger(__name__)

LAST_DEV_NONCE = 0xFFFF


class Joins:
    """Judges join requests. `extra_channels_hz` is sent as the CFList; none by default."""

    def __init__(
        self, devices: Devices, region: Region, downlinks: Downlinks, extra_channels_hz: tuple[int, ...] = ()
    ) -> None:
        self._devices = devices
        self._downlinks = downlinks
        self._region = region
        self._said: set[int] = set()  # registrations whose DevNonces are used up
        self._extra_channels_hz = extra_channels_hz
        self._cflist = encode_cflist(extra_channels_hz) if extra_channels_hz else b""

    def judge(self, copies: tuple[Uplink, ...], heard_us: int) -> tuple[str, Admitted | None]:
        """(the counter it belongs to, what is to be committed and answered)."""
        phy = copies[0].phy
        try:
            request = lorawan.parse_join_request(phy)
        except lorawan.FrameError:
            return "malformed", None
        device = self._devices.by_eui.get(request.dev_eui.hex())
        if device is None or device.app_key is None or device.join_eui != request.join_eui.hex():
            return "unknown_device", None
        if not lorawan.join_request_mic_ok(device.app_key, phy):
            return "bad_mic", None
        if device.dev_nonce > LAST_DEV_NONCE:
            self._used_up(device)
        if request.dev_nonce < device.dev_nonce:
            return ("duplicate" if request.dev_nonce == device.dev_nonce - 1 else "old_counter"), None
        device.dev_nonce = request.dev_nonce + 1
        device.join_nonce += 1
        keys = lorawan.session_keys(device.app_key, device.join_nonce, NET_ID, request.dev_nonce)
        dev_addr = self._devices.free_dev_addr(device, device.join_nonce)
        session = self._devices.begin_session(device, dev_addr, *keys, self._extra_channels_hz)
        accept = lorawan.join_accept(
            device.app_key,
            device.join_nonce,
            NET_ID,
            dev_addr,
            self._region.rx2_dr,  # DLSettings: RX1DROffset 0, RX2 as the region has it
            self._region.rx1_delay_s,
            self._cflist,
        )
        reply = self._downlinks.join_reply(device, copies, accept)
        best = copies[0]
        return "accepted", Admitted(
            device.registration,
            session.whole(),
            heard_us,
            0,
            best.rssi if best.rssi == best.rssi else None,
            best.snr if best.snr == best.snr else None,
            (),
            None,
            reply,
        )

    def _used_up(self, device: Device) -> None:
        """Its session goes on; only joining is over. Said once: such a node asks for ever."""
        if device.registration not in self._said:
            self._said.add(device.registration)
            log.warning("%s has used up its DevNonces: revoke it and register it anew", device.name)
