"""Counters, backlog and the whole node under power cuts at every flash operation, clean and torn."""

import os
import random

import bench
import flash
import machine
import network
from suat_node.keep import backlog, delivery
from suat_node.keep import counters as counters_file
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
    counters.anchors = [(65535, 4294967295, 4294967295999), (3, 100, network.UTC_S * 1000)]
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
    assert other.anchors == counters.anchors


def test_the_largest_state_fits_into_rtc_memory():
    from suat_node import power
    from suat_node.keep import times

    session = Session(bench.settings())
    while len(session.channels) < 16:
        session.channels.append([865062500, 865062500, 0x50])
    session.sticky = bytes(255)
    session.answers = bytes(255)
    counters = Counters(bench.FOLDER)
    for record in range(300):
        delivery.waits(counters, 2 * record)
    counters.named = list(range(delivery.WINDOW))
    for i in range(30):
        counters.boots = i + 1
        times.learn(counters, (network.UTC_S + 90000 * i) * 1000, 90000000 * i)
    assert len(counters.waiting) == delivery.WAITING and len(counters.anchors) == times.ANCHORS
    assert len(counters.pack(session)) <= power.MEMORY - 200, len(counters.pack(session))
    copy = Counters(bench.FOLDER)
    copy.unpack(counters.pack(session), session)
    assert copy.anchors == counters.anchors and copy.waiting == counters.waiting and copy.named == counters.named


def test_a_window_of_acknowledgements_never_names_more_than_fits():
    # every second record lost, for ever: what is named beyond the oldest stays within the bitmap's reach
    from array import array

    from suat_wire import control

    class Ring:
        held = array("I", range(2000))

    counters = Counters(bench.FOLDER)
    counters.record = 2000
    for _ in range(5):
        delivery.acknowledge(counters, Ring, control.encode_ack(-1, b"\xaa" * 8), [])
    assert len(counters.named) <= delivery.WINDOW and counters.oldest == 0
    assert counters.waiting == list(range(0, 64, 2))


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


def segments(count):
    """A ring of so many full segments."""
    flash.remove_tree(bench.FOLDER)
    ring = Backlog(bench.FOLDER)
    for record in range(32 * count):
        ring.append(sample(record))
    return ring


def test_what_is_not_ours_in_the_folder_is_left_alone():
    segments(2)
    os.mkdir(bench.FOLDER + "/00000008")
    os.mkdir(bench.FOLDER + "/lost")
    for name in ("1F", "0000001F", "-0000001", "0x00000a", " 1234567", "00000020.bak", "\xd1\x81\xd1\x83"):
        with open(bench.FOLDER + "/" + name, "w") as file:
            file.write("mine")
    names = sorted(os.listdir(bench.FOLDER))
    ring = Backlog(bench.FOLDER)
    assert list(ring.held) == list(range(64)) and ring.append(sample(64))
    assert [name for name in names if name not in os.listdir(bench.FOLDER)] == []
    ring.free(65)
    left = [name for name in names if name not in ("00000000", "00000020")]
    assert [name for name in left if name not in os.listdir(bench.FOLDER)] == []


def test_an_empty_segment_is_removed():
    segments(1)
    with open(bench.FOLDER + "/00000020", "w"):
        pass
    ring = Backlog(bench.FOLDER)
    assert list(ring.held) == list(range(32)) and os.listdir(bench.FOLDER) == ["00000000"]


def test_a_hole_in_the_middle_costs_what_it_hits():
    segments(2)
    path = bench.FOLDER + "/00000000"
    with open(path, "rb") as file:
        good = file.read()
    for fill in (b"\x00", b"\xff", b"\xa5"):
        for size in (1, 40, 300):
            at = len(good) // 2
            with open(path, "wb") as file:
                file.write(good[:at] + fill * size + good[at + size :])
            ring = Backlog(bench.FOLDER)
            hit = 2 + size // 21
            assert 64 - hit <= len(ring.held) <= 63 and list(ring.held)[-32:] == list(range(32, 64)), (fill, size)
            assert ring.errors and all(
                [entry.body == sample(i).body for i, entry in ring.fetch(list(ring.held)).items()]
            )


def test_a_segment_copied_under_another_name_gives_no_record_twice():
    segments(2)
    with open(bench.FOLDER + "/00000000", "rb") as file:
        data = file.read()
    with open(bench.FOLDER + "/00000030", "wb") as file:
        file.write(data)
    assert list(Backlog(bench.FOLDER).held) == list(range(64))


class Failing:
    """`open` of the backlog and the counters that fails where `broken(path, mode)` says so."""

    def __init__(self, number, broken):
        self.number = number
        self.broken = broken

    def __call__(self, path, mode="r"):
        if self.broken(path, mode):
            raise OSError(self.number)
        return open(path, mode)

    def __enter__(self):
        backlog.open = counters_file.open = self

    def __exit__(self, *_):
        del backlog.open
        del counters_file.open


def test_a_segment_that_cannot_be_read_costs_itself():
    segments(3)
    with Failing(5, lambda path, mode: mode == "rb" and path.endswith("/00000020")):
        ring = Backlog(bench.FOLDER)
        assert list(ring.held) == list(range(32)) + list(range(64, 96)) and ring.errors == 2
        assert sorted(ring.fetch([31, 40, 64])) == [31, 64]
        assert ring.append(sample(96))
        ring.free(64)
    assert "00000020" not in os.listdir(bench.FOLDER)
    segments(2)
    with Failing(5, lambda path, mode: mode == "rb"):
        ring = Backlog(bench.FOLDER)
        assert len(ring.held) == 0
    assert len(Backlog(bench.FOLDER).held) == 64, "it was left where it lies: the next start reads it"


