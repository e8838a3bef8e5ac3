"""Makes the littlefs of a Pico: `image.py FOLDER IMAGE` copies a folder of the host into 352 blocks of 4 KiB."""

import os
import sys

import vfs

BLOCKS, SIZE = 352, 4096


class Memory:
    data = bytearray(b"\xff" * (BLOCKS * SIZE))

    def readblocks(self, block, buffer, offset=0):
        start = block * SIZE + offset
        buffer[:] = self.data[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        start = block * SIZE + offset
        self.data[start : start + len(buffer)] = buffer

    def ioctl(self, request, argument):
        if request == 6:
            self.data[argument * SIZE : (argument + 1) * SIZE] = b"\xff" * SIZE
        return {4: BLOCKS, 5: SIZE}.get(request, 0)


def copy(source, target):
    for entry in os.ilistdir(source):
        name, kind = entry[:2]
        if kind == 0x4000:
            os.mkdir(target + "/" + name)
            copy(source + "/" + name, target + "/" + name)
        else:
            with open(source + "/" + name, "rb") as old, open(target + "/" + name, "wb") as new:
                new.write(old.read())


memory = Memory()
vfs.VfsLfs2.mkfs(memory, progsize=256)
vfs.mount(vfs.VfsLfs2(memory, progsize=256), "/pico")
copy(sys.argv[1], "/pico")
vfs.umount("/pico")
with open(sys.argv[2], "wb") as file:
    file.write(memory.data)
