"""The node program: soil and water nodes on MicroPython boards with an SX1262."""

VERSION = (0, 1)  # major, minor; travels in the health frame
