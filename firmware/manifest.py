"""What is frozen into a board's firmware: the link and the node, without tests.

    make -C ports/rp2 BOARD=RPI_PICO FROZEN_MANIFEST=.../firmware/manifest.py

Boards without a build of their own get the same files as .mpy, and suat_node/main.py as /main.py.
"""

# without the host's AES, the document maker and the self-test
_LINK = ("__init__", "aes", "airtime", "commands", "control", "fields", "lorawan", "payload", "region")
_LINK = tuple([name + ".py" for name in _LINK])

include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821 - names of MicroPython's manifest language
package("suat_wire", _LINK, base_path=".", opt=1)  # noqa: F821
package("suat_node", base_path=".", opt=1)  # noqa: F821
