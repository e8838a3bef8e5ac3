"""Channel plans for gateways: the part of `region.py` that no node carries. Only that file imports this one."""

# SNR at which a spreading factor is still demodulated, dB
REQUIRED_SNR_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}


class Forwarded:
    """Data rates by the names that packet forwarders give them."""

    name: str
    data_rates: dict[int, tuple[int, int]]

    def datr(self, dr: int) -> str:
        """Data rate as the packet forwarder writes it: 5 -> "SF7BW125"."""
        sf, bw_hz = self.data_rates[dr]
        return "SF%dBW%d" % (sf, bw_hz // 1000)

    def dr_from_datr(self, datr: str) -> int:
        """The other way round: "SF7BW125" -> 5; ValueError for what this plan does not have."""
        for dr in self.data_rates:
            if self.datr(dr) == datr:
                return dr
        raise ValueError("%s has no data rate %r" % (self.name, datr))


def encode_cflist(frequencies_hz: "tuple[int, ...] | list[int]") -> bytes:
    """CFList type 0 of a join accept: up to five more channels, in 100 Hz units."""
    if len(frequencies_hz) > 5:
        raise ValueError("a CFList holds 5 channels, not %d" % len(frequencies_hz))
    out = b""
    for hz in frequencies_hz:
        if hz % 100 or not 0 <= hz // 100 <= 0xFFFFFF:
            raise ValueError("%d Hz is not a multiple of 100 Hz below 1.678 GHz" % hz)
        out += (hz // 100).to_bytes(3, "little")
    return out + bytes(16 - len(out))
