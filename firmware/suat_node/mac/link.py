"""One uplink and its two receive windows (TS001-1.0.4 3.3): channel, power, duty cycle, timing."""

import gc
import random
import time

from micropython import const
from suat_wire.airtime import symbol_us, time_on_air_us

from suat_node import power

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from suat_node.keep.counters import Counters
    from suat_node.mac.session import Session
    from suat_node.radio.sx126x import Packet, Sx126x

    T = TypeVar("T")

_ERROR_US = const(4000)  # the program's own jitter and the sender's
_DRIFT = const(2000)  # of a clock that was never measured, and the sender's, 0.1 ppm
_LEFT_DRIFT = const(500)  # of a measured one: temperature, and the sender's
_MOST_DRIFT = const(5000)
_SYMBOLS = const(6)  # of the preamble; five of them suffice to be detected
_SETUP_US = const(40000)  # the radio is set up this long before the window opens
_LOOKS = const(5)  # before each uplink; after them it goes out into the noise


def exchange(
    radio: "Sx126x",
    session: "Session",
    counters: "Counters",
    phy: bytes,
    dr: int,
    delays: "tuple[int, int]",
    accept: "Callable[[bytes], T | None]",
) -> "tuple[T | None, int]":
    """Send `phy` and listen; (what `accept` made of the first frame it took, node clock, ms, at the end of the uplink).

    `delays`: RX1 and RX2 in seconds. `accept` returns None for a frame that is not for us. RadioError: nothing left.
    """
    region = session.region
    sf, bw_hz = region.data_rates[dr]
    up_hz, down_hz = _channel(session, dr)
    radio.wake(up_hz)
    if session.wary or counters.unheard > 1 or session.config.lbt:
        session.wary = max(0, session.wary - 1)
        for _ in range(_LOOKS):
            if not radio.hears(up_hz, sf, bw_hz):
                break
            session.busy = session.busy + 1 & 0xFFFF
            power.wait_ms(32 + random.getrandbits(8))
            up_hz, down_hz = _channel(session, dr)
    gc.collect()  # now, not between the end of the uplink and the window
    dbm = min(session.config.power_dbm, region.tx_power_dbm(session.power))
    end_us = radio.send(phy, up_hz, sf, bw_hz, dbm)
    sent_at = power.clock_ms()
    counters.false_starts = 0
    air_us = time_on_air_us(sf, bw_hz, len(phy))
    counters.pay(air_us // 1000, session.nb_trans, power.clock())
    _rest(session, counters, up_hz, air_us)
    windows = (
        (delays[0], down_hz, region.rx1_dr(dr, session.rx1_offset)),
        (delays[1], session.rx2_hz, session.rx2_dr),
    )
    for delay_s, hz, window_dr in windows:
        packet = _window(radio, end_us, delay_s, _error_us(counters, delay_s), hz, region.data_rates[window_dr])
        if packet is not None:
            found = accept(packet.phy)
            if found is not None:
                session.snr, session.rssi = packet.snr, packet.rssi
                return found, sent_at
    return None, sent_at


def seconds_on_air(session: "Session") -> int:
    """Whole seconds that a usual frame takes: ages count to the moment it has been heard."""
    sf, bw_hz = session.region.data_rates[session.dr]
    return (time_on_air_us(sf, bw_hz, 40) + 500000) // 1000000


def free_at(session: "Session", dr: int) -> int:
    """Node clock from which on the duty cycle lets one of the channels send."""
    return min([start for start, _i in _usable(session, dr)])


def _error_us(counters: "Counters", delay_s: int) -> int:
    """How much the node's clock and the network's may differ at the end of a delay."""
    drift = _DRIFT
    if counters.drift:
        drift = min(_MOST_DRIFT, min(counters.drift, 0x100000000 - counters.drift) + _LEFT_DRIFT)
    return _ERROR_US + delay_s * drift // 10


def _window(
    radio: "Sx126x", end_us: "Any", delay_s: int, error_us: int, hz: int, rate: "tuple[int, int]"
) -> "Packet | None":
    """One window, opened before the delay is over by the timing error, long enough for that error twice."""
    sf, bw_hz = rate
    symbols = _SYMBOLS + (2 * error_us + symbol_us(sf, bw_hz) - 1) // symbol_us(sf, bw_hz)
    open_us: "Any" = time.ticks_add(end_us, delay_s * 1000000 - error_us)
    left = time.ticks_diff(open_us, time.ticks_us()) - _SETUP_US
    if left > 0:
        power.wait_ms(left // 1000)
    radio.prepare(hz, sf, bw_hz, symbols)
    left = time.ticks_diff(open_us, time.ticks_us())
    if left > 0:
        power.feed()
        time.sleep_us(left)
    elif left < -error_us:  # still busy with the first window's frame: too late for this one
        return None
    return radio.listen(sf, bw_hz, symbols)


def _usable(session: "Session", dr: int) -> "list[tuple[int, int]]":
    """[(node clock from which on it may send, its number)] of the channels that are enabled and take this data rate."""
    region, config = session.region, session.config
    numbers = []
    for i, (up, _down, rates) in enumerate(session.channels):
        if up and session.mask >> i & 1 and rates & 15 <= dr <= rates >> 4 and config.channel in (-1, i):
            numbers.append(i)
    quiet = session.quiet
    return [
        (max(quiet[region.band(session.channels[i][0])], quiet[-1]), i)
        for i in numbers or (max(0, config.channel) % len(region.channels_hz),)
    ]


def _channel(session: "Session", dr: int) -> "tuple[int, int]":
    """(uplink, RX1) frequency: each usable channel has its turn, in random order, none twice in a row (TR007 4.7.2)."""
    usable = _usable(session, dr)
    soonest = max(power.clock(), min(usable)[0])
    free = [i for start, i in usable if start <= soonest]
    left = [i for i in free if not session.used >> i & 1] or free
    i = left[random.getrandbits(16) % len(left)]
    session.used = session.used | 1 << i if len(left) > 1 else 1 << i
    return session.channels[i][0], session.channels[i][1]


def _rest(session: "Session", counters: "Counters", hz: int, air_us: int) -> None:
    """How long the duty cycle keeps the frequency's band silent now, and the network's (DutyCycleReq) all of them.

    The node clock shows whole seconds: two more, and no pause is ever short.
    """
    region, quiet = session.region, session.quiet
    now = power.clock()
    band = region.band(hz)
    share = region.bands[band][2]
    if share < 1.0:
        quiet[band] = now + int(air_us * (1.0 / share - 1.0) / 1000000) + 2
    if session.max_duty:
        quiet[-1] = now + (air_us << session.max_duty) // 1000000 + 2
    counters.quiet_until = free_at(session, session.dr)
