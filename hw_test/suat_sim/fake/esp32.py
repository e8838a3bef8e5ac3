"""`esp32` as far as a node needs it."""

from suat_sim import board as _board

WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True


def gpio_deep_sleep_hold(enable: bool) -> None:
    """Pins with hold=True keep their level in deep sleep."""
    _board.current.deep_hold = bool(enable)
