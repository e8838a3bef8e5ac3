"""`rp2`: present on an RP2040; a node needs nothing of it."""
