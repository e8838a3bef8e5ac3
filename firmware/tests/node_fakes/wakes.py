"""What wakes leave on the heap: 1,000 of a soil node whose network acknowledges; prints one line of JSON.

`kept`: bytes that stay after all of them. `most`, `mean`: bytes allocated in one wake, all of it garbage afterwards;
what the network allocates on the other side of the air is left out, what the fake chip does is not. The collector waits
until the wake is over. `modules`: what of the firmware was imported.
"""

import gc
import json
import sys


class Waits:
    """The node's own `gc`: it may ask for a collection, but gets none within a wake."""

    mem_free, mem_alloc = gc.mem_free, gc.mem_alloc

    @staticmethod
    def collect():
        pass


sys.modules["gc"] = Waits

import bench  # noqa: E402
import flash  # noqa: E402
import machine  # noqa: E402
import network  # noqa: E402

WARM, WAKES = 200, 1000
outside = 0


def beyond(network):
    """The other side of the air: what is allocated there is not the node's."""

    def call(*arguments):
        global outside
        before = gc.mem_alloc()
        answer = network(*arguments)
        outside += gc.mem_alloc() - before
        return answer

    return call


def trim(net):
    """What the fakes remember is not the node's."""
    for fake in (net, machine.chip, machine):
        for name in dir(fake):
            kept = getattr(fake, name)
            if isinstance(kept, list):
                del kept[:-1]
    newest = max(net.committed)
    for table in (net.committed, net.dated_us):
        for record in [record for record in table if record < newest - 100]:
            del table[record]


flash.remove_tree(bench.FOLDER)
net = network.Network()
board = bench.hardware("pico_waveshare", beyond(net))
node = bench.start(bench.settings("pico_waveshare"), board)
gc.disable()
total = most = kept = 0
for wake in range(WARM + WAKES):
    outside = 0
    before = gc.mem_alloc()
    bench.life(node, 1)
    used = gc.mem_alloc() - before - outside
    trim(net)
    gc.collect()
    if wake == WARM:
        kept = gc.mem_alloc()
    if wake >= WARM:
        total += used
        most = max(most, used)
found = {"kept": gc.mem_alloc() - kept, "most": most, "mean": total // WAKES, "held": len(node.backlog.held)}
found["modules"] = [name for name in sys.modules if name.startswith("suat_")]
print(json.dumps(found))
