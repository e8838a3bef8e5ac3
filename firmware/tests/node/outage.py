"""A node that was not heard for days: what travels when, in which order, and what it costs of the air."""

import random
import time

import bench
import flash
import machine
import network
from suat_node import power, sample, uplink

HOUR_US = 3600 * 1000000
DAY_US = 24 * HOUR_US


def fresh(board="pico_waveshare", region="IN865", **options):
    flash.remove_tree(bench.FOLDER)
    net = network.Network(region)
    board_module = bench.hardware(board, net)
    return net, board_module, bench.settings(board, region=region, **options)


def worst_hour_us(frames):
    """Most air time in any 3,600 s. `frames`: (start, end) in order."""
    worst = total = first = 0
    for start, end in frames:
        total += end - start
        while frames[first][0] < end - HOUR_US:
            total -= frames[first][1] - frames[first][0]
            first += 1
        worst = max(worst, total)
    return worst


def caught_up(net, node, days):
    """Live on until the backlog is gone, at most so many days: (hours, air times of the frames)."""
    begin = time.now_us
    frames = []
    while len(node.backlog.held) > 8 and time.now_us - begin < days * DAY_US:
        machine.chip.sent.clear()
        bench.life(node, 1)
        frames += [(start, end) for _phy, _hz, _sf, start, end in machine.chip.sent]
    return (time.now_us - begin) / HOUR_US, frames


def test_fourteen_days_without_radio():
    # hours and frames: docs/delivery.md
    for dr, most_h, most_frames in ((3, 3, 120), (0, 26, 300)):
        net, board, conf = fresh(radio={"dr": dr, "adr": False})
        node = bench.start(conf, board)
        bench.life(node, 8)
        net.hears = lambda phy: False
        bench.life(node, 14 * 96)
        silent = len(node.backlog.held)
        assert silent >= 14 * 96 and node.counters.lost == 0
        net.hears = lambda phy: True
        copies, asked = len(net.copies), len(net.asked)
        hours, frames = caught_up(net, node, 3)
        assert sorted(net.committed) == list(range(node.counters.record)), "none lost"
        assert len(net.copies) == len(net.committed), "none twice"
        assert hours <= most_h and len(frames) <= most_frames, (dr, hours, len(frames))
        assert worst_hour_us(frames) < 36000000, worst_hour_us(frames)
        # an acknowledgement names dozens of records, not those of one frame
        assert (len(net.copies) - copies) / (len(net.asked) - asked) >= 30, (len(net.copies), len(net.asked))
        print("DR%d" % dr, "%.1f h" % hours, len(frames), len(net.asked) - asked, worst_hour_us(frames))


def test_extra_frames_are_spread_and_no_sample_waits_for_them():
    net, board, conf = fresh(radio={"dr": 0, "adr": False})
    node = bench.start(conf, board)
    bench.life(node, 8)
    net.hears = lambda phy: False
    bench.life(node, 192)
    net.hears = lambda phy: True
    before = node.counters.record
    hours, frames = caught_up(net, node, 1)
    # of any three frames in a row one at most is a sample's own
    gaps = [frames[i + 2][0] - frames[i][0] for i in range(len(frames) - 2)]
    assert min(gaps) >= 200 * 1000000, min(gaps)
    assert len(frames) > 4.5 * hours, "there were extra frames"
    taken = [net.dated_us[record] / 1000000 for record in sorted(net.dated_us) if record > before + 1]
    assert all([abs(taken[i + 1] - taken[i] - 900) <= 3 for i in range(len(taken) - 1)]), taken


def test_the_newest_goes_first_and_then_the_oldest():
    net, board, conf = fresh(radio={"dr": 3, "adr": False})
    node = bench.start(conf, board)
    bench.life(node, 8)
    net.hears = lambda phy: False
    bench.life(node, 192)
    net.hears = lambda phy: True
    first = len(net.copies)
    oldest = min([record for record in node.backlog.held if record not in net.committed])
    newest = node.counters.record
    caught_up(net, node, 1)
    sent = net.copies[first:]
    assert sent[0] == newest
    backlog = [record for record in sent if record < newest]
    steps = [backlog[i + 1] - backlog[i] for i in range(len(backlog) - 1)]
    # within a frame the numbers fall, from frame to frame they rise
    assert min(backlog[:16]) == oldest and max(steps) <= 30 and backlog[-1] > 180, backlog


def test_frames_are_filled():
    for dr, size in ((0, 51), (3, 115), (5, 222)):
        net, board, conf = fresh(radio={"dr": dr, "adr": False})
        node = bench.start(conf, board)
        bench.life(node, 8)
        net.hears = lambda phy: False
        bench.life(node, 300)
        net.hears = lambda phy: True
        machine.chip.sent.clear()
        _, _ = caught_up(net, node, 2)
        lengths = [len(frame.fopts) + len(frame.payload) for frame in net.replies]
        full = [length for length in lengths if length > size - 9]
        assert max(lengths) <= size and len(full) >= 300 // 34 - 2, (dr, lengths)


