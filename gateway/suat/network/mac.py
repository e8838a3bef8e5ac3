"""The network's side of the MAC commands: answers to a node's requests, and what its own answers tell.

TS001-1.0.4 section 5. All answers to one uplink travel in the FOpts of its downlink, cut at a command's boundary.
"""

from __future__ import annotations

from suat_wire import commands as wire
from suat_wire.region import REQUIRED_SNR_DB

from suat.network.adr import LinkHistory, Setting
from suat.records import Uplink

FOPTS_LIMIT = 15
GPS_EPOCH_US = 315_964_800_000_000  # 1980-01-06: a clock that stands before it is not set


def answers(commands: bytes, copies: tuple[Uplink, ...], heard_us: int, history: LinkHistory) -> bytes:
    """FOpts for the requests in an uplink that was heard as `copies` (best first) and ended at `heard_us` UTC."""
    out: dict[int, bytes] = {}
    for cid, args in wire.parse(commands, wire.UP):
        if cid == wire.LINK_CHECK:
            out[cid] = _link_check_ans(copies)
        elif cid == wire.DEVICE_TIME and heard_us >= GPS_EPOCH_US:
            out[cid] = wire.device_time_ans(heard_us)
        elif cid == wire.LINK_ADR:
            history.answered(args[0])
    return wire.join(out.values(), FOPTS_LIMIT)


def _link_check_ans(copies: tuple[Uplink, ...]) -> bytes:
    """Margin above the demodulation floor [dB] of the best copy, and how many gateways heard it."""
    best = copies[0]
    floor = REQUIRED_SNR_DB.get(int(best.datr[2:].partition("BW")[0]), 0.0)
    margin = round(best.snr - floor) if best.snr == best.snr else 0
    heard_by = len({copy.gateway for copy in copies})
    return wire.build(wire.LINK_CHECK, wire.DOWN, margin_db=min(max(margin, 0), 254), gateways=min(heard_by, 255))


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
