"""A bank that was saved goes on as if nothing had been; bytes that were damaged give ValueError and nothing else."""

from __future__ import annotations

import dataclasses
import math
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat_filters import ChannelSettings, FilterBank

LIMITS = [
    ChannelSettings(),
    ChannelSettings(window=3, n_sigmas=2.0, resolution=0.001, spike_accept=2, stuck_count=3, stuck_seconds=2),
    ChannelSettings(window=25, minimum=-0.1, maximum=0.7, max_rate=0.1, gap_seconds=5, q=1e-4, r=1e-2),
    ChannelSettings(window=129, max_rate=0.05, rate_accept=2),
]
STREAM = st.lists(
    st.tuples(
        st.integers(0, len(LIMITS) - 1),
        st.sampled_from([0.0, 1.0, 2.0, 7.0]),
        st.one_of(st.integers(-3, 9).map(lambda n: n / 10), st.floats(allow_nan=True)),
    ),
    max_size=80,
)
HEADER = struct.Struct("<8sIIQ")


def used() -> FilterBank:
    """A bank that has seen something on every channel."""
    bank = FilterBank(len(LIMITS) + 1, [*LIMITS, LIMITS[1]])
    rng = np.random.default_rng(6)
    channels = rng.integers(0, bank.n_channels, 300)
    bank.push_many(channels, np.arange(300.0), rng.normal(0.3, 0.2, 300).round(2))
    return bank


SAVED = used().save()


def sealed(body: bytes) -> bytes:
    """With a checksum that fits, so that what is behind it is put to the test."""
    return body + struct.pack("<I", zlib.crc32(body))


@given(STREAM, st.integers(0, 80))
def test_a_stream_goes_on_unbroken(stream: list[tuple[int, float, float]], at: int) -> None:
    bank, unbroken = FilterBank(len(LIMITS), LIMITS), FilterBank(len(LIMITS), LIMITS)
    now = 0.0
    for i, (channel, step, x) in enumerate(stream):
        if i == at:
            bank = FilterBank.load(bank.save())
        now += step
        ours, theirs = bank.push(channel, now, x), unbroken.push(channel, now, x)
        assert ours[1] == theirs[1]
        assert ours[0].hex() == theirs[0].hex()
    assert bank.save() == unbroken.save()
    assert bank.settings == tuple(LIMITS)


def test_an_empty_bank_can_be_saved() -> None:
    assert FilterBank.load(FilterBank(0, ChannelSettings()).save()).n_channels == 0


def test_a_loaded_bank_can_grow() -> None:
    bank = FilterBank.load(memoryview(SAVED))
    assert bank.grow(ChannelSettings(window=7)) == len(LIMITS) + 1
    assert FilterBank.load(bank.save()).settings[-1].window == 7


def refused(data: bytes) -> str:
    with pytest.raises(ValueError) as caught:
        FilterBank.load(data)
    return str(caught.value)


@given(st.integers(0, len(SAVED) - 1), st.integers(1, 255))
def test_one_changed_byte_is_noticed(at: int, change: int) -> None:
    refused(SAVED[:at] + bytes([SAVED[at] ^ change]) + SAVED[at + 1 :])


