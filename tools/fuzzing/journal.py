"""The journal's door: the file as a failing card gives it back, opened and used as a start of the station does."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from suat.errors import SuatError
from suat.records import Admitted, Batch, SessionUpdate
from suat.store.calibration import curves
from suat.store.journal import Journal
from suat.store.rows import Move
from suat.store.salvage import Salvage, mend
from suat_sim.kept import START_US, Kept, device, row, soil_rows, water_rows

from fuzzing import mutate
from fuzzing.target import Complaints

NAMES = ("journal.db", "journal.db-wal")
PAGE = 4096


class Damage(NamedTuple):
    """Bytes that are written over a file at a place; `keep`: what is left of it, None all."""

    name: str
    at: int
    data: bytes
    keep: int | None


class Target:
    refusals: tuple[type[Exception], ...] = (SuatError,)
    chunk = 50

    def __init__(self, folder: Path, chance: Random) -> None:
        self.complaints = Complaints("suat")
        self.folder = folder / "data"
        self.sound = {name: data for name, data in _sound(folder / "sound").items() if data}
        self.cases = self.used = self.mended = 0

    def make(self, chance: Random) -> list[Damage]:
        damage = []
        for _ in range(chance.choice((1, 1, 1, 3, 20))):
            name = chance.choice(list(self.sound))
            content = self.sound[name]
            at = chance.randrange(len(content))
            what = chance.random()
            if what < 0.4:
                damage.append(Damage(name, at, bytes([content[at] ^ 1 << chance.randrange(8)]), None))
            elif what < 0.6:
                piece = content[at : at + chance.choice((2, 16, 64))]
                damage.append(Damage(name, at, mutate.raw(chance, piece)[: len(piece)], None))
            elif what < 0.7:
                damage.append(Damage(name, chance.randrange(100), chance.randbytes(chance.choice((1, 2, 4))), None))
            elif what < 0.8:
                page = at // PAGE * PAGE
                other = chance.randrange(len(content)) // PAGE * PAGE
                piece = chance.choice((bytes(PAGE), b"\xff" * PAGE, content[other : other + PAGE]))
                damage.append(Damage(name, page, piece, None))
            elif what < 0.9:  # what lies in a row is readable, and nonsense
                found = content.find(chance.choice((b'[{"name', b'{"', b"[", b"soil-", b"jailau")), at)
                damage.append(Damage(name, max(0, found), mutate.raw(chance, content[found : found + 8])[:8], None))
            else:
                damage.append(Damage(name, 0, b"", at))
        return damage

    def feed(self, case: list[Damage]) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir()
        spoiled = {name: bytearray(data) for name, data in self.sound.items()}
        for name, at, data, keep in case:
            spoiled[name][at : at + len(data)] = data
            if keep is not None:
                del spoiled[name][keep:]
        for name, content in spoiled.items():
            (self.folder / name).write_bytes(content)
        self.cases += 1
        if self.cases % 2 == 0:  # else the damage comes while the station runs, or a command opens the file
            self.mended += mend(self.folder / "journal.db", START_US) is not None
        if self.cases % 3 == 0:
            with Kept(self.folder) as kept:
                kept.finish(START_US + 86_400_000_000)
        else:
            use(self.folder / "journal.db")
        self.used += 1

    def look(self) -> None:
        self.complaints.check()

    def reached(self) -> dict[str, int]:
        return {"usable": self.used, "mended": self.mended}

    def close(self) -> None:
        self.complaints.stop()


def use(path: Path) -> None:
    """All that a running station asks of its journal."""
    with Journal(path, durable=False) as journal, journal.reader() as reader:
        work = Salvage(journal)
        while work.step(START_US):
            pass
        sample = row(1000, 3000.0, {("probe1", "vwc"): 0.2})
        journal.commit(Batch((Admitted(1, SessionUpdate(1, 5, 5), START_US, 5, -90.0, 5.0, (sample,), 990),)))
        journal.add_move(Move("otar-1", "jailau-2", START_US + 5))
        reader.registry_version()
        reader.read(curves)
        reader.moves()
        reader.alerts()
        reader.counters()
        reader.uncleaned()
        reader.assignments()
        reader.last_statuses("paddock")
        for found in reader.devices():
            reader.latest(found.registration)
            reader.last_seen(found.registration)
            reader.series(found.registration, "probe1", "moisture")
            reader.windows(found.registration, "probe1", "moisture", 3600)
        _all(reader.readings())
        _all(reader.sessions())
        _all(reader.dead_letters())
        for entry in reader.outbox(0, 200):
            if entry.kind == "sample":
                reader.samples_of(entry, 0, 100)
            elif entry.kind == "window":
                reader.windows_of(entry, 0, 100)


def _all(found: Iterable[Any]) -> None:
    for _ in found:
        pass


def _sound(folder: Path) -> dict[str, bytes]:
    """A journal with something in each table, half of it still in the write-ahead log."""
    folder.mkdir(parents=True)
    with Kept(folder) as kept:
        journal = kept.journal
        soil = journal.add_device(device(1, probes=2), SessionUpdate(0, 7, 3, False, 1, bytes(16), bytes(range(16))))
        water = journal.add_device(device(2, "water"), SessionUpdate(0, 7, 3, False, 2, bytes(16), bytes(range(16))))
        journal.add_sink("influx")
        kept.fill(soil, soil_rows(60, probes=2))
        kept.finish(START_US + 43_200_000_000)
        journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        kept.fill(water, water_rows(40))
        journal.add_move(Move("otar-1", "jailau-1", START_US))
        journal.dead_letter("influx", START_US, [("soil,node=a vwc=1", "400 bad")])
        return {name: (folder / name).read_bytes() for name in NAMES if (folder / name).exists()}
