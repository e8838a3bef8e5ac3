"""How frames are opened: by OpenSSL itself where that could be built, else by `suat_wire`. Both give the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suat_wire.aes import Aes as Aes
    from suat_wire.lorawan import mic_ok as mic_ok
    from suat_wire.lorawan import open_payload as open_payload
else:
    try:
        from suat_samples.frames import Aes, mic_ok, open_payload
    except ImportError:
        from suat_wire.aes import Aes
        from suat_wire.lorawan import mic_ok, open_payload

__all__ = ["Aes", "mic_ok", "open_payload"]
