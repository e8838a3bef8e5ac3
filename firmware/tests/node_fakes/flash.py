"""Flash as a block device in memory that loses power at the n-th operation, clean or torn in the middle."""

import os

import vfs


class PowerCut(BaseException):
    """The supply is gone."""


class Flash:
    """64 blocks of 4 KiB, programmed in pages of 256 bytes, as the boards have it."""

    SIZE = 4096

    def __init__(self, blocks=64):
        self.blocks = blocks
        self.data = bytearray(b"\xff" * (self.SIZE * blocks))
        self.operations = 0
        self.erased = [0] * blocks  # times, each block
        self.programmed = 0  # bytes
        self.cut_at = -1  # number of the operation that fails; -1: none
        self.torn = False
        self.supply = None

    def mount(self, where="/flash"):
        """Power on: mount, after the first time of all formatting."""
        self.cut_at = -1
        try:
            vfs.umount(where)
        except OSError:
            pass
        self.supply = Supply(self)
        if not self.operations:
            vfs.VfsLfs2.mkfs(self.supply, progsize=256)
        vfs.mount(vfs.VfsLfs2(self.supply, progsize=256), where)

    def cut_after(self, operations, torn):
        """Lose power `operations` operations from now."""
        self.cut_at = self.operations + operations
        self.torn = torn


class Supply:
    """The flash between one power-on and the next cut; what the dead program left open never reaches it again."""

    def __init__(self, flash):
        self.flash = flash
        self.off = False

    def _dead(self):
        """True: the collector closes a file of the life before, in vain. PowerCut: this life has just ended."""
        if self.flash.supply is not self:
            return True
        if self.off:
            raise PowerCut()
        return False

    def _size(self, whole):
        """How much of this operation still happens."""
        flash = self.flash
        flash.operations += 1
        if flash.operations - 1 != flash.cut_at:
            return whole
        self.off = True
        return whole // 2 if flash.torn else 0

    def readblocks(self, block, buffer, offset=0):
        if self._dead():
            return
        start = block * Flash.SIZE + offset
        buffer[:] = self.flash.data[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        if self._dead():
            return
        size = self._size(len(buffer))
        self.flash.programmed += size
        start = block * Flash.SIZE + offset
        data = self.flash.data
        if data[start : start + size] == b"\xff" * size:
            data[start : start + size] = buffer[:size]
        else:
            for i in range(size):
                data[start + i] &= buffer[i]  # programming only clears bits
        if self.off:
            raise PowerCut()

    def ioctl(self, request, argument):
        if self._dead():
            return 0
        if request == 4:
            return self.flash.blocks
        if request == 5:
            return Flash.SIZE
        if request == 6:
            size = self._size(Flash.SIZE)
            self.flash.erased[argument] += 1
            start = argument * Flash.SIZE
            self.flash.data[start : start + size] = b"\xff" * size
            if self.off:
                raise PowerCut()
        return 0


def remove_tree(path):
    """Empty and remove a folder."""
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        try:
            os.remove(path + "/" + name)
        except OSError:
            remove_tree(path + "/" + name)
    os.rmdir(path)
