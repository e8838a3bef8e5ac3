"""FilterBank: the quality chain of many channels, reading by reading, with state that outlives the process."""

import struct
import zlib

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memcpy
from libcpp cimport bool as cbool

from suat_filters.bank cimport SAVED_FORM, Settings
from suat_filters.paths cimport kernels

from suat_filters.settings import COUNTS, NUMBERS, ChannelSettings

# Saved: this header, the table of settings, for each channel its row in that table, the states, CRC-32 of all before.
_HEADER = struct.Struct("<8sIIQ")  # magic, version, rows of the table, channels
_MAGIC = b"SUATBANK"
_CHECKSUM = struct.Struct("<I")
_ROW = np.dtype([(name, "<f8") for name in NUMBERS] + [(name, "<i4") for name in COUNTS])
if _ROW.itemsize != sizeof(Settings):
    raise ImportError("suat_filters.bank was built from other sources than settings.py: build it again")


def _packed(settings):
    """The row of the saved form, which is also the struct that the kernels read."""
    return np.array([tuple([getattr(settings, name) for name in _ROW.names])], dtype=_ROW).tobytes()


cdef class FilterBank:
    """`n_channels` channels with the same settings, or with one ChannelSettings each."""

    def __cinit__(self):
        self.bank.use(kernels())

    def __init__(self, n_channels, settings):
        if self.rows is not None:
            raise TypeError("a bank is made once")
        if n_channels < 0:
            raise ValueError(f"n_channels must not be negative, not {n_channels}")
        if isinstance(settings, ChannelSettings):
            settings = [settings] * n_channels
        settings = list(settings)
        if len(settings) != n_channels:
            raise ValueError(f"{n_channels} channels but {len(settings)} settings")
        self.rows = {}
        self.grow(settings)

    @property
    def n_channels(self):
        """How many channels there are."""
        return self.bank.size()

    @property
    def nbytes(self):
        """Memory that the channels take."""
        return self.bank.bytes()

    @property
    def settings(self):
        """The settings of each channel."""
        table = tuple(self.rows)
        return tuple([table[row] for row in self._kinds()])

    def _kinds(self):
        cdef size_t n = self.bank.size()
        kinds = np.empty(n, dtype=np.uint32)
        cdef uint32_t[::1] to = kinds
        if n:
            memcpy(&to[0], self.bank.kinds(), n * sizeof(uint32_t))
        return kinds

    def grow(self, settings):
        """One more channel for each of `settings`; gives the number of the first. The others keep their state."""
        listed = [settings] if isinstance(settings, ChannelSettings) else list(settings)
        objects = {id(one): one for one in listed}  # a hundred thousand channels, a few objects
        for one in objects.values():
            if not isinstance(one, ChannelSettings):
                raise TypeError(f"settings must be ChannelSettings, not {type(one).__name__}")
        rows = {key: self._row_of(one) for key, one in objects.items()}
        return self._grow(np.array([rows[id(one)] for one in listed], dtype=np.uint32))

    def _row_of(self, one):
        """The row of the table of settings that is equal to `one`; a new one if need be."""
        cdef const unsigned char[::1] packed
        if one not in self.rows:
            packed = _packed(one)
            self.bank.admit((<const Settings*>&packed[0])[0])
            self.rows[one] = len(self.rows)
        return self.rows[one]

    def _grow(self, rows):
        cdef const uint32_t[::1] view = rows
        cdef size_t first = self.bank.size()
        if view.shape[0]:
            self.bank.grow(&view[0], view.shape[0])
        return first

    def reset(self, Py_ssize_t channel):
        """Forget all that was read on a channel. Raises IndexError if there is no such channel."""
        self.bank.reset(self._checked(channel))

    def push(self, Py_ssize_t channel, double t, double x):
        """(value, flags) of one reading at time `t` [s].

        The value is NaN where the reading is missing or must not be used (range, rate, stuck, clock, broken) and the
        window's median where it is a spike. A time that is not finite, before the channel's last, or the same for the
        fifth time is flagged `clock` and leaves no trace, but that `clock_accept` of them in a row which go back begin
        a new time line. Raises IndexError if there is no such channel.
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
        head = b"".join((
            _HEADER.pack(_MAGIC, SAVED_FORM, len(self.rows), self.n_channels),
            *map(_packed, self.rows),
            self._kinds().tobytes(),
        ))
        cdef Py_ssize_t at = len(head), end = at + self.bank.saved_bytes()
        saved = PyBytes_FromStringAndSize(NULL, end + _CHECKSUM.size)
        cdef char* to = PyBytes_AS_STRING(saved)
        memcpy(to, PyBytes_AS_STRING(head), at)
        self.bank.save(<unsigned char*>to + at)
        checksum = _CHECKSUM.pack(zlib.crc32(memoryview(saved)[:end]))
        memcpy(to + end, PyBytes_AS_STRING(checksum), len(checksum))
        return saved

    @classmethod
    def load(cls, data):
        """The bank that was saved. Raises ValueError if the bytes are damaged or of another version."""
        data = memoryview(data).cast("B")
        body = data[:max(len(data) - _CHECKSUM.size, 0)]
        if len(body) < _HEADER.size or body[:len(_MAGIC)] != _MAGIC:
            raise ValueError("not a saved filter bank")
        if _CHECKSUM.pack(zlib.crc32(body)) != data[len(body):]:
            raise ValueError("the saved filter bank is damaged: wrong checksum")
        _, version, n_rows, n_channels = _HEADER.unpack_from(body)
        if version != SAVED_FORM:
            raise ValueError(f"the saved filter bank has version {version}, not {SAVED_FORM}")
        at_kinds = _HEADER.size + n_rows * _ROW.itemsize
        at_states = at_kinds + 4 * n_channels
        if at_states > len(body):
            raise ValueError("the saved filter bank is damaged: too short")
        table = np.frombuffer(body, dtype=_ROW, count=n_rows, offset=_HEADER.size)
        kinds = np.frombuffer(body, dtype="<u4", count=n_channels, offset=at_kinds)
        cdef FilterBank bank = cls(0, [])
        rows = [bank._row_of(ChannelSettings(**dict(zip(_ROW.names, row, strict=True)))) for row in table.tolist()]
        if n_channels and kinds.max() >= n_rows:
            raise ValueError("the saved filter bank is damaged: a channel without settings")
        states = sum(int(n) * bank.bank.saved_bytes(<uint32_t>row) for n, row in zip(np.bincount(kinds), rows, strict=False))
        if states != len(body) - at_states:
            raise ValueError("the saved filter bank is damaged: wrong length")
        bank._grow(np.array(rows, dtype=np.uint32)[kinds])
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
