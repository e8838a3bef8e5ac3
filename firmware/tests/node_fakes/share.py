"""Prints how many bytes of heap the fakes take: what they stand for (hardware, network) takes none on a board."""

import gc

from suat_wire import aes, airtime, commands, lorawan, payload, region  # noqa: F401 - the fakes import them too

gc.collect()
before = gc.mem_alloc()

for name in ("chip", "flash", "machine", "network", "onewire", "time"):
    __import__(name)

gc.collect()
print(gc.mem_alloc() - before)
