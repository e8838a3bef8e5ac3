"""What the node does with the network's MAC commands (TS001-1.0.4 section 5), and its answers.

A block of LinkADRReq is taken as one. TXParamSetupReq is not answered: none of the four regions has it.
"""

from suat_wire import commands as mac
from suat_wire.lorawan import DOWN

from suat_node.keep import times
from suat_node.mac import link
from suat_node.mac.session import MAX_CHANNELS, whole

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.counters import Counters
    from suat_node.mac.session import Session

_KEEP = 15


def obey(session: "Session", counters: "Counters", commands: "list[tuple[int, bytes]]", sent_at: int) -> None:
    """Carry out the commands of one downlink in order. `sent_at`: node clock, ms, at the end of the uplink."""
    i = 0
    while i < len(commands):
        cid, args = commands[i]
        i += 1
        if cid == mac.LINK_ADR:
            block = [mac.fields(cid, DOWN, args)]
            while i < len(commands) and commands[i][0] == mac.LINK_ADR:
                block.append(mac.fields(cid, DOWN, commands[i][1]))
                i += 1
            session.answers += _link_adr(session, block) * len(block)
        elif cid == mac.DEVICE_TIME:
            times.learn(counters, mac.device_time_us(args) // 1000, sent_at)
        elif cid == mac.LINK_CHECK:
            session.link = (args[0], args[1])
        elif cid == mac.DEV_STATUS:
            session.answers += bytes((cid, _battery(session, counters), _margin(session) & 63))
        elif cid in _ANSWERS:
            session.answers += _ANSWERS[cid](session, mac.fields(cid, DOWN, args))
    # all commands are carried out; answers that no uplink carries are not kept (TS001 5)
    session.answers = whole(session.answers, session.region.max_payload[session.dr])
    counters.quiet_until = link.free_at(session, session.dr)


def _answer(cid: int, *taken: bool) -> bytes:
    """A bit, from the lowest, for each thing that was taken."""
    bits = 0
    for i, good in enumerate(taken):
        bits |= good << i
    return bytes((cid, bits)) if taken else bytes((cid,))


def _link_adr(session: "Session", block: "list[dict[str, int]]") -> bytes:
    """5.3: all of the block or nothing; the last command's data rate, power and NbTrans count."""
    defined = (1 << len(session.channels)) - 1
    for i, channel in enumerate(session.channels):
        if not channel[0]:
            defined &= ~(1 << i)
    mask = session.mask
    mask_ok = True
    for request in block:
        if request["mask_control"] == 6:
            mask = defined
        elif request["mask_control"] == 0:
            mask = request["channel_mask"]
        else:
            mask_ok = False
    pinned = session.config.channel
    if not mask or mask & ~defined or (pinned >= 0 and not mask >> pinned & 1):
        mask_ok = False
    last = block[-1]
    dr = session.dr if last["data_rate"] == _KEEP else last["data_rate"]
    power = session.power if last["tx_power"] == _KEEP else last["tx_power"]
    dr_ok = dr in session.region.data_rates and (session.adr or dr == session.dr)
    if dr_ok and mask_ok:
        dr_ok = any([mask >> i & 1 and _carries(channel, dr) for i, channel in enumerate(session.channels)])
    power_ok = power <= session.region.last_tx_power and (session.adr or power == session.power)
    if mask_ok and dr_ok and power_ok:
        session.mask = mask
        session.dr = dr
        session.power = power
        session.nb_trans = max(1, last["nb_trans"])
    return _answer(mac.LINK_ADR, mask_ok, dr_ok, power_ok)


def _carries(channel: "list[int]", dr: int) -> bool:
    return channel[2] & 15 <= dr <= channel[2] >> 4


def _duty_cycle(session: "Session", request: "dict[str, int]") -> bytes:
    session.max_duty = request["max_duty_cycle"]
    return _answer(mac.DUTY_CYCLE)


def _rx_param(session: "Session", request: "dict[str, int]") -> bytes:
    channel_ok = session.region.duty_cycle(request["frequency_hz"]) > 0
    dr_ok = request["rx2_data_rate"] in session.region.data_rates
    offset_ok = request["rx1_offset"] <= session.region.last_rx1_offset
    if channel_ok and dr_ok and offset_ok:
        session.rx2_hz = request["frequency_hz"]
        session.rx2_dr = request["rx2_data_rate"]
        session.rx1_offset = request["rx1_offset"]
    return _answer(mac.RX_PARAM_SETUP, channel_ok, dr_ok, offset_ok)


def _battery(session: "Session", counters: "Counters") -> int:
    """5.5: 1 at the voltage called the floor, 64 at the one called low and so on, 255 where these are not known."""
    settings = session.config.settings
    floor = settings.get("battery_floor", 0)
    step = settings.get("battery_low", 0) - floor
    if not floor or step <= 0 or not counters.battery_mv:
        return 255
    return max(1, min(254, 1 + (counters.battery_mv - floor) * 63 // step))


def _margin(session: "Session") -> int:
    return max(-32, min(31, session.snr))


def _new_channel(session: "Session", request: "dict[str, int]") -> bytes:
    hz = request["frequency_hz"]
    index = request["index"]
    low, high = request["min_data_rate"], request["max_data_rate"]
    default = len(session.region.channels_hz)
    dr_ok = low <= high and low in session.region.data_rates and high in session.region.data_rates
    hz_ok = default <= index < MAX_CHANNELS and (hz == 0 or session.region.duty_cycle(hz) > 0)
    if dr_ok and hz_ok:
        while len(session.channels) <= index:
            session.channels.append([0, 0, 0x50])
        session.channels[index] = [hz, hz, high << 4 | low]
        bit = 1 << index
        session.mask = session.mask | bit if hz else session.mask & ~bit
    return _answer(mac.NEW_CHANNEL, hz_ok, dr_ok)


def _rx_timing(session: "Session", request: "dict[str, int]") -> bytes:
    session.rx1_delay = max(1, request["delay_s"])
    return _answer(mac.RX_TIMING_SETUP)


def _dl_channel(session: "Session", request: "dict[str, int]") -> bytes:
    hz = request["frequency_hz"]
    index = request["index"]
    exists = index < len(session.channels) and session.channels[index][0] != 0
    hz_ok = session.region.duty_cycle(hz) > 0
    if exists and hz_ok:
        session.channels[index][1] = hz
    return _answer(mac.DL_CHANNEL, hz_ok, exists)


_ANSWERS = {
    mac.DUTY_CYCLE: _duty_cycle,
    mac.RX_PARAM_SETUP: _rx_param,
    mac.NEW_CHANNEL: _new_channel,
    mac.RX_TIMING_SETUP: _rx_timing,
    mac.DL_CHANNEL: _dl_channel,
}
