"""Raspberry Pi Pico (RP2040) with Waveshare Pico-LoRa-SX1262 (868M or 433M): solar nodes and the USB bridge.

Pins: Waveshare's page of the Pico-LoRa-SX1262 (BUSY GP2, CS GP3, CLK GP10, MOSI GP11, MISO GP12, RESET GP15,
DIO1 GP20) and, agreeing, meshtastic/firmware variants/rpipico/variant.h. TCXO 1.8 V on DIO3, RF switch on DIO2: the
Core1262 module's page (waveshare.com/wiki/Core1262-868M) as meshtastic/firmware variants/ai-c3/variant.h cites it.
Battery: divider 200k/100k on GP26, the same rpipico/variant.h; FreakWAN's file for this hat, which has the same pins,
found 3.12 on one piece: check it with a voltmeter. Any pin can wake the Pico from lightsleep.
"""

CHIP = "rp2040"

SPI_ID = 1
SCK = 10
MOSI = 11
MISO = 12
BAUD = 8000000

NSS = 3
RESET = 15
BUSY = 2
DIO1 = 20

TCXO_CV = 180
TCXO_US = 5000
DCDC = True
DIO2_RF_SWITCH = True
RX_SWITCH = None
TX_SWITCH = None
MAX_DBM = 22

BATTERY_ADC = 26
BATTERY_DIVIDER = 3.0
BATTERY_ENABLE = None
BATTERY_LEVEL = 1

VEXT = None
VEXT_LEVEL = 1
