"""`esp32` as far as a node needs it."""

from suat_sim import board as _board

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine import Pin

WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True


def gpio_deep_sleep_hold(enable: bool) -> None:
    """Pins with hold=True keep their level in deep sleep."""
    _board.current.deep_hold = bool(enable)


def wake_on_ext0(pin: "Pin", level: bool) -> None:
    """Deep sleep also ends when this pin has the level."""
    _board.current.may_wake("ext0", [pin.number], int(level))


def wake_on_ext1(pins: "list[Pin]", level: bool) -> None:
    """Deep sleep also ends when one of the pins has the level: on an ESP32-S3 any of them, for low ones too."""
    _board.current.may_wake("ext1", [pin.number for pin in pins], int(level))


class PCNT:
    """Counts the falling edges of a meter's contact while the node is awake: its filter is too short for bounces."""

    INCREMENT = 1

    def __init__(self, unit: int, *, pin: "Pin", falling: int = 0, filter: int = 0) -> None:
        if not 0 <= filter <= 1023 or falling != self.INCREMENT:
            raise ValueError("PCNT: not in the model")
        self.meter = _board.current.meters.get(pin.number)
        self.zero = 0

    def start(self) -> None:
        """Count from now on."""
        self.zero = self._edges()

    def value(self) -> int:
        """Edges since `start`."""
        return (self._edges() - self.zero) % 32767

    def _edges(self) -> int:
        if self.meter is None:
            return 0
        board = _board.current
        return int(board.guard(self.meter.pulses)) * (3 if board.guard(self.meter.bounces) else 1)
