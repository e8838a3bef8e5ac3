"""The node program: soil and water nodes on MicroPython boards with an SX1262."""

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_boot.main import Slots

VERSION = (0, 1)  # major, minor; travels in the health frame
STATE = 1  # form of what is kept in /suat: an update of another form is refused (docs/updates.md)
boot: "Slots | None" = None  # the loader's, while an update is on trial or its roll-back is yet to be told
