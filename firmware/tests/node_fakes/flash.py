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
        self.cut_at = -1  # number of the operation that fails; -1: none
        self.torn = False
        self.off = False

    def _operation(self):
        """Whether this operation is the one that is cut."""
        if self.off:
            raise PowerCut()
        self.operations += 1
        if self.operations - 1 == self.cut_at:
            self.off = True
            return True
        return False

    def readblocks(self, block, buffer, offset=0):
        if self.off:
            raise PowerCut()
        start = block * self.SIZE + offset
        buffer[:] = self.data[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        cut = self._operation()
        size = len(buffer)
        if cut:
            size = size // 2 if self.torn else 0
        start = block * self.SIZE + offset
        for i in range(size):
            self.data[start + i] &= buffer[i]  # programming only clears bits
        if cut:
            raise PowerCut()

    def ioctl(self, request, argument):
        if request == 4:
            return self.blocks
        if request == 5:
            return self.SIZE
        if request == 6:
            cut = self._operation()
            size = self.SIZE
            if cut:
                size = size // 2 if self.torn else 0
            start = argument * self.SIZE
            self.data[start : start + size] = b"\xff" * size
            if cut:
                raise PowerCut()
        return 0

    def mount(self, where="/flash"):
        """Power on: mount, or format the new chip."""
        self.off = False
        self.cut_at = -1
        try:
            vfs.umount(where)
        except OSError:
            pass
        if not self.operations:
            vfs.VfsLfs2.mkfs(self, progsize=256)
        vfs.mount(vfs.VfsLfs2(self, progsize=256), where)

    def cut_after(self, operations, torn):
        """Lose power `operations` operations from now."""
        self.cut_at = self.operations + operations
        self.torn = torn


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
