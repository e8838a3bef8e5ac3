"""What the parts of a node draw, and what batteries hold: each figure with its source.

*assumed* marks what no source settles. Currents are those of the battery on boards with a linear regulator; where the
board converts, `supply_v` and `rail` say at which voltage the figure was taken.
"""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """A current in mA, or a time in s, and where it is from."""

    value: float
    source: str


class Power(NamedTuple):
    """What a board draws as a whole, radio apart.

    asleep: with the radio in its own sleep; waiting: the processor idles in time.sleep_ms; busy: it computes.
    compute_s: per wake, what the simulator does not count. supply_v: 0 behind a linear regulator, else the supply at
    which the figures were taken, and the 3.3 V rail is converted at `efficiency`.
    """

    asleep: Figure
    waiting: Figure
    busy: Figure
    start_s: float
    compute_s: Figure
    supply_v: float = 0.0
    efficiency: float = 0.85


class Battery(NamedTuple):
    """Cells as the maker or a handbook describes them, per cell; `volts` while the node lives on it.

    ah: what a low current takes out at 20 degC. lost_a_year: share that goes by itself. cold: share that is left at
    -30 degC. pulse_ma: the largest that it bears without help, 0: give it a pulse capacitor in any case.
    sun_mah: what a 1 W panel brings in a day of December, 0 for cells that are not charged.
    """

    name: str
    ah: float
    volts: float
    lost_a_year: float
    cold: float
    pulse_ma: int
    sun_mah: float
    source: str


_S3_WAITING = Figure(32.0, "31.7 mA in vTaskDelay, ESP32-S3-DevKitM-1 at 3.3 V (lucidar.me); data sheet 27.6 to 42.3")
_S3_BUSY = Figure(44.0, "ESP32-S3 data sheet table 5-9, 160 MHz, one core: 39.9 to 54.6 by clocked peripherals")
_S3_COMPUTE = Figure(0.5, "assumed: imports and arithmetic of MicroPython, not measured on a board")

POWER: dict[str, Power] = {
    "heltec_v3": Power(
        Figure(0.025, "about 25 uA measured on the battery connector (WiFi_Kit_series issue 6, 2023-03-24)"),
        _S3_WAITING,
        _S3_BUSY,
        0.25,
        _S3_COMPUTE,
    ),
    "lilygo_t3s3": Power(
        Figure(0.100, "20 to 100 uA measured on V1.2 (LilyGo-LoRa-Series issue 128); its divider alone takes 18"),
        _S3_WAITING,
        _S3_BUSY,
        0.25,
        _S3_COMPUTE,
    ),
    "xiao_s3_wio": Power(
        Figure(0.026, "15.9 uA measured at 3.8 V (forum.seeedstudio.com/t/292361), radio 0.6, added divider 9"),
        _S3_WAITING,
        _S3_BUSY,
        0.25,
        _S3_COMPUTE,
    ),
    "pico_waveshare": Power(
        Figure(1.5, "lightsleep(5000) at 5 V (MicroPython b004e7e397; 0.99 on one piece, micropython#8832)"),
        Figure(19.0, "about 19 mA at 5 V from USB (micropython#17228)"),
        Figure(25.0, "assumed: 26 mA at 5 V told for a Pico that runs MicroPython (forums.pimoroni.com/t/25317)"),
        0.25,
        Figure(0.3, "assumed: the program stays loaded; AES, CMAC and flash of MicroPython"),
        supply_v=5.0,
    ),
}
# A board of one's own: copy a line with the figure that was measured.

# dBm -> mA: SX1262 data sheet rev. 2.1, "optimal settings" of table 13-21, which the driver uses: a power between two
# lines costs at most what the upper one does. 14 dBm: 45 mA measured (thethingsnetwork.org/forum/t/51031). 22 dBm:
# 117.9 mA in Semtech's own table (LoRa Basics Modem, ral_sx126x_bsp).
TX_MA = ((14, 45.0), (17, 58.0), (20, 84.0), (22, 118.0))
TX_SOURCE = "SX1262 data sheet, supply current in transmit mode, optimal settings of table 13-21"
RX = Figure(5.3, "SX1262, LoRa 125 kHz, boosted gain, DC-DC (data sheet; Semtech's ral_sx126x_bsp: 5300 uA)")
RADIO_READY = Figure(2.3, "SX1262 STDBY_XOSC 0.8 mA (data sheet), TCXO 1.5 mA (assumed)")

# What a sensor draws from the battery while it is fed.
SENSORS: dict[str, Figure] = {
    "capacitive": Figure(5.0, "capacitive probe with TLC555 and 3.3 V regulator: 5 mA (SunFounder's manual)"),
    "rs485": Figure(60.0, "assumed: transmitter of 0.15 W behind a boost of 70 %, transceiver"),
    "ds18b20": Figure(1.5, "DS18B20 data sheet: active current, 1.5 mA at most"),
    "ultrasonic": Figure(8.0, "A02YYUW: 8 mA on average (DFRobot's page)"),
    "pressure": Figure(170.0, "20 mA loop at 24 V behind a boost of 80 %: the upper end"),
    "current": Figure(1.0, "assumed: bias of a clamp"),
    "switch": Figure(0.0, "a contact with 1 MOhm: 3 uA while closed"),
    "flow": Figure(0.0, "a contact; the counter chip has its own supply"),
    "battery": Figure(0.0, "counted with the board"),
    "solar": Figure(0.0, "a divider at the panel"),
    "logger": Figure(0.0, "has its own supply"),
}

_BOBBIN = (
    "D-size bobbin cell: 19 Ah at 4 mA, 17 Ah over the ten years that 0.2 mA takes (Linden's Handbook of Batteries, "
    "4th ed., fig. 14.17); so 1.1 % a year goes by itself; at -30 degC all year 60 % are left (assumed)"
)
BATTERIES: dict[str, Battery] = {
    "d-lisocl2": Battery("19 Ah D-size LiSOCl2 (Tadiran SL-2780, EVE ER34615)", 19, 3.6, 0.011, 0.6, 0, 0, _BOBBIN),
    "ls33600": Battery(
        "17 Ah D-size LiSOCl2 (Saft LS 33600)",
        17,
        3.6,
        0.01,
        0.6,
        250,
        0,
        "Saft's data sheet: 17 Ah at 5 mA and 20 degC, 250 mA lasting, self-discharge below 1 % a year; -30: assumed",
    ),
    "2d-lisocl2": Battery(
        "two D-size LiSOCl2, each behind its own diode",
        38,
        3.6,
        0.011,
        0.6,
        0,
        0,
        _BOBBIN,
    ),
    "18650": Battery(
        "3 Ah 18650 Li-ion with a 1 W panel",
        3.0 * 0.8,
        3.7,
        0.2,
        0.6,
        1500,
        200,
        "80 % of it used; -30 degC: assumed. December near Almaty: 1.5 h of full sun, half of it lost on the way "
        "(assumed). Below 0 degC it must not be charged: then the panel brings nothing",
    ),
    "18650x4": Battery(
        "four 18650 Li-ion in parallel with a 1 W panel",
        4 * 3.0 * 0.8,
        3.7,
        0.2,
        0.6,
        6000,
        200,
        "as 18650",
    ),
}
