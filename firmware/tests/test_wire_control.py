"""Application downlinks: acknowledgement and settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat_wire import control, payload
from suat_wire.fields import PayloadError

cumulatives = st.integers(-1, control.RECORD_MAX)


@given(cumulatives, st.binary(max_size=8))
def test_acknowledgement_round_trip(cumulative: int, bitmap: bytes) -> None:
    data = control.encode_ack(cumulative, bitmap)
    assert 4 <= len(data) <= 12
    assert control.decode_ack(data) == (cumulative, bitmap.rstrip(b"\x00"))


@given(st.integers(0, 10**6), st.sets(st.integers(0, 120)), st.integers(0, 5))
def test_exactly_the_committed_records_are_acknowledged(ack_from: int, offsets: set[int], before: int) -> None:
    """From ack_from on: none that is not committed, and of the committed all within 64 of the first gap."""
    committed = {ack_from + offset for offset in offsets} | {max(0, ack_from - 1 - i) for i in range(before)}
    cumulative, bitmap = control.ack_of(ack_from, committed)
    told = control.decode_ack(control.encode_ack(cumulative, bitmap))
    first_gap = next(record for record in range(ack_from, ack_from + 200) if record not in committed)
    assert cumulative == first_gap - 1
    for record in range(ack_from, ack_from + 200):
        named = control.acknowledged(record, *told)
        assert named == (record in committed and record <= cumulative + 64)


def test_nothing_committed_is_told_even_at_the_first_record() -> None:
    assert control.ack_of(0, []) == (-1, bytes(8))
    told = control.decode_ack(control.encode_ack(-1))
    assert not any(control.acknowledged(record, *told) for record in range(100))


@pytest.mark.parametrize(("cumulative", "bitmap"), [(-2, b""), (0xFFFFFFFF, b""), (0, bytes(9))])
def test_acknowledgements_that_cannot_be_sent(cumulative: int, bitmap: bytes) -> None:
    with pytest.raises(PayloadError):
        control.encode_ack(cumulative, bitmap)


@pytest.mark.parametrize("length", [0, 3, 13])
def test_acknowledgements_of_wrong_length(length: int) -> None:
    with pytest.raises(PayloadError):
        control.decode_ack(bytes(length))


some_settings = st.fixed_dictionaries(
    {}, optional={name: st.integers(low, high) for _, name, _, low, high, _ in control.SETTINGS}
).filter(bool)


@given(some_settings)
def test_settings_round_trip(settings: dict[str, int]) -> None:
    data = payload.encode_config(settings)
    assert payload.decode_config(data) == settings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"intervall_s": 900},
        {"interval_s": 900, "unknown": 1},
        {"interval_s": 29},
        {"interval_s": 604801},
        {"interval_s": 900.5},
        {"interval_s": None},
        {"interval_s": "900"},
        {"adr": 2},
        {"data_rate": 6},
        {"resend_from": 0xFFFFFFFF},
    ],
)
def test_settings_that_cannot_be_sent(settings: dict[str, int]) -> None:
    with pytest.raises(PayloadError):
        control.encode_config(settings)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "no settings"),
        ("ff0101", "255 is unknown"),
        ("0104840300", "cut short"),
        ("01028403", "wrong length"),
        ("01", "cut short"),
        ("010400000000", "interval_s: 0"),
        ("040102", "adr: 2"),
        ("040101040101", "given twice"),
        ("040101ff", "255 is unknown"),
    ],
)
def test_refused_settings(data: str, why: str) -> None:
    with pytest.raises(PayloadError, match=why):
        control.decode_config(bytes.fromhex(data))


@given(st.binary(max_size=30))
def test_any_bytes_are_settings_or_a_payload_error(data: bytes) -> None:
    for decode in (control.decode_config, control.decode_ack):
        try:
            decode(data)
        except PayloadError:
            continue


def test_ids_are_unique() -> None:
    assert len({setting[0] for setting in control.SETTINGS}) == len(control.SETTINGS)
