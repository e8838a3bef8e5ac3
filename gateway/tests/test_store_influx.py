"""The forwarder against every answer a database gives: no good point lost, no bad one in the way, no request storm."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from suat.clock import VirtualScheduler
from suat.store import influx
from suat.store.influx import BATCH_LINES, JITTER, LEAST_LINES, RETRY_S, Forwarder
from suat.store.influx_http import Answer, Verdict, classify
from suat.store.journal import JournalError
from suat.store.points import Points
from suat.store.rows import Status
from suat.store.tables import OWN, InfluxTable
from suat_sim.kept import START_US, Kept, device, soil_rows, water_rows

TABLE = InfluxTable(url="http://127.0.0.1:1", api="v1", database="pasture")
DONE = Answer(Verdict.DONE)


class Database:
    """Takes lines as InfluxDB does: the same series and time overwrites. `answer` may refuse before that."""

    def __init__(self, answer: Callable[[Sequence[str]], Answer] = lambda lines: DONE) -> None:
        self.answer = answer
        self.points: dict[tuple[str, str, str], str] = {}
        self.requests: list[tuple[str, int]] = []
        self.closed = self.hung_up = False

    def write(self, place: str, lines: Sequence[str]) -> Answer:
        self.requests.append((place, len(lines)))
        answer = self.answer(lines)
        if answer.verdict is Verdict.DONE:
            for line in lines:
                self.points[place, line.split(" ")[0], line.rsplit(" ", 1)[1]] = line
        return answer

    def hang_up(self) -> None:
        self.hung_up = True

    def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self, folder: Path) -> None:
        self.kept = Kept(folder)
        self.scheduler = VirtualScheduler(START_US)
        self.soil = self.kept.journal.add_device(device(1, probes=2))
        self.water = self.kept.journal.add_device(device(2, "water"))

    def fill(self, count: int = 100) -> None:
        self.kept.fill(self.soil, soil_rows(count, probes=2))
        self.kept.fill(self.water, water_rows(count))
        self.kept.finish()
        self.expected = self._expected()

    def forwarder(self, database: Database, seed: int = 0) -> Forwarder:
        chance = random.Random(seed).random
        made = Forwarder(self.scheduler, TABLE, self.kept.journal, self.kept.reader, writer=database, chance=chance)
        made.wake()
        return made

    def run(self, seconds: float) -> None:
        self.scheduler.run_until(self.scheduler.monotonic() + seconds)

    def _expected(self) -> set[tuple[str, str]]:
        """(place, line) of every row of the journal."""
        reader = self.kept.reader
        points = Points(reader.devices(), reader.assignments())
        lines = {("pasture", line) for sample in reader.samples() for line in points.sample(sample)}
        width = {900: "pasture_15m", 3600: "pasture_1h", 86400: "pasture_1d"}
        for entry in reader.outbox(0, 1 << 30, "window"):
            for _, window in reader.windows_of(entry, 0, 1 << 30):
                lines |= {(width[window.width_s], line) for line in points.window(window)}
        return lines


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.kept.close()


def stored(database: Database) -> set[tuple[str, str]]:
    return {(place, line) for (place, _, _), line in database.points.items()}


def test_everything_arrives_in_its_place(bench: Bench) -> None:
    bench.fill()
    expected = bench.expected
    database = Database()
    forwarder = bench.forwarder(database)
    bench.run(60)
    assert stored(database) == expected
    assert forwarder.points_sent == len(expected) and forwarder.problem is None and forwarder.backlog() == 0
    assert {place for place, _ in database.requests} == {"pasture", "pasture_15m", "pasture_1h", "pasture_1d"}


def test_requests_have_at_most_their_batch(bench: Bench) -> None:
    bench.fill(3000)
    database = Database()
    bench.forwarder(database)
    bench.run(60)
    assert max(count for _, count in database.requests) <= BATCH_LINES
    assert len(database.requests) < 14
    assert stored(database) >= {item for item in bench.expected if item[0] == "pasture"}


def test_what_is_kept_later_is_told_soon(bench: Bench) -> None:
    database = Database()
    forwarder = bench.forwarder(database)
    bench.run(45)
    bench.kept.fill(bench.soil, soil_rows(3))
    forwarder.wake()
    bench.run(0.2)
    assert len(database.points) == 6


def test_a_command_in_another_process_is_noticed(bench: Bench) -> None:
    bench.fill(10)
    database = Database()
    bench.forwarder(database)
    bench.run(60)
    database.points.clear()
    assert bench.kept.journal.resend(START_US + 60 * 60_000_000) > 0
    bench.run(60)
    later = {item for item in bench.expected if int(item[1].rsplit(" ", 1)[1]) >= START_US + 3_600_000_000}
    assert later and later <= stored(database) < bench.expected


def test_a_restart_goes_on_where_it_was(bench: Bench) -> None:
    bench.fill(1200)
    expected = bench.expected
    answers = [DONE, DONE]
    database = Database(lambda lines: answers.pop() if answers else Answer(Verdict.DOWN, "stopped"))
    first = bench.forwarder(database)
    bench.run(1)
    first.stop()
    assert database.closed and len(database.points) == sum(count for _, count in database.requests[:2]) < len(expected)
    database.requests = database.requests[:2]
    database.answer = lambda lines: DONE
    bench.forwarder(database, 1)
    bench.run(60)
    assert stored(database) == expected
    told = sum(count for _, count in database.requests)
    assert len(expected) <= told <= len(expected) + BATCH_LINES  # at most the load that was under way, again


def test_a_crash_sends_some_points_twice_which_changes_nothing(bench: Bench) -> None:
    bench.fill(800)
    expected = bench.expected
    database = Database()
    for seed in range(5):
        crashed = bench.forwarder(database, seed)  # never stopped: its position was not written
        bench.run(0.12 + 0.05 * seed)
        if crashed._timer is not None:
            crashed._timer.cancel()
    bench.forwarder(database, 9)
    bench.run(60)
    assert stored(database) == expected


MIXED = (
    (0.45, DONE),
    (0.10, Answer(Verdict.DOWN, "timed out")),
    (0.10, Answer(Verdict.BUSY, "503", 0.5)),
    (0.05, Answer(Verdict.BUSY, "429")),
    (0.10, Answer(Verdict.REFUSED, "401")),
    (0.10, Answer(Verdict.TOO_LARGE, "413")),
    (0.10, Answer(Verdict.BAD_LINES, "400 partial write: field type conflict dropped=1", dropped=1)),
)


def test_ten_thousand_mixed_answers_lose_no_good_point(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influx, "BATCH_LINES", 40)
    bench.fill(1000)
    expected = bench.expected
    chance = random.Random(11)
    bad = {line for _, line in expected if hash_of(line) % 97 == 0}

    def answer(lines: Sequence[str]) -> Answer:
        wrong = sum(line in bad for line in lines)
        kind = chance.choices([entry for _, entry in MIXED], [weight for weight, _ in MIXED])[0]
        if kind.verdict in (Verdict.DONE, Verdict.BAD_LINES) or (kind.verdict is Verdict.TOO_LARGE and len(lines) < 2):
            return Answer(Verdict.BAD_LINES, f"400 dropped={wrong}", dropped=wrong) if wrong else DONE
        return kind

    database = Database(answer)
    forwarder = bench.forwarder(database)
    while len(database.requests) < 10_000:
        bench.run(20_000)
        bench.kept.journal.resend(0)
    bench.run(100_000)
    while forwarder.backlog():
        bench.run(100_000)
    assert len(database.requests) >= 10_000
    assert stored(database) == {item for item in expected if item[1] not in bad}
    letters = bench.kept.reader.dead_letters(OWN)
    assert {letter[3] for letter in letters} == bad and len(letters) == forwarder.letters_set_aside


def hash_of(line: str) -> int:
    return sum(map(ord, line))


def test_one_bad_line_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.fill(400)
    expected = bench.expected
    bad = sorted(line for _, line in expected)[777]
    reason = "400 unable to parse"
    database = Database(lambda lines: Answer(Verdict.BAD_LINES, reason, dropped=0) if bad in lines else DONE)
    bench.forwarder(database)
    bench.run(60)
    assert stored(database) == {item for item in expected if item[1] != bad}
    ((_, sink, at_us, line, why),) = bench.kept.reader.dead_letters()
    assert (sink, line, why) == (OWN, bad, reason) and at_us >= START_US
    assert len(database.requests) < 30


def test_lines_that_the_server_judged_one_by_one_are_not_tried_again(bench: Bench) -> None:
    """As for points older than the retention policy."""
    bench.fill(200)
    database = Database(lambda lines: Answer(Verdict.BAD_LINES, "422 beyond retention", dropped=len(lines)))
    bench.forwarder(database)
    bench.run(60)
    assert len(database.requests) < 8
    assert len(bench.kept.reader.dead_letters()) == len(bench.expected)


UNKNOWN = Answer(Verdict.DOUBTFUL, "400 precision is unknown")


@pytest.mark.parametrize("count", [1, 100])
def test_when_no_line_at_all_is_taken_it_is_not_the_lines(bench: Bench, count: int) -> None:
    bench.fill(count)
    database = Database(lambda lines: UNKNOWN)
    forwarder = bench.forwarder(database)
    bench.run(30)
    assert not bench.kept.reader.dead_letters() and forwarder.problem == UNKNOWN.reason
    database.answer = lambda lines: DONE
    bench.run(2 * RETRY_S[1])
    assert stored(database) == bench.expected and forwarder.problem is None


def test_a_line_taken_before_tells_bad_lines_from_a_server_that_refuses_all(bench: Bench) -> None:
    bench.fill(20)
    database = Database()
    forwarder = bench.forwarder(database)
    bench.run(60)
    (last,) = (line for row in soil_rows(21, probes=2)[20:] for line in [str(row.time_us)])
    database.answer = lambda lines: UNKNOWN if any(last in line for line in lines) else DONE
    bench.kept.fill(bench.soil, soil_rows(21, probes=2)[20:])
    bench.run(60)
    assert len(bench.kept.reader.dead_letters()) == 3 and forwarder.problem is None  # two probes and the node
    database.answer = lambda lines: UNKNOWN
    bench.kept.fill(bench.soil, soil_rows(22, probes=2)[21:])
    bench.run(60)
    assert len(bench.kept.reader.dead_letters()) == 3 and forwarder.problem == UNKNOWN.reason


def test_refused_points_wait_and_the_alarm_stands(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.fill(20)
    expected = bench.expected
    database = Database(lambda lines: Answer(Verdict.REFUSED, "401 unauthorized"))
    forwarder = bench.forwarder(database)
    bench.run(3600)
    assert forwarder.problem == "401 unauthorized" and 50 < len(database.requests) <= 70
    assert len(caplog.records) == 1  # once, not each time
    database.answer = lambda lines: DONE
    bench.run(1.5 * RETRY_S[1])
    assert stored(database) == expected and forwarder.problem is None


def test_too_large_is_halved_and_remembered(bench: Bench) -> None:
    bench.fill(1000)
    database = Database(lambda lines: Answer(Verdict.TOO_LARGE, "413") if len(lines) > 700 else DONE)
    bench.forwarder(database)
    bench.run(60)
    assert stored(database) >= {item for item in bench.expected if item[0] == "pasture"}
    assert sum(count > 700 for _, count in database.requests) < 12


def test_a_link_too_slow_for_a_whole_batch_gets_less_at_once(bench: Bench) -> None:
    bench.fill(1000)
    slow = Answer(Verdict.BROKEN, "no whole answer within 10 s")
    database = Database(lambda lines: slow if len(lines) > 120 else DONE)
    forwarder = bench.forwarder(database)
    bench.run(1200)
    assert stored(database) == bench.expected and forwarder.backlog() == 0
    assert len(database.points) == len(bench.expected)
    sizes = [count for _, count in database.requests]
    assert sum(size > 120 for size in sizes) < len(sizes) / 4


def test_a_server_that_never_answers_gets_small_requests_and_all_of_it_later(bench: Bench) -> None:
    bench.fill(400)
    database = Database(lambda lines: Answer(Verdict.BROKEN, "reset"))
    forwarder = bench.forwarder(database)
    bench.run(86_400)
    assert database.requests[-1][1] == LEAST_LINES
    database.answer = lambda lines: DONE
    bench.run(3600)
    assert stored(database) == bench.expected and forwarder.backlog() == 0


def test_a_stop_does_not_wait_for_a_long_search(bench: Bench) -> None:
    """Every line bad and none named: 5,000 lines are 10,000 requests."""
    bench.fill(400)
    stopped: list[Forwarder] = []

    def answer(lines: Sequence[str]) -> Answer:
        if len(database.requests) == 20:
            stopped[0].stop()
        return Answer(Verdict.BAD_LINES, "400 unable to parse")

    database = Database(answer)
    stopped.append(bench.forwarder(database))
    bench.run(60)
    assert len(database.requests) == 20 and database.hung_up and database.closed


def test_a_single_line_too_large_is_the_server_s_fault(bench: Bench) -> None:
    bench.fill(3)
    database = Database(lambda lines: Answer(Verdict.TOO_LARGE, "413"))
    forwarder = bench.forwarder(database)
    bench.run(300)
    assert not bench.kept.reader.dead_letters() and forwarder.problem == "a single line is too large for it: 413"
    database.answer = lambda lines: DONE
    bench.run(2 * RETRY_S[1])
    assert stored(database) == bench.expected


def test_retry_after_is_obeyed(bench: Bench) -> None:
    bench.fill(20)
    answers = [Answer(Verdict.BUSY, "503", 300.0)]
    database = Database(lambda lines: answers.pop() if answers else DONE)
    forwarder = bench.forwarder(database)
    bench.run(1)
    for _ in range(299):
        forwarder.wake()
        bench.run(1)
    assert len(database.requests) == 1
    bench.run(300 * JITTER + 2)
    assert stored(database) == bench.expected


def test_back_off_grows_and_has_its_limit(bench: Bench) -> None:
    bench.fill(20)
    database = Database(lambda lines: Answer(Verdict.DOWN, "connection refused"))
    times: list[float] = []
    forwarder = bench.forwarder(database)
    known = 0
    for _ in range(7200):
        forwarder.wake()
        bench.run(0.25)
        if len(database.requests) > known:
            known = len(database.requests)
            times.append(bench.scheduler.monotonic())
    gaps = [second - first for first, second in itertools.pairwise(times)]
    assert gaps[0] < 2 and max(gaps) <= 91 and gaps[-1] >= 25 and len(set(gaps)) > 5
    database.answer = lambda lines: DONE
    bench.run(91)
    assert stored(database) == bench.expected


def test_a_journal_that_cannot_be_read_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.fill(20)
    database = Database()
    with monkeypatch.context() as patched:

        def failing(*_: object) -> list[object]:
            raise JournalError("disk failed")

        patched.setattr(bench.kept.reader, "outbox", failing)
        forwarder = bench.forwarder(database)
        bench.run(5)
        assert forwarder.problem == "disk failed"
    bench.run(10)
    assert stored(database) == bench.expected


def test_dead_letters_wait_for_a_journal_that_cannot_be_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.fill(40)
    database = Database(lambda lines: Answer(Verdict.BAD_LINES, "old", dropped=len(lines)))
    forwarder = bench.forwarder(database)
    with monkeypatch.context() as patched:

        def failing(*_: object) -> None:
            raise JournalError("full")

        patched.setattr(bench.kept.journal, "dead_letter", failing)
        bench.run(10)
        assert forwarder.letters_set_aside and not bench.kept.reader.dead_letters()
    bench.run(60)
    assert len(bench.kept.reader.dead_letters()) == forwarder.letters_set_aside


def test_decisions_and_alerts_are_told(bench: Bench) -> None:
    from suat.store.rows import Alert, Derived

    status = Status(START_US, "paddock", "p1", "graze", {"score": 80})
    bench.kept.journal.derive(Derived(statuses=[status], alerts=[Alert(START_US, "w1", "leak", "warning", {})]))
    database = Database()
    bench.forwarder(database)
    bench.run(1)
    assert {series for _, series, _ in database.points} == {"paddock,paddock=p1", "alert,kind=leak,subject=w1"}


def test_what_was_told_leaves_the_outbox(bench: Bench) -> None:
    bench.fill(300)
    forwarder = bench.forwarder(Database())
    bench.run(120)
    position = bench.kept.reader.sink_position("windows")
    assert position and [entry.seq for entry in bench.kept.reader.outbox(0, 1)] == [position[0] + 1]
    assert forwarder.backlog() == 0


@pytest.mark.parametrize(
    ("status", "body", "header", "verdict", "retry", "dropped"),
    [
        (204, "", None, Verdict.DONE, None, None),
        (400, '{"error":"partial write: points beyond retention policy dropped=3"}', None, Verdict.BAD_LINES, None, 3),
        (400, '{"error":"unable to parse"}', None, Verdict.BAD_LINES, None, None),
        (
            400,
            '{"error":"partial write: unable to parse \'x\': missing fields dropped=0"}',
            None,
            Verdict.BAD_LINES,
            None,
            0,
        ),
        (400, '{"error":"invalid precision"}', None, Verdict.DOUBTFUL, None, None),
        (400, "<html><h1>400 Bad Request</h1>nginx</html>", None, Verdict.DOWN, None, None),
        (400, '{"error":"unable to par', None, Verdict.DOWN, None, None),
        (400, "[" * 100_000, None, Verdict.DOWN, None, None),
        (422, "", None, Verdict.DOWN, None, None),
        (422, '{"code":"unprocessable entity","message":"dropped=1"}', None, Verdict.BAD_LINES, None, 1),
        (401, "", None, Verdict.REFUSED, None, None),
        (403, "", None, Verdict.REFUSED, None, None),
        (404, '{"error":"database not found"}', None, Verdict.REFUSED, None, None),
        (413, "", None, Verdict.TOO_LARGE, None, None),
        (429, "", "7", Verdict.BUSY, 7.0, None),
        (503, "", "0.5", Verdict.BUSY, 0.5, None),
        (503, "", "Fri, 31 Dec 1999 23:59:59 GMT", Verdict.BUSY, 0.0, None),
        (503, "", "999999999", Verdict.BUSY, 3600.0, None),
        (503, "", "soon", Verdict.BUSY, None, None),
        (503, "", "nan", Verdict.BUSY, None, None),
        (500, "", None, Verdict.DOWN, None, None),
        (502, "<html>", None, Verdict.DOWN, None, None),
        (200, "<html>a captive portal</html>", None, Verdict.REFUSED, None, None),
        (302, "", None, Verdict.REFUSED, None, None),
    ],
)
def test_answers(
    status: int, body: str, header: str | None, verdict: Verdict, retry: float | None, dropped: int | None
) -> None:
    answer = classify(status, body, header)
    assert (answer.verdict, answer.retry_after_s, answer.dropped) == (verdict, retry, dropped)
