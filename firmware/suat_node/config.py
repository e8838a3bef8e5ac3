"""The node's configuration: /suat.json, checked as a whole before anything starts.

    {
      "board": "heltec_v3",              a file in suat_node/boards
      "kind": "soil",                    soil | water
      "role": "node",                    node | bridge: a bridge is the radio of a gateway on USB
      "region": "IN865",                 IN865 | EU433 | EU868 | RU864
      "interval_s": 900,                 one sample each, 60..86400
      "otaa": {"dev_eui": HEX16, "join_eui": HEX16, "app_key": HEX32},
           or
      "abp": {"dev_addr": HEX8, "nwk_skey": HEX32, "app_skey": HEX32},
      "radio": {                         may be left out
        "dr": 3,                         data rate to begin with, 0..5
        "adr": true,                     let the network change data rate and power
        "power_dbm": 14,                 at most; the region's limit holds anyway
        "channel": 0,                    pin to one of the region's channels (a site with a one-channel bridge)
        "lbt": true                      listen before each uplink, not only after an answer was missed
      },
      "settings": {                      may be left out: what a downlink can change too (docs/payload.md, FPort 5)
        "battery_low": 3500              millivolts
      },
      "sensors": [                       read in this order
        {"kind": "capacitive", "at": "probe1", "adc": 26, "power": 22},
        {"kind": "rs485", "at": "probe2", "uart": 0, "tx": 0, "rx": 1, "address": 1},
        {"kind": "ds18b20",    "at": "node",   "pin": 5},
        {"kind": "battery",    "at": "node"}
      ]
    }

"at" is where the reading belongs: probe1..probe4, water or node. "power" names a pin that is driven high (or low with
"power_level": 0) while the sensor is read, "warm_ms" how long before. The options of each kind: sensor_options.py.
Sends no key into any message.
"""

import json
from binascii import unhexlify

from suat_wire.control import SETTINGS
from suat_wire.region import REGIONS

from suat_node.sensor_options import COMMON, NEEDED, OPTIONS, REGISTER_FIELDS, misplaced

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any, Protocol

    Options = dict[str, Any]
    Readings = dict[tuple[str, str], int | float]

    class Board(Protocol):
        """What a file in boards/ defines; boards/template.py explains each."""

        CHIP: str
        SPI_ID: int
        SCK: int
        MOSI: int
        MISO: int
        BAUD: int
        NSS: int
        RESET: int
        BUSY: int
        DIO1: int
        TCXO_CV: int
        TCXO_US: int
        DCDC: bool
        DIO2_RF_SWITCH: bool
        RX_SWITCH: int | None
        TX_SWITCH: int | None
        MAX_DBM: int
        BATTERY_ADC: int
        BATTERY_DIVIDER: float
        BATTERY_ENABLE: int | None
        BATTERY_LEVEL: int | None
        VEXT: int | None
        VEXT_LEVEL: int


REGION_NAMES = ("IN865", "EU433", "EU868", "RU864")
# settings of docs/payload.md that a node starts with; `interval_s` and `radio` give the others
DEFAULTS = {
    "ack_after": 4,
    "health_h": 24,
    "sensors_off": 0,
    "battery_low": 0,
    "battery_floor": 0,
    "events_per_h": 4,
    "trough_empty": 50,
    "freezing": 100,
    "leak_flow": 6,
    "leak_fall": 5,
    "night_from": 18,
}

# every name of the file: the console's `set` goes by these too
TOP = ("board", "kind", "role", "region", "interval_s", "otaa", "abp", "radio", "settings", "sensors")
TABLES = {
    "otaa": ("dev_eui", "join_eui", "app_key"),
    "abp": ("dev_addr", "nwk_skey", "app_skey"),
    "radio": ("dr", "adr", "power_dbm", "channel", "lbt"),
    "settings": tuple(DEFAULTS),
}


class ConfigError(ValueError):
    """The configuration cannot be used; the message says what, where and what is expected."""


