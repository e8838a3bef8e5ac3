"""Adaptive data rate: the fastest and quietest setting that a node's best reception leaves room for.

The rule of the reference servers (Semtech, "LoRaWAN - simple rate adaptation recommended algorithm"): of the last 20
uplinks the highest SNR, less what the spreading factor needs, less 10 dB for fading; each whole 3 dB that is left over
is a step up in data rate, then a step down in power. A step of power is 2 dB and is taken back only when 3 dB are
missing, so that fading does not make a node go to and fro. Where it fades deeply the highest of 20 is luck: it counts
at most 3 dB above the median (with a standard deviation of 3 dB the plain rule lost 5 % of all frames more).

The data rate is never lowered from here: a node that is not heard does that itself. Repetitions (NbTrans) follow the
share of frames that was lost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from suat_wire.region import REQUIRED_SNR_DB, Region

HISTORY = 20
FADE_MARGIN_DB = 10.0
LUCK_DB = 3.0  # the best reception counts no more than so much above the median
STEP_DB = 3.0
MAX_NB_TRANS = 3
SOON = 4  # uplinks before what was not answered is asked again: the request or its answer was lost
TRIES = 3  # so often; then, and after a refusal, ...
LATER = 64  # ... after so many

# share of frames lost below which -> the NbTrans that follows NbTrans 1, 2, 3
_NB_TRANS = ((0.05, (1, 1, 2)), (0.10, (1, 2, 3)), (0.30, (2, 3, 3)), (1.01, (3, 3, 3)))


@dataclass(frozen=True, slots=True)
class Setting:
    """What a LinkADRReq sets."""

    dr: int
    tx_power: int  # index, 2 dB down each
    nb_trans: int


class Patience:
    """How many uplinks must pass before a node is asked again for what it did not do."""

    __slots__ = ("left", "tries")

    def __init__(self) -> None:
        self.left = 0
        self.tries = 0

    def asked(self) -> None:
        """A request goes out."""
        self.tries += 1
        self.left = SOON if self.tries < TRIES else LATER

    def refused(self) -> None:
        """The node said no."""
        self.left = LATER

    def done(self) -> None:
        """The node said yes."""
        self.left = self.tries = 0


class LinkHistory:
    """What was heard of a node since its setting last changed."""

    __slots__ = ("asked", "heard", "nb_trans", "patience", "tx_power")

    def __init__(self, tx_power: int = 0, nb_trans: int = 1) -> None:
        self.heard: deque[tuple[int, float]] = deque(maxlen=HISTORY)  # (counter, SNR of the best copy [dB])
        self.tx_power = tx_power
        self.nb_trans = nb_trans
        self.asked: Setting | None = None
        self.patience = Patience()

    def clear(self) -> None:
        """The node starts over (a join): full power, no repetitions."""
        self.heard.clear()
        self.tx_power, self.nb_trans, self.asked = 0, 1, None
        self.patience.done()

    def add(self, fcnt: int, snr: float) -> None:
        """One more frame was heard; NaN when the gateway gave no SNR."""
        if snr == snr:
            self.heard.append((fcnt, snr))
        if self.patience.left:
            self.patience.left -= 1

    def wish(self, region: Region, dr: int, most_nb_trans: int = MAX_NB_TRANS) -> Setting | None:
        """The setting to ask the node for, None when the present one is right or too little was heard."""
        if len(self.heard) < HISTORY or self.patience.left:
            return None
        levels = sorted([snr for _, snr in self.heard])
        best = min(levels[-1], levels[HISTORY // 2] + LUCK_DB)
        lost = 1.0 - HISTORY / (self.heard[-1][0] - self.heard[0][0] + 1)
        now = Setting(dr, self.tx_power, self.nb_trans)
        nb_trans = min(_nb_trans(lost, min(self.nb_trans, MAX_NB_TRANS)), most_nb_trans)
        wished = Setting(*_rate_and_power(region, best, dr, self.tx_power), nb_trans)
        if wished == now:
            self.patience.left = SOON  # looking costs as much as all else that is done with a frame
            return None
        return wished

    def ask(self, setting: Setting) -> None:
        """A LinkADRReq with this setting goes out."""
        self.asked = setting
        self.patience.asked()

    def answered(self, status: int) -> None:
        """LinkADRAns: all three bits set, or nothing was changed (TS001 5.3)."""
        if self.asked is None:
            return
        if status & 7 == 7:
            self.tx_power, self.nb_trans = self.asked.tx_power, self.asked.nb_trans
            self.heard.clear()
            self.patience.done()
        else:
            self.patience.refused()
        self.asked = None


def _rate_and_power(region: Region, best_snr: float, dr: int, tx_power: int) -> tuple[int, int]:
    spreading_factor, _ = region.data_rates[dr]
    steps = int((best_snr - REQUIRED_SNR_DB[spreading_factor] - FADE_MARGIN_DB) / STEP_DB)  # towards zero
    fastest = max(region.data_rates)
    while steps > 0 and dr < fastest:
        dr, steps = dr + 1, steps - 1
    while steps > 0 and tx_power < region.last_tx_power:
        tx_power, steps = tx_power + 1, steps - 1
    while steps < 0 and tx_power > 0:
        tx_power, steps = tx_power - 1, steps + 1
    return dr, tx_power


def _nb_trans(lost: float, present: int) -> int:
    return next(row[present - 1] for limit, row in _NB_TRANS if lost < limit)
