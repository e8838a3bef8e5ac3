"""Messages between a node's process and the host: the same file on both sides.

A message is `kind(1) length(2) body`, little-endian; times are microseconds of virtual UTC since the run's start.

    node -> host                                                   answer
    T  a frame goes on the air                                     none
    R  the receiver listens                                        time, kind, rssi, snr, length, payload
    C  the receiver looks whether anyone sends (CAD)               one byte, 1: someone does
    P  probe the environment                                       one double a name, NaN for none
    Q  bytes to a device that lives on the host                    length(2), bytes
    s  asleep until                                                none
    S  asleep until; probes the environment for then               as P
    H  asks to go on until then, beyond the end of the run         the new end of the run, once there is one
    F  a rule of the hardware was broken (text)                    none
    E  the program ended or raised (text)                          none
    B  the simulator itself is broken (text)                       none
    Z  the program asked for a reset                               none
    X  the processor stops: watchdog or power cut                  none; the host ends the process and starts it again
"""

NEVER_US = 1 << 60
TX_FORMAT = "<QIIIHBbB"  # start, frequency, bandwidth, airtime, preamble, sf, dbm, flags; the payload follows
RX_FORMAT = "<QQQIIBBB"  # open, close, after, frequency, bandwidth, sf, flags, 0; for C too
HEARD_FORMAT = "<QBhhH"  # end, kind, rssi in 0.1 dBm, snr in 0.1 dB, length of the payload that follows
HEARD_SIZE = 15
HEAD_FORMAT = "<BH"
HEAD_SIZE = 3

STOP_FORMAT = "<QBQ"  # time, why, what the real-time clock shows; RTC memory follows
STOP_SIZE = 17

# Why a processor stopped.
OFF_DEAD, OFF_POWER, OFF_WATCHDOG, OFF_LOCKED = range(4)
