"""LoRa time on air, in integer microseconds (Semtech SX1261/2 datasheet 6.1.4; AN1200.13 for SF7..SF12)."""


def symbol_us(sf: int, bw_hz: int) -> int:
    """Length of one symbol, 2^SF / BW."""
    return (1000000 << sf) // bw_hz


def low_data_rate(sf: int, bw_hz: int) -> bool:
    """Whether LowDataRateOptimize is on: symbols of 16.38 ms or longer, as LoRaWAN requires on both sides."""
    return symbol_us(sf, bw_hz) >= 16380


def time_on_air_us(
    sf: int, bw_hz: int, length: int, crc: bool = True, cr: int = 1, preamble: int = 8, explicit: bool = True
) -> int:
    """Whole packet: preamble, header and `length` payload bytes. `cr` 1..4 is 4/5..4/8; downlinks have `crc=False`."""
    short = sf < 7  # SF5 and SF6 of the SX126x: a longer sync, no 8 spare header bits
    bits = 8 * length + (16 if crc else 0) - 4 * sf + (0 if short else 8) + (20 if explicit else 0)
    per_block = 4 * (sf - 2 if low_data_rate(sf, bw_hz) else sf)
    blocks = (bits + per_block - 1) // per_block if bits > 0 else 0
    quarters = 4 * (preamble + 8 + blocks * (cr + 4)) + (25 if short else 17)  # sync: 6.25 or 4.25 symbols
    return (quarters << sf) * 250000 // bw_hz
