"""FilterBank: the quality chain of many channels, reading by reading, with state that outlives the process."""

import struct
import zlib

import numpy as np

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libcpp cimport bool as cbool

from suat_filters.bank cimport Settings, State

from suat_filters.settings import COUNTS, NUMBERS, ChannelSettings

# Saved: this header, the table of settings, for each channel its row in that table, the states, CRC-32 of all before.
_HEADER = struct.Struct("<8sIIQ")  # magic, version, rows of the table, channels
_MAGIC = b"SUATBANK"
_VERSION = 2
_CHECKSUM = struct.Struct("<I")
_ROW = np.dtype([(name, "<f8") for name in NUMBERS] + [(name, "<i4") for name in COUNTS])


def _rows(settings):
    """The distinct settings as rows of the saved form, and for each channel which of them is its own."""
    known = {}
    which = np.array([known.setdefault(one, len(known)) for one in settings], dtype=np.uint32)
    rows = np.array([tuple(getattr(one, name) for name in _ROW.names) for one in known], dtype=_ROW)
    return rows, which


def _listed(settings):
    listed = [settings] if isinstance(settings, ChannelSettings) else list(settings)
    for one in listed:
        if not isinstance(one, ChannelSettings):
            raise TypeError(f"settings must be ChannelSettings, not {type(one).__name__}")
    return listed


cdef class FilterBank:
    """`n_channels` channels with the same settings, or with one ChannelSettings each."""

    def __init__(self, n_channels, settings):
        if self.bank.size():
            raise TypeError("a bank is made once")
        listed = _listed(settings)
        if n_channels < 0:
            raise ValueError(f"n_channels must not be negative, not {n_channels}")
        if isinstance(settings, ChannelSettings):
            listed = listed * n_channels
        if len(listed) != n_channels:
            raise ValueError(f"{n_channels} channels but {len(listed)} settings")
        self.per_channel = []
        self.grow(listed)

    @property
    def n_channels(self):
        """How many channels there are."""
        return len(self.per_channel)

    @property
    def settings(self):
        """The settings of each channel."""
        return tuple(self.per_channel)

    def grow(self, settings):
        """One more channel for each of `settings`; gives the number of the first. The others keep their state."""
        listed = _listed(settings)
        first = len(self.per_channel)
        if not listed:
            return first
        rows, which = _rows(listed)
        cdef const unsigned char[::1] table = rows.view(np.uint8)
        cdef const uint32_t[::1] kinds = which
        self.bank.grow(<const Settings*>&table[0], len(rows), &kinds[0], kinds.shape[0])
        self.per_channel += listed
        return first

    def reset(self, channel):
        """Forget all that was read on a channel. Raises IndexError if there is no such channel."""
        self.bank.reset(self._checked(channel))

    def push(self, Py_ssize_t channel, double t, double x):
        """(value, flags) of one reading at time `t` [s].

        The value is NaN where the reading is missing or must not be used (range, rate, stuck, clock) and the window's
        median where it is a spike. A time that is not finite or before the channel's last is flagged `clock` and leaves
        no trace. Raises IndexError if there is no such channel.
        """
        cdef double value = 0
        if not 0 <= channel < <Py_ssize_t>self.bank.size():
            self._checked(channel)
        cdef uint16_t flags = self.bank.push(channel, t, x, value)
        return value, flags

    def push_many(self, channels, t, x):
        """(values, flags) of many readings, in their order, as `push` would give them one by one.

        Raises IndexError, before anything is pushed, if one of the channels does not exist.
        """
        which = np.asarray(channels)
        if which.dtype.kind not in "iu" and which.size:
            raise TypeError(f"channels must be whole numbers, not {which.dtype}")
        cdef const int64_t[::1] cv = np.ascontiguousarray(which, dtype=np.int64)
        cdef const double[::1] tv = np.ascontiguousarray(t, dtype=np.float64)
        cdef const double[::1] xv = np.ascontiguousarray(x, dtype=np.float64)
        cdef size_t n = cv.shape[0]
        cdef cbool pushed = True
        if <size_t>tv.shape[0] != n or <size_t>xv.shape[0] != n:
            raise ValueError(f"{n} channels, {tv.shape[0]} times and {xv.shape[0]} readings")
        values, flags = np.empty(n, dtype=np.float64), np.empty(n, dtype=np.uint16)
        cdef double[::1] vv = values
        cdef uint16_t[::1] fv = flags
        if n:
            with nogil:
                pushed = self.bank.push_many(&cv[0], &tv[0], &xv[0], &vv[0], &fv[0], n)
        if not pushed:
            raise IndexError(f"channels must be 0 to {self.n_channels - 1}")
        return values, flags

    def revisions(self):
        """[(channel, since, until, set, clear)]: what was thought better of since the last call, in its order.

        A revision says that the channel's readings of since <= t <= until, all pushed before the one that brought it
        about, lose the flags `clear` and then get `set`. It is told once and is no part of what `save` keeps.
        """
        return [(one.channel, one.since, one.until, one.set, one.clear) for one in self.bank.take_revisions()]

    def save(self):
        """All settings and states as bytes, with version and checksum."""
        rows, which = _rows(self.per_channel)
        states = bytearray(self.bank.saved_bytes())
        cdef unsigned char[::1] view = states
        if len(states):
            self.bank.save(&view[0])
        body = b"".join((_HEADER.pack(_MAGIC, _VERSION, len(rows), len(which)),
                         rows.tobytes(), which.astype("<u4").tobytes(), states))
        return body + _CHECKSUM.pack(zlib.crc32(body))

    @classmethod
    def load(cls, data):
        """The bank that was saved. Raises ValueError if the bytes are damaged or of another version."""
        data = bytes(data)
        body = data[:-_CHECKSUM.size]
        if len(body) < _HEADER.size or not body.startswith(_MAGIC):
            raise ValueError("not a saved filter bank")
        if _CHECKSUM.pack(zlib.crc32(body)) != data[-_CHECKSUM.size:]:
            raise ValueError("the saved filter bank is damaged: wrong checksum")
        _, version, n_rows, n_channels = _HEADER.unpack_from(body)
        if version != _VERSION:
            raise ValueError(f"the saved filter bank has version {version}, not {_VERSION}")
        at_kinds = _HEADER.size + n_rows * _ROW.itemsize
        at_states = at_kinds + 4 * n_channels
        if at_states > len(body):
            raise ValueError("the saved filter bank is damaged: too short")
        rows = np.frombuffer(body, dtype=_ROW, count=n_rows, offset=_HEADER.size)
        which = np.frombuffer(body, dtype="<u4", count=n_channels, offset=at_kinds)
        table = [ChannelSettings(**dict(zip(_ROW.names, row, strict=True))) for row in rows.tolist()]
        if n_channels and which.max() >= n_rows:
            raise ValueError("the saved filter bank is damaged: a channel without settings")
        states = sum(int(n) * (table[row].window * 8 + sizeof(State)) for row, n in enumerate(np.bincount(which)))
        if states != len(body) - at_states:
            raise ValueError("the saved filter bank is damaged: wrong length")
        cdef FilterBank bank = cls(n_channels, [table[row] for row in which.tolist()])
        cdef const unsigned char[::1] view = body
        cdef Py_ssize_t first = at_states
        if n_channels and not bank.bank.load(&view[first]):
            raise ValueError("the saved filter bank is damaged: an impossible state")
        return bank

    def __reduce__(self):
        return FilterBank.load, (self.save(),)

    def _checked(self, channel):
        if not 0 <= channel < self.n_channels:
            raise IndexError(f"channel must be 0 to {self.n_channels - 1}, not {channel}")
        return channel
