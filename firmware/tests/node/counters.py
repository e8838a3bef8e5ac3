"""Counters, backlog and the whole node under power cuts at every flash operation, clean and torn."""

import os
import random

import bench
import flash
import network
from suat_node.keep.backlog import Backlog, Entry
from suat_node.keep.counters import FCNT_CHUNK, RECORD_CHUNK, Counters, CountersLost
from suat_node.mac.session import Session


class Used:
    """Numbers as they were given out."""

    def __init__(self):
        self.fcnt = []
        self.record = []
        self.nonce = []

    def check(self, cuts):
        for name, chunk in (("fcnt", FCNT_CHUNK), ("record", RECORD_CHUNK), ("nonce", 1)):
            numbers = getattr(self, name)
            for i in range(1, len(numbers)):
                a, b = numbers[i - 1 : i + 1]
                assert b > a, (name, a, b)
                assert b - a <= chunk + 1, (name, a, b)


def boot():
    session = Session(bench.settings())
    counters = Counters("/flash")
    counters.load(b"", session)
    return counters, session


def use(used, counters, session, rounds):
    for _ in range(rounds):
        used.fcnt.append(counters.next_fcnt(session))
        used.record.append(counters.next_record(session))
        if len(used.fcnt) % 7 == 0:
            used.nonce.append(counters.next_dev_nonce(session))
        if len(used.fcnt) % 11 == 0:
            counters.save(session)


def test_numbers_never_repeat_at_any_cut():
    for torn in (False, True):
        used = Used()
        chip = flash.Flash(24)
        chip.mount()
        cut = 0
        while cut < 60:
            chip.mount()
            try:
                counters, session = boot()
                chip.cut_after(cut % 30, torn)
                use(used, counters, session, 40)
            except flash.PowerCut:
                pass
            cut += 1
        chip.mount()
        counters, session = boot()
        use(used, counters, session, 40)
        used.check(cut)
        assert counters.generation > 60 and len(used.fcnt) > 500


def test_numbers_never_repeat_over_random_cuts():
    random.seed(7)
    used = Used()
    chip = flash.Flash(24)
    chip.mount()
    for _ in range(300):
        chip.mount()
        try:
            counters, session = boot()
            chip.cut_after(random.getrandbits(5), random.getrandbits(1) == 1)
            use(used, counters, session, 60)
        except flash.PowerCut:
            pass
    used.check(300)


def test_both_copies_damaged_is_said_not_guessed():
    flash.remove_tree(bench.FOLDER)
    os.mkdir(bench.FOLDER)
    session = Session(bench.settings())
    counters = Counters(bench.FOLDER)
    counters.save(session)
    counters.save(session)
    fresh = Counters(bench.FOLDER)
    fresh.load(b"", session)
    assert fresh.generation == 2
    damage(bench.FOLDER + "/state.0")
    fresh = Counters(bench.FOLDER)
    fresh.load(b"", session)
    assert fresh.generation == 1
    damage(bench.FOLDER + "/state.1")
    try:
        Counters(bench.FOLDER).load(b"", session)
    except CountersLost:
        return
    raise AssertionError("no error")


