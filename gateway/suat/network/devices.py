"""The nodes and sessions that the network server judges by, in memory, with their cipher contexts kept.

The journal and the key file are the truth at start. Afterwards memory leads: a counter advances here when a frame is
admitted, and reaches the disk with that frame's transaction, before anything is sent that depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from suat.network.adr import LinkHistory, Patience
from suat.network.cipher import Aes
from suat.records import DeviceRecord, SessionUpdate
from suat.store.downlinks import Link

NET_ID = 0  # for private networks (TS001 6.1.1); DevAddr then begins with seven zero bits
_ADDRESSES = 1 << 25


class Session:
    """Keys and counters that one activation gave a node."""

    __slots__ = (
        "answered_repeats",
        "app",
        "app_skey",
        "channels_hz",
        "dev_addr",
        "device",
        "fcnt_down",
        "fcnt_up",
        "nwk",
        "nwk_skey",
        "pending",
        "unsaved",
    )

    def __init__(
        self,
        device: Device,
        dev_addr: int,
        nwk_skey: bytes,
        app_skey: bytes,
        fcnt_up: int = 0,
        fcnt_down: int = 0,
        pending: bool = False,
    ) -> None:
        self.device = device
        self.dev_addr = dev_addr
        self.nwk_skey = nwk_skey
        self.app_skey = app_skey
        self.nwk = Aes(nwk_skey)
        self.app = Aes(app_skey)
        self.fcnt_up = fcnt_up  # next expected, 32 bits
        self.fcnt_down = fcnt_down  # next to use, 32 bits
        self.pending = pending  # joined, but not yet used by the node
        self.unsaved = False  # a transaction that carried it failed: the next one carries all of it
        self.answered_repeats = 0  # of the last uplink
        self.channels_hz: tuple[int, ...] = ()  # of the join accept, beyond the region's default ones

    def __repr__(self) -> str:
        return f"Session({self.device.name}, {self.dev_addr:08x}, up {self.fcnt_up}, down {self.fcnt_down})"

    def update(self) -> SessionUpdate:
        """What the transaction of a frame must write: the counters alone, unless there is more to tell."""
        if self.unsaved:
            return self.whole()
        return SessionUpdate(self.device.registration, self.fcnt_up, self.fcnt_down)

    def whole(self) -> SessionUpdate:
        """Everything, for the transaction of a join or of the first frame after it."""
        self.unsaved = False
        return SessionUpdate(
            self.device.registration,
            self.fcnt_up,
            self.fcnt_down,
            self.pending,
            self.dev_addr,
            self.nwk_skey,
            self.app_skey,
            self.device.dev_nonce,
            self.device.join_nonce,
        )


class Device:
    """A registered node."""

    __slots__ = (
        "app_key",
        "channel_patience",
        "channels_asked",
        "dev_eui",
        "dev_nonce",
        "history",
        "join_eui",
        "join_nonce",
        "joining",
        "link",
        "name",
        "newest_record",
        "registration",
        "session",
        "status_asked",
    )

    def __init__(self, record: DeviceRecord, app_key: bytes | None, link: Link | None = None) -> None:
        self.registration = record.registration
        self.name = record.name
        self.dev_eui = record.dev_eui
        self.join_eui = record.join_eui
        self.app_key = None if app_key is None else Aes(app_key)
        self.dev_nonce = 0  # next one allowed
        self.join_nonce = 0  # last one used
        self.newest_record = record.newest_record
        self.session: Session | None = None
        self.joining: Session | None = None  # given by the last join, until the node's first uplink under it
        self.link = link or Link(record.registration)
        self.history = LinkHistory(self.link.tx_power, self.link.nb_trans)
        self.channels_asked: list[tuple[int, int]] = []  # (place beyond the default channels, Hz) in the last request
        self.channel_patience = Patience()
        self.status_asked = float("-inf")  # monotonic [s]

    def __repr__(self) -> str:
        return f"Device({self.registration}, {self.name}, {self.dev_eui})"


class Devices:
    """All nodes that are not revoked, found by DevAddr, DevEUI and registration."""

    def __init__(self) -> None:
        self.by_addr: dict[int, list[Session]] = {}
        self.by_eui: dict[str, Device] = {}
        self.by_registration: dict[int, Device] = {}

    def load(
        self,
        records: Iterable[DeviceRecord],
        sessions: Iterable[SessionUpdate],
        app_keys: Mapping[str, bytes],
        links: Mapping[int, Link] | None = None,
    ) -> None:
        """Take over what is on disk: add what is new, drop what was revoked, leave what is running as it is."""
        wanted = {record.registration: record for record in records if record.revoked_us is None}
        for registration in self.by_registration.keys() - wanted.keys():
            self._remove(self.by_registration[registration])
        fresh = {
            registration: Device(
                record,
                app_keys.get(record.dev_eui) if record.join_eui is not None else None,
                (links or {}).get(registration),
            )
            for registration, record in wanted.items()
            if registration not in self.by_registration
        }
        for stored in sessions:
            device = fresh.get(stored.registration)
            if device is not None:
                _restore(device, stored)
        for device in fresh.values():
            self.by_registration[device.registration] = device
            self.by_eui[device.dev_eui] = device
            for session in (device.session, device.joining):
                if session is not None:
                    self._index(session)

    def begin_session(
        self, device: Device, dev_addr: int, nwk_skey: bytes, app_skey: bytes, channels_hz: tuple[int, ...] = ()
    ) -> Session:
        """A join's session: valid from now on, beside the one in use; replaces an earlier one that was never used.

        `channels_hz`: those of its CFList.
        """
        if device.joining is not None:
            self._forget(device.joining)
        session = Session(device, dev_addr, nwk_skey, app_skey, pending=True)
        session.channels_hz = channels_hz
        device.joining = session
        self._index(session)
        return session

    def promote(self, session: Session) -> None:
        """The node used the session that its join gave it: the old one ends."""
        device = session.device
        if device.session is not None:
            self._forget(device.session)
        session.pending = False
        session.unsaved = True
        device.session = session
        device.joining = None
        device.history.clear()
        device.channels_asked.clear()
        device.link = device.link._replace(tx_power=0, nb_trans=1, channels_hz=session.channels_hz)

    def free_dev_addr(self, device: Device, join_nonce: int) -> int:
        """A DevAddr that no session of this station uses."""
        dev_addr = ((device.registration << 8) + join_nonce) % _ADDRESSES
        while dev_addr in self.by_addr:
            dev_addr = (dev_addr + 1) % _ADDRESSES
        return dev_addr

    def _index(self, session: Session) -> None:
        self.by_addr.setdefault(session.dev_addr, []).append(session)

    def _forget(self, session: Session) -> None:
        others = self.by_addr[session.dev_addr]
        others.remove(session)
        if not others:
            del self.by_addr[session.dev_addr]

    def _remove(self, device: Device) -> None:
        for session in (device.session, device.joining):
            if session is not None:
                self._forget(session)
        del self.by_registration[device.registration]
        if self.by_eui.get(device.dev_eui) is device:
            del self.by_eui[device.dev_eui]


def _restore(device: Device, stored: SessionUpdate) -> None:
    """Give a device the session that the journal holds for it."""
    device.dev_nonce = max(device.dev_nonce, stored.dev_nonce or 0)
    device.join_nonce = max(device.join_nonce, stored.join_nonce or 0)
    if stored.dev_addr is None:
        return  # registered for OTAA and never joined
    session = Session(
        device,
        stored.dev_addr,
        stored.nwk_skey,
        stored.app_skey,
        stored.fcnt_up,
        stored.fcnt_down,
        stored.pending,
    )
    if stored.pending:
        device.joining = session
    else:
        device.session = session
