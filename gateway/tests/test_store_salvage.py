"""A damaged journal: found at the start, set aside with its date, what can be read brought over, soon running again.

The files are SQLite's own, damaged afterwards byte by byte; what must be there is read from the sound file by SQLite.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from suat.records import Admitted, Batch, SessionUpdate
from suat.store import database, salvage
from suat.store.condition import condition
from suat.store.database import JournalError, damage_note
from suat.store.journal import Journal
from suat.store.pages import Image, assign, checksum, shapes
from suat.store.rows import Alert, Derived, Move, Status
from suat.store.salvage import DOWN_MARGIN, Salvage, mend
from suat.store.sessions import is_sound
from suat_sim.kept import START_US, Kept, device, soil_rows

NOW_US = START_US + 40 * 86_400_000_000
NODES = 12
PAGE = 4096
Rows = dict[int, tuple[Any, ...]]


def build(folder: Path, samples: int = 400, *, clean: bool = True) -> Path:
    """A journal of some weeks with rows in every table, closed."""
    with Kept(folder) as kept:
        for number in range(1, NODES + 1):
            session = SessionUpdate(0, 0, 0, False, number, bytes([number]) * 16, bytes([number + 100]) * 16)
            node = kept.journal.add_device(device(number, name=f"n{number}", probes=2), session)
            rows = soil_rows(samples, probes=2, seed=number)
            for start in range(0, samples, 50):
                update = SessionUpdate(node, start + 50, start // 10)
                frame = Admitted(node, update, START_US, start, -80.5, 5.25, tuple(rows[start : start + 50]), None)
                committed = kept.journal.commit(Batch((frame,), counters={"accepted": 1}))
                if clean:
                    kept.cleaner.clean(committed.samples)
            if clean:
                kept.finish()
        for hour in range(300):
            body = {"id": "p1", "score": hour, "reasons": ["why"] * (hour % 40)}
            kept.journal.derive(Derived(statuses=[Status(START_US + hour, "paddock", "p1", "rest", body)]))
        kept.journal.derive(Derived(alerts=[Alert(7, "spring", "low", "warning", {"text": "су"})]))
        kept.journal.add_move(Move("otar", "p1", 10))
        kept.journal.dead_letter("influx", 5, [("line", "reason " * 900)])  # a row of several pages
    return folder / "journal.db"


def table(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def samples_of(path: Path) -> Rows:
    return {row[0]: row for row in table(path, "SELECT * FROM sample")}


def pages_of(path: Path) -> dict[int, str]:
    """Which tree each page belongs to, by SQLite itself."""
    return {page: f"{name}/{kind}" for name, page, kind in table(path, "SELECT name, pageno, pagetype FROM dbstat")}


def rows_on(path: Path, page: int) -> set[int]:
    """Ids of the samples on a page, by the reader of pages (checked against SQLite below)."""
    image = Image(path, path.with_name("none"))
    with_rows = {row[0] for row in _rows(image, page)}
    image.close()
    return with_rows


def _rows(image: Image, page: int) -> Iterator[tuple[int, Any]]:
    from suat.store.pages import records

    return records(image, image.page(page), page)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return copied(sound, tmp_path)


def copied(sound: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    return Path(shutil.copy(sound, folder / "journal.db"))


def damage(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def start(path: Path) -> tuple[salvage.Damage | None, float]:
    """What a start of the station does to its journal, up to the end of the salvage; (damage, s until it runs)."""
    began = time.process_time()  # a busy machine is not a failure
    found = mend(path, NOW_US)
    journal = Journal(path)
    took = time.process_time() - began
    with journal:
        work = Salvage(journal)
        while work.step(NOW_US):
            pass
        assert journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        journal.commit(Batch((), counters={"accepted": 1}))
    return found, took


def check(sound: Path, path: Path, lost: AbstractSet[int] = frozenset(), displaced: int = 0) -> int:
    """All samples but those of damaged pages are there as they were, no counter went back; how many are lost.

    A row whose own number was hit may stand in the place of another: of so many, `displaced`.
    """
    before, after = samples_of(sound), samples_of(path)
    missing = before.keys() - after.keys()
    assert len([number for number in before.keys() - lost if after.get(number) != before[number]]) <= displaced
    down = dict(table(sound, "SELECT registration, fcnt_down FROM session"))
    for registration, fcnt_down in table(path, "SELECT registration, fcnt_down FROM session"):
        assert fcnt_down >= down[registration]
    return len(missing)


def test_the_reader_of_pages_reads_what_sqlite_reads(sound: Path) -> None:
    image = Image(sound, sound.with_name("none"))
    connection = sqlite3.connect(sound)
    known = shapes(connection)
    found = assign(image, known)
    by_table: dict[str, list[Any]] = {}
    for page, shape in found.items():
        by_table.setdefault(shape.name, []).extend(shape.fit(values, rowid) for rowid, values in _rows(image, page))
    for name, shape in known.items():
        columns = ", ".join(column.name for column in shape.columns)
        expected = connection.execute(f"SELECT {columns} FROM {name}").fetchall()
        assert sorted(by_table.get(name, []), key=repr) == sorted(expected, key=repr), name
    assert {name for name, rows in by_table.items() if rows} >= {"device", "session", "sample", "cleaned", "window"}
    connection.close()
    image.close()


def test_pages_are_known_by_their_rows_where_the_trees_are_broken(sound: Path, copy: Path) -> None:
    damage(copy, 0, bytes(PAGE))  # the schema with all roots
    image = Image(copy, copy.with_name("none"))
    connection = sqlite3.connect(sound)
    found = assign(image, shapes(connection))
    trees = {page: tree.partition("/")[0] for page, tree in pages_of(sound).items()}
    names = ("sample", "cleaned", "window", "session", "device", "status")
    assert {trees[page] for page, shape in found.items() if shape.name == "sample"} == {"sample"}
    for name in names:
        mine = {page for page, shape in found.items() if shape.name == name}
        leaves = {page for page, tree in pages_of(sound).items() if tree == f"{name}/leaf"}
        assert leaves <= mine, name
    connection.close()
    image.close()


def test_the_checksum_is_sqlites(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE x (a)")
    head = (tmp_path / "x.db-wal").read_bytes()[:32]
    order = ">" if head[3] & 1 else "<"
    assert checksum(head[:24], (0, 0), order) == (int.from_bytes(head[24:28], "big"), int.from_bytes(head[28:], "big"))
    image = Image(tmp_path / "x.db", tmp_path / "x.db-wal")
    assert image.versions and not image.cut_commits  # every frame agrees
    image.close()
    connection.close()


def test_a_sound_journal_is_left_alone(sound: Path, copy: Path) -> None:
    before = copy.read_bytes()
    assert mend(copy, NOW_US) is None and mend(copy.with_name("none.db"), NOW_US) is None
    assert copy.read_bytes() == before and [path.name for path in copy.parent.iterdir()] == ["journal.db"]


@pytest.mark.parametrize("where", ["head", "schema", "first half", "truncated", "all of a page", "half a page"])
def test_damage_is_found_set_aside_and_the_rest_saved(sound: Path, copy: Path, where: str) -> None:
    trees = pages_of(sound)
    victim = next(page for page, tree in trees.items() if tree == "sample/leaf")
    lost = rows_on(sound, victim) if "page" in where else set()
    size = copy.stat().st_size
    if where == "head":
        damage(copy, 0, b"not a database")
    elif where == "schema":
        damage(copy, 0, bytes(PAGE))
    elif where == "first half":
        damage(copy, 0, bytes(size // 2 // PAGE * PAGE))
    elif where == "truncated":
        with copy.open("r+b") as file:
            file.truncate(size // 2)
    elif where == "all of a page":
        damage(copy, (victim - 1) * PAGE, bytes(PAGE))
    else:
        damage(copy, (victim - 1) * PAGE, random.Random(1).randbytes(PAGE // 2))
    damaged = copy.read_bytes()
    found, took = start(copy)
    assert found is not None and took < 20.0
    assert found.file.name == "journal.damaged-20260711T000000Z.db" and found.file.read_bytes() == damaged
    before, after = samples_of(sound), samples_of(copy)
    if where in ("first half", "truncated"):
        gone = [
            page
            for page, tree in trees.items()
            if tree == "sample/leaf" and (page <= size // 2 // PAGE) == (where == "first half")
        ]
        assert 0 < len(gone) < sum(tree == "sample/leaf" for tree in trees.values())
        lost = {number for page in gone for number in rows_on(sound, page)}
    if where != "first half":  # there the registry lay
        assert check(sound, copy, lost) == len(lost)
        assert table(copy, "SELECT count(*) FROM device") == [(NODES,)]
        sessions = "SELECT registration, dev_addr, fcnt_up, fcnt_down + {}, nwk_skey, app_skey FROM session"
        assert table(copy, sessions.format(0)) == table(sound, sessions.format(DOWN_MARGIN))
    assert after.keys() == before.keys() - lost
    for name in ("window", "status"):
        columns = "width_s, start_us, body" if name == "window" else "at_us, kind, status, body"
        kept, all_of = (set(table(path, f"SELECT {columns} FROM {name}")) for path in (copy, sound))
        assert kept <= all_of and (kept == all_of or "page" not in where)
    (alert,) = table(copy, "SELECT kind, level, body FROM alert WHERE subject = 'station'")
    assert alert[:2] == ("journal", "critical") and found.file.name in alert[2]
    assert not damage_note(copy).exists()
    assert mend(copy, NOW_US) is None  # and once is enough


@pytest.mark.parametrize("version", [-1, -(2**31) + 5, 0, 2**20 + 5])
def test_a_version_that_only_a_flipped_bit_can_make_is_damage(sound: Path, copy: Path, version: int) -> None:
    damage(copy, 60, version.to_bytes(4, "big", signed=True))  # user_version (sqlite.org/fileformat2, 1.3)
    found, _ = start(copy)
    assert found is not None
    assert check(sound, copy) == 0


def test_a_damaged_journal_of_an_older_version_is_saved_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = database._migrations()
    with monkeypatch.context() as patch:
        patch.setattr(database, "_migrations", lambda: scripts[:5])  # before sessions had a guard
        path = build(tmp_path / "old", 60, clean=False)
    old = copied(path, tmp_path / "kept")
    damage(path, 0, bytes(100))
    assert start(path)[0] is not None
    assert check(old, path) == 0
    assert table(path, "SELECT count(*) FROM session") == [(NODES,)]
    assert table(path, "PRAGMA user_version") == [(len(scripts),)]


def test_a_locked_journal_is_never_renamed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = sqlite3.connect(copy, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("UPDATE meta SET value = value")
    connect = sqlite3.connect
    monkeypatch.setattr(salvage.sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.1}))
    with pytest.raises(JournalError, match="another process holds it"):
        mend(copy, NOW_US)
    assert not [path for path in copy.parent.iterdir() if "damaged" in path.name]
    holder.execute("COMMIT")
    holder.close()


def test_what_is_found_while_it_is_used_is_mended_at_the_next_start(sound: Path, copy: Path) -> None:
    victim = next(page for page, tree in pages_of(sound).items() if tree == "sample/leaf")
    with Journal(copy) as journal, journal.reader() as reader:
        damage(copy, (victim - 1) * PAGE, bytes(PAGE))
        with pytest.raises(JournalError, match="start the station again") as failed:
            list(reader.samples())
        assert not failed.value.transient
    assert damage_note(copy).exists()
    found, _ = start(copy)
    assert found is not None and "malformed" in found.reason
    check(sound, copy, rows_on(sound, victim))


@pytest.mark.parametrize("moment", ["written", "renamed", "wal renamed"])
def test_a_power_cut_while_it_is_exchanged_loses_nothing(
    sound: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    damage(copy, 0, bytes(PAGE))
    copy.with_name("journal.db-wal").write_bytes(b"")
    rename = Path.rename
    left = {"written": 0, "renamed": 1, "wal renamed": 2}[moment]

    class PowerCutError(Exception):
        pass

    def cut(self: Path, target: Path) -> Path:
        nonlocal left
        if not left:
            raise PowerCutError
        left -= 1
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut)
    with pytest.raises(PowerCutError):
        mend(copy, NOW_US)
    monkeypatch.undo()
    start(copy)
    assert check(sound, copy) == 0
    assert len([path for path in copy.parent.iterdir() if path.name.endswith("Z.db")]) == 1
    assert not copy.with_suffix(".new").exists()


def test_a_salvage_goes_on_after_a_restart(sound: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage, "NEWEST_S", 0.0)
    damage(copy, 0, bytes(PAGE))
    assert mend(copy, NOW_US)
    for _ in range(3):
        with Journal(copy) as journal:
            work = Salvage(journal)
            assert work.step(NOW_US) and work.step(NOW_US)
    with Journal(copy) as journal:
        work = Salvage(journal)
        while work.step(NOW_US):
            pass
        assert not Salvage(journal).step(NOW_US)
    assert check(sound, copy) == 0
    assert table(copy, "SELECT count(*) FROM cleaned") == table(sound, "SELECT count(*) FROM cleaned")


@pytest.mark.parametrize("name", [7, "..", "", "gone.db"])
def test_a_salvage_whose_file_can_not_be_found_comes_to_its_end(copy: Path, name: str | int) -> None:
    damage(copy, 0, bytes(PAGE))
    assert mend(copy, NOW_US)
    with Journal(copy) as journal:
        with journal.transaction() as connection:
            connection.execute("UPDATE salvage SET file = ?, page = 'x'", (name,))
        assert next(level for level, _, _ in condition(journal.reader(), NOW_US)) == "look"
        work = Salvage(journal)
        while work.step(NOW_US):
            pass
        list(condition(journal.reader(), NOW_US))


def test_new_samples_do_not_take_the_place_of_old_ones(
    sound: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While old rows are brought over new ones are kept; a cleaned value of before never meets a sample of now."""
    damage(copy, 0, bytes(PAGE))
    last = max(page for page, tree in pages_of(sound).items() if tree == "sample/leaf")
    lost = rows_on(sound, last)
    damage(copy, (last - 1) * PAGE, bytes(PAGE))
    assert mend(copy, NOW_US)
    with Journal(copy) as journal:
        rows = soil_rows(1000)[900:]
        new = journal.commit(Batch((Admitted(1, None, NOW_US, 9, -80.0, 5.0, tuple(rows), None),))).samples
        assert new[0].id in lost  # the number of one that could not be read
        work = Salvage(journal)
        while work.step(NOW_US):
            pass
        assert not journal._connection.execute(
            "SELECT count(*) FROM cleaned WHERE sample >= ?", (new[0].id,)
        ).fetchone()[0]
    assert check(sound, copy, lost | {sample.id for sample in new}) == len(lost - {sample.id for sample in new})


