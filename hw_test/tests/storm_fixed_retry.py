"""The node with the join loop of most home-made stacks: at the same data rate every ten seconds, for ever.

Runs on the simulated board in the place of suat_node/main.py, to compare its storm with the node's own back-off.
"""

from suat_node import node, power
from suat_node.mac import join

RETRY_S = 10


class NoChance:
    """For the channel the node has its own."""

    @staticmethod
    def getrandbits(bits: int) -> int:
        return 0


def every_ten_seconds(session: "object", counters: "object", dr: int, now: int) -> bool:
    """In the place of the back-off."""
    counters.next_join = now + RETRY_S  # type: ignore[attr-defined]
    counters.join_tries += 1  # type: ignore[attr-defined]
    return True


def same_data_rate(first: int, tries: int) -> int:
    """In the place of the way down to DR0."""
    return first


for name, other in (("random", NoChance), ("_allowed", every_ten_seconds), ("_data_rate", same_data_rate)):
    getattr(join, name)  # were it gone, this would no longer be the loop it says it is
    setattr(join, name, other)

power.wait_ms(0)
node.main()
