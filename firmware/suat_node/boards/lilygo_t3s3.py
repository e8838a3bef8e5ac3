"""LilyGO T3-S3 with SX1262 (ESP32-S3FH4R2): battery nodes.

Pins: LilyGO's SX1262 examples (utilities.h: SCK 5, MISO 3, MOSI 6, CS 7, RST 8, DIO1 33, BUSY 34, battery on GPIO1
behind 100k/100k) and, agreeing, both espressif/arduino-esp32 variants/lilygo_t3_s3_sx1262/pins_arduino.h (all of these;
display 17, 18; card 2, 11, 13, 14; LED 37) and meshtastic/firmware variants/tlora_t3s3_v1/variant.h (TCXO 1.8 V on
DIO3, RF switch on DIO2). The same board with an SX1276, SX1280 or LR1121 has other pins. The divider is always
connected: 18 uA at 3.7 V. GPIO10 and GPIO21 are the Qwiic plug.
Wake pins, of those at the edge: GPIO12, 15, 16 (0 is the button); 33 to 48 cannot wake the chip.
"""

CHIP = "esp32s3"

SPI_ID = 1
SCK = 5
MOSI = 6
MISO = 3
BAUD = 8000000

NSS = 7
RESET = 8
BUSY = 34
DIO1 = 33

TCXO_CV = 180
TCXO_US = 5000
DCDC = True
DIO2_RF_SWITCH = True
RX_SWITCH = None
TX_SWITCH = None
MAX_DBM = 22

BATTERY_ADC = 1
BATTERY_DIVIDER = 2.0
BATTERY_ENABLE = None
BATTERY_LEVEL = 1

VEXT = None
VEXT_LEVEL = 1