class Config:
    """The checked configuration. Keys are bytes; has no repr of its own, so that no key reaches a log."""

    def __init__(self) -> None:
        self.board = ""
        self.kind = ""
        self.role = "node"
        self.region = ""
        self.interval_s = 900
        self.settings: "dict[str, int]" = {}  # name -> value, `interval_s` among them
        self.otaa = True
        self.dev_eui = b""
        self.join_eui = b""
        self.app_key = b""
        self.dev_addr = 0
        self.nwk_skey = b""
        self.app_skey = b""
        self.dr = 3
        self.adr = True
        self.power_dbm = 14
        self.channel = -1  # -1: all
        self.lbt = False
        self.sensors: "list[Options]" = []

    def identity(self) -> bytes:
        """What the counters belong to: other keys begin new counters."""
        return self.dev_eui + self.join_eui + self.app_key + self.nwk_skey + self.app_skey + b"%08x" % self.dev_addr


def load(path: str = "/suat.json") -> Config:
    """Read and check the file. ConfigError: one line."""
    try:
        with open(path) as file:
            raw = json.load(file)
    except OSError:
        raise ConfigError("%s is missing: provision the node" % path)
    except ValueError:
        raise ConfigError("%s is not JSON" % path)
    return check(raw)


def board(name: str) -> "Board":
    """The board's module; ConfigError when there is none of that name."""
    try:
        return __import__("suat_node.boards." + name, None, None, (name,))  # type: ignore[return-value]
    except ImportError:
        raise ConfigError("board: no file suat_node/boards/%s.py" % name)


def check(raw: "Any") -> Config:
    """Turn parsed JSON into a Config; the first fault is a ConfigError."""
    _known(raw, TOP, "suat.json")
    out = Config()
    out.board = _text(raw, "board", None)
    out.role = _text(raw, "role", ("node", "bridge"), "node")
    bridge = out.role == "bridge"  # it needs no kind, no keys and no sensors
    out.kind = _text(raw, "kind", ("soil", "water"), "soil" if bridge else None)
    out.region = _text(raw, "region", REGION_NAMES, "IN865")
    out.interval_s = _whole(raw, "interval_s", 60, 86400, 900)
    changed = raw.get("settings", {})
    _known(changed, TABLES["settings"], "settings")
    out.settings = {"interval_s": out.interval_s}
    for _number, name, _kind, low, high, _unit in SETTINGS:
        if name in DEFAULTS:
            out.settings[name] = _whole(changed, name, low, high, DEFAULTS[name], "settings.")
    if 0 < out.settings["battery_low"] <= out.settings["battery_floor"]:
        raise ConfigError("settings.battery_floor must be below settings.battery_low")
    if not bridge or "otaa" in raw or "abp" in raw:
        _keys(raw, out)
    radio = raw.get("radio", {})
    _known(radio, TABLES["radio"], "radio")
    out.dr = _whole(radio, "dr", 0, 5, 3, "radio.")
    for name in ("adr", "lbt"):
        setattr(out, name, radio.get(name, getattr(out, name)))
        if not isinstance(getattr(out, name), bool):
            raise ConfigError("radio.%s must be true or false" % name)
    out.power_dbm = _whole(radio, "power_dbm", 0, 22, 14, "radio.")
    out.channel = _whole(radio, "channel", -1, len(REGIONS[out.region].channels_hz) - 1, -1, "radio.")
    sensors = raw.get("sensors", [] if bridge else None)
    if not isinstance(sensors, list) or not (sensors or bridge):
        raise ConfigError("sensors must be a list with at least one sensor")
    for i, sensor in enumerate(sensors):
        out.sensors.append(_sensor(sensor, "sensors[%d]" % i))
    fault = misplaced(out.sensors, board(out.board))
    if fault:
        raise ConfigError(fault)
    return out


