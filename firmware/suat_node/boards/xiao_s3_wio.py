"""Seeed XIAO ESP32-S3 (ESP32-S3R8) with Wio-SX1262 on the board-to-board connector: battery nodes.

Pins: Seeed's schematic of the Wio-SX1262 (NSS 41, RST 42, BUSY 40, DIO1 39, RF_SW 38; SPI on D8..D10: 7, 8, 9) and,
agreeing, both meshtastic/firmware variants/esp32s3/seeed_xiao_s3/variant.h (RXEN 38, RF switch on DIO2, TCXO 1.8 V on
DIO3) and, for the XIAO's own pins, espressif/arduino-esp32 variants/XIAO_ESP32S3/pins_arduino.h. RF_SW is high only
while the radio listens: left high it draws 55 uA (forum.seeedstudio.com/t/294956).
The board has no battery divider: solder two 200k resistors to A0 (GPIO1) as Seeed's page on the XIAO ESP32-S3 shows.
Wake pins: D1..D5 (GPIO2..6); D6, D7 (43, 44) cannot wake the chip.
"""

CHIP = "esp32s3"

SPI_ID = 1
SCK = 7
MOSI = 9
MISO = 8
BAUD = 8000000

NSS = 41
RESET = 42
BUSY = 40
DIO1 = 39

TCXO_CV = 180
TCXO_US = 5000
DCDC = True
DIO2_RF_SWITCH = True
RX_SWITCH = 38
TX_SWITCH = None
MAX_DBM = 22

BATTERY_ADC = 1
BATTERY_DIVIDER = 2.0
BATTERY_ENABLE = None
BATTERY_LEVEL = 1

VEXT = None
VEXT_LEVEL = 1
