"""`esp32` for the node's own tests."""


def gpio_deep_sleep_hold(enable):
    pass