def test_a_segment_that_fails_once_is_read_again():
    segments(1)
    turn = [0]

    def broken(path, mode):
        turn[0] += 1
        return turn[0] == 1

    with Failing(5, broken):
        assert len(Backlog(bench.FOLDER).held) == 32


def test_samples_that_can_be_read_no_more_block_nothing():
    net, board, conf = network.Network(), bench.hardware(), bench.settings()
    flash.remove_tree(bench.FOLDER)
    node = bench.start(conf, board)
    net.hears = lambda phy: False
    machine.chip.network = net
    bench.life(node, 70)
    net.hears = lambda phy: True
    with Failing(5, lambda path, mode: mode == "rb" and path[-8:] in ("00000000", "00000020")):
        bench.life(node, 100)
    assert len(node.backlog.held) < 8 and node.counters.lost >= 64 and node.counters.flash_errors > 0
    assert sorted(net.committed) == list(range(64, node.counters.record))


def test_samples_of_a_version_with_more_fields_block_nothing():
    # an update kept some and was rolled back
    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    node = bench.start(bench.settings(), bench.hardware("pico_waveshare", net))
    bench.life(node, 2)
    for body in (b"", b"\x01\xff\x7f" + bytes(20), b"\x00\x01", b"\x20\x01"):
        record = node.counters.next_record(node.session)
        node.backlog.append(Entry(record, 0, 1, 0, body))
        delivery.waits(node.counters, record)
    bench.life(node, 20)
    assert node.counters.lost == 4 and len(node.backlog.held) < 8
    assert [record for record in range(node.counters.record) if record not in net.committed] == [3, 4, 5, 6]


def test_flash_that_takes_nothing_stops_neither_program_nor_radio_at_once():
    net, board, conf = network.Network(), bench.hardware("heltec_v3"), bench.settings("heltec_v3")
    flash.remove_tree(bench.FOLDER)
    machine.chip.network = net
    bench.deep_life(conf, board, 4)
    for number in (5, 30):
        machine.rtc_before = machine.rtc
        with Failing(number, lambda path, mode: mode != "rb" and mode != "r"):
            node = bench.deep_life(conf, board, 60)
            assert node.counters.flash_errors > 0 and node.counters.lost > 0
            assert len(node.backlog.held) <= 16, "nothing was thrown away in vain"
        node = bench.deep_life(conf, board, 8)
        assert net.fcnts == sorted(set(net.fcnts)) and max(net.committed) == node.counters.record - 1
    assert node.counters.boots == 1, "RTC memory and flash still belong together"


def test_a_join_that_flash_refuses_costs_only_itself():
    net = network.Network()
    flash.remove_tree(bench.FOLDER)
    node = bench.start(bench.settings(otaa=True), bench.hardware("pico_waveshare", net))
    with Failing(5, lambda path, mode: mode == "wb"):
        bench.life(node, 3)
        assert not net.nonces and not node.session.joined and node.counters.flash_errors > 3
    bench.life(node, 12)
    assert node.session.joined and net.nonces == sorted(set(net.nonces)) and max(net.committed) > 5


def test_a_flash_full_of_other_things_takes_every_counter():
    # at each place where something is written: chunks of frames and records, join requests, what was heard
    net = network.Network()
    conf = bench.settings(otaa=True)
    chip = flash.Flash(16)
    chip.mount()
    board = bench.hardware("pico_waveshare", net)
    net.answers = False
    node = bench.start(conf, board, "/flash/suat")
    bench.life(node, 40)
    net.answers = True
    bench.life(node, 40)
    net.answers = False
    bench.life(node, 100)
    fill("/flash/other")
    begin = node.counters.record
    bench.life(node, 100)
    node.session.joined = False
    node.counters.next_join = 0
    bench.life(node, 30)
    net.answers = True
    bench.life(node, 60)
    newest = node.counters.record - 1
    assert newest > begin + 150 and (not node.backlog.held or node.backlog.held[-1] == newest)
    assert net.nonces == sorted(set(net.nonces)) and max(net.committed) == node.counters.record - 1
    again = bench.start(conf, bench.hardware("pico_waveshare", net), "/flash/suat")
    assert again.counters.fcnt_up >= node.counters.fcnt_up and again.counters.record >= node.counters.record


def fill(path):
    """Leave no free block."""
    try:
        with open(path, "wb") as file:
            while True:
                file.write(bytes(512))
                file.flush()
    except OSError:
        pass


def test_what_a_day_writes():
    # docs/delivery.md: erases per day, and saves of the counters
    for heard, most_erased, most_saves in ((True, 30, 40), (False, 60, 14)):
        chip = flash.Flash(48)
        chip.mount()
        net = network.Network()
        board = bench.hardware("pico_waveshare", net)
        node = bench.start(bench.settings(), board, "/flash/suat")
        bench.life(node, 8)
        net.hears = lambda phy, heard=heard: heard
        erased, generation = sum(chip.erased), node.counters.generation
        bench.life(node, 4 * 96)
        erased, saves = (sum(chip.erased) - erased) / 4, (node.counters.generation - generation) / 4
        assert 4 <= erased <= most_erased and 4 <= saves <= most_saves, (heard, erased, saves)