def one_flip(sound: Path, folder: Path, page: int, chance: random.Random) -> tuple[bool, int]:
    """A start after one flipped bit: (whether it was found, samples lost)."""
    path = copied(sound, folder)
    flip(path, ((page - 1) * PAGE * 8) + chance.randrange(PAGE * 8))
    found, took = start(path)
    assert took < 20.0
    return found is not None, check(sound, path, rows_on(sound, page), displaced=1)


@pytest.mark.slow
def test_a_flipped_bit_in_every_kind_of_page(sound: Path, tmp_path: Path) -> None:
    kinds: dict[str, list[int]] = {}
    for page, tree in pages_of(sound).items():
        kinds.setdefault(tree, []).append(page)
    assert len(kinds) > 15
    chance = random.Random(3)
    for pages in kinds.values():
        one_flip(sound, tmp_path / "flip", chance.choice(pages), chance)


@pytest.mark.slow
def test_a_flipped_bit_in_each_page(sound: Path, tmp_path: Path) -> None:
    """In CI each fourth page once; SUAT_FLIPS=20 pytest -s -k flipped_bit_in_each takes twenty bits of every page."""
    chance = random.Random(4)
    found = lost = count = 0
    flips = int(os.environ.get("SUAT_FLIPS", "0"))
    for page in sorted(pages_of(sound))[chance.randrange(4) :: 4] if not flips else sorted(pages_of(sound)):
        for _ in range(flips or 1):
            seen, missing = one_flip(sound, tmp_path / "flip", page, chance)
            found += seen
            lost += missing
            count += 1
    print(f"{count} flipped bits: {found} damaged the file's form and were found, {lost} samples lost in all")
    assert found > count // 20


