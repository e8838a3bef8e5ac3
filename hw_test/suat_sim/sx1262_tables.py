"""Commands, registers and times of the SX1262, from its data sheet (DS.SX1261-2.W.APP, revision 2.1)."""

NEVER = 1 << 60

# Modes, as in the status byte (table 13-76).
SLEEP, STBY_RC, STBY_XOSC, FS, RX, TX = 0, 2, 3, 4, 5, 6
MODE_NAMES = {0: "SLEEP", 2: "STBY_RC", 3: "STBY_XOSC", 4: "FS", 5: "RX", 6: "TX"}
_STANDBY = (STBY_RC, STBY_XOSC)
_IDLE = (STBY_RC, STBY_XOSC, FS)
_RC = (STBY_RC,)
_AWAKE = (STBY_RC, STBY_XOSC, FS, RX, TX)

# Interrupts (table 13-29).
TX_DONE, RX_DONE, PREAMBLE, SYNC, HEADER, HEADER_ERR, CRC_ERR, TIMEOUT = 1, 2, 4, 8, 16, 32, 64, 512
CAD_DONE, CAD_DETECTED = 128, 256

# What `receive` answers, and the flags of a frame on the air.
HEARD_NOTHING, HEARD_FRAME, HEARD_BAD_CRC = 0, 1, 2
IQ_INVERTED, CRC_ON, IMPLICIT, PUBLIC_SYNC = 1, 2, 4, 8

# opcode: name, parameter bytes (-1: at least two), modes it may be sent in, BUSY afterwards [us]
COMMANDS = {
    0x84: ("SetSleep", 1, _STANDBY, 0),  # 13.1.1
    0x80: ("SetStandby", 1, _AWAKE, 30),  # 13.1.2
    0xC1: ("SetFs", 0, _IDLE, 50),  # 13.1.3
    0x83: ("SetTx", 3, _AWAKE, 0),  # 13.1.4
    0x82: ("SetRx", 3, _AWAKE, 0),  # 13.1.5
    0xC5: ("SetCad", 0, _IDLE, 0),  # 13.1.6
    0x9F: ("StopTimerOnPreamble", 1, _IDLE, 6),
    0x96: ("SetRegulatorMode", 1, _RC, 6),  # 13.1.11
    0x89: ("Calibrate", 1, _RC, 3500),  # 13.1.12
    0x98: ("CalibrateImage", 2, _RC, 5000),  # 13.1.13, 9.2.1
    0x95: ("SetPaConfig", 4, _IDLE, 6),  # 13.1.14
    0x93: ("SetRxTxFallbackMode", 1, _IDLE, 6),
    0x0D: ("WriteRegister", -1, _AWAKE, 6),
    0x1D: ("ReadRegister", -1, _AWAKE, 6),
    0x0E: ("WriteBuffer", -1, _AWAKE, 6),
    0x1E: ("ReadBuffer", -1, _AWAKE, 6),
    0x08: ("SetDioIrqParams", 8, _AWAKE, 6),
    0x12: ("GetIrqStatus", 3, _AWAKE, 2),
    0x02: ("ClearIrqStatus", 2, _AWAKE, 6),
    0x9D: ("SetDIO2AsRfSwitchCtrl", 1, _IDLE, 6),
    0x97: ("SetDIO3AsTCXOCtrl", 4, _RC, 10),  # 13.3.6
    0x86: ("SetRfFrequency", 4, _IDLE, 20),
    0x8A: ("SetPacketType", 1, _IDLE, 20),
    0x11: ("GetPacketType", 2, _AWAKE, 2),
    0x8E: ("SetTxParams", 2, _IDLE, 6),
    0x8B: ("SetModulationParams", -1, _IDLE, 10),
    0x8C: ("SetPacketParams", -1, _IDLE, 10),
    0x88: ("SetCadParams", 7, _IDLE, 6),  # 13.4.7
    0x8F: ("SetBufferBaseAddress", 2, _IDLE, 6),
    0xA0: ("SetLoRaSymbNumTimeout", 1, _IDLE, 6),
    0xC0: ("GetStatus", 0, _AWAKE, 0),
    0x15: ("GetRssiInst", 2, (RX,), 2),
    0x13: ("GetRxBufferStatus", 3, _AWAKE, 2),
    0x14: ("GetPacketStatus", 4, _AWAKE, 2),
    0x17: ("GetDeviceErrors", 3, _AWAKE, 2),
    0x07: ("ClearDeviceErrors", 2, _AWAKE, 6),
    0x10: ("GetStats", 7, _AWAKE, 2),
    0x00: ("ResetStats", 6, _AWAKE, 6),
}
# Where the data of a reading command begin (chapter 13, tables of each command).
READ_FROM = {0x1D: 4, 0x1E: 3, 0x12: 2, 0x11: 2, 0x15: 2, 0x13: 2, 0x14: 2, 0x17: 2, 0x10: 2}

# Power at code 22 by (paDutyCycle, hpMax) [dBm] (table 13-21).
PA_DBM = {(2, 2): 14, (2, 3): 17, (3, 5): 20, (4, 7): 22}
# Code of SetDIO3AsTCXOCtrl by supply [1/100 V] (table 13-35).
TCXO_CODES = {160: 0, 170: 1, 180: 2, 220: 3, 240: 4, 270: 5, 300: 6, 330: 7}
BANDWIDTHS = {0: 7810, 8: 10420, 1: 15630, 9: 20830, 2: 31250, 10: 41670, 3: 62500, 4: 125000, 5: 250000, 6: 500000}
RAMP_US = (10, 20, 40, 80, 200, 800, 1700, 3400)  # table 13-41
# Switching times to TX and to RX by the mode left behind [us] (table 8-2).
TO_TX = {STBY_RC: 126, STBY_XOSC: 105, FS: 76, RX: 92, TX: 0}
TO_RX = {STBY_RC: 83, STBY_XOSC: 62, FS: 41, RX: 0, TX: 76}
WAKE_WARM_US, WAKE_COLD_US, SLEEP_DEAF_US = 340, 3500, 500  # table 8-2; 13.1.1
XOSC_START_ERR = 0x20  # table 13-86
STEP_US_NUM, STEP_US_DEN = 125, 8  # 15.625 us: the step of all time-outs
XTAL_STEP = 1 << 25  # 13.4.1: frequency = value * 32 MHz / 2**25

# Registers and what they hold after a reset (table 12-1).
RESET_REGISTERS = {
    0x0736: 0x0D, 0x0740: 0x14, 0x0741: 0x24, 0x0889: 0x01, 0x08AC: 0x94, 0x08D8: 0xC8, 0x08E7: 0x38,
    0x0902: 0x00, 0x0911: 0x05, 0x0912: 0x05, 0x0944: 0x00, 0x0920: 0x00, 0x029F: 0x00, 0x02A0: 0x00, 0x02A1: 0x00,
    0x0706: 0x00, 0x0819: 0x00, 0x081A: 0x00, 0x081B: 0x00, 0x081C: 0x00,
}  # fmt: skip
