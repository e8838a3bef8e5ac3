"""THE field table of the link: what a node can send, in which unit, with which resolution and range.

A value is an integer on air; the reading is integer / divisor, so that Python, JavaScript and MicroPython give the same
double (boards with 32-bit floats round it, but send the same integer). With divisor 1 the reading is an integer.
A group's place is its bit in the group mask, a field's place its bit in the field mask: nothing is ever reordered, new
fields go at a group's end. Ranges are as wide as the integer: the gateway, not the link, judges what is plausible.
"""

# kind -> (struct letter, lowest, highest integer)
KINDS = {
    "u8": ("B", 0, 255),
    "i8": ("b", -128, 127),
    "u16": ("H", 0, 65535),
    "i16": ("h", -32768, 32767),
    "u32": ("I", 0, 0xFFFFFFFF),
    "bool": ("B", 0, 1),
}

# (field, kind, divisor, unit)
_PROBE = (
    ("count", "i16", 20000, ""),
    ("permittivity", "u16", 100, ""),
    ("vwc", "i16", 10000, "m3/m3"),
    ("temperature", "i16", 100, "degC"),
    ("ec", "u16", 1000, "dS/m"),
    ("fault", "u8", 1, "code"),
)
_WATER = (
    ("depth", "i16", 1000, "m"),
    ("distance", "u16", 1000, "m"),
    ("volume", "u32", 1, "L"),
    ("temperature", "i16", 100, "degC"),
    ("ec", "u16", 1000, "dS/m"),
    ("float", "bool", 1, ""),
    ("fault", "u8", 1, "code"),
    ("pump_current", "u16", 100, "A"),
)
_NODE = (
    ("battery", "u8", 40, "V"),
    ("air_temperature", "i16", 100, "degC"),
    ("fault", "u8", 1, "code"),
    ("solar", "u8", 10, "V"),
    ("events", "u8", 1, "bits"),
)
_HEALTH = (
    ("firmware", "u32", 1, ""),
    ("boots", "u32", 1, ""),
    ("reset_cause", "u8", 1, "code"),
    ("backlog", "u16", 1, "samples"),
    ("uptime_h", "u16", 1, "h"),
    ("crash", "u32", 1, ""),
    ("lost", "u16", 1, "samples"),
    ("heap_free", "u16", 1, "kB"),
    ("config", "u32", 1, ""),
    ("downlink_rssi", "i16", 1, "dBm"),
    ("downlink_snr", "i8", 4, "dB"),
    ("radio_errors", "u16", 1, ""),
    ("drift", "i16", 10, "ppm"),
    ("airtime", "u16", 1, "s"),
)

# A group's place is its bit in the group mask, a field's place its bit in the field mask.
GROUPS = (
    ("probe1", _PROBE),
    ("probe2", _PROBE),
    ("probe3", _PROBE),
    ("probe4", _PROBE),
    ("water", _WATER),
    ("node", _NODE),
    ("health", _HEALTH),
)


class PayloadError(ValueError):
    """Bytes that are no payload of ours, or values that do not fit their field or frame."""


def raw_of(value: float, kind: str, divisor: int) -> int:
    """The integer that carries `value`; PayloadError if it does not fit (`struct` on MicroPython wraps silently)."""
    low, high = KINDS[kind][1:]
    try:
        raw = round(value * divisor)
    except (TypeError, ValueError, OverflowError):
        raise PayloadError("%r is no number" % (value,))
    if value != value or not low <= raw <= high:
        raise PayloadError("%r is not within %s..%s" % (value, low / divisor, high / divisor))
    return raw