def test_a_counter_that_a_flipped_bit_set_back_is_not_used(sound: Path, copy: Path) -> None:
    """The file's form stays intact: SQLite sees nothing."""
    page = next(page for page, tree in pages_of(sound).items() if tree == "session/leaf")
    (row,) = table(sound, "SELECT registration, dev_addr, fcnt_up, fcnt_down FROM session WHERE registration = 7")
    with copy.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        content = file.read(PAGE)
    keys = bytes([7]) * 16 + bytes([107]) * 16  # the counters stand behind the keys: 2 bytes and 1
    at = content.index(keys) + len(keys)
    assert (int.from_bytes(content[at : at + 2], "big"), content[at + 2]) == row[2:]
    damage(copy, (page - 1) * PAGE + at + 2, bytes([content[at + 2] & ~2]))
    assert table(copy, "PRAGMA integrity_check") == [("ok",)]
    assert table(copy, "SELECT fcnt_down FROM session WHERE registration = 7") == [(row[3] - 2,)]
    found, _ = start(copy)
    assert found is not None and "session of node 7" in found.reason
    kept = [number for (number,) in table(copy, "SELECT registration FROM session")]
    assert 7 not in kept and len(kept) == NODES - 1  # it joins again
    check(sound, copy)


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("nonsense", [None, 0.5, b"\x00", "seven"])
def test_a_session_of_a_damaged_page_may_hold_anything(place: int, nonsense: object) -> None:
    numbers: list[object] = [7, 0, 0x26011B2A, 30, 31, 7 * 3 + 0x26011B2A * 7 + 30 * 11 + 31 * 13]
    assert is_sound(*numbers)
    numbers[place] = nonsense
    assert not is_sound(*numbers)


