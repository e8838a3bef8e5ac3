"""Heltec WiFi LoRa 32 V3 (ESP32-S3FN8, SX1262): battery nodes.

Pins: Heltec's pin map of the V3 (NSS 8, SCK 9, MOSI 10, MISO 11, RST 12, BUSY 13, DIO1 14) and, agreeing, both
espressif/arduino-esp32 variants/heltec_wifi_lora_32_V3/pins_arduino.h (SPI, RST, BUSY, DIO1, Vext 36, LED 35, display
17, 18, 21) and meshtastic/firmware variants/esp32s3/heltec_v3/variant.h, which also gives Vext as active low, the
battery on GPIO1 behind 390k/100k (4.9) and the class of radio module (TCXO 1.8 V on DIO3, RF switch on DIO2).
ADC_CTRL, GPIO37, connects the divider: low on V3.0 and V3.1, high from V3.2 on; as MeshCore's HeltecV3Board does, the
node takes the opposite of the level that the pin shows when nobody drives it.
Wake pins: GPIO2..7 are free and can all wake the chip; GPIO0 is the button.
"""

CHIP = "esp32s3"

SPI_ID = 1
SCK = 9
MOSI = 10
MISO = 11
BAUD = 8000000

NSS = 8
RESET = 12
BUSY = 13
DIO1 = 14

TCXO_CV = 180
TCXO_US = 5000
DCDC = True
DIO2_RF_SWITCH = True
RX_SWITCH = None
TX_SWITCH = None
MAX_DBM = 22

BATTERY_ADC = 1
BATTERY_DIVIDER = 4.9
BATTERY_ENABLE = 37
BATTERY_LEVEL = None

VEXT = 36
VEXT_LEVEL = 0
