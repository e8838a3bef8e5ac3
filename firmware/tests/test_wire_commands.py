"""MAC commands: sizes of TS001 section 5, round trips, where parsing stops."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat_wire import commands
from suat_wire.commands import DOWN, UP, CommandError

# TS001-1.0.4 table 12 and sections 5.1 to 5.10: bytes of arguments (up, down)
SIZES = {2: (0, 2), 3: (1, 4), 4: (0, 1), 5: (1, 4), 6: (2, 0), 7: (1, 5), 8: (0, 1), 9: (0, 1), 10: (1, 4), 13: (0, 5)}


@pytest.mark.parametrize("cid", SIZES)
def test_sizes(cid: int) -> None:
    assert (commands.size_of(cid, UP), commands.size_of(cid, DOWN)) == SIZES[cid]


@given(st.sampled_from([UP, DOWN]), st.lists(st.sampled_from(sorted(SIZES)), max_size=6), st.data())
def test_whatever_arguments_are_read_can_be_built(direction: int, cids: list[int], data: st.DataObject) -> None:
    args = [data.draw(st.binary(min_size=SIZES[cid][direction], max_size=SIZES[cid][direction])) for cid in cids]
    text = b"".join(bytes((cid,)) + arg for cid, arg in zip(cids, args, strict=True))
    assert commands.parse(text, direction) == list(zip(cids, args, strict=True))
    for cid, arg in zip(cids, args, strict=True):
        values = commands.fields(cid, direction, arg)
        built = commands.build(cid, direction, **values)
        assert commands.fields(cid, direction, built[1:]) == values


@given(st.binary(max_size=60), st.sampled_from([UP, DOWN]))
def test_any_bytes_are_parsed_up_to_what_is_unknown_or_cut_short(data: bytes, direction: int) -> None:
    found = commands.parse(data, direction)
    taken = b"".join(bytes((cid,)) + args for cid, args in found)
    assert data.startswith(taken)
    rest = data[len(taken) :]
    assert not rest or rest[0] not in SIZES or len(rest) - 1 < SIZES[rest[0]][direction]


def test_parsing_stops_at_an_unknown_command_and_at_a_cut_one() -> None:
    assert commands.parse(bytes.fromhex("0307800307"), UP) == [(3, b"\x07")]
    assert commands.parse(bytes.fromhex("0603520700"), DOWN) == [(6, b"")]


def test_negative_margin_has_six_bits() -> None:
    """DevStatusAns margin: -32..31 in two's complement (TS001 5.5)."""
    assert commands.build(commands.DEV_STATUS, UP, battery=0, margin_db=-32) == bytes.fromhex("060020")
    assert commands.fields(commands.DEV_STATUS, UP, b"\xff\x1f") == {"battery": 255, "margin_db": 31}


@pytest.mark.parametrize(
    ("cid", "direction", "values"),
    [
        (commands.DEV_STATUS, UP, {"battery": 256, "margin_db": 0}),
        (commands.DEV_STATUS, UP, {"battery": 0, "margin_db": 32}),
        (commands.DEV_STATUS, UP, {"battery": 0, "margin_db": -33}),
        (commands.RX_TIMING_SETUP, DOWN, {"delay_s": 16}),
        (commands.RX_TIMING_SETUP, DOWN, {"delay": 1}),
        (commands.RX_TIMING_SETUP, DOWN, {"delay_s": 1, "more": 1}),
        (commands.DL_CHANNEL, DOWN, {"index": 0, "frequency_hz": 866550050}),
        (commands.DL_CHANNEL, DOWN, {"index": 0, "frequency_hz": -100}),
        (0x80, DOWN, {}),
    ],
)
def test_commands_that_cannot_be_built(cid: int, direction: int, values: dict[str, int]) -> None:
    with pytest.raises(CommandError):
        commands.build(cid, direction, **values)


def test_arguments_of_wrong_length_are_refused() -> None:
    with pytest.raises(CommandError):
        commands.fields(commands.LINK_ADR, DOWN, b"\x00")


def test_answers_are_cut_at_a_command_boundary() -> None:
    answers = [bytes.fromhex("0307"), bytes.fromhex("06ff1e"), bytes.fromhex("08")]
    assert commands.join(answers, 15) == bytes.fromhex("030706ff1e08")
    assert commands.join(answers, 5) == bytes.fromhex("030706ff1e")
    assert commands.join(answers, 4) == bytes.fromhex("0307")


def test_device_time_is_18_s_ahead_of_utc_and_counted_from_1980() -> None:
    """GPS time of 2026-01-01T00:00:00Z is 1451260818: 46 years and 11 leap days of days, and 18 leap seconds."""
    days = (datetime(2026, 1, 1, tzinfo=UTC) - datetime(1980, 1, 6, tzinfo=UTC)).days
    utc_us = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000000
    answer = commands.device_time_ans(utc_us + 500000)
    assert commands.fields(13, DOWN, answer[1:]) == {"gps_seconds": days * 86400 + 18, "fraction_256": 128}
    assert days * 86400 + 18 == 1451260818
    assert commands.device_time_us(answer[1:]) == utc_us + 500000


@given(st.integers(1_700_000_000_000_000, 4_000_000_000_000_000))
def test_device_time_round_trip(utc_us: int) -> None:
    back = commands.device_time_us(commands.device_time_ans(utc_us)[1:])
    assert 0 <= utc_us - back < 1000000 / 256 + 1
