"""Registering and revoking nodes: what the commands `suat device add|list|revoke` do.

A key is given to one node only, and never again: with a key that was in use before, recorded frames of the earlier
registration would count as genuine. Keys that were published somewhere are refused.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from suat.errors import UsageError, did_you_mean
from suat.network.keys import RootKeys
from suat.network.wired import wired_eui
from suat.records import DeviceRecord, Probe, SessionUpdate
from suat.store.journal import Journal, Reader

KINDS = ("soil", "water")
MAX_PROBES = 4
MAX_DEPTH_CM = 300
NAME = re.compile(r"\w[\w .-]{0,39}")

# Keys that anyone can read in a manual or a repository.
_PUBLISHED = frozenset(
    bytes.fromhex(key)
    for key in (
        "2b7e151628aed2a6abf7158809cf4f3c",  # Semtech's LoRaMac-node, FIPS-197
        "5572404c696e6b4c6f52613230313823",  # Milesight
        "15b1d0efa463dfbe3d11181e1ec7da85",  # Heltec, NwkSKey of the examples
        "d72c78758cdccabf55ee4a778d16ef67",  # Heltec, AppSKey of the examples
        "88888888888888888888888888886601",  # Heltec, AppKey of the examples
        "0123456789abcdeffedcba9876543210",
        "01020304050607080910111213141516",
    )
)


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A node that may be registered: everything in it was checked."""

    name: str
    kind: str
    dev_eui: str
    join_eui: str | None = None
    app_key: bytes | None = field(default=None, repr=False)
    dev_addr: int | None = None
    nwk_skey: bytes | None = field(default=None, repr=False)
    app_skey: bytes | None = field(default=None, repr=False)
    paddock: str | None = None
    water_point: str | None = None
    probes: tuple[Probe, ...] = ()

    def secrets(self) -> list[bytes]:
        """The keys it brings."""
        return [key for key in (self.app_key, self.nwk_skey, self.app_skey) if key is not None]


