"""Print docs/payload.md from the tables: `python -m suat_wire.document > docs/payload.md` (CPython only)."""

from collections.abc import Iterable
from pathlib import Path

from suat_wire import control, fields, payload
from suat_wire.airtime import time_on_air_us
from suat_wire.region import DATA_RATES, MAX_PAYLOAD, REGIONS

# `fault` of a group: why values are missing. 0 is not sent.
FAULTS = (
    "none",
    "no answer",
    "bad answer",
    "impossible value",
    "open circuit",
    "short circuit",
    "low supply",
    "unsteady",
)
# `reset_cause` of health
RESET_CAUSES = ("unknown", "power on", "reset pin", "watchdog", "deep sleep", "software", "brown-out")
# bits of `events` of the node, from the lowest
EVENTS = (
    "leak",
    "trough empty",
    "freezing",
    "tamper",
    "battery low",
    "battery at the floor",
    "settings rolled back",
    "update rolled back",
)

GROUP_MEANING = {
    "probe": "A soil probe in one of four positions; the gateway knows the depth of each.",
    "water": "A tank, trough or spring.",
    "node": "The node itself, with each sample.",
    "health": "The node itself, in two samples of one time: about once a day, after a restart and after a change of "
    "settings; these frames use FPort 3.",
}
FIELD_MEANING = {
    "probe.count": "raw moisture of a capacitive probe, normalised: 0 in air, 1 in water; needs a calibration curve",
    "probe.permittivity": "apparent dielectric permittivity, relative to vacuum",
    "probe.vwc": "volumetric water content where the probe itself is calibrated; may be below zero, as probes give it",
    "probe.temperature": "soil temperature",
    "probe.ec": "bulk electrical conductivity",
    "probe.fault": "why values of this probe are missing (codes below)",
    "water.depth": "height of the water above a pressure probe",
    "water.distance": "from an ultrasonic probe down to the water",
    "water.volume": "flow meter, cumulative since it was installed; starts again at 0 after 4,294,967,295 L",
    "water.temperature": "water temperature",
    "water.ec": "electrical conductivity of the water",
    "water.float": "float switch: 1 while there is water at it",
    "water.fault": "why values of this group are missing (codes below)",
    "water.pump_current": "current of the pump's motor",
    "node.battery": "battery voltage",
    "node.air_temperature": "air temperature",
    "node.fault": "why values of this group are missing (codes below)",
    "node.solar": "voltage of the solar panel",
    "node.events": "what needs attention now (bits below); sent while any is set and once when the last has gone",
    "health.firmware": "major * 65536 + minor * 256 + patch",
    "health.boots": "starts since the node was provisioned, wakes from deep sleep left out",
    "health.reset_cause": "cause of the last start (codes below)",
    "health.backlog": "samples that wait for an acknowledgement",
    "health.uptime_h": "hours since the last start",
    "health.crash": "CRC-32 of the last crash's traceback; 0: none",
    "health.lost": "samples overwritten before they were acknowledged, since the node was provisioned",
    "health.heap_free": "free memory after collection",
    "health.config": "CRC-32 of the settings that were accepted from downlinks (below); 0: none",
    "health.downlink_rssi": "signal strength of the last downlink heard",
    "health.downlink_snr": "signal-to-noise ratio of the last downlink heard",
    "health.radio_errors": "failed radio operations since the node was provisioned",
    "health.drift": "how much the node's clock runs fast, as far as known",
    "health.airtime": "sent since the last health frame",
}
SETTING_MEANING = {
    "interval_s": "time between samples",
    "ack_after": "unacknowledged samples at which the node asks for an acknowledgement",
    "health_h": "time between health frames",
    "adr": "1: the network may choose data rate and power",
    "data_rate": "data rate while adr is 0",
    "resend_from": "send the records from this one on again, as far as they are still held",
    "rejoin": "1: join the network again",
    "restart": "1: restart the node",
    "sensors_off": "sensors that are not read: bit i is the i-th of the node's list",
    "battery_low": "below this the node samples and sends four times as seldom; 0: never",
    "battery_floor": "below this the node does not send; 0: never",
    "events_per_h": "most uplinks at once for events in an hour",
    "trough_empty": "depth of water below which the trough counts as empty; 0: never",
    "freezing": "water temperature below which it may freeze; -40 degC: never",
    "leak_flow": "hours of flow without a pause that mean a leak; 0: never",
    "leak_fall": "fall of the level at night that means a leak; 0: never",
    "night_from": "hour of UTC at which the four hours of night begin in which nothing drinks",
}
INTRODUCTION = """# Payloads

This page is printed from the code (`python -m suat_wire.document`): change `firmware/suat_wire/fields.py` and
`control.py`, not this page. `firmware/codec.js` decodes the same payloads in ChirpStack v4 and The Things Stack.

| FPort | Direction | Content |
|---|---|---|
| 2 | up | readings: one or more samples, the newest first |
| 3 | up | the same, with the health of the node in at least one of them |
| 4 | down | acknowledgement of samples that are committed in the gateway's journal |
| 5 | down | settings |

All numbers are little-endian. A value on air is an integer; the reading is integer / divisor. A value that does not fit
its field is an error on the node, never a wrapped number; a payload that is not exactly of this form is refused whole.
Nodes send what the probe gave: calibration and judgement are the gateway's.

## Readings (FPort 2 and 3)

```
frame    header | [u16 newest - ack_from] | u16 or u32 record of the newest | first sample | older sample ...
header   bits 7..5 version, 1; bit 1: the record has 32 bits; bit 0: an acknowledgement is asked for; others 0
first    varint age | body
older    varint (record before - record - 1) | zigzag varint (age - age before) | body, or 00 and values alone
body     group mask | field masks | values in the order of the masks
```

- *Record*: each sample of a node has its own number, 0 to 4,294,967,294, counted up for ever. Health frames, and those
  of a node that has gone on for more than 32,767 records since its last acknowledgement, carry all 32 bits of the
  newest, other frames the low 16: the receiver takes the number nearest to the newest it knows of that node.
- *Age*: whole seconds between the sample and the sending of the frame, at most 2,147,483,647.
- *varint*: seven bits a byte, the low ones first, bit 7 says that another byte follows; at most 32 bits in 5 bytes.
  *zigzag*: 0, -1, 1, -2, 2 ... are sent as 0, 1, 2, 3, 4 ...
- *Group mask*: bits 0 to 3 `probe1` to `probe4`, bit 4 `water`, bit 5 `node`, bit 6 `health`. Bit 7: all the probes
  have the same fields, and their mask is given once. Then a field mask (a varint) for each group, in the order of the
  bits.
- An older sample whose masks equal those of the sample before it sends 00 in their place.
- *ack_from* is the oldest record that the node still keeps: "tell me what you have, from there on".
"""


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    columns = head.split("|")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def number(value: float) -> str:
    """Without an exponent, without a needless ".0"."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def field_tables() -> str:
    parts = ["## Fields\n"]
    bits = {group: bit for bit, (group, _) in enumerate(fields.GROUPS)}
    for group, table_fields in fields.GROUPS:
        name = group.rstrip("1234")
        if group in ("probe2", "probe3", "probe4"):
            continue
        title = "`probe1` to `probe4` (bits 0 to 3)" if name == "probe" else f"`{group}` (bit {bits[group]})"
        rows = []
        for bit, (field, kind, divisor, unit) in enumerate(table_fields):
            _, low, high = fields.KINDS[kind]
            span = f"{number(low / divisor)} to {number(high / divisor)}"
            step = number(1 / divisor)
            rows.append((bit, f"`{field}`", unit or "-", kind, divisor, step, span, FIELD_MEANING[f"{name}.{field}"]))
        parts.append(f"### {title}\n\n{GROUP_MEANING[name]}\n")
        parts.append(table("Bit|Field|Unit|Type|Divisor|Resolution|Range|Meaning", rows))
    parts.append("Codes of `fault`: " + ", ".join(f"{i} {text}" for i, text in enumerate(FAULTS)) + ".\n")
    parts.append("Codes of `reset_cause`: " + ", ".join(f"{i} {text}" for i, text in enumerate(RESET_CAUSES)) + ".\n")
    parts.append("Bits of `events`: " + ", ".join(f"{i} {text}" for i, text in enumerate(EVENTS)) + ".\n")
    return "\n".join(parts)


def soil_sample(probes: int) -> dict[tuple[str, str], float]:
    readings: dict[tuple[str, str], float] = {("node", "battery"): 3.6}
    for position in range(1, probes + 1):
        for field, value in (("vwc", 0.2345), ("temperature", 11.5), ("ec", 0.75)):
            readings[f"probe{position}", field] = value
    return readings


def sizes() -> str:
    """What fits: the room of a frame at each data rate against samples of soil nodes."""
    rows = []
    for dr, room in MAX_PAYLOAD.items():
        cells: list[object] = [f"DR{dr} SF{DATA_RATES[dr][0]}", room]
        for probes in (1, 2, 4):
            samples = [payload.Sample(1000 - i, 5 + 900 * i, soil_sample(probes)) for i in range(60)]
            cells.append(f"{payload.fit(samples, room, 900)} ({payload.fit(samples, room - 15, 900)})")
        size = len(payload.encode([payload.Sample(1000, 5, soil_sample(4))], room, 900)[0])
        cells.append(f"{time_on_air_us(*DATA_RATES[dr], 13 + size) / 1000:.0f} ms")
        rows.append(cells)
    return "\n".join(
        (
            "## What fits into a frame\n",
            "Samples of moisture, temperature, EC and battery at 15-minute steps, with an acknowledgement asked",
            "for; in brackets when the longest FOpts (15 bytes) take their share. Airtime is of one sample of",
            "four probes.\n",
            table("Data rate|Bytes|1 probe|2 probes|4 probes|Airtime", rows),
        )
    )


def example() -> str:
    """A frame taken apart byte by byte."""
    readings = {("probe1", "vwc"): 0.2137, ("probe1", "temperature"): 14.25, ("node", "battery"): 3.6}
    samples = [payload.Sample(70000, 904, readings), payload.Sample(69998, 2704, readings)]
    data, fport = payload.encode(samples, 51, 69990)
    told = (
        (1, "version 1, 16-bit record, asks for an acknowledgement"),
        (2, "newest - ack_from = 10: asks from record 69990 on"),
        (2, "record 70000, low 16 bits (4464)"),
        (2, "age 904 s, varint"),
        (1, "groups probe1 and node"),
        (1, "probe1: vwc and temperature"),
        (1, "node: battery"),
        (2, "vwc 2137 / 10000 = 0.2137 m3/m3"),
        (2, "temperature 1425 / 100 = 14.25 degC"),
        (1, "battery 144 / 40 = 3.6 V"),
        (1, "one record is missing in between: 70000 - 69998 - 1"),
        (2, "1800 s older, zigzag varint of 3600"),
        (1, "the same fields as the sample before"),
        (5, "its values"),
    )
    lines = []
    start = 0
    for size, text in told:
        lines.append(f"{data[start : start + size].hex(' '):<16}{text}")
        start += size
    if start != len(data):
        raise AssertionError("the example does not tell all of its bytes")
    return f"## Example\n\n{len(data)} bytes on FPort {fport}: `{data.hex()}`\n\n```\n" + "\n".join(lines) + "\n```\n"


def downlinks() -> str:
    rows = []
    for tag, name, kind, low, high, unit in control.SETTINGS:
        rows.append((tag, f"`{name}`", kind, f"{low} to {high}", unit or "-", SETTING_MEANING[name]))
    return "\n".join(
        (
            "## Acknowledgement (FPort 4)\n",
            "```\nu32 cumulative | bitmap, 0 to 8 bytes\n```\n",
            "Every record up to `cumulative` is committed or was never held by the node; FFFFFFFF says that none is.",
            "Bit i of the bitmap (low bits of the first byte first) is record cumulative + 1 + i; zero bytes at its",
            "end are left out. It is sent after the commit only. The node frees what it names, and sends again what it",
            "had sent before asking and is not named.\n",
            "## Settings (FPort 5)\n",
            "```\nu8 id | u8 length | value, once or more\n```\n",
            "All of it is refused if any of it is unknown, given twice or out of range.\n",
            "The values are on trial first: each uplink asks for an acknowledgement, samples are at most an hour",
            "apart, and the first genuine downlink accepts them. After 8 uplinks or restarts without one, or 12 hours,",
            "the node goes back to the values of before by itself and tells it by `events`, bit 6. `resend_from`,",
            "`rejoin` and `restart` are carried out and not kept; it rejoins without giving up its session first.\n",
            "`config` of health is the CRC-32 (zlib) of the payload that gives all accepted settings, each with its",
            "latest value, in the order of their ids: `crc32(encode_config(accepted))`. It is 0 on a node that never",
            "accepted any, whose file of them was damaged, or at which all of them were set by hand since.\n",
            table("Id|Setting|Type|Range|Unit|Meaning", rows),
        )
    )


def plans() -> str:
    rows = [
        (
            region.name,
            ", ".join(number(hz / 1e6) for hz in region.channels_hz),
            f"{number(region.rx2_hz / 1e6)} DR{region.rx2_dr}",
            region.max_eirp_dbm,
        )
        for region in REGIONS.values()
    ]
    return "\n".join(
        (
            "## Channel plans\n",
            "Kazakhstan is reported to allow 25 mW (14 dBm) in 863-868 MHz and 10 mW (10 dBm) in 433.075-434.775 MHz,",
            "so IN865 and EU433 are clipped to that; the join channels of EU868 and RU864 lie outside it. The owner of",
            "a station must confirm the local law.\n",
            table("Plan|Default channels, MHz|RX2, MHz|Most EIRP, dBm", rows),
        )
    )


def page() -> str:
    """The whole of docs/payload.md."""
    return "\n".join((INTRODUCTION, field_tables(), example(), sizes(), downlinks(), plans())).rstrip() + "\n"


def path() -> Path:
    """Where the page lies in a checkout."""
    return Path(__file__).parents[2] / "docs" / "payload.md"


if __name__ == "__main__":
    print(page(), end="")
