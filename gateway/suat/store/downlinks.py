"""What the network server keeps beside sessions: settings ordered, what each link was set to, air time spent.

All of it may be asked again of the nodes or grows old within the hour, so it is written without waiting for the disk,
but for an order, which a person gave.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from suat.store.journal import Journal

PENDING, CONFIRMED, SENT, ROLLED_BACK, REFUSED, CANCELLED = (
    "pending",  # waits for the node, or for its word that it has taken them
    "confirmed",  # the node's health shows them
    "sent",  # nothing shows whether they were carried out: a restart, a rejoin, old records once more
    "rolled back",  # the node tried them and went back
    "refused",  # sent as often as is worth while; the node never showed them
    "cancelled",
)


class Order(NamedTuple):
    """Settings for a node: one FPort 5 payload."""

    id: int
    registration: int
    payload: bytes
    ordered_us: int
    state: str = PENDING
    sent: int = 0  # how often
    sent_us: int | None = None  # the last time
    settled_us: int | None = None


class Link(NamedTuple):
    """What a node's radio was set to, and what the node told of itself by MAC commands and health."""

    registration: int
    tx_power: int = 0  # index
    nb_trans: int = 1
    channels_hz: tuple[int, ...] = ()  # beyond the region's default ones, 0: none at this place
    config: int | None = None  # CRC-32 of its accepted settings
    battery: int | None = None  # DevStatusAns: 0 external supply, 1 empty to 254 full, 255 unknown
    margin_db: int | None = None  # of the request it answered
    status_us: int | None = None


class Spent(NamedTuple):
    """Air time that a gateway has used of a band [us]."""

    gateway: str
    band: int
    at_us: int
    air_us: int


_CHANGED = "UPDATE meta SET value = value + 1 WHERE key = 'registry_version'"  # the station looks once a second


def add_orders(journal: Journal, registration: int, payloads: Sequence[bytes], now_us: int) -> None:
    """Queue settings for a node, in this order."""
    with journal.transaction() as connection:
        connection.executemany(
            "INSERT INTO settings_order (registration, payload, ordered_us, state) VALUES (?, ?, ?, 'pending')",
            [(registration, payload, now_us) for payload in payloads],
        )
        connection.execute(_CHANGED)


def cancel_orders(journal: Journal, registration: int, now_us: int) -> int:
    """Take back what is pending; how many."""
    with journal.transaction() as connection:
        connection.execute(_CHANGED)
        return connection.execute(
            "UPDATE settings_order SET state = 'cancelled', settled_us = ?"
            " WHERE registration = ? AND state = 'pending'",
            (now_us, registration),
        ).rowcount


def note_order(journal: Journal, order: Order) -> None:
    """What became of an order; one that was cancelled meanwhile stays so."""
    with journal.transaction() as connection:
        connection.execute(
            "UPDATE settings_order SET state = ?, sent = ?, sent_us = ?, settled_us = ?"
            " WHERE id = ? AND state = 'pending'",
            (order.state, order.sent, order.sent_us, order.settled_us, order.id),
        )


def orders(connection: sqlite3.Connection) -> list[Order]:
    """The orders of all nodes that are in use, oldest first."""
    rows = connection.execute(
        "SELECT id, registration, payload, ordered_us, state, sent, sent_us, settled_us FROM settings_order"
        " WHERE registration IN (SELECT id FROM device WHERE revoked_us IS NULL) ORDER BY id"
    )
    return [Order._make(row) for row in rows]


def note_link(journal: Journal, link: Link) -> None:
    """Keep what a link is set to."""
    with journal.transaction(derived=True) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO link (registration, tx_power, nb_trans, channels_hz, config, battery, margin_db,"
            " status_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*link[:3], json.dumps(link.channels_hz), *link[4:]),
        )


def links(connection: sqlite3.Connection) -> dict[int, Link]:
    """All links that anything is known of, by registration."""
    rows = connection.execute(
        "SELECT registration, tx_power, nb_trans, channels_hz, config, battery, margin_db, status_us FROM link"
    )
    return {row[0]: Link(row[0], row[1], row[2], tuple(json.loads(row[3])), *row[4:]) for row in rows}


def note_airtime(journal: Journal, spent: Spent, forget_before_us: int) -> None:
    """Keep air time that was used, and forget what no limit counts any more."""
    with journal.transaction(derived=True) as connection:
        connection.execute("INSERT INTO airtime (gateway, band, at_us, air_us) VALUES (?, ?, ?, ?)", spent)
        connection.execute("DELETE FROM airtime WHERE at_us < ?", (forget_before_us,))


def airtime(connection: sqlite3.Connection) -> list[Spent]:
    """Air time used lately, oldest first."""
    rows = connection.execute("SELECT gateway, band, at_us, air_us FROM airtime ORDER BY at_us")
    return [Spent._make(row) for row in rows]