def damage(path):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data[len(data) // 2] ^= 4
    with open(path, "wb") as file:
        file.write(data)


def test_rtc_memory_of_another_generation_is_not_believed():
    flash.remove_tree(bench.FOLDER)
    os.mkdir(bench.FOLDER)
    session = Session(bench.settings())
    counters = Counters(bench.FOLDER)
    counters.next_fcnt(session)
    blob = counters.pack(session)
    counters.fcnt_down = 9
    counters.save(session)
    again = Counters(bench.FOLDER)
    assert again.load(blob, session), "flash has moved on: a cold start"
    assert again.fcnt_up == FCNT_CHUNK and again.fcnt_down == 9
    again = Counters(bench.FOLDER)
    assert not again.load(counters.pack(session), session)
    assert again.fcnt_up == 1


def test_session_and_lists_survive_packing():
    conf = bench.settings()
    session = Session(conf)
    session.channels.append([867000000, 866000000, 0x31])
    session.answers = b"\x05\x07\x06\xff\x0a"
    session.quiet = [1, 4000000000]
    session.used, session.wary, session.busy = 0b101, 16, 65535
    session.snr = -12
    session.ack = True
    session.mask = 0b1010
    counters = Counters(bench.FOLDER)
    counters.waiting = [5, 9, 4000000000]
    counters.named = [7]
    counters.fcnt_up = 77
    blob = counters.pack(session)
    assert len(blob) <= 2048
    other = Counters(bench.FOLDER)
    copy = Session(conf)
    other.unpack(blob, copy)
    assert other.pack(copy) == blob
    assert (copy.channels, copy.quiet, copy.answers, copy.snr, copy.ack, copy.mask) == (
        session.channels,
        session.quiet,
        session.answers,
        -12,
        True,
        0b1010,
    )
    assert other.waiting == [5, 9, 4000000000] and other.named == [7] and other.fcnt_up == 77


def test_the_largest_state_fits_into_rtc_memory():
    session = Session(bench.settings())
    while len(session.channels) < 16:
        session.channels.append([865062500, 865062500, 0x50])
    session.answers = bytes(222)  # DR5
    counters = Counters(bench.FOLDER)
    counters.waiting = list(range(64))
    counters.named = list(range(64))
    assert len(counters.pack(session)) <= 1400


def sample(record):
    return Entry(record, 1000 + record, 1, 0, bytes([record & 255] * (record % 30 + 1)))


def test_backlog_gives_back_what_it_took():
    flash.remove_tree(bench.FOLDER)
    backlog = Backlog(bench.FOLDER)
    for record in range(100):
        assert backlog.append(sample(record))
    again = Backlog(bench.FOLDER)
    assert list(again.held) == list(range(100))
    found = again.fetch([0, 31, 32, 99])
    for record in (0, 31, 32, 99):
        entry = found[record]
        assert (entry.taken, entry.boot, entry.body) == (1000 + record, 1, sample(record).body)
    again.free(65)
    assert list(again.held) == list(range(65, 100))
    assert sorted(os.listdir(bench.FOLDER)) == ["00000040", "00000060"]
    third = Backlog(bench.FOLDER, 65)
    assert list(third.held) == list(range(65, 100))
    third.free(100)
    assert os.listdir(bench.FOLDER) == [] and len(third.held) == 0
    assert third.append(sample(100)) and list(Backlog(bench.FOLDER, 100).held) == [100]


def test_backlog_survives_every_flipped_bit():
    flash.remove_tree(bench.FOLDER)
    backlog = Backlog(bench.FOLDER)
    for record in range(6):
        backlog.append(sample(record))
    path = bench.FOLDER + "/00000000"
    with open(path, "rb") as file:
        good = file.read()
    for bit in range(0, len(good) * 8, 3):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with open(path, "wb") as file:
            file.write(data)
        held = list(Backlog(bench.FOLDER).held)
        assert len(held) == 5 and all([record in range(6) for record in held]), (bit, held)


def test_backlog_cut_short_at_every_byte_goes_on():
    flash.remove_tree(bench.FOLDER)
    backlog = Backlog(bench.FOLDER)
    for record in range(4):
        backlog.append(sample(record))
    path = bench.FOLDER + "/00000000"
    with open(path, "rb") as file:
        good = file.read()
    for size in range(1, len(good)):
        flash.remove_tree(bench.FOLDER)
        os.mkdir(bench.FOLDER)
        with open(path, "wb") as file:
            file.write(good[:size])
        cut = Backlog(bench.FOLDER)
        before = list(cut.held)
        assert cut.append(sample(10))
        assert list(Backlog(bench.FOLDER).held) == before + [10], size


def test_a_full_ring_drops_the_oldest_and_counts():
    flash.remove_tree(bench.FOLDER)
    backlog = Backlog(bench.FOLDER)
    for record in range(2200):
        backlog.append(sample(record))
    assert backlog.lost > 0 and len(backlog.held) + backlog.lost == 2200
    assert len(backlog.held) > 2000 and backlog.held[-1] == 2199
    assert len(backlog.fetch([2199])) == 1


def test_full_flash_keeps_the_newest():
    chip = flash.Flash(10)
    chip.mount()
    backlog = Backlog("/flash/samples")
    with open("/flash/other", "wb") as file:
        file.write(bytes(4096 * 3))
    for record in range(400):
        backlog.append(Entry(record, record, 1, 0, bytes(60)))
    assert backlog.held[-1] == 399 and backlog.lost > 0
    assert list(Backlog("/flash/samples").held) == list(backlog.held)


def test_a_node_cut_at_every_flash_operation_repeats_nothing_and_loses_nothing():
    for torn in (False, True):
        chip = flash.Flash(48)
        net = network.Network()
        conf = bench.settings(otaa=True)
        said = {}  # record -> body, to catch one number for two samples
        chip.mount()
        for cut in range(0, 90, 2):
            chip.mount()
            board = bench.hardware("pico_waveshare", net)
            chip.cut_after(cut, torn)
            try:
                node = bench.start(conf, board, "/flash/suat")
                bench.life(node, 2)
            except flash.PowerCut:
                pass
            for record in net.committed:
                body = net.committed[record][1]
                assert said.setdefault(record, body) == body
        assert net.nonces == sorted(set(net.nonces)), "a DevNonce came twice"
        assert net.fcnts == sorted(set(net.fcnts)), "a frame counter came twice"
        chip.mount()
        board = bench.hardware("pico_waveshare", net)
        node = bench.start(conf, board, "/flash/suat")
        held = list(node.backlog.held)
        bench.life(node, 8)
        assert [record for record in held if record not in net.committed] == []
