"""Run a program under the restrictions of a systemd unit file, where PID 1 is not systemd. Needs root.

usage: sandbox.py UNIT --state DIR [--keep DIR ...] [--device FROM=NAME ...] -- COMMAND ...

Each directive of the unit is applied with the kernel's own means, or stands in NOT_EXERCISED; one that stands in
neither ends the run, so that a new line in the unit can't go unnoticed. `--state` takes the place of the state
folder; `--keep` binds a folder back, read-only, that lies where the unit sees nothing (an interpreter under /root);
`--device` shows a device under /dev. The program's network is a new one with a loopback interface alone.
"""

from __future__ import annotations

import argparse
import configparser
import ctypes
import os
import platform
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

# include/uapi/linux/{mount,sched,prctl,seccomp}.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 1 << 17, 1 << 26, 1 << 27, 1 << 28, 1 << 30
NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWNET | 1 << 29 | 1 << 25  # pid, cgroup
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
NODES = ("null", "zero", "full", "random", "urandom", "tty")

NOT_EXERCISED = {
    "IPAddressDeny": "the kernel's BPF filter is PID 1's to load; here the network is a new one, with loopback alone",
    "IPAddressAllow": "as IPAddressDeny",
    "DevicePolicy": "the device list is BPF too; here /dev is a new one that holds the basic nodes and those given",
    "DeviceAllow": "as DevicePolicy",
    "MemoryMax": "control groups are PID 1's",
    "TasksMax": "control groups are PID 1's",
    "OOMScoreAdjust": "matters only when memory runs out",
    "KeyringMode": "the filter refuses keyctl(2) anyway",
    "RemoveIPC": "acts after the end",
    "Restart": "acts after the end",
    "RestartSec": "acts after the end",
    "TimeoutStartSec": "PID 1 counts it",
    "TimeoutStopSec": "PID 1 counts it",
    "WatchdogSec": "WATCHDOG_USEC is passed on and the pings are counted; nobody ends the program without them",
    "NotifyAccess": "the test listens at NOTIFY_SOCKET",
    "Type": "the test listens at NOTIFY_SOCKET",
    "ExecStart": "the command is given",
    "NoExecPaths": "the interpreter of a developer's tree lies elsewhere",
    "ExecPaths": "as NoExecPaths",
}


