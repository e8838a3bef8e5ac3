"""Channel plans against the figures of RP002-1.0.4 and the reported rule of Kazakhstan, and LoRa time on air."""

import pytest
from suat_wire.airtime import low_data_rate, symbol_us, time_on_air_us
from suat_wire.region import MAX_PAYLOAD, REGIONS, decode_cflist, encode_cflist

# name: channels MHz, RX2 MHz, RX2 data rate, EIRP (clipped), duty cycle there
PLANS = {
    "IN865": ((865.0625, 865.4025, 865.985), 866.55, 2, 14, 1.0),
    "EU868": ((868.1, 868.3, 868.5), 869.525, 0, 16, 0.01),
    "RU864": ((868.9, 869.1), 869.1, 0, 16, 0.01),
    "EU433": ((433.175, 433.375, 433.575), 434.665, 0, 10, 0.01),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str) -> None:
    channels, rx2, rx2_dr, eirp, duty = PLANS[name]
    region = REGIONS[name]
    assert region.name == name
    assert [hz / 1e6 for hz in region.channels_hz] == list(channels)
    assert (region.rx2_hz / 1e6, region.rx2_dr, region.max_eirp_dbm) == (rx2, rx2_dr, eirp)
    assert {region.duty_cycle(hz) for hz in region.channels_hz} == {duty}
    assert region.duty_cycle(region.rx2_hz) > 0
    assert (region.rx1_delay_s, region.join_delays) == (1, (5, 6))


def test_the_default_plan_stays_within_what_kazakhstan_allows() -> None:
    for name, low, high, dbm in (("IN865", 863e6, 868e6, 14), ("EU433", 433.075e6, 434.775e6, 10)):
        region = REGIONS[name]
        assert region.max_eirp_dbm <= dbm
        assert region.tx_power_dbm(0) <= dbm
        for hz in (*region.channels_hz, region.rx2_hz):
            assert low <= hz - 62500
            assert hz + 62500 <= high


@pytest.mark.parametrize(
    ("mhz", "share"),
    [(862.9, 0), (864, 0.001), (865.5, 0.01), (868.3, 0.01), (868.65, 0), (868.9, 0.001), (869.5, 0.1), (869.9, 0.01)],
)
def test_duty_cycle_of_eu868(mhz: float, share: float) -> None:
    assert REGIONS["EU868"].duty_cycle(round(mhz * 1e6)) == share


def test_a_frequency_outside_the_plan_may_not_be_used() -> None:
    assert REGIONS["IN865"].duty_cycle(868100000) == 0.0
    assert REGIONS["EU433"].duty_cycle(865062500) == 0.0


def test_rx1_data_rate() -> None:
    """RP002: max(0, DR - offset); in IN865 offsets 6 and 7 raise it by 1 and 2, at most to DR5."""
    for region in REGIONS.values():
        for offset in range(6):
            assert [region.rx1_dr(dr, offset) for dr in range(6)] == [max(0, dr - offset) for dr in range(6)]
    assert [REGIONS["IN865"].rx1_dr(dr, 6) for dr in range(6)] == [1, 2, 3, 4, 5, 5]
    assert [REGIONS["IN865"].rx1_dr(dr, 7) for dr in range(6)] == [2, 3, 4, 5, 5, 5]
    for name, dr, offset in (("EU868", 5, 6), ("IN865", 5, 8), ("IN865", 6, 0), ("IN865", 0, -1)):
        with pytest.raises(ValueError, match=name):
            REGIONS[name].rx1_dr(dr, offset)


def test_power_steps() -> None:
    assert [REGIONS["IN865"].tx_power_dbm(i) for i in (0, 1, 5, 10)] == [14, 12, 4, -6]
    assert REGIONS["EU433"].tx_power_dbm(5) == 0
    with pytest.raises(ValueError, match="EU433"):
        REGIONS["EU433"].tx_power_dbm(6)


