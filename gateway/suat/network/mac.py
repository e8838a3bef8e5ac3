"""The network's side of the MAC commands: answers to a node's requests, requests of its own, and what the node says.

TS001-1.0.4 section 5. All that is said after one uplink travels in the FOpts of its downlink, cut at a command's
boundary, the answers first.
"""

from __future__ import annotations

from suat_wire import commands as wire
from suat_wire.lorawan import UP
from suat_wire.region import REQUIRED_SNR_DB, Region

from suat.network.adr import Setting
from suat.network.devices import Device
from suat.records import Uplink

FOPTS_LIMIT = 15
GPS_EPOCH_US = 315_964_800_000_000  # 1980-01-06: a clock that stands before it is not set
FREQUENCY_AND_RATE = 3  # both bits of NewChannelAns


def answers(commands: bytes, copies: tuple[Uplink, ...], heard_us: int) -> bytes:
    """FOpts for the requests in an uplink that was heard as `copies` (best first) and ended at `heard_us` UTC.

    While the station's clock is not trusted its times count from its start (clock.UNDATED_US), and none is told.
    """
    out: dict[int, bytes] = {}
    for cid, _ in wire.parse(commands, UP):
        if cid == wire.LINK_CHECK:
            out[cid] = _link_check_ans(copies)
        elif cid == wire.DEVICE_TIME and heard_us >= GPS_EPOCH_US:
            out[cid] = wire.device_time_ans(heard_us)
    return wire.join(out.values(), FOPTS_LIMIT)


def _link_check_ans(copies: tuple[Uplink, ...]) -> bytes:
    """Margin above the demodulation floor [dB] of the best copy, and how many gateways heard it."""
    best = copies[0]
    floor = REQUIRED_SNR_DB.get(int(best.datr[2:].partition("BW")[0]), 0.0)
    margin = round(best.snr - floor) if best.snr == best.snr else 0
    heard_by = len({copy.gateway for copy in copies})
    return wire.build(wire.LINK_CHECK, wire.DOWN, margin_db=min(max(margin, 0), 254), gateways=min(heard_by, 255))


def heed(device: Device, commands: bytes, heard_us: int) -> bool:
    """Take in what a node answered to the network's requests; True when `device.link` changed."""
    before = device.link
    for cid, args in wire.parse(commands, UP):
        if cid == wire.LINK_ADR:
            device.history.answered(args[0])
            device.link = device.link._replace(tx_power=device.history.tx_power, nb_trans=device.history.nb_trans)
        elif cid == wire.DEV_STATUS:
            told = wire.fields(cid, UP, args)
            device.link = device.link._replace(battery=told["battery"], margin_db=told["margin_db"], status_us=heard_us)
        elif cid == wire.NEW_CHANNEL and device.channels_asked:
            _channel_answered(device, args[0])
    return device.link != before


def _channel_answered(device: Device, status: int) -> None:
    """The answers come in the order of the requests."""
    place, hz = device.channels_asked.pop(0)
    if status & FREQUENCY_AND_RATE != FREQUENCY_AND_RATE:
        device.channel_patience.refused()
        return
    channels = [*device.link.channels_hz]
    channels += [0] * (place + 1 - len(channels))
    channels[place] = hz
    while channels and not channels[-1]:
        channels.pop()
    device.link = device.link._replace(channels_hz=tuple(channels))
    device.channel_patience.done()


def link_adr_req(setting: Setting, channel_mask: int) -> bytes:
    """Ask the node for a data rate, power and repetitions on all channels it was given."""
    return wire.build(
        wire.LINK_ADR,
        wire.DOWN,
        tx_power=setting.tx_power,
        data_rate=setting.dr,
        channel_mask=channel_mask,
        nb_trans=setting.nb_trans,
        mask_control=0,
    )


def channel_mask(region: Region, device: Device) -> int:
    """The channels that the node has."""
    default = len(region.channels_hz)
    mask = (1 << default) - 1
    for place, hz in enumerate(device.link.channels_hz):
        mask |= (hz != 0) << default + place
    return mask


def new_channel_reqs(region: Region, device: Device, wanted_hz: tuple[int, ...], room: int) -> bytes:
    """Requests for channels that the node has not, and against those it should no longer have; as many as fit."""
    have = device.link.channels_hz
    out = b""
    device.channels_asked.clear()
    for place in range(max(len(have), len(wanted_hz))):
        wanted = wanted_hz[place] if place < len(wanted_hz) else 0
        if wanted == (have[place] if place < len(have) else 0):
            continue
        request = wire.build(
            wire.NEW_CHANNEL,
            wire.DOWN,
            index=len(region.channels_hz) + place,
            frequency_hz=wanted,
            min_data_rate=min(region.data_rates),
            max_data_rate=max(region.data_rates),
        )
        if len(out) + len(request) > room:
            break
        out += request
        device.channels_asked.append((place, wanted))
    return out


def dev_status_req() -> bytes:
    """Ask the node for its battery and for how well it hears."""
    return wire.build(wire.DEV_STATUS, wire.DOWN)
