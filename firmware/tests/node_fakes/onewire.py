"""`onewire` for the node's own tests: one scratchpad, or none."""

pads = {}  # pin -> list of scratchpads, given out in turn; the last stays


class OneWire:
    def __init__(self, pin):
        self.pin = pin
        self.pads = pads.get(pin.number, [])
        self.left = b""

    def reset(self):
        return len(self.pads) > 0

    def writebyte(self, value):
        if value == 0xBE:
            self.left = self.pads.pop(0) if len(self.pads) > 1 else self.pads[0]

    def readinto(self, buffer):
        buffer[:] = self.left

    def crc8(self, data):
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
        return crc
