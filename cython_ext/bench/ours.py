"""Our side of each comparison, called as a peer is."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from measure import Call
from peers import TAU, Peer, pushed
from series import Floats
from suat_filters import ChannelSettings, FilterBank, ewma, hampel, kalman, resample, rolling_median, theil_sen

CHAIN = ChannelSettings(
    minimum=-0.1,
    maximum=0.7,
    max_rate=0.2 / 900,
    stuck_count=50,
    stuck_seconds=2 * 86400,
    window=25,
    resolution=0.001,
    spike_accept=3,
    gap_seconds=3 * 3600,
    q=1e-10,
    r=1e-6,
)
LIMITS = np.array(  # what is common to the peers' chains
    [
        CHAIN.minimum,
        CHAIN.maximum,
        CHAIN.max_rate,
        CHAIN.resolution,
        CHAIN.stuck_count,
        CHAIN.stuck_seconds,
        CHAIN.n_sigmas,
        CHAIN.q,
        CHAIN.r,
    ]
)


def median_of(centred: bool, x: Floats, w: int) -> Call:
    return partial(rolling_median, x, w, centred)


def hampel_of(centred: bool, x: Floats, w: int) -> Call:
    return partial(hampel, x, w, 3.0, centred)


def ewma_of(t: Floats, x: Floats) -> Call:
    return partial(ewma, t, x, TAU)


def kalman_of(t: Floats, x: Floats, q: float, r: float) -> Call:
    return partial(kalman, t, x, q, r)


def resample_of(median: bool, t: Floats, x: Floats, width: int) -> Call:
    return partial(resample, t, x, float(width), median=median)


def theil_sen_of(t: Floats, x: Floats) -> Call:
    return partial(theil_sen, t, x)


def chain_of(channels: Any, t: Floats, x: Floats, limits: Floats, batch: int) -> Call:
    """The bank; `batch` 1: `push` instead of `push_many`."""
    n = int(channels.max()) + 1
    readings = list(zip(channels.tolist(), t.tolist(), x.tolist(), strict=True)) if batch == 1 else []

    def one_by_one() -> Any:
        push = FilterBank(n, CHAIN).push
        return [push(channel, now, reading) for channel, now, reading in readings]

    def in_batches() -> Any:
        bank = FilterBank(n, CHAIN)
        return [
            bank.push_many(channels[at : at + batch], t[at : at + batch], x[at : at + batch])
            for at in range(0, len(t), batch)
        ]

    return one_by_one if batch == 1 else in_batches


def saving(n: int) -> Call:
    return FilterBank(n, CHAIN).save


def loading(n: int) -> Call:
    return partial(FilterBank.load, FilterBank(n, CHAIN).save())


def copying(x: Floats) -> Call:
    """What memory allows: each reading read once and written once."""
    return partial(np.copyto, np.empty_like(x), x)


OURS: dict[str, tuple[Peer, ...]] = {
    "median": (
        Peer("suat", "suat_filters", partial(median_of, False)),
        Peer("suat centred", "suat_filters", partial(median_of, True), centred=True),
    ),
    "hampel": (
        Peer("suat", "suat_filters", partial(hampel_of, False), lambda found: found[0]),
        Peer("suat centred", "suat_filters", partial(hampel_of, True), lambda found: found[0], centred=True),
    ),
    "ewma": (Peer("suat", "suat_filters", ewma_of),),
    "kalman": (Peer("suat", "suat_filters", kalman_of),),
    "resample": (Peer("suat", "suat_filters", partial(resample_of, False), dict),),
    "resample, median": (Peer("suat", "suat_filters", partial(resample_of, True), dict),),
    "theil-sen": (Peer("suat", "suat_filters", theil_sen_of, lambda found: found[0]),),
    "chain": (Peer("suat", "suat_filters", chain_of, pushed),),
    "save": (Peer("suat", "suat_filters", saving),),
    "load": (Peer("suat", "suat_filters", loading),),
    "copy": (Peer("numpy", "numpy", copying),),
}
