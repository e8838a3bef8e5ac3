"""A node's life in a board's heap: every sensor kind, no network, prints the least free memory and what stays."""

import gc
import sys

gc.threshold(int(sys.argv[3]))  # as suat_node/main.py

import bench  # noqa: E402
import chip  # noqa: E402
import flash  # noqa: E402
import machine  # noqa: E402
import onewire  # noqa: E402

flash.remove_tree(bench.FOLDER)
board = bench.hardware(sys.argv[1])
machine.chip = chip.Chip()
machine.chip.keep = 20
pad = bytearray((0x91, 1, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10, 0))
pad[8] = onewire.OneWire(machine.Pin(6)).crc8(pad[:8])
onewire.pads = {6: [bytes(pad)]}
machine.i2c = {0: 0x20, 1: 1, 2: 0, 3: 0}
line = {"uart": 1, "tx": 4, "rx": 5}
conf = bench.settings(
    sys.argv[1],
    sensors=[
        {"kind": "capacitive", "at": "probe1", "adc": 27},
        dict(line, kind="rs485", at="probe2"),
        {"kind": "ds18b20", "at": "node", "pin": 6},
        dict(line, kind="ultrasonic"),
        {"kind": "pressure", "adc": 28},
        {"kind": "flow", "source": "pcf8583", "sda": 8, "scl": 9},
        dict(line, kind="logger"),
        {"kind": "battery"},
    ],
)
node = bench.start(conf, board)
wakes = int(sys.argv[2])
least = 1 << 30
bench.life(node, 20)
gc.collect()
before = gc.mem_alloc()
for _ in range(wakes):
    bench.life(node, 1)
    machine.chip.sent.clear()
    gc.collect()
    least = min(least, gc.mem_free())
# what stays is the list of held records and the chip's own log, not garbage of the wakes
print(len(node.backlog.held), least, gc.mem_alloc() - before)