def new_device(
    *,
    name: str,
    kind: str,
    dev_eui: str | None = None,
    join_eui: str | None = None,
    app_key: str | None = None,
    dev_addr: str | None = None,
    nwk_skey: str | None = None,
    app_skey: str | None = None,
    paddock: str | None = None,
    water_point: str | None = None,
    probes: Sequence[str] = (),
    relayed: bool = False,
    wired: bool = False,
) -> NewDevice:
    """Check the options of `suat device add` (hex digits as text); UsageError with one line says what is wrong.

    Either `join_eui` and `app_key` (OTAA), or `dev_addr`, `nwk_skey` and `app_skey` (ABP), or `relayed`: another
    network server has the keys, or `wired`: there is no radio, and so no `dev_eui` either.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f'--name "{name}": letters, digits, space, ".", "-" and "_", at most 40')
    if kind not in KINDS:
        raise UsageError(f'--kind "{kind}" is not one of {", ".join(KINDS)}{did_you_mean(kind, list(KINDS))}')
    if kind == "soil" and water_point is not None:
        raise UsageError("--water-point is for a water node; a soil node stands in a --paddock")
    if kind == "water" and (paddock is not None or probes):
        raise UsageError("--paddock and --probe are for a soil node; a water node stands at a --water-point")
    joins = (join_eui, app_key)
    personal = (dev_addr, nwk_skey, app_skey)
    given = [any(value is not None for value in group) for group in (joins, personal)]
    if wired:
        if any(given) or relayed or dev_eui is not None:
            raise UsageError("--wired: a device without a radio has no keys and no DevEUI; give its name and kind")
        dev_eui = wired_eui(name)
    elif dev_eui is None:
        raise UsageError("--dev-eui: missing; it stands on the node's label (a device on a wire: --wired)")
    elif relayed:
        if any(given):
            raise UsageError("--relayed: the other network server has the node's keys; give none here")
    elif given[0] == given[1] or None in (joins if given[0] else personal):
        raise UsageError("give either --join-eui and --app-key (OTAA), or --dev-addr, --nwk-skey and --app-skey (ABP)")
    device = NewDevice(
        name,
        kind,
        _hex("--dev-eui", dev_eui, 8).hex(),
        None if join_eui is None else _hex("--join-eui", join_eui, 8).hex(),
        None if app_key is None else _key("--app-key", app_key),
        None if dev_addr is None else int.from_bytes(_hex("--dev-addr", dev_addr, 4), "big"),
        None if nwk_skey is None else _key("--nwk-skey", nwk_skey),
        None if app_skey is None else _key("--app-skey", app_skey),
        paddock,
        water_point,
        _probes(probes),
    )
    if device.nwk_skey is not None and device.nwk_skey == device.app_skey:
        raise UsageError("--nwk-skey and --app-skey must differ")
    return device


def _hex(option: str, text: str, size: int) -> bytes:
    digits = text.replace(":", "").replace("-", "").strip()
    if not re.fullmatch(r"[0-9A-Fa-f]*", digits) or len(digits) != 2 * size:
        # The text itself stays unsaid: it may be a key.
        raise UsageError(f"{option}: {2 * size} hex digits are needed, {len(digits)} characters were given")
    return bytes.fromhex(digits)


def _key(option: str, text: str) -> bytes:
    key = _hex(option, text, 16)
    if key in _PUBLISHED or _is_pattern(key):
        raise UsageError(f"{option}: this key is publicly known or a pattern; make one by: openssl rand -hex 16")
    return key


def _is_pattern(key: bytes) -> bool:
    """Whether nobody drew this key by chance: few different bytes, a series, or one half twice."""
    steps = {(after - before) & 0xFF for before, after in itertools.pairwise(key)}
    return len(set(key)) <= 4 or len(steps) == 1 or key[:8] == key[8:]


def _probes(texts: Sequence[str]) -> tuple[Probe, ...]:
    if len(texts) > MAX_PROBES:
        raise UsageError(f"--probe: a node carries at most {MAX_PROBES} probes, {len(texts)} were given")
    probes: list[Probe] = []
    for position, text in enumerate(texts, 1):
        name, colon, depth = text.rpartition(":")
        if not colon or not NAME.fullmatch(name) or not depth.isascii() or not depth.isdigit():
            raise UsageError(f'--probe "{text}" is not NAME:DEPTH_CM, such as upper:10')
        if int(depth) > MAX_DEPTH_CM:
            raise UsageError(f'--probe "{text}": deeper than {MAX_DEPTH_CM} cm')
        if name in {probe.name for probe in probes}:
            raise UsageError(f'--probe "{text}": the name is given twice')
        probes.append(Probe(name, int(depth), position))
    return tuple(probes)


def add(journal: Journal, keys: RootKeys, device: NewDevice, now_us: int) -> int:
    """Register a node; its registration number. UsageError when its name, DevEUI or a key is taken."""
    with keys.changing() as held:
        with journal.reader() as reader:
            active = [known for known in reader.devices() if known.revoked_us is None]
        for known in active:
            if known.dev_eui == device.dev_eui:
                raise UsageError(f'--dev-eui {device.dev_eui}: the node "{known.name}" has it; revoke that one first')
            if known.name == device.name:
                raise UsageError(f'--name "{device.name}": another node has it; give another name')
        if any(held.was_used(key) for key in device.secrets()):
            raise UsageError(
                "a key was given to a node before; each node needs new keys, made by: openssl rand -hex 16"
            )
        before = held.copy()
        held.add(device.dev_eui, device.app_key, device.secrets())
        held.save()
        try:
            return journal.add_device(*_records(device, now_us))
        except BaseException:
            before.save()
            raise


def _records(device: NewDevice, now_us: int) -> tuple[DeviceRecord, SessionUpdate | None]:
    record = DeviceRecord(
        0,
        device.name,
        device.kind,
        device.dev_eui,
        device.join_eui,
        device.paddock,
        device.water_point,
        device.probes,
        now_us,
    )
    if device.dev_addr is None or device.nwk_skey is None or device.app_skey is None:
        return record, None
    return record, SessionUpdate(0, 0, 0, False, device.dev_addr, device.nwk_skey, device.app_skey)


def find(reader: Reader, name: str) -> DeviceRecord:
    """The node in use of that name or DevEUI; UsageError when there is none."""
    active = reader.devices(revoked=False)
    found = next((known for known in active if name in (known.name, known.dev_eui)), None)
    if found is None:
        names = [known.name for known in active]
        raise UsageError(f'there is no node "{name}"{did_you_mean(name, names)}; see: suat device list')
    return found


def revoke(journal: Journal, keys: RootKeys, name: str, now_us: int) -> DeviceRecord:
    """Take a node out of use by its name (or DevEUI): its frames are refused from now on, its readings stay."""
    with journal.reader() as reader:
        found = find(reader, name)
    with keys.changing() as held:
        journal.revoke_device(found.registration, now_us)
        held.remove(found.dev_eui)
        held.save()
    return found
