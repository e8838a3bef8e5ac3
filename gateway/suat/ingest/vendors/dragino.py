"""Dragino's LSE01 and LDDS75: big-endian numbers at fixed places, on FPort 2; FPort 5 tells firmware and battery alone.

Made from the user manuals "LSE01 LoRaWAN Soil Moisture & EC Sensor" and "LDDS75 LoRaWAN Distance Detection Sensor"
(wiki.dragino.com, sections 2.3) and the vendor's decoders (github.com/dragino/dragino-end-node-decoder, LSE01 V1.2.1,
LDDS75 V1.1.4). The optional DS18B20 of both is left out: it hangs wherever the owner hung it.
"""

from __future__ import annotations

from suat.ingest.vendors.form import IMPOSSIBLE, NO_ANSWER, Form, Frame, Value

# The two top bits of the battery are flags of the interrupt pin.
BATTERY = Value("node", "battery", 1000, (1500, 4500), mask=0x3FFF)  # mV -> V

CALIBRATED, RAW = (10, 0x80, 0x00), (10, 0x80, 0x80)  # MOD: what the probe was told to send

# battery(2) DS18B20(2) moisture(2) temperature(2) EC(2) | MOD, sensor and interrupt flags(1)
LSE01 = Frame(
    fport=2,
    sizes=frozenset((11,)),
    values=(
        BATTERY,
        Value("probe1", "vwc", 10_000, (0, 10_000), at=4, only=CALIBRATED),  # 0.01 % -> m3/m3
        # The manual subtracts FFFF instead of 10000 hex from a negative number: 0.01 degC beside two's complement.
        Value("probe1", "temperature", 100, (-4000, 8500), at=6, signed=True, only=CALIBRATED),  # 0.01 degC
        Value("probe1", "ec", 1000, (0, 65_535), at=8, only=CALIBRATED),  # uS/cm -> dS/m
        Value("probe1", "permittivity", 10, (10, 900), at=4, only=RAW),  # 0.1; the counts beside it say nothing
    ),
)

# battery(2) distance(2) interrupt flag(1) DS18B20(2) sensor flag(1); the first firmware sent four bytes
LDDS75 = Frame(
    fport=2,
    sizes=frozenset((4, 8)),
    values=(
        BATTERY,
        # 0: no ultrasonic sensor; 20 mm, and whatever is below 280 mm: too near to be measured; 7.5 m is its reach
        Value("water", "distance", 1000, (280, 7500), at=2, faults={0: NO_ANSWER, 20: IMPOSSIBLE}),  # mm -> m
    ),
)

MODELS: dict[str, Form] = {"dragino_lse01": LSE01, "dragino_ldds75": LDDS75}
