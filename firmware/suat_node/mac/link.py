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
_DRIFT = const(5000)  # crystals: 1 in 5,000 (200 ppm, both sides together)
_SYMBOLS = const(8)  # of the preamble; five of them suffice to be detected
_SETUP_US = const(40000)  # the radio is set up this long before the window opens


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
    gc.collect()  # now, not between the end of the uplink and the window
    dbm = min(session.config.power_dbm, region.tx_power_dbm(session.power))
    end_us = radio.send(phy, up_hz, sf, bw_hz, dbm)
    sent_at = power.clock_ms()
    counters.false_starts = 0
    _rest(session, counters, up_hz, time_on_air_us(sf, bw_hz, len(phy)))
    windows = (
        (delays[0], down_hz, region.rx1_dr(dr, session.rx1_offset)),
        (delays[1], session.rx2_hz, session.rx2_dr),
    )
    for delay_s, hz, window_dr in windows:
        packet = _window(radio, end_us, delay_s, hz, region.data_rates[window_dr])
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


def _window(radio: "Sx126x", end_us: "Any", delay_s: int, hz: int, rate: "tuple[int, int]") -> "Packet | None":
    """One window, opened before the delay is over by the timing error, long enough for that error twice."""
    sf, bw_hz = rate
    error_us = _ERROR_US + delay_s * 1000000 // _DRIFT
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
    elif left < -error_us:  # too late to hear the preamble's begin; the other window may still be met
        return None
    return radio.listen(sf, bw_hz, symbols)


def _channel(session: "Session", dr: int) -> "tuple[int, int]":
    """(uplink, RX1) frequency of a random channel that is enabled and takes this data rate."""
    pinned = session.config.channel
    able = []
    for i, (up, down, rates) in enumerate(session.channels):
        if up and session.mask >> i & 1 and rates & 15 <= dr <= rates >> 4 and pinned in (-1, i):
            able.append((up, down))
    if not able:
        hz = session.region.channels_hz[max(0, pinned) % len(session.region.channels_hz)]
        able.append((hz, hz))
    return able[random.getrandbits(16) % len(able)]


def _rest(session: "Session", counters: "Counters", hz: int, air_us: int) -> None:
    """How long the duty cycle of the band and of the network keeps the node silent now."""
    share = min(session.region.duty_cycle(hz), 1.0 / (1 << session.max_duty))
    if share < 1.0:
        rest_s = int(air_us * (1.0 / share - 1.0) / 1000000) + 1
        counters.quiet_until = power.clock() + rest_s
