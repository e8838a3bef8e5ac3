"""A node's flash: a folder of the host that the node sees as its root. Runs on MicroPython.

Writing takes time, as erasing does on a real chip. A power cut can be set to fall on the n-th change: a write then
leaves the front half of its data, anything else is not done at all.
"""

import vfs  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHANGE_US = 10000  # one littlefs commit with its share of erasing


class Flash:
    """The file system object for `vfs.mount`. `on_change(us)` lets time pass; `on_cut()` never returns."""

    def __init__(self, root: str, board: "Any", cut_at_change: int = 0) -> None:
        self.root = root
        self.inner = vfs.VfsPosix(root)
        self.host = vfs.VfsPosix()  # a VfsPosix with a root renames a file to itself
        self.board = board
        self.changes = 0
        self.cut_at = cut_at_change

    def _change(self) -> None:
        self.changes += 1
        self.board.clock.spend(CHANGE_US)
        if self.changes == self.cut_at:
            self.board.power_cut()

    def mount(self, readonly: bool, mkfs: bool) -> None:
        """Nothing to prepare."""

    def umount(self) -> None:
        """Nothing to put away."""

    def open(self, path: str, mode: str) -> "Any":
        """As the built-in open."""
        if "w" in mode or "a" in mode or "+" in mode:
            self._change()
            if self.cut_at:
                return Torn(self.inner.open(path, mode), self)
        return self.inner.open(path, mode)

    def rename(self, old: str, new: str) -> None:
        """Atomic, as in littlefs."""
        self._change()
        self.host.rename(self._full(old), self._full(new))

    def remove(self, path: str) -> None:
        """Delete a file."""
        self._change()
        self.inner.remove(path)

    def mkdir(self, path: str) -> None:
        """Make a folder."""
        self._change()
        self.inner.mkdir(path)

    def rmdir(self, path: str) -> None:
        """Delete a folder."""
        self._change()
        self.inner.rmdir(path)

    def _full(self, path: str) -> str:
        return self.root + (path if path.startswith("/") else "/" + path)

    def chdir(self, path: str) -> None:
        """There is only the root."""

    def getcwd(self) -> str:
        """The root."""
        return "/"

    def ilistdir(self, path: str) -> "Any":
        """What a folder holds."""
        return self.inner.ilistdir(path)

    def stat(self, path: str) -> "Any":
        """As os.stat."""
        return self.inner.stat(path)

    def statvfs(self, path: str) -> "Any":
        """As os.statvfs."""
        return self.inner.statvfs(path)


class Torn:
    """An open file whose write may be the one that the power cut falls on."""

    def __init__(self, inner: "Any", flash: Flash) -> None:
        self.inner = inner
        self.flash = flash

    def write(self, data: "bytes | str") -> int:
        """Write all, or half when the power goes."""
        flash = self.flash
        if flash.changes + 1 == flash.cut_at:
            self.inner.write(data[: len(data) // 2])
            self.inner.flush()
        flash._change()
        return int(self.inner.write(data))

    def __enter__(self) -> "Torn":
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.close()

    def __getattr__(self, name: str) -> "Any":
        return getattr(self.inner, name)
