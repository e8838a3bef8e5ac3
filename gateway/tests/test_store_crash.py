"""kill -9 while the journal is written: what was committed is there once, and a transaction is there whole or not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from suat.store.database import open_writer
from suat.store.reader import Reader
from suat_sim.kept import Kept, soil_rows
from suat_wire.payload import unpack

PER_BATCH = 7

WRITER = """
    import os, sys
    from suat_sim.kept import START_US, Kept, device, row
    from suat.records import Admitted, Batch, SessionUpdate
    from pathlib import Path

    def write(folder, first, said):
        kept = Kept(folder, durable=True)
        if not kept.reader.devices():
            session = SessionUpdate(0, 0, 0, dev_addr=1, nwk_skey=bytes(16), app_skey=bytes(16))
            kept.journal.add_device(device(1), session)
        kept.cleaner.finish()
        os.write(said, b"ready")
        number = first
        while True:
            numbers = range(number * 7, number * 7 + 7)
            rows = tuple(
                row(n, n * 3, {("probe1", "vwc"): 0.2 + n % 50 / 1000, ("node", "battery"): 3.6}) for n in numbers
            )
            admitted = Admitted(1, SessionUpdate(1, number + 1, number), START_US, number, -80.0, 5.0, rows, number * 7)
            committed = kept.journal.commit(Batch((admitted,), counters={"accepted": 1}))
            assert committed.acknowledgements[0].cumulative == number * 7 + 6
            os.write(said, number.to_bytes(4, "little"))  # the node is told
            kept.cleaner.clean(committed.samples)
            kept.finish(rows[-1].time_us)
            number += 1

    for line in sys.stdin:  # a writer each, made ready once: a start of Python takes longer than most lives
        folder, first = line.rsplit(maxsplit=1)
        pid = os.fork()
        if not pid:
            write(Path(folder), int(first), os.open(folder + "/said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)
"""


class Writers:
    """Writers of one journal, one after the other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def live(self, first: int, life_s: float) -> list[int]:
        """One writes from batch `first` on until it is killed; the batches that it said it had committed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        said = self.folder / "said"
        said.unlink(missing_ok=True)
        self.process.stdin.write(f"{self.folder} {first}\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        while not (said.exists() and said.stat().st_size >= 5):
            time.sleep(0.001)
        time.sleep(life_s)
        os.kill(pid, signal.SIGKILL)
        assert self.process.stdout.readline() == "gone\n"
        told = said.read_bytes()[5:]
        return [int.from_bytes(told[n : n + 4], "little") for n in range(0, len(told) // 4 * 4, 4)]

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)


def crash(folder: Path, times: int, seed: int) -> int:
    """Kill a writer again and again; how many batches were committed."""
    chance = random.Random(seed)
    told = 0  # batches that were told, or committed though killed before that could be said
    writers = Writers(folder)
    try:
        for _ in range(times):
            said = writers.live(told, chance.random() ** 2 * 0.15)
            assert said == list(range(told, told + len(said)))
            with Reader(folder / "journal.db") as reader:
                ((count, lowest, highest),) = reader._ask("SELECT count(*), min(record), max(record) FROM sample")
                assert (lowest or 0, highest or 0) == (0, max(0, count - 1))  # each once: the table allows no two
                assert count % PER_BATCH == 0  # whole batches
                batches = count // PER_BATCH
                assert told + len(said) <= batches <= told + len(said) + 1
                (session,) = reader.sessions()
                assert (session.fcnt_up, session.fcnt_down) == (batches, max(0, batches - 1))  # with its readings
                assert reader.counters().get("accepted", 0) == batches
            told = batches
    finally:
        writers.close()
    connection = open_writer(folder / "journal.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return told


def assert_derived_complete(folder: Path, scratch: Path, batches: int) -> None:
    """After one more start, cleaned values and windows are those of a station that was never killed."""
    with Kept(folder) as kept:
        kept.finish()
        found = [(row.record, row.cleaned) for row in kept.reader.samples(1)]
        windows = sorted(kept.reader._ask("SELECT width_s, start_us, body FROM window"))
        rows = list(kept.reader.samples(1))
    from suat_sim.kept import device, row

    with Kept(scratch) as calm:
        calm.journal.add_device(device(1))
        calm.fill(1, [row(sample.record, sample.record * 3, unpack(sample.body)) for sample in rows])
        calm.finish()
        assert [(sample.record, sample.cleaned) for sample in calm.reader.samples(1)] == found
        assert sorted(calm.reader._ask("SELECT width_s, start_us, body FROM window")) == windows
    assert len(found) == batches * PER_BATCH and windows


def test_a_killed_writer_leaves_what_it_committed(tmp_path: Path) -> None:
    batches = crash(tmp_path / "killed", 4, seed=1)
    assert_derived_complete(tmp_path / "killed", tmp_path / "calm", batches)


@pytest.mark.slow
def test_a_thousand_kills(tmp_path: Path) -> None:
    """100 in CI; all of them: SUAT_KILLS=1000 pytest -s gateway/tests/test_store_crash.py -k thousand"""
    kills = int(os.environ.get("SUAT_KILLS", "100"))
    batches = crash(tmp_path / "killed", kills, seed=2)
    print(f"{kills} kills, {batches} batches committed, none lost")
    assert batches > kills
    assert_derived_complete(tmp_path / "killed", tmp_path / "calm", batches)


@pytest.mark.slow
def test_weeks_without_a_database_cost_no_memory(tmp_path: Path) -> None:
    """The outbox is on the disk: while InfluxDB is away, what the station holds in memory does not grow with it."""
    code = """
        import resource, sys
        from pathlib import Path
        from suat.clock import VirtualScheduler
        from suat.store.tables import InfluxTable
        from suat.store.influx import Forwarder
        from suat_sim.kept import START_US, Kept, device, soil_rows

        kept = Kept(Path(sys.argv[1]))
        scheduler = VirtualScheduler(START_US)
        table = InfluxTable(url="http://127.0.0.1:9", api="v1", database="pasture")
        forwarder = Forwarder(scheduler, table, kept.journal, kept.reader)
        nodes = [kept.journal.add_device(device(n, name=f"n{n}")) for n in range(20)]
        rows = soil_rows(2880)
        sizes = []
        for start in range(0, len(rows), 24):
            for node in nodes:
                kept.commit(node, rows[start : start + 24])
            kept.finish(rows[start + 23].time_us)
            forwarder.wake()
            scheduler.run_until(scheduler.monotonic() + 6 * 3600)
            sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print(sizes[len(sizes) // 4], sizes[-1], forwarder.points_sent, len(kept.reader.outbox(0, 1 << 30)))
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, check=True
    )
    early_kb, late_kb, sent, backlog = map(int, answer.stdout.split())
    assert sent == 0 and backlog > 2000
    assert late_kb - early_kb < 10_000


def test_the_rows_of_the_killed_writer_are_not_trivial() -> None:
    assert len({row.body for row in soil_rows(50)}) > 40
