"""The hot loops over kept samples, without a Python object a reading: clean, sum up, write as line protocol.

A sample is its packed body (docs/payload.md): masks, then little-endian integers. What the masks mean, how a field is
calibrated and what a point is called is the caller's to say, once for each kind of body: `Cleaning` and `Lines` keep
it.

Beside it: `datagrams` reads and sends them, `frames` opens them with OpenSSL (where its headers were there).
"""

from suat_samples.samples import Cleaning, Lines, flagged, flags_of, masks
from suat_samples.summaries import summarise
from suat_samples.window_lines import WindowLines

__all__ = ["Cleaning", "Lines", "WindowLines", "flagged", "flags_of", "masks", "summarise"]
