"""Vendors' payloads, against the vendors' own documented examples."""

from __future__ import annotations

import random
from typing import Any

import pytest
from suat.ingest.base import kinds
from suat.ingest.vendors import VENDORS, Decoded, decode
from suat_wire.fields import GROUPS, KINDS, PayloadError
from suat_wire.payload import pack, unpack

LSE01, LDDS75, SMTC, SWL = (
    "dragino_lse01",
    "dragino_ldds75",
    "milesight_em500_smtc",
    "milesight_em500_swl",
)
FPORT = {LSE01: 2, LDDS75: 2, SMTC: 85, SWL: 85}

# (model, payload, what its vendor says that it means): the whole frames are the vendors', and so is each number of the
# frames that were put together here from the numbers that a manual explains one by one.
EXAMPLES: list[tuple[str, str, dict[str, float]]] = [
    # "a payload for testing" of the LSE01: 3.28 V, 8.31 %, 18.12 degC, 6300 uS/cm
    (LSE01, "0CD0 0000 033F 0714 189C 01", {"battery": 3.28, "vwc": 0.0831, "temperature": 18.12, "ec": 6.3}),
    # manual, section 2.3: 0B45 is 2885 mV, 05DC is 15 %, 0105 is 2.61 degC, 00C8 is 200 uS/cm
    (LSE01, "0B45 0000 05DC 0105 00C8 10", {"battery": 2.885, "vwc": 0.15, "temperature": 2.61, "ec": 0.2}),
    # FF7E is -1.29 degC by the manual's formula, -1.30 by two's complement; 0B49 is 2889 mV
    (LSE01, "0B49 0000 05DC FF7E 00C8 10", {"battery": 2.889, "vwc": 0.15, "temperature": -1.30, "ec": 0.2}),
    # the codec of The Things Network's repository: 3.625 V behind two flag bits, 19.57 %, 24.59 degC, 28200 uS/cm;
    # its last byte would mean MOD 1 to firmware 1.2.1, so it is 10 here
    (LSE01, "CE29 00F1 07A5 099B 6E28 10", {"battery": 3.625, "vwc": 0.1957, "temperature": 24.59, "ec": 28.2}),
    # decoder 1.2.1, MOD 1: bytes 4 and 5 are ten times the permittivity
    (LSE01, "0CD0 0000 00C8 0123 0456 90", {"battery": 3.28, "permittivity": 20.0}),
    # LDDS75's manual: 0B45 is 2885 mV, 0B05 is 2821 mm, 0000 is no sensor, 0014 is invalid since firmware 1.1.4
    (LDDS75, "0B45 0B05 00 0105 01", {"battery": 2.885, "distance": 2.821}),
    (LDDS75, "0E1C 0B05", {"battery": 3.612, "distance": 2.821}),
    (LDDS75, "0B49 0000 01 FF3F 00", {"battery": 2.889, "fault": 1}),
    (LDDS75, "0B49 0014 00 0000 01", {"battery": 2.889, "fault": 3}),
    # Milesight's README: 100 %, 28.1 degC, 57.5 %, 240 uS/cm
    (SMTC, "017564 03671901 046873 057FF000", {"temperature": 28.1, "vwc": 0.575, "ec": 0.24}),
    # the decoder: moisture of 0.01 %, FFFF "collection failed", FFFD "out of range"
    (SMTC, "0367C8FF 04CAE115 057FFFFF", {"temperature": -5.6, "vwc": 0.5601, "fault": 1}),
    (SMTC, "0367FFFF 04CAFDFF 057FF000", {"ec": 0.24, "fault": 1}),
    # the alarm of a change: temperature, change, kind
    (SMTC, "83D7 5200 3200 02", {"temperature": 8.2}),
    # Milesight's README: 100 %, 2 cm
    (SWL, "017564 03770200", {"depth": 0.02}),
    (SWL, "0377 FFFF", {"fault": 1}),
    (SWL, "0377 FDFF", {"fault": 3}),
]


def names(sample: Decoded) -> dict[str, float]:
    """The readings by field alone: a vendor's node has one probe or stands in one tank."""
    assert {group for group, _ in sample.readings} <= {"probe1", "water", "node"}
    return {name: value for (_, name), value in sample.readings.items()}


