"""A board of your own: copy this file to boards/NAME.py, change what differs, name it in suat.json ("board": "NAME").

1. Take each value from the board's schematic, find a second source (the vendor's example, a firmware that runs on it),
   and write both into this docstring.
2. A wrong TCXO voltage or RF switch does not break anything at once: the radio starts, but is deaf or off frequency.
   Send one frame beside the gateway and look at its RSSI: below -60 dBm at 5 m, something is wrong.
3. Measure the battery with a voltmeter and compare it with the node's reading: that proves the divider.
4. Measure the current in deep sleep on the battery, without USB. Above 100 uA, look first at the radio (not asleep:
   600 uA and more), then at the regulator and at pins that feed parts without supply. Add the figure to
   hw_test/suat_bench/energy_data.py, so that `suat-bench energy` knows the board.
5. Pins that shall wake an ESP32-S3 from deep sleep must be GPIO0..21.
"""

CHIP = "rp2040"  # rp2040 | esp32s3: what sleeps how (power.py)

# SPI bus of the radio: id and pins as in machine.SPI. The SX1262 takes up to 16 MHz (datasheet 8.2).
SPI_ID = 1
SCK = 10
MOSI = 11
MISO = 12
BAUD = 8000000

# Control lines of the SX1262. On an ESP32-S3 they keep their level through deep sleep, as all driven pins do.
NSS = 3
RESET = 15
BUSY = 2
DIO1 = 20

# The radio's surroundings (datasheet 13.3.6, 5.1, 13.3.5)
TCXO_CV = 180  # supply of the TCXO on DIO3 in hundredths of a volt: 160 170 180 220 240 270 300 330; 0: a plain crystal
TCXO_US = 5000  # how long the TCXO needs to be stable
DCDC = True  # the inductor is fitted: half the current; False: LDO only
DIO2_RF_SWITCH = True  # DIO2 drives the RF switch (high while sending)
RX_SWITCH = None  # a pin that must be high to receive and low to send, or None
TX_SWITCH = None  # a pin that must be high to send, or None
MAX_DBM = 22  # what the module's output stage is matched for

# Battery: ADC pin, divider (battery volts per pin volt), and a pin that connects the divider, with its level; level
# None: the opposite of what the pin shows when nobody drives it
BATTERY_ADC = 26
BATTERY_DIVIDER = 3.0
BATTERY_ENABLE = None
BATTERY_LEVEL = 1

# Supply of external sensors that the board itself switches, or None; a sensor's own "power" pin comes on top
VEXT = None
VEXT_LEVEL = 1
