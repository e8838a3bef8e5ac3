"""What is frozen into a board's firmware: the link and the node, without tests.

    make -C ports/rp2 BOARD=RPI_PICO FROZEN_MANIFEST=.../firmware/manifest.py

Boards without a build of their own get the same files through `suat-bench flash`, as .mpy.
"""

include("$(BOARD_DIR)/manifest.py", optional=True)  # noqa: F821 - names of MicroPython's manifest language
include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821
package("suat_wire", base_path=".", opt=3)  # noqa: F821
package("suat_node", base_path=".", opt=3)  # noqa: F821