@given(st.integers(0, len(SAVED) - 1))
def test_a_torn_file_is_noticed(length: int) -> None:
    refused(SAVED[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    refused(data)
    refused(sealed(b"SUATBANK" + data))


@given(st.lists(st.tuples(st.integers(0, len(SAVED) - 5), st.integers(0, 255)), min_size=1, max_size=6))
def test_damage_under_a_right_checksum_never_crashes(changes: list[tuple[int, int]]) -> None:
    body = bytearray(SAVED[:-4])
    for at, byte in changes:
        body[at] = byte
    try:
        bank = FilterBank.load(sealed(bytes(body)))
    except ValueError:
        return
    for channel in range(bank.n_channels):
        for t, x in ((1e9, 0.3), (1e9 + 1, 0.9), (1e9 + 2, math.nan), (1e9 + 3, 0.1)):
            bank.push(channel, t, x)
    FilterBank.load(bank.save())


def test_what_is_wrong_is_said() -> None:
    header = HEADER.unpack_from(SAVED)
    rest = SAVED[HEADER.size : -4]
    assert refused(b"") == "not a saved filter bank"
    assert "checksum" in refused(SAVED[:-1] + bytes([SAVED[-1] ^ 1]))
    assert "version 1, not " in refused(sealed(HEADER.pack(header[0], 1, *header[2:]) + rest))
    assert "too short" in refused(sealed(HEADER.pack(*header[:3], 2**63) + rest))
    assert "wrong length" in refused(sealed(SAVED[:-4] + bytes(8)))
    assert "a channel without settings" in refused(sealed(HEADER.pack(*header[:2], 0, 1) + bytes(4)))


# The counts are the last 40 bytes of a state: where each lies, its form, and something that it can't be.
COUNTS = {
    "odd": (0, "<i", -1),
    "same": (4, "<i", -1),
    "spikes": (8, "<i", -(2**31)),
    "covered_ms": (20, "<i", 2**31 - 1),
    "place": (24, "<h", 3),
    "held": (26, "<h", 4),
    "back": (28, "<h", 3),
    "still": (30, "<h", 4),
    "run": (32, "<h", 3),
    "learnt": (34, "<h", 8),
    "shifted": (36, "<h", 91),
    "trend": (38, "<b", 2),
    "known": (39, "<B", 8),
}


@pytest.mark.parametrize("field", COUNTS)
def test_an_impossible_count_in_a_state_is_refused(field: str) -> None:
    """The counts are the last 40 bytes of a state; the three readings of the window follow."""
    place, form, impossible = COUNTS[field]
    bank = FilterBank(1, ChannelSettings(window=3))
    body = bytearray(bank.save()[:-4])
    at = len(body) - 3 * 8 - 40 + place
    body[at : at + struct.calcsize(form)] = struct.pack(form, impossible)
    assert "impossible state" in refused(sealed(bytes(body)))


def test_a_hundred_thousand_channels_are_back_within_half_a_second_of_cpu() -> None:
    n = 100_000
    bank = FilterBank(n, ChannelSettings(window=25, q=1e-6))
    bank.push_many(np.arange(n), np.zeros(n), np.ones(n))
    saved = bank.save()
    start = time.process_time()
    loaded = FilterBank.load(saved)
    assert time.process_time() - start < 0.5
    assert loaded.save() == saved


BROKEN: list[tuple[Callable[[], ChannelSettings], str]] = [
    (lambda: ChannelSettings(minimum=2, maximum=1), "above maximum"),
    (lambda: ChannelSettings(minimum=math.nan), "minimum must not be NaN"),
    (lambda: ChannelSettings(max_rate=-1), "max_rate must be finite and not negative"),
    (lambda: ChannelSettings(max_rate=math.inf), "max_rate must be finite"),
    (lambda: ChannelSettings(maximum=10**400), "maximum is too large"),
    (lambda: ChannelSettings(gap_seconds=math.nan), "gap_seconds must not be NaN"),
    (lambda: ChannelSettings(stuck_seconds=-1), "stuck_seconds"),
    (lambda: ChannelSettings(n_sigmas=-0.5), "n_sigmas"),
    (lambda: ChannelSettings(resolution=-0.5), "resolution"),
    (lambda: ChannelSettings(q=-0.5), "q must"),
    (lambda: ChannelSettings(r=0), "r must be above 0"),
    (lambda: ChannelSettings(r="1"), "r must be a number"),  # type: ignore[arg-type]
    (lambda: ChannelSettings(window=4), "window must be 0 or odd and 3 to 999"),
    (lambda: ChannelSettings(window=1), "window must be"),
    (lambda: ChannelSettings(window=1001), "window must be"),
    (lambda: ChannelSettings(window=True), "window must be a count"),
    (lambda: ChannelSettings(stuck_count=-1), "stuck_count must be a count"),
    (lambda: ChannelSettings(stuck_count=2**31), "stuck_count must be a count"),
    (lambda: ChannelSettings(rate_accept=1), "rate_accept must be 0 or at least 2"),
    (lambda: ChannelSettings(spike_accept=1), "spike_accept must be 0 or at least 2"),
]


@pytest.mark.parametrize(("make", "message"), BROKEN)
def test_settings_that_make_no_sense(make: Callable[[], ChannelSettings], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_do_not_change() -> None:
    settings = ChannelSettings(window=25)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.window = 5  # type: ignore[misc]
    assert settings == dataclasses.replace(ChannelSettings(), window=25)
