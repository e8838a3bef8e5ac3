"""`esp32` for the node's own tests: remembers which pins may wake it."""

ext0 = None  # (pin, level)
ext1 = None  # ([pins], level)
holds = False


def gpio_deep_sleep_hold(enable):
    global holds
    holds = enable


def wake_on_ext0(pin, level):
    global ext0
    ext0 = (pin.number, level)


def wake_on_ext1(pins, level):
    global ext1
    ext1 = ([pin.number for pin in pins], level)
