"""Milesight's EM500-SMTC and EM500-SWL: channels (number, type, little-endian data), on FPort 85.

Made from the vendor's tables and decoders (github.com/Milesight-IoT/SensorDecoders, em-series/em500-smtc and
em500-swl). The README of the EM500-SMTC gives moisture in 0.1 % and EC in 0.01 mS/cm where its decoder, older README
and user guide have 0.01 % and uS/cm: the decoder counts. FFFF is the sign of a failed measurement, FFFD of one out of
range; for a temperature they are also -0.1 and -0.3 degC, which are then given up. The battery is told in percent,
which says nothing of its voltage, and is left out.
"""

from __future__ import annotations

from suat.ingest.vendors.form import IMPOSSIBLE, NO_ANSWER, Channel, Channels, Form, Value

FPORT = 85
FAULTS = {0xFFFF: NO_ANSWER, 0xFFFD: IMPOSSIBLE}
SETTINGS = frozenset((0xFE, 0xFF))  # answers to settings: their lengths depend on the setting

# What the node tells of itself: after a join, after a restart, with the battery.
ABOUT = {
    (0xFF, 0x01): Channel(1),  # protocol
    (0xFF, 0x09): Channel(2),  # hardware
    (0xFF, 0x0A): Channel(2),  # firmware
    (0xFF, 0x0B): Channel(1),  # switched on
    (0xFF, 0x0F): Channel(1),  # class of LoRaWAN
    (0xFF, 0x16): Channel(8),  # serial number
    (0xFF, 0x1B): Channel(5),  # the level transmitter's range
    (0xFF, 0xFE): Channel(1),  # restarted
    (0xFF, 0xFF): Channel(2),  # TSL
    (0x01, 0x75): Channel(1),  # battery [%]
}


def _temperature(at: int = 0) -> Value:
    return Value("probe1", "temperature", 10, (-400, 850), at=at, signed=True, faults=FAULTS)  # 0.1 degC


def _moisture(at: int = 0) -> Value:
    return Value("probe1", "vwc", 10_000, (0, 10_000), at=at, faults=FAULTS)  # 0.01 % -> m3/m3


def _ec(at: int = 0) -> Value:
    return Value("probe1", "ec", 1000, (0, 30_000), at=at, faults=FAULTS)  # uS/cm -> dS/m


def _level(at: int = 0) -> Value:
    return Value("water", "depth", 100, (0, 1000), at=at, faults=FAULTS)  # cm -> m, up to the longest cable


EM500_SMTC = Channels(
    fport=FPORT,
    channels={
        **ABOUT,
        (0x03, 0x67): Channel(2, (_temperature(),)),
        (0x04, 0x68): Channel(1, (Value("probe1", "vwc", 200, (0, 200), size=1),)),  # 0.5 %, the first firmware
        (0x04, 0xCA): Channel(2, (_moisture(),)),
        (0x05, 0x7F): Channel(2, (_ec(),)),
        (0x83, 0xD7): Channel(5, (_temperature(),)),  # the alarm's change and kind follow
        (0x20, 0xCE): Channel(10, (_ec(4), _temperature(6), _moisture(8)), dated=True),
    },
    closing=SETTINGS,
)

EM500_SWL = Channels(
    fport=FPORT,
    channels={
        **ABOUT,
        (0x03, 0x77): Channel(2, (_level(),)),
        (0x20, 0xCE): Channel(6, (_level(4),), dated=True),
    },
    closing=SETTINGS,
)

MODELS: dict[str, Form] = {"milesight_em500_smtc": EM500_SMTC, "milesight_em500_swl": EM500_SWL}