def _keys(raw: "Options", out: Config) -> None:
    if ("otaa" in raw) == ("abp" in raw):
        raise ConfigError('give the keys in either "otaa" or "abp"')
    out.otaa = "otaa" in raw
    if out.otaa:
        keys = raw["otaa"]
        _known(keys, TABLES["otaa"], "otaa")
        out.dev_eui = _hex(keys, "dev_eui", 8, "otaa.")
        out.join_eui = _hex(keys, "join_eui", 8, "otaa.")
        out.app_key = _hex(keys, "app_key", 16, "otaa.")
    else:
        keys = raw["abp"]
        _known(keys, TABLES["abp"], "abp")
        out.dev_addr = int.from_bytes(_hex(keys, "dev_addr", 4, "abp."), "big")
        out.nwk_skey = _hex(keys, "nwk_skey", 16, "abp.")
        out.app_skey = _hex(keys, "app_skey", 16, "abp.")


def _sensor(raw: "Any", where: str) -> "Options":
    if not isinstance(raw, dict):
        raise ConfigError("%s must be a table" % where)
    kind = raw.get("kind")
    if kind not in OPTIONS:
        raise ConfigError("%s.kind: %r is none of %s" % (where, kind, ", ".join(sorted(OPTIONS))))
    places, options = OPTIONS[kind]
    at = raw.get("at", places[0] if len(places) == 1 else None)
    if at not in places:
        raise ConfigError("%s.at: %r is none of %s" % (where, at, ", ".join(places)))
    out = {"kind": kind, "at": at}
    for table in (COMMON, options):
        for name in table:
            allowed, default = table[name]
            value = raw.get(name, default)
            if value is NEEDED:
                raise ConfigError("%s.%s is missing" % (where, name))
            if name in raw:
                value = _option(value, allowed, "%s.%s" % (where, name))
            out[name] = value
            if allowed is list:
                _registers(value, at, "%s.%s" % (where, name))
    _known(raw, tuple(out), where)
    return out


def _registers(value: "Any", at: str, where: str) -> None:
    fields = REGISTER_FIELDS["water" if at == "water" else "probe"]
    if not isinstance(value, list) or not value:
        raise ConfigError("%s must be a list" % where)
    for row in value:
        if not isinstance(row, list) or len(row) != 3 or row[0] not in fields:
            raise ConfigError("%s: each is [%s, register, units per digit], not %r" % (where, " or ".join(fields), row))
        _option(row[1], (0, 65535), where)
        _option(row[2], float, where)


def _option(value: "Any", allowed: "Any", where: str) -> "Any":
    if allowed is float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e6:
            raise ConfigError("%s must be a number above 0, is %r" % (where, value))
        return float(value)
    if allowed is list:
        return value
    if allowed is bool:
        if not isinstance(value, bool):
            raise ConfigError("%s must be true or false, is %r" % (where, value))
        return value
    if isinstance(allowed[0], str):
        if value not in allowed:
            raise ConfigError("%s: %r is none of %s" % (where, value, ", ".join(allowed)))
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not allowed[0] <= value <= allowed[1]:
        raise ConfigError("%s must be %d..%d, is %r" % (where, allowed[0], allowed[1], value))
    return value


def _known(raw: object, names: "tuple[str, ...]", where: str) -> None:
    if not isinstance(raw, dict):
        raise ConfigError("%s must be a table" % where)
    for name in raw:
        if name not in names:
            raise ConfigError("%s: unknown key %r; known: %s" % (where, name, ", ".join(names)))


def _text(raw: "Options", name: str, allowed: "tuple[str, ...] | None", default: "str | None" = None) -> str:
    value = raw.get(name, default)
    if not isinstance(value, str) or not value:
        raise ConfigError("%s is missing" % name)
    if allowed is not None and value not in allowed:
        raise ConfigError("%s: %r is none of %s" % (name, value, ", ".join(allowed)))
    return value


def _whole(raw: "Options", name: str, low: int, high: int, default: int, where: str = "") -> int:
    value = raw.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError("%s%s must be a whole number %d..%d, is %r" % (where, name, low, high, value))
    return value


def _hex(raw: "Options", name: str, size: int, where: str) -> bytes:
    try:
        data = unhexlify(raw.get(name, ""))
    except (TypeError, ValueError):
        data = b""
    if len(data) != size:
        raise ConfigError("%s%s must be %d hexadecimal digits" % (where, name, 2 * size))
    return data
