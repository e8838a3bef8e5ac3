"""What code inside the daemon would try, each attempt harmless where it succeeds. Prints {attempt: outcome} as JSON.

usage: intruder.py FILE_TO_APPEND_TO PID_TO_LOOK_AT FILE_UNDER_A_HOME FILE_UNDER_TMP
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
tree, other, home, temporary = sys.argv[1:]


def call(name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def fresh_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def made_code() -> None:
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    call("mprotect", ctypes.c_void_p(address), 4096, mmap.PROT_READ | mmap.PROT_EXEC)


def set_uid_file() -> None:
    path = Path(os.environ.get("STATE_DIRECTORY", "/tmp")) / "intruder"
    path.touch()
    path.chmod(0o4755)
    path.unlink()


def in_child(attempt: Callable[[], None]) -> Callable[[], None]:
    """What would change this process for good is tried in a child."""

    def tried() -> None:
        child = os.fork()
        if child == 0:
            try:
                attempt()
            except OSError as error:
                os._exit(error.errno or 255)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            raise OSError(code, "in a child")

    return tried


def write_tree() -> None:
    with Path(tree).open("a"):
        pass


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write the program": write_tree,
    "write under /etc": lambda: (Path("/etc/suat-intruder").touch(), Path("/etc/suat-intruder").unlink()),
    "read what lies in a home": lambda: Path(home).read_text(),
    "read what others have in /tmp": lambda: Path(temporary).read_text(),
    "look at another process": lambda: Path(f"/proc/{other}/status").read_text(),
    "read the kernel's log": lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)),
    "read kernel tunables": lambda: Path("/proc/sys/kernel/ostype").read_text(),
    "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close(),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close(),
    "memory both written and run": fresh_code,
    "memory written, then run": made_code,
    "a new user namespace": in_child(lambda: call("unshare", 1 << 28)),
    "a new mount namespace": in_child(lambda: call("unshare", 1 << 17)),
    "another personality": in_child(lambda: call("personality", 0x0040000)),
    "a set-uid file": set_uid_file,
    "a realtime scheduler": in_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    "another user": in_child(lambda: os.setresuid(1, 1, 1)),
    "another user's file": lambda: os.chown(os.environ.get("STATE_DIRECTORY", "/tmp"), -1, 0),
    "trace a process": in_child(lambda: call("ptrace", 0, 0, 0, 0)),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "keys of the kernel": lambda: call("syscall", 250, 0, -3, 0, 0, 0),
}

outcomes = {}
for name, attempt in ATTEMPTS.items():
    try:
        attempt()
        outcomes[name] = "done"
    except OSError as error:
        outcomes[name] = f"{type(error).__name__} {error.errno}"
print(json.dumps(outcomes))