class Unit(dict[str, list[str]]):
    """The [Service] section: every value of each directive, in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        section = ""
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and not line.startswith(("#", ";")):
                name, _, value = line.partition("=")
                self.setdefault(name.strip(), []).append(value.strip())

    def yes(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.get(name, ["no"])[-1] in configparser.ConfigParser.BOOLEAN_STATES and self[name][-1] != "no"


def check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: Path | str, kind: str, flags: int, data: str = "") -> None:
    check(libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, data.encode()), f"mount {target}")


def bind(source: Path | str, target: Path | str, read_only: bool = False) -> None:
    mount(str(source), target, "none", MS_BIND | MS_REC)
    set_read_only(target, read_only)


def set_read_only(target: Path | str, read_only: bool = True) -> None:
    """Everything mounted at and below `target` (mount_setattr(2))."""
    set_, clear = (MOUNT_ATTR_RDONLY, 0) if read_only else (0, MOUNT_ATTR_RDONLY)
    attributes = (ctypes.c_uint64 * 4)(set_, clear, 0, 0)
    call = (SYS_MOUNT_SETATTR, AT_FDCWD, str(target).encode(), AT_RECURSIVE, attributes, ctypes.sizeof(attributes))
    check(libc.syscall(*call), f"mount_setattr {target}")


# -- what it sees


def see_files(unit: Unit, options: argparse.Namespace) -> None:
    """Mount namespace: the tree read-only, no homes, its own /tmp, /dev and /proc."""
    assert unit["ProtectSystem"] == ["strict"] and unit.yes("ProtectHome") and unit.yes("PrivateTmp")
    where = Path("/var/lib") / unit["StateDirectory"][0]
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    kept = {Path(path): os.open(path, os.O_PATH) for path in options.keep}  # reachable when /root and /tmp are covered
    devices = dict(entry.split("=", 1)[::-1] for entry in options.device)
    held = {name: os.open(source, os.O_PATH) for name, source in devices.items()}
    state = os.open(options.state, os.O_PATH)

    see_devices(held)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=invisible,subset=pid")
    for hidden in ("/root", "/home", "/run/user"):
        if Path(hidden).exists():
            mount("tmpfs", hidden, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    for own in ("/tmp", "/var/tmp"):
        mount("tmpfs", own, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    mount("tmpfs", "/var/lib", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    for path in [*kept, where]:
        path.mkdir(parents=True, exist_ok=True)
    for path, descriptor in kept.items():
        bind(_reach(descriptor), path)
    set_read_only("/")
    for path in ("/proc", "/dev/shm", "/tmp", "/var/tmp"):
        set_read_only(path, False)
    bind(_reach(state), where)


def _reach(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def see_devices(held: dict[str, int]) -> None:
    """A /dev of its own: the basic nodes, and what is given."""
    fresh = Path("/mnt")
    mount("tmpfs", fresh, "tmpfs", MS_NOSUID, "mode=0755")
    nodes = {name: f"/dev/{name}" for name in NODES} | {name: _reach(number) for name, number in held.items()}
    for name, source in nodes.items():
        (fresh / name).touch()
        bind(source, fresh / name)
    (fresh / "shm").mkdir()
    mount("tmpfs", fresh / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (fresh / name).symlink_to(target)
    bind(fresh, "/dev")


def see_network(unit: Unit) -> None:
    """Network, host name and System V memory of its own; loopback is up."""
    assert unit["IPAddressDeny"] == ["any"] and unit["IPAddressAllow"] == ["localhost"]
    assert unit.yes("ProtectHostname") and unit.yes("PrivateIPC")
    check(libc.unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


# -- what it may


def drop_rights(unit: Unit, uid: int, gid: int) -> None:
    """User namespace, user, no capability, no way to a new one."""
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""] and unit.yes("NoNewPrivileges")
    if unit.yes("PrivateUsers"):
        map_users(uid, gid)
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def map_users(uid: int, gid: int) -> None:
    """A user namespace in which only root and the own user have a name; a child outside it writes the map."""
    read, write = os.pipe()
    me = os.getpid()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        Path(f"/proc/{me}/uid_map").write_text(f"0 0 1\n{uid} {uid} 1\n")
        Path(f"/proc/{me}/gid_map").write_text(f"0 0 1\n{gid} {gid} 1\n")
        os._exit(0)
    check(libc.unshare(CLONE_NEWUSER), "unshare user")
    os.write(write, b"x")
    status = os.waitpid(child, 0)[1]
    os.close(read), os.close(write)
    if status:
        raise OSError("the user map can't be written")


def limit(unit: Unit) -> None:
    os.umask(int(unit["UMask"][0], 8))
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(unit["LimitNOFILE"][0]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# -- which calls it may make: the filters that systemd builds from the same lines (its shared/seccomp-util.c)

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
NE, EQ, MASKED = 1, 4, 7


class Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Filter:
    """One seccomp filter, loaded at the end of the `with`."""

    def __init__(self, default: int) -> None:
        self._lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._lib.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._lib.seccomp_init(default))

    def rule(self, action: int, name: str, *conditions: tuple[int, int, int, int]) -> None:
        """Add a rule; a call that this machine does not have is passed over."""
        number = self._lib.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return
        array = (Comparison * len(conditions))(*(Comparison(*condition) for condition in conditions))
        result = self._lib.seccomp_rule_add_array(self._context, action, number, len(conditions), array)
        if result not in (0, -33):  # EDOM: not on this architecture
            raise OSError(-result, f"seccomp rule {name}")

    def load(self) -> None:
        result = self._lib.seccomp_load(self._context)
        if result:
            raise OSError(-result, "seccomp_load")


def syscalls(words: str) -> set[str]:
    """The calls that a list of names and @groups means, by systemd's own tables."""
    found = set()
    for word in words.split():
        if not word.startswith("@"):
            found.add(word)
            continue
        listed = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
        lines = [line.strip() for line in listed.stdout.splitlines()[1:]]
        found |= syscalls(" ".join(line for line in lines if line and not line.startswith("#")))
    return found


def allowed_calls(unit: Unit) -> set[str]:
    """What SystemCallFilter= leaves."""
    allowed: set[str] = set()
    for line in unit["SystemCallFilter"]:
        allowed = allowed - syscalls(line[1:]) if line.startswith("~") else allowed | syscalls(line)
    return allowed


