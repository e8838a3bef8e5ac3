#!/bin/sh
# Reset the concentrator through the kernel's GPIO device; the packet forwarder calls this as ./reset_lgw.sh start|stop.
# In the place of the vendor's script, which writes into /sys/class/gpio: newer kernels number the pins otherwise there.
set -eu

pulse() { # PIN: high, then low for a moment each
    gpioset --mode=time --usec=100000 gpiochip0 "$1=1"
    gpioset --mode=time --usec=100000 gpiochip0 "$1=0"
}

case ${1:-} in
start)
    [ -z "${POWER_EN_PIN:-}" ] || gpioset --mode=exit gpiochip0 "$POWER_EN_PIN=1"
    pulse "${RESET_PIN:?write the pins of the HAT into /etc/suat/forwarder.env}"
    if [ -n "${SX1261_RESET_PIN:-}" ]; then
        gpioset --mode=time --usec=100000 gpiochip0 "$SX1261_RESET_PIN=0"
        gpioset --mode=exit gpiochip0 "$SX1261_RESET_PIN=1"
    fi
    ;;
stop)
    pulse "${RESET_PIN:?}"
    [ -z "${POWER_EN_PIN:-}" ] || gpioset --mode=exit gpiochip0 "$POWER_EN_PIN=0"
    ;;
*)
    echo "usage: reset_lgw.sh start|stop" >&2
    exit 2
    ;;
esac
