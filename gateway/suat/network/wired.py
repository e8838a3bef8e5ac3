"""What hangs on a wire has no radio and no address of its own: it is known by its name.

Its DevEUI follows from the name, so that `suat device add --wired` and the source that asks it need no other accord. It
lies among the locally administered ones (bit 1 of the first byte, IEEE 802), where no maker's node can be.
"""

from __future__ import annotations

from hashlib import sha256

_PREFIX = "0277"


def wired_eui(name: str) -> str:
    """The DevEUI of a wired device, 16 hex digits."""
    return _PREFIX + sha256(f"suat wired {name}".encode()).hexdigest()[:12]


def is_wired(dev_eui: str) -> bool:
    """Whether a DevEUI is one of these."""
    return dev_eui.startswith(_PREFIX)
