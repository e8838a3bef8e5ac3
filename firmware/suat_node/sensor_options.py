"""THE table of sensor kinds: where each may be, and its options with what they allow and their defaults."""

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

NEEDED = object()  # marks an option that has no default

_PROBES = ("probe1", "probe2", "probe3", "probe4")
_PIN = (0, 48)
_UART = {
    "uart": ((0, 2), NEEDED),
    "tx": (_PIN, NEEDED),
    "rx": (_PIN, NEEDED),
    "baud": ((1200, 115200), 9600),
}
COMMON = {
    "power": (_PIN, None),
    "power_level": ((0, 1), 1),
    "warm_ms": ((0, 5000), 20),
}

# kind -> (where it may be, {option: (allowed, default)})
# allowed: (low, high) for whole numbers, float, bool, list, or the names to choose from
OPTIONS: "dict[str, tuple[tuple[str, ...], dict[str, tuple[Any, Any]]]]" = {
    "capacitive": (_PROBES, {"adc": (_PIN, NEEDED), "samples": ((1, 63), 9)}),
    "rs485": (
        _PROBES + ("water",),
        {
            "warm_ms": ((0, 5000), 500),
            "address": ((1, 247), 1),
            "de": (_PIN, None),  # driver enable of the transceiver; None where it switches itself
            "function": ((3, 4), 3),
            # [field, register, units per digit]: the map of the common "soil moisture temperature EC" transmitters
            "registers": (list, [["vwc", 0, 0.001], ["temperature", 1, 0.1], ["ec", 2, 0.001]]),
            "timeout_ms": ((50, 2000), 300),
        },
    ),
    "ds18b20": (_PROBES + ("water", "node"), {"pin": (_PIN, NEEDED)}),
    "ultrasonic": (
        ("water",),
        {"samples": ((1, 15), 5), "blind_mm": ((0, 1000), 250), "far_mm": ((500, 10000), 4500)},
    ),
    "pressure": (
        ("water",),
        {
            "adc": (_PIN, NEEDED),
            "shunt_ohm": (float, 100.0),
            "full_m": (float, 5.0),  # depth at 20 mA
            "samples": ((1, 63), 9),
            "warm_ms": ((0, 5000), 500),
        },
    ),
    "switch": (("water", "node"), {"pin": (_PIN, NEEDED), "invert": ((0, 1), 0), "wake": (bool, False)}),
    "current": (
        ("water",),
        {
            "adc": (_PIN, NEEDED),
            "mode": (("ac", "dc"), "ac"),
            "amps_per_v": (float, NEEDED),
            "zero_v": (float, 1.65),  # at no current
            "mains_hz": ((50, 60), 50),
        },
    ),
    "solar": (("node",), {"adc": (_PIN, NEEDED), "divider": (float, 11.0), "samples": ((1, 63), 9)}),
    "flow": (
        ("water",),
        {
            "source": (("pin", "pcf8583"), "pin"),
            "pin": (_PIN, None),
            "debounce_ms": ((1, 300), 5),  # 300: the slowest a PIO turns at 200 MHz
            "i2c": ((0, 1), 0),
            "sda": (_PIN, None),
            "scl": (_PIN, None),
            "pulses_per_l": (float, 1.0),
        },
    ),
    "battery": (("node",), {"samples": ((1, 63), 9)}),
    "logger": (("node",), {"rows": ((1, 64), 16), "timeout_ms": ((50, 5000), 500)}),
}
for _kind in ("rs485", "ultrasonic", "logger"):
    OPTIONS[_kind][1].update(_UART)

# what a register of "rs485" may mean
REGISTER_FIELDS = {"probe": ("vwc", "permittivity", "temperature", "ec"), "water": ("depth", "temperature", "ec")}

_RADIO = ("NSS", "RESET", "BUSY", "DIO1", "SCK", "MOSI", "MISO", "RX_SWITCH", "TX_SWITCH")
_PINS = ("adc", "pin", "tx", "rx", "de", "sda", "scl", "power")


def misplaced(sensors: "list[dict[str, Any]]", board: "Any") -> str:
    """The first thing about the sensors' pins that cannot work on this board, "" when all can.

    Analog inputs: RP2040 datasheet 4.9.3 (GPIO 26..29); ESP32-S3 datasheet 2.3 (ADC1 and ADC2: GPIO 1..20; woken by
    GPIO 0..21).
    """
    esp32 = board.CHIP != "rp2040"
    taken = {getattr(board, name): "the radio" for name in _RADIO}
    for i, sensor in enumerate(sensors):
        here = "sensors[%d]." % i
        counts = sensor.get("source") == "pin"
        if sensor["kind"] == "flow":
            for name in ("pin",) if counts else ("sda", "scl"):
                if sensor[name] is None:
                    return "%s%s is missing" % (here, name)
        for name in _PINS:
            pin = sensor.get(name)
            if pin is None or (name == "pin" and sensor.get("source") == "pcf8583"):
                continue
            if 21 < pin < 33 and pin != 26 if esp32 else pin > 29:  # ESP32-S3: no such pins, and those of its flash
                return "%s%s: pin %d cannot be used on this board" % (here, name, pin)
            if taken.get(pin, name) != name or (name == "pin" and pin in taken):
                return "%s%s: pin %d is taken by %s" % (here, name, pin, taken[pin])
            taken[pin] = name
            low, high = (1, 20) if esp32 else (26, 29)
            if name == "adc" and not low <= pin <= high:
                return "%sadc: pin %d has no analog input; %d..%d have" % (here, pin, low, high)
            if esp32 and name == "pin" and pin > 21 and (counts or sensor.get("wake")):
                return "%spin: pin %d cannot wake this board; 0..21 can" % (here, pin)
    return ""