def test_a_silent_network_gets_no_extra_frames():
    net, board, conf = fresh(radio={"dr": 3, "adr": False})
    node = bench.start(conf, board)
    bench.life(node, 8)
    net.hears = lambda phy: False
    bench.life(node, 20)
    machine.chip.sent.clear()
    begin = time.now_us
    bench.life(node, 96)
    assert len(machine.chip.sent) == 96 and uplink.next_extra(node) == 0
    assert abs(time.now_us - begin - DAY_US) < 10 * 1000000


def test_a_lost_acknowledgement_is_asked_for_again_between_the_samples():
    net, board, conf = fresh(radio={"dr": 3, "adr": False})
    node = bench.start(conf, board)
    bench.life(node, 8)
    net.hears = lambda phy: False
    bench.life(node, 300)
    net.hears = lambda phy: True
    asked = [0]

    def reaches(phy):
        asked[0] += 1
        return asked[0] % 3 == 0  # two of three answers are lost

    net.reaches = reaches
    hours, frames = caught_up(net, node, 2)
    assert sorted(net.committed) == list(range(node.counters.record))
    assert hours < 3 and worst_hour_us(frames) < 36000000, hours


def test_a_fifth_of_all_frames_lost_both_ways():
    random.seed(20)
    net, board, conf = fresh(radio={"dr": 3, "adr": False})
    node = bench.start(conf, board)
    frames = []
    net.reaches = lambda phy: random.getrandbits(10) >= 205
    for wakes, heard in ((96, True), (192, False), (192, True)):
        net.hears = lambda phy, heard=heard: heard and random.getrandbits(10) >= 205
        for _ in range(wakes):
            machine.chip.sent.clear()
            bench.life(node, 1)
            frames += [(start, end) for _phy, _hz, _sf, start, end in machine.chip.sent]
    net.hears = net.reaches = lambda phy: True
    bench.life(node, 8)
    assert sorted(net.committed) == list(range(node.counters.record)), "none lost"
    assert len(node.backlog.held) < 8 and node.counters.lost == 0
    twice = len(net.copies) - len(net.committed)
    assert twice <= len(net.committed) // 20, twice  # what was sent again although it had arrived
    assert worst_hour_us(frames) < 36000000


def test_deep_sleep_remembers_what_has_to_be_sent():
    net, board, conf = fresh("heltec_v3", radio={"dr": 3, "adr": False})
    bench.deep_life(conf, board, 8)
    net.hears = lambda phy: False
    bench.deep_life(conf, board, 200)
    net.hears = lambda phy: True
    node = bench.deep_life(conf, board, 6)
    assert len(node.backlog.held) < 8, len(node.backlog.held)
    assert sorted(net.committed) == list(range(node.counters.record))
    assert len(net.copies) == len(net.committed)


def test_a_power_cut_in_the_middle_of_the_catch_up():
    net, board, conf = fresh(radio={"dr": 0, "adr": False})
    node = bench.start(conf, board)
    bench.life(node, 8)
    net.hears = lambda phy: False
    bench.life(node, 200)
    net.hears = lambda phy: True
    bench.life(node, 4)
    assert len(node.backlog.held) > 50
    held = list(node.backlog.held)
    node = bench.start(conf, board)
    bench.life(node, 40)
    assert [record for record in held if record not in net.committed] == []
    assert len(node.backlog.held) < 8


def test_a_full_ring_gives_up_its_oldest_and_delivers_the_rest():
    net, board, conf = fresh(radio={"dr": 3, "adr": False})
    node = bench.start(conf, board)
    net.hears = lambda phy: False
    bench.life(node, 1)
    readings = {("node", "battery"): 3.6}
    for _ in range(2200):
        sample.keep(node, readings, power.clock(), 0)
    lost = node.counters.lost
    first = node.backlog.held[0]
    assert first == lost and len(node.backlog.held) + lost == node.counters.record > 2200
    net.hears = lambda phy: True
    caught_up(net, node, 2)
    assert sorted(net.committed) == list(range(first, node.counters.record))
    assert node.counters.lost == lost


def test_one_sample_a_minute_at_sf12_keeps_up_without_extra_frames():
    # more than 1 % of the air: what the interval asks for goes, nothing beyond it
    net, board, conf = fresh(radio={"dr": 0, "adr": False}, interval_s=60)
    node = bench.start(conf, board)
    bench.life(node, 200)
    machine.chip.sent.clear()
    begin = time.now_us
    bench.life(node, 60)
    assert len(machine.chip.sent) == 60 and abs(time.now_us - begin - HOUR_US) < 70 * 1000000
    assert len(node.backlog.held) < 8


def test_several_copies_of_each_frame_stay_below_the_share_too():
    net, board, conf = fresh(radio={"dr": 3, "adr": False})
    node = bench.start(conf, board)
    bench.life(node, 8)
    net.hears = lambda phy: False
    bench.life(node, 300)
    node.session.nb_trans = 3
    turn = [0]

    def hears(phy):
        turn[0] += 1
        return turn[0] % 3 == 0  # the third copy

    net.hears = hears
    hours, frames = caught_up(net, node, 2)
    assert sorted(net.committed) == list(range(node.counters.record))
    assert worst_hour_us(frames) < 36000000, worst_hour_us(frames)