def filters(unit: Unit) -> list[Filter]:
    """All filters, the list of allowed calls last: it forbids to load another."""
    assert unit["SystemCallErrorNumber"] == ["EPERM"] and unit["SystemCallArchitectures"] == ["native"]
    built = [FILTERS[name](unit) for name in FILTERS if name in unit]
    calls = Filter(EPERM)
    for name in sorted(allowed_calls(unit)):
        calls.rule(ALLOW, name)
    return [*built, calls]


def families(unit: Unit) -> Filter:
    import socket

    wanted = {int(getattr(socket, name)) for name in unit["RestrictAddressFamilies"][0].split()}
    built = Filter(ALLOW)
    for family in range(64):
        if family not in wanted:
            built.rule(0x00050000 | 97, "socket", (0, EQ, family, 0))  # EAFNOSUPPORT
    return built


def namespaces(_unit: Unit) -> Filter:
    built = Filter(ALLOW)
    built.rule(ENOSYS, "clone3")  # its flags can't be seen; the C library then falls back to clone
    for bit in (1 << n for n in range(32) if NAMESPACES >> n & 1):
        for name in ("unshare", "clone"):
            built.rule(EPERM, name, (0, MASKED, bit, bit))
    built.rule(EPERM, "setns")
    return built


def realtime(_unit: Unit) -> Filter:
    built = Filter(ALLOW)
    for policy in (1, 2, 6):  # FIFO, RR, DEADLINE
        built.rule(EPERM, "sched_setscheduler", (1, EQ, policy, 0))
    return built


def set_ids(_unit: Unit) -> Filter:
    built = Filter(ALLOW)
    for bit in (stat.S_ISUID, stat.S_ISGID):
        for name, arg in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("mknod", 1)):
            built.rule(EPERM, name, (arg, MASKED, bit, bit))
    return built


def personality(_unit: Unit) -> Filter:
    built = Filter(ALLOW)
    built.rule(EPERM, "personality", (0, NE, 0, 0))
    return built


def no_fresh_code(_unit: Unit) -> Filter:
    built = Filter(ALLOW)
    built.rule(EPERM, "mmap", (2, MASKED, 6, 6))
    for name in ("mprotect", "pkey_mprotect"):
        built.rule(EPERM, name, (2, MASKED, 4, 4))
    built.rule(EPERM, "shmat", (2, MASKED, 0o100000, 0o100000))
    return built


FILTERS: dict[str, Callable[[Unit], Filter]] = {
    "RestrictAddressFamilies": families,
    "RestrictNamespaces": namespaces,
    "RestrictRealtime": realtime,
    "RestrictSUIDSGID": set_ids,
    "LockPersonality": personality,
    "MemoryDenyWriteExecute": no_fresh_code,
}

# By the files, users and calls above; ProtectClock, KernelLogs and KernelModules by the lack of the device, the
# capability and the call, ProtectKernelTunables and ControlGroups by the read-only tree.
APPLIED = {
    *FILTERS,
    *("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateMounts", "PrivateIPC", "ProtectProc", "ProcSubset"),
    *("ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables"),
    *("ProtectControlGroups", "StateDirectory", "StateDirectoryMode", "Environment", "UMask", "LimitNOFILE"),
    *("LimitCORE", "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "PrivateUsers", "User", "Group"),
    *("SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("unit", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--keep", type=Path, action="append", default=[])
    parser.add_argument("--device", action="append", default=[], metavar="FROM=NAME")
    parser.add_argument("--uid", type=int, default=65534)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    unit = Unit(options.unit)
    unknown = unit.keys() - APPLIED - NOT_EXERCISED.keys()
    if unknown:
        sys.exit(f"sandbox: {', '.join(sorted(unknown))}: apply it, or say why it is not exercised")
    if platform.machine() != "x86_64":
        sys.exit("sandbox: the numbers here are those of x86_64")

    os.chown(options.state, options.uid, options.uid)
    options.state.chmod(int(unit["StateDirectoryMode"][0], 8))
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "STATE_DIRECTORY": "/var/lib/suat"}
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    words = [word.replace("%b", boot) for line in unit.get("Environment", []) for word in line.split()]
    environment |= dict(word.split("=", 1) for word in words)
    environment |= {name: os.environ[name] for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC") if name in os.environ}
    built = filters(unit)  # while systemd-analyze can still be asked
    see_network(unit)
    see_files(unit, options)
    limit(unit)
    drop_rights(unit, options.uid, options.uid)
    os.closerange(3, 1024)
    for each in built:
        each.load()
    os.execve(options.command[0], options.command, environment)


if __name__ == "__main__":
    main()
