"""A packed sample is cleaned, or written as line protocol. gateway/tests has both once more in plain Python, as oracle."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcpy
from libcpp.string cimport string
from libcpp.vector cimport vector

from suat_filters.bank cimport FilterBank
from suat_samples.line cimport Line, write_real

from suat_filters.settings import BROKEN, CLOCK, FROZEN, RANGE, RATE, SPIKE, STUCK


cdef struct Field:
    char letter  # of `struct`
    int place  # in the body
    double divisor

cdef struct Step:
    int field
    int code
    int frozen_by  # the step whose value at or below 0 takes this one's away; -1: none

cdef struct Quantity:
    int field
    int code
    bint same_unit
    string name

cdef struct Extra:
    int field
    string name

cdef struct Part:
    vector[Quantity] quantities
    vector[Extra] extras
    bint heard

cdef enum:
    ENTRY = 11  # code u8, flags u16, value f64: an entry of a cleaned body (store/packed.py)
    CODES = 128  # channel codes are below

cdef uint16_t _BROKEN = BROKEN
cdef uint16_t _CLOCK = CLOCK
cdef uint16_t _FROZEN = FROZEN
cdef uint16_t _SPIKE = SPIKE
cdef uint16_t _UNUSABLE = RANGE | RATE | STUCK | CLOCK | FROZEN | BROKEN
cdef string _RSSI = b"rssi"
cdef string _SNR = b"snr"
cdef dict _SIZES = {"B": 1, "b": 1, "H": 2, "h": 2, "I": 4}


def masks(bytes body):
    """The masks that a body begins with: what its values mean. Raises ValueError if it ends within them."""
    cdef const unsigned char* at = body
    cdef Py_ssize_t size = len(body), end = 1
    if size == 0:
        raise ValueError("an empty body")
    cdef int groups = at[0], probes = 0, left = 0, bit
    for bit in range(4):
        probes += groups >> bit & 1
    for bit in range(4, 7):
        left += groups >> bit & 1
    left += min(probes, 1) if groups & 0x80 else probes
    while left:
        if end >= size:
            raise ValueError("a body cut short")
        left -= at[end] < 128
        end += 1
    return body[:end]


def flagged(bytes cleaned, int mask):
    """The codes of those channels of a cleaned body that have one of these flags, a byte each."""
    cdef const unsigned char* entry = cleaned
    cdef Py_ssize_t left = len(cleaned) // ENTRY
    cdef unsigned char found[256]
    cdef Py_ssize_t count = 0
    while left and count < 256:
        if (entry[1] | entry[2] << 8) & mask:
            found[count] = entry[0]
            count += 1
        entry += ENTRY
        left -= 1
    return found[:count]


def flags_of(bytes cleaned, int code):
    """The flags of one channel of a cleaned body; None if it has no such channel."""
    cdef const unsigned char* entry = cleaned
    cdef Py_ssize_t left = len(cleaned) // ENTRY
    while left:
        if entry[0] == code:
            return entry[1] | entry[2] << 8
        entry += ENTRY
        left -= 1
    return None


cdef class _Form:
    """Where the values of one kind of body lie."""

    cdef vector[Field] fields
    cdef Py_ssize_t size

    def __init__(self, form):
        start, letters, divisors = form
        cdef Field field
        self.size = start
        for letter, divisor in zip(letters, divisors, strict=True):
            field.letter = <char>ord(letter)
            field.place = <int>self.size
            field.divisor = divisor
            self.fields.push_back(field)
            self.size += _SIZES[letter]

    cdef int check(self, bytes body) except -1:
        if len(body) != self.size:
            raise ValueError(f"a body of {len(body)} bytes instead of {self.size}")
        return 0

    cdef int has(self, int field) except -1:
        if not 0 <= field < <int>self.fields.size():
            raise ValueError(f"there is no field {field} among {self.fields.size()}")
        return field

    cdef double read(self, const unsigned char* body, int number) noexcept nogil:
        cdef Field field = self.fields[number]
        cdef const unsigned char* at = body + field.place
        cdef int64_t raw = at[0]
        if field.letter == b"b":
            raw = <signed char>at[0]
        elif field.letter == b"H":
            raw |= at[1] << 8
        elif field.letter == b"h":
            raw |= (<signed char>at[1]) * 256
        elif field.letter == b"I":
            raw |= (<int64_t>at[1] << 8) | (<int64_t>at[2] << 16) | (<int64_t>at[3] << 24)
        return raw / field.divisor


cdef void put(unsigned char* entry, uint16_t flags, double value) noexcept nogil:
    """Flags and value of an entry; every NaN alike, so that equal means equal bytes."""
    if value != value:
        value = NAN
    entry[1] = flags & 255
    entry[2] = flags >> 8
    memcpy(entry + 3, &value, 8)


cdef class Cleaning(_Form):
    """How the samples of one kind of body are cleaned: calibrated, filtered, masked where the soil is frozen.

    `news`: a channel of the sample cleaned last is broken, or the bank has thought better of earlier ones.
    """

    cdef vector[Step] steps
    cdef list converters
    cdef list groups
    cdef readonly bint news

    def __init__(self, form, steps):
        _Form.__init__(self, form)
        cdef Step step
        self.converters, self.groups = [], []
        for field, code, converter, group, frozen_by in steps:
            step.field, step.code, step.frozen_by = self.has(field), code, frozen_by
            if not 0 <= step.code < CODES or not -1 <= step.frozen_by < len(steps):
                raise ValueError(f"impossible step {step}")
            self.steps.push_back(step)
            self.converters.append(converter)
            self.groups.append(group)

    def clean(self, bytes body, double time, FilterBank bank not None, dict slots not None, grow, calibration):
        """The cleaned body (store/packed.py): code, flags and value of each channel.

        `slots` says which channel of the bank a code has; `grow(code)` makes one. What freezes a channel must not be
        frozen by another: it is filtered first. Raises ValueError for a body of another kind.
        """
        self.check(body)
        cdef const unsigned char* at = body
        cdef size_t n = self.steps.size(), i
        cdef double values[CODES]
        cdef uint16_t flags[CODES]
        cdef Py_ssize_t channels[CODES]
        cdef Step step
        cdef uint16_t every = 0
        if n > CODES:
            raise ValueError("too many steps")
        for i in range(n):
            step = self.steps[i]
            flags[i] = self.convert(i, at, calibration, &values[i])
            if values[i] == values[i]:  # else there is nothing to judge
                slot = slots.get(step.code)
                channels[i] = grow(step.code) if slot is None else slot
                if not 0 <= channels[i] < <Py_ssize_t>bank.bank.size():
                    raise IndexError(f"the bank has no channel {channels[i]}")
                if step.frozen_by < 0:
                    flags[i] |= bank.bank.push(channels[i], time, values[i], values[i])
        for i in range(n):
            step = self.steps[i]
            if step.frozen_by >= 0:
                if values[step.frozen_by] <= 0.0:
                    values[i] = NAN
                    flags[i] |= _FROZEN
                elif values[i] == values[i]:
                    flags[i] |= bank.bank.push(channels[i], time, values[i], values[i])
                if flags[step.frozen_by] & _CLOCK:  # the date of a sample is one for both
                    values[i] = NAN
                    flags[i] |= _CLOCK
        cleaned = bytearray(n * ENTRY)
        cdef unsigned char* out = cleaned
        for i in range(n):
            out[0] = <unsigned char>self.steps[i].code
            put(out, flags[i], values[i])
            every |= flags[i]
            out += ENTRY
        self.news = every & _BROKEN or bank.bank.revised()
        return bytes(cleaned)

    def revise(self, bytes body, bytes cleaned, int code, int set, int clear, calibration):
        """The cleaned body once a channel has lost the flags `clear` and then got `set`.

        Its value is NaN where it must not be used, what it was where it is a spike, else the calibrated reading. Soil
        that turns out to be frozen takes its moisture away, a clock that turns out to be wrong misdates that too.
        Raises ValueError for bodies of another kind.
        """
        self.check(body)
        cdef const unsigned char* at = body
        cdef size_t n = self.steps.size(), i = 0, other
        if len(cleaned) != <Py_ssize_t>n * ENTRY:
            raise ValueError(f"a cleaned body of {len(cleaned)} bytes instead of {n * ENTRY}")
        while i < n and self.steps[i].code != code:
            i += 1
        if i == n:
            return cleaned
        revised = bytearray(cleaned)
        cdef unsigned char* out = revised
        cdef double value = self.flag(i, at, out, set, clear, calibration)
        for other in range(n):
            if self.steps[other].frozen_by == <int>i:
                if (set | clear) & _CLOCK:
                    self.flag(other, at, out, set & _CLOCK, clear & _CLOCK, calibration)
                if value <= 0.0:
                    self.flag(other, at, out, _FROZEN, 0, calibration)
        return bytes(revised)

    cdef double flag(
        self, size_t i, const unsigned char* at, unsigned char* out, int set, int clear, calibration
    ) except? -1:
        """Revise the flags of one entry, and its value with them; gives the value."""
        cdef unsigned char* entry = out + i * ENTRY
        cdef double reading, value
        cdef uint16_t sent = self.convert(i, at, calibration, &reading)
        cdef uint16_t flags = ((entry[1] | entry[2] << 8) & ~clear) | set | sent
        if flags & _UNUSABLE:
            value = NAN
        elif flags & _SPIKE:
            memcpy(&value, entry + 3, 8)
        else:
            value = reading
        put(entry, flags, value)
        return value

    cdef uint16_t convert(self, size_t i, const unsigned char* at, calibration, double* value) except? 0xFFFF:
        """The flags that a reading has before it is judged, and what it is as a quantity."""
        cdef Step step = self.steps[i]
        value[0] = self.read(at, step.field)
        if self.converters[i] is None:
            return 0
        temperature = NAN if step.frozen_by < 0 else self.read(at, self.steps[step.frozen_by].field)
        flags, quantity = self.converters[i](value[0], temperature, calibration, self.groups[i])
        value[0] = quantity
        return flags


cdef class Lines(_Form):
    """How the samples of one kind of body are written: the points they are cut into, with their fields."""

    cdef vector[Part] parts
    cdef Line line

    def __init__(self, form, parts):
        _Form.__init__(self, form)
        cdef Part part
        cdef Quantity quantity
        cdef Extra extra
        for quantities, extras, heard in parts:
            part.quantities.clear()
            part.extras.clear()
            for field, code, name, same_unit in quantities:
                quantity.field, quantity.code, quantity.same_unit = self.has(field), code, same_unit
                quantity.name = name.encode()
                if not 0 <= quantity.code < CODES:
                    raise ValueError(f"impossible code {code}")
                part.quantities.push_back(quantity)
            for field, name in extras:
                extra.field, extra.name = self.has(field), name.encode()
                part.extras.push_back(extra)
            part.heard = heard
            self.parts.push_back(part)

    cdef int number(self, const string& name, const char* rest, size_t length, double value) except -1:
        """A field with a number as repr writes it, and the comma behind."""
        self.line.text(name)
        self.line.text(rest, length)
        write_real(self.line, value)
        self.line.mark(b",")
        return 0

    def write(self, heads, bytes body, bytes cleaned, int64_t record, int64_t time_us, rssi, snr):
        """One line a part. `heads` are measurement and tags of each part, `cleaned` is the cleaned body, b"" before.

        Raises ValueError for a body of another kind, or a damaged cleaned one.
        """
        self.check(body)
        cdef const unsigned char* at = body
        cdef const unsigned char* entry = cleaned
        cdef Py_ssize_t n = len(cleaned) // ENTRY, i
        cdef double values[CODES]
        cdef uint16_t flags[CODES]
        cdef uint16_t every
        cdef bint ok
        cdef double sent, value
        cdef size_t which
        cdef Part* part
        cdef Quantity* quantity
        cdef Extra* extra
        cdef const char* head
        cdef Py_ssize_t length
        if len(heads) != <Py_ssize_t>self.parts.size() or len(cleaned) % ENTRY:
            raise ValueError("a head for each part is needed, and whole entries")
        for i in range(CODES):
            flags[i], values[i] = 0, NAN
        for i in range(n):
            if entry[0] < CODES:
                flags[entry[0]] = entry[1] | entry[2] << 8
                memcpy(&values[entry[0]], entry + 3, 8)
            entry += ENTRY
        lines = []
        for i in range(len(heads)):
            part = &self.parts[i]
            head = PyUnicode_AsUTF8AndSize(heads[i], &length)
            self.line.clear()
            self.line.text(head, length)
            every, ok = 0, True
            for which in range(part.quantities.size()):
                quantity = &part.quantities[which]
                every |= flags[quantity.code]
                value, sent = values[quantity.code], self.read(at, quantity.field)
                ok &= value == value
                if value == value:
                    self.number(quantity.name, b"=", 1, value)
                elif quantity.same_unit:
                    self.number(quantity.name, b"=", 1, sent)
                self.number(quantity.name, b"_raw=", 5, sent)
                self.line.text(quantity.name)
                self.line.text(b"_flags=", 7)
                self.line.whole(flags[quantity.code])
                self.line.text(b"i,", 2)
                self.line.text(quantity.name)
                self.line.text(b"_ok=1i," if value == value else b"_ok=0i,", 7)
            for which in range(part.extras.size()):
                extra = &part.extras[which]
                sent = self.read(at, extra.field)
                if self.fields[extra.field].divisor == 1:
                    self.line.text(extra.name)
                    self.line.mark(b"=")
                    self.line.whole(<int64_t>sent)
                    self.line.text(b"i,", 2)
                else:
                    self.number(extra.name, b"=", 1, sent)
            if part.heard:
                if rssi is not None:
                    self.number(_RSSI, b"=", 1, rssi)
                if snr is not None:
                    self.number(_SNR, b"=", 1, snr)
            self.line.text(b"record=", 7)
            self.line.whole(record)
            self.line.text(b"i,flags=", 8)
            self.line.whole(every)
            self.line.text(b"i,ok=1i " if ok else b"i,ok=0i ", 8)
            self.line.whole(time_us)
            lines.append(PyUnicode_DecodeUTF8(self.line.data(), self.line.size(), NULL))
        return lines
