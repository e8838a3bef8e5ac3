"""Channel plans of LoRaWAN Regional Parameters (RP002-1.0.4), with the power that Kazakhstan allows.

Reported rule of Kazakhstan: 863-868 MHz at 25 mW (14 dBm), 433.075-434.775 MHz at 10 mW (10 dBm). IN865 is therefore
clipped to 14 dBm and EU433 to 10 dBm, downlinks too. The owner of a station must confirm the local law.
"""

# index -> (spreading factor, bandwidth): DR0-5 are the same in all four plans
DATA_RATES = {0: (12, 125000), 1: (11, 125000), 2: (10, 125000), 3: (9, 125000), 4: (8, 125000), 5: (7, 125000)}
# index -> application bytes N without FOpts (repeater compatible); MACPayload M = N + 8
MAX_PAYLOAD = {0: 51, 1: 51, 2: 51, 3: 115, 4: 222, 5: 222}

try:
    from suat_wire.region_host import *  # noqa: F403
    from suat_wire.region_host import Forwarded
except ImportError:  # a node
    Forwarded = object  # type: ignore[misc,assignment]


class Region(Forwarded):
    """One channel plan. Frequencies in Hz, powers in dBm EIRP, delays in seconds."""

    rx1_delay_s = 1
    join_delays = (5, 6)  # RX1 and RX2 after a join request
    data_rates = DATA_RATES
    max_payload = MAX_PAYLOAD

    def __init__(
        self,
        name: str,
        channels_hz: tuple[int, ...],
        rx2_hz: int,
        rx2_dr: int,
        max_eirp_dbm: int,
        last_tx_power: int,
        last_rx1_offset: int,
        bands: tuple[tuple[int, int, float], ...],
    ) -> None:
        self.name = name
        self.channels_hz = channels_hz
        self.rx2_hz = rx2_hz
        self.rx2_dr = rx2_dr
        self.max_eirp_dbm = max_eirp_dbm
        self.last_tx_power = last_tx_power  # highest TXPower index of LinkADRReq
        self.last_rx1_offset = last_rx1_offset
        self.bands = bands  # (from Hz, to Hz, share of time a sender may use)

    def rx1_dr(self, dr: int, offset: int) -> int:
        """Data rate of RX1 after an uplink at `dr`; offsets 6 and 7 (IN865) raise it by 1 and 2."""
        if not 0 <= offset <= self.last_rx1_offset or dr not in DATA_RATES:
            raise ValueError("%s has no RX1DROffset %d at DR%d" % (self.name, offset, dr))
        return min(5, dr + offset - 5) if offset > 5 else max(0, dr - offset)

    def band(self, hz: int) -> int:
        """Place in `bands` of the sub-band that a frequency lies in, -1 outside the plan."""
        for i, (low, high, _share) in enumerate(self.bands):
            if low <= hz <= high:
                return i
        return -1

    def duty_cycle(self, hz: int) -> float:
        """Share of time a sender may use at this frequency: 1.0 is no limit, 0.0 is outside the plan."""
        band = self.band(hz)
        return 0.0 if band < 0 else self.bands[band][2]

    def tx_power_dbm(self, index: int) -> int:
        """EIRP of a TXPower index: 2 dB steps down from the most this plan allows."""
        if not 0 <= index <= self.last_tx_power:
            raise ValueError("%s has no TXPower %d" % (self.name, index))
        return self.max_eirp_dbm - 2 * index


def decode_cflist(cflist: bytes) -> list[int]:
    """Five frequencies in Hz, 0 where unused; ValueError unless it is of type 0."""
    if len(cflist) != 16 or cflist[15] != 0:
        raise ValueError("not a CFList of type 0")
    return [100 * int.from_bytes(cflist[i : i + 3], "little") for i in range(0, 15, 3)]


_EU868_BANDS = (
    (863000000, 864999999, 0.001),
    (865000000, 867999999, 0.01),
    (868000000, 868600000, 0.01),
    (868700000, 869200000, 0.001),
    (869400000, 869650000, 0.1),
    (869700000, 870000000, 0.01),
)
_RU864_BANDS = ((864000000, 865000000, 0.01), (866000000, 868000000, 0.01), (868700000, 869200000, 0.01))

REGIONS = {
    "IN865": Region(
        "IN865", (865062500, 865402500, 865985000), 866550000, 2, 14, 10, 7, ((865000000, 867000000, 1.0),)
    ),
    "EU433": Region(
        "EU433", (433175000, 433375000, 433575000), 434665000, 0, 10, 5, 5, ((433050000, 434790000, 0.01),)
    ),
    "EU868": Region("EU868", (868100000, 868300000, 868500000), 869525000, 0, 16, 7, 5, _EU868_BANDS),
    "RU864": Region("RU864", (868900000, 869100000), 869100000, 0, 16, 7, 5, _RU864_BANDS),
}
