"""What is frozen into a board's firmware: the link, the node and the loader, without tests.

    make -C ports/rp2 BOARD=RPI_PICO FROZEN_MANIFEST=.../firmware/manifest.py

Updates in the slots on flash go before what is frozen (docs/updates.md). Boards without a build of their own get the
same files as .mpy (`python -m suat_bench.bundle`), and suat_boot/main.py as /main.py.
"""

import runpy
from pathlib import Path

HOST_ONLY = runpy.run_path("suat_wire/installed.py")["HOST_ONLY"]
_LINK = tuple(sorted(path.name for path in Path("suat_wire").glob("*.py") if path.name not in HOST_ONLY))

include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821 - names of MicroPython's manifest language
package("suat_wire", _LINK, base_path=".", opt=1)  # noqa: F821
package("suat_node", base_path=".", opt=1)  # noqa: F821
module("main.py", base_path="suat_boot", opt=1)  # noqa: F821
