"""A window is written as line protocol. gateway/tests has it once more in plain Python, as oracle."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy
from libcpp.string cimport string
from libcpp.vector cimport vector

from suat_samples.line cimport Line, write_real


cdef enum:
    ENTRY = 45  # code u8, n u32, min, max, mean, last, median f64: an entry of a window (store/packed.py)
    STATISTICS = 5

cdef struct Channel:
    size_t place  # of its entry in the body
    string fields[STATISTICS]
    string count
    string ok

ctypedef vector[Channel] Part


cdef class WindowLines:
    """How the windows of one set of channels are written: the points they are cut into, with their fields."""

    cdef vector[Part] parts
    cdef Py_ssize_t size
    cdef Line line

    def __init__(self, entries, parts, statistics):
        """`entries` of a body; of each point (entry, name) of its channels; the statistics' names in their order."""
        cdef Part part
        cdef Channel channel
        self.size = entries * ENTRY
        if len(statistics) != STATISTICS:
            raise ValueError(f"a window has {STATISTICS} statistics, not {len(statistics)}")
        for channels in parts:
            part.clear()
            for entry, name in channels:
                if not 0 <= entry < entries:
                    raise ValueError(f"there is no entry {entry} among {entries}")
                channel.place = entry * ENTRY
                for which in range(STATISTICS):
                    channel.fields[which] = f"{name}_{statistics[which]}=".encode()
                channel.count, channel.ok = f"{name}_count=".encode(), f"i,{name}_ok=".encode()
                part.push_back(channel)
            self.parts.push_back(part)

    def write(self, heads, bytes body not None, int64_t start_us):
        """One line a part. `heads` are measurement and tags of each. ValueError for a body of other channels."""
        cdef const unsigned char* at = body
        cdef const char* head
        cdef Py_ssize_t length, i
        cdef size_t which
        cdef int statistic
        cdef Part* part
        cdef Channel* channel
        cdef uint32_t count
        cdef double value
        cdef bint every
        if len(body) != self.size or len(heads) != <Py_ssize_t>self.parts.size():
            raise ValueError("a whole body is needed, and a head for each part")
        lines = []
        for i in range(len(heads)):
            part = &self.parts[i]
            head = PyUnicode_AsUTF8AndSize(heads[i], &length)
            self.line.clear()
            self.line.text(head, length)
            every = True
            for which in range(part.size()):
                channel = &part.at(which)
                memcpy(&count, at + channel.place + 1, 4)
                if count:
                    for statistic in range(STATISTICS):
                        memcpy(&value, at + channel.place + 5 + 8 * statistic, 8)
                        self.line.text(channel.fields[statistic])
                        write_real(self.line, value)
                        self.line.mark(b",")
                every &= count > 0
                self.line.text(channel.count)
                self.line.whole(count)
                self.line.text(channel.ok)
                self.line.text(b"1i," if count else b"0i,", 3)
            self.line.text(b"ok=1i " if every else b"ok=0i ", 6)
            self.line.whole(start_us)
            lines.append(PyUnicode_DecodeUTF8(self.line.data(), self.line.size(), NULL))
        return lines
