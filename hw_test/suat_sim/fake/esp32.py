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