def test_a_bit_in_every_page_at_once(sound: Path, copy: Path) -> None:
    chance = random.Random(5)
    for page in range(1, copy.stat().st_size // PAGE + 1):
        flip(copy, (page - 1) * PAGE * 8 + chance.randrange(PAGE * 8))
    found, took = start(copy)
    assert found is not None and took < 20.0
    before, after = samples_of(sound), samples_of(copy)
    same = sum(after.get(number) == row for number, row in before.items())
    print(f"{same} of {len(before)} samples are there unchanged")
    assert same > 0.9 * len(before)


# The WAL


def with_wal(folder: Path, commits: int = 30) -> tuple[Path, list[int]]:
    """A journal whose last commits are in the WAL alone, as a power cut leaves it; where the WAL's commits end."""
    with Journal(folder / "live" / "journal.db") as journal:
        node = journal.add_device(device(1), SessionUpdate(0, 0, 0, False, 1, bytes(16), bytes(16)))
        journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ends = []
        for number in range(commits):
            rows = tuple(soil_rows(commits * 10)[number * 10 : number * 10 + 10])
            update = SessionUpdate(node, number + 1, number + 1)
            journal.commit(Batch((Admitted(node, update, START_US, number, -80.0, 5.0, rows, None),)))
            ends.append((folder / "live" / "journal.db-wal").stat().st_size)
        (folder / "cut").mkdir()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(folder / "live" / name, folder / "cut" / name)
    return folder / "cut" / "journal.db", ends


@pytest.mark.parametrize("where", ["head", "first frame", "middle", "frame's head"])
def test_what_stands_behind_a_damaged_piece_of_the_wal_is_taken_back(tmp_path: Path, where: str) -> None:
    path, ends = with_wal(tmp_path)
    wal = path.with_name("journal.db-wal")
    at = {"head": 9, "first frame": 32 + 24 + 100, "middle": ends[9] + 24 + 200, "frame's head": ends[9] + 18}[where]
    damage(wal, at, bytes([wal.read_bytes()[at] ^ 4]))
    found, _ = start(path)
    assert found is None
    records = [row[0] for row in table(path, "SELECT record FROM sample ORDER BY record")]
    assert len(records) > 200 and records[-1] == 299
    assert table(path, "SELECT fcnt_up, fcnt_down FROM session") == [(30, 30)]  # never back


def test_a_torn_end_of_the_wal_is_only_its_end(tmp_path: Path) -> None:
    path, ends = with_wal(tmp_path)
    wal = path.with_name("journal.db-wal")
    with wal.open("r+b") as file:
        file.truncate(ends[-1] - 1000)
    image = Image(path, wal)
    assert image.cut_commits == 0
    image.close()
    assert start(path)[0] is None
    assert len(samples_of(path)) == 290


@pytest.mark.slow
def test_fifty_megabytes_start_soon(tmp_path: Path) -> None:
    sound = build(tmp_path / "sound", 36_000, clean=False)
    megabytes = sound.stat().st_size / 1e6
    trees = pages_of(sound)
    times = []
    for tree in ("device/leaf", "sample/internal", "sample/leaf", "sqlite_schema/leaf"):
        page = next(page for page, name in trees.items() if name == tree)
        path = copied(sound, tmp_path / "copy")
        damage(path, (page - 1) * PAGE, bytes(PAGE))
        began = time.process_time()
        assert mend(path, NOW_US) is not None
        Journal(path).close()
        times.append(time.process_time() - began)
    print(f"{megabytes:.0f} MB: at most {max(times):.1f} s until the station could begin")
    assert megabytes > 45 and max(times) < 20.0  # the promise is 5 s of an idle machine: docs/promises.md
    began = time.monotonic()
    start(path)
    print(f"all was brought over in {time.monotonic() - began:.0f} s")
    assert check(sound, path) == 0