def test_data_rates() -> None:
    region = REGIONS["IN865"]
    assert [region.datr(dr) for dr in range(6)] == [f"SF{sf}BW125" for sf in (12, 11, 10, 9, 8, 7)]
    assert [region.dr_from_datr(region.datr(dr)) for dr in range(6)] == list(range(6))
    assert MAX_PAYLOAD == {0: 51, 1: 51, 2: 51, 3: 115, 4: 222, 5: 222}
    for datr in ("SF6BW125", "SF7BW250", "", "50000"):
        with pytest.raises(ValueError, match="IN865"):
            region.dr_from_datr(datr)


def test_cflist() -> None:
    """Five 24-bit frequencies in 100 Hz units and type 0; 867.1 MHz is 184F84 (RP002, EU868 example of TS001)."""
    five = [867100000, 867300000, 867500000, 867700000, 867900000]
    assert encode_cflist(five).hex() == "184f84e85684b85e84886684586e8400"
    assert decode_cflist(encode_cflist(five)) == five
    assert decode_cflist(encode_cflist([866185000])) == [866185000, 0, 0, 0, 0]
    assert encode_cflist([]) == bytes(16)


@pytest.mark.parametrize("channels", [[1] * 6, [50], [-100], [1677721600]])
def test_cflists_that_cannot_be_built(channels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"CFList|100 Hz"):
        encode_cflist(channels)


@pytest.mark.parametrize("cflist", [bytes(15), bytes(15) + b"\x01", b""])
def test_cflists_that_cannot_be_read(cflist: bytes) -> None:
    with pytest.raises(ValueError, match="type 0"):
        decode_cflist(cflist)


# Semtech's "SX1261 LoRa Calculator", as tabulated in micropython-lib's lora/tests/test_time_on_air.py (MIT):
# (SF, kHz, 4/x), (preamble, length, explicit header, CRC), ms
CALCULATOR = [
    ((12, 500, 5), (8, 1, True, True), 206.848),
    ((12, 500, 5), (12, 64, True, True), 649.216),
    ((12, 500, 5), (8, 1, True, False), 165.888),
    ((12, 500, 5), (8, 192, True, True), 1476.608),
    ((12, 500, 5), (12, 16, False, False), 280.576),
    ((8, 125, 6), (8, 1, True, True), 53.760),
    ((8, 125, 6), (8, 3, True, True), 66.048),
    ((8, 125, 6), (8, 3, True, False), 53.760),
    ((8, 125, 6), (8, 253, True, True), 827.904),
    ((8, 125, 6), (12, 5, False, True), 61.952),
    ((8, 125, 6), (12, 253, False, True), 823.808),
    ((5, 500, 5), (2, 1, True, False), 1.360),
    ((5, 500, 5), (12, 253, False, True), 34.000),
    ((5, 125, 8), (12, 253, False, True), 213.568),
]
# The workbook of AN1200.13 with LoRaWAN's settings: (SF, bytes), ms
WORKBOOK = [
    ((7, 37), 82.176),
    ((8, 37), 143.872),
    ((9, 37), 267.264),
    ((10, 37), 493.568),
    ((11, 37), 1069.056),
    ((12, 37), 1974.272),
    ((9, 13), 164.864),
    ((7, 10), 41.216),
    ((11, 10), 577.536),
    ((12, 64), 2793.472),
]


@pytest.mark.parametrize(("modem", "packet", "ms"), CALCULATOR)
def test_time_on_air_of_the_calculator(
    modem: tuple[int, int, int], packet: tuple[int, int, bool, bool], ms: float
) -> None:
    sf, khz, coding = modem
    preamble, length, explicit, crc = packet
    got = time_on_air_us(sf, khz * 1000, length, crc=crc, cr=coding - 4, preamble=preamble, explicit=explicit)
    assert got == round(ms * 1000)


@pytest.mark.parametrize(("packet", "ms"), WORKBOOK)
def test_time_on_air_of_lorawan_frames(packet: tuple[int, int], ms: float) -> None:
    assert time_on_air_us(packet[0], 125000, packet[1]) == round(ms * 1000)


def test_symbols() -> None:
    assert [symbol_us(sf, 125000) for sf in range(7, 13)] == [1024, 2048, 4096, 8192, 16384, 32768]
    assert [low_data_rate(sf, 125000) for sf in range(7, 13)] == [False] * 4 + [True] * 2
    assert not low_data_rate(12, 500000)