@pytest.mark.parametrize(("model", "payload", "means"), EXAMPLES)
def test_a_vendors_example_gives_what_the_vendor_says(model: str, payload: str, means: dict[str, float]) -> None:
    (sample,) = decode(VENDORS[model], FPORT[model], bytes.fromhex(payload))
    assert sample.taken_s is None
    assert names(sample) == pytest.approx(means, abs=1e-9)
    unpack(pack(sample.readings))  # it can be kept


def test_what_a_node_kept_in_its_memory_comes_with_its_own_time() -> None:
    # time, EC 240 uS/cm, 28.1 degC, 56.01 %; then a live moisture; the time is that of the README of the EM320-TH
    payload = bytes.fromhex("20CE 9E744663 F000 1901 E115" + "04CA E115")
    live, kept = decode(VENDORS[SMTC], 85, payload)
    assert (live.taken_s, names(live)) == (None, {"vwc": 0.5601})
    assert (kept.taken_s, names(kept)) == (1665561758, {"ec": 0.24, "temperature": 28.1, "vwc": 0.5601})
    (level,) = decode(VENDORS[SWL], 85, bytes.fromhex("20CE 9E744663 0200"))
    assert (level.taken_s, names(level)) == (1665561758, {"depth": 0.02})


@pytest.mark.parametrize(
    ("model", "fport", "payload"),
    [
        (LSE01, 5, "2601 0001 FF 0B45"),  # model, firmware, band, battery
        (SMTC, 85, "017564"),  # the battery alone, every six hours
        (SMTC, 85, "FF0BFF FF0101 FF166329C42503920003 FF090100 FF0A0101 FF0F00"),  # after a join (EM400's manual)
        (SWL, 85, "FE03B004"),  # an answer to a setting
    ],
)
def test_a_frame_without_readings_is_no_fault(model: str, fport: int, payload: str) -> None:
    assert decode(VENDORS[model], fport, bytes.fromhex(payload)) == []


@pytest.mark.parametrize(
    ("model", "payload"),
    [
        (LSE01, ""),
        (LSE01, "0CD0 0000 033F 0714 189C"),
        (LSE01, "0CD0 0000 033F 0714 189C 0100"),
        (LDDS75, "0B45 0B05 00"),
        (SMTC, "0367 19"),
        (SMTC, "03"),
        (SMTC, "0999 0000"),
        (SMTC, "20CE 9E744663 F000 1901"),
        (SWL, "0367 1901"),
    ],
)
def test_what_is_not_of_the_form_is_refused(model: str, payload: str) -> None:
    with pytest.raises(PayloadError):
        decode(VENDORS[model], FPORT[model], bytes.fromhex(payload))


def test_an_unknown_channel_costs_nothing_that_came_before_it() -> None:
    (sample,) = decode(VENDORS[SMTC], 85, bytes.fromhex("0367 1901" + "AA01 00"))
    assert names(sample) == {"temperature": 28.1}


@pytest.mark.parametrize("model", VENDORS)
def test_each_field_of_a_table_is_a_field_of_ours_and_its_range_fits(model: str) -> None:
    fields = {(group, name): (kind, divisor) for group, found in GROUPS for name, kind, divisor, _ in found}
    form: Any = VENDORS[model]
    values = getattr(form, "values", None) or [v for channel in form.channels.values() for v in channel.values]
    for value in values:
        kind, divisor = fields[value.group, value.name]
        low, high = KINDS[kind][1:]
        for raw in value.range:
            assert low <= round(raw / value.divisor * divisor) <= high, value


@pytest.mark.parametrize("model", VENDORS)
def test_whatever_the_bytes_nothing_but_a_payload_error_comes_out(model: str) -> None:
    chance = random.Random(model)
    examples = [bytes.fromhex(payload) for name, payload, _ in EXAMPLES if name == model]
    for _ in range(20_000):
        data = bytearray(chance.choice(examples))
        for _ in range(chance.randint(1, 4)):
            if chance.random() < 0.3:
                del data[chance.randint(0, len(data)) :]
            data[chance.randint(0, len(data)) : 0] = chance.randbytes(chance.randint(0, 3))
        try:
            samples = decode(VENDORS[model], FPORT[model], bytes(data))
        except PayloadError:
            continue
        for sample in samples:
            unpack(pack(sample.readings))


def test_the_tables_are_no_kind_of_source() -> None:
    assert "vendors" not in kinds()
