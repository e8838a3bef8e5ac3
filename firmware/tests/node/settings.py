"""Settings from the network: on trial, accepted, rolled back; what a reset or a damaged file makes of them."""

import os
import time
from binascii import crc32

import bench
import flash
import machine
import network
from suat_node.keep.settings import Settings
from suat_wire import lorawan, payload
from suat_wire.control import encode_config

FILE = bench.FOLDER + "/settings"


def fresh(board="pico_waveshare", **options):
    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    module = bench.hardware(board, net)
    return net, module, bench.settings(board, **options)


def told(net, node, **settings):
    """The network's settings have reached the node; it is on trial now."""
    net.settings = settings
    for _ in range(12):
        bench.life(node, 1)
        if node.settings.trial:
            return
    raise AssertionError("the settings did not arrive")


def deaf(net):
    net.hears = lambda phy: False


def rolled_back(node):
    """Whether a sample on the node's flash says so."""
    kept = node.backlog.fetch(list(node.backlog.held)).values()
    return any([payload.unpack(entry.body).get(("node", "events"), 0) & 64 for entry in kept])


def test_a_trial_ends_with_the_next_downlink_and_asks_for_it_soon():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    told(net, node, interval_s=21600, trough_empty=0, freezing=-50)
    begin = time.now_us
    asked = len(net.asked)
    bench.life(node, 1)
    assert time.now_us - begin < 120 * 1000000 or not node.settings.trial
    bench.life(node, 1)
    assert len(net.asked) > asked and not node.settings.trial
    assert node.settings.accepted == {"interval_s": 21600, "trough_empty": 0, "freezing": -50}
    assert node.setting("interval_s") == 21600
    assert node.setting("trough_empty") == 0 and node.setting("freezing") == -50  # 0 is a value, not "as configured"
    assert not rolled_back(node)


def test_what_health_tells_is_the_crc_of_the_payload_that_the_gateway_would_send():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    assert node.settings.digest() == 0
    told(net, node, night_from=20, interval_s=600, rejoin=0, resend_from=7)
    assert node.settings.digest() == 0, "not before it is accepted"
    bench.life(node, 3)
    told(net, node, interval_s=1200, adr=0, data_rate=2)
    bench.life(node, 3)
    want = encode_config({"interval_s": 1200, "adr": 0, "data_rate": 2, "night_from": 20})
    assert node.settings.digest() == crc32(want)


def test_without_an_answer_it_goes_back_after_eight_uplinks():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 3)
    dr, adr = node.session.dr, node.session.adr
    told(net, node, interval_s=604800, adr=0, data_rate=0, battery_low=3000)
    deaf(net)
    assert (node.session.dr, node.session.adr) == (0, False)
    before = len(machine.chip.sent)
    begin = time.now_us
    while node.settings.trial:
        bench.life(node, 1)
    assert len(machine.chip.sent) - before == 8
    assert time.now_us - begin < 9 * 3600 * 1000000  # a week's interval does not make it last a week
    assert (node.session.dr, node.session.adr) == (dr, adr)
    assert node.setting("interval_s") == 900 and node.setting("battery_low") == 0
    assert node.settings.digest() == 0
    again = bench.start(conf, board)
    assert not again.settings.trial and again.session.adr == adr and again.counters.events & 64
    bench.life(again, 1)
    assert rolled_back(again), "it tells"
    net.hears = lambda phy: True
    bench.life(again, 12)
    told_at = len(net.committed)
    bench.life(again, 100)
    events = [payload.unpack(net.committed[record][1]).get(("node", "events")) for record in sorted(net.committed)]
    assert 64 in events and events[-1] != 64 and 64 not in events[told_at:], events  # and tells it once


def test_what_was_accepted_before_is_what_it_goes_back_to():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    told(net, node, interval_s=600, leak_fall=30)
    bench.life(node, 2)
    told(net, node, interval_s=3600)
    deaf(net)
    while node.settings.trial:
        bench.life(node, 1)
    assert node.setting("interval_s") == 600 and node.setting("leak_fall") == 30


def test_settings_under_which_nothing_is_sent_go_back_by_the_clock():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    told(net, node, battery_floor=20000)
    node.counters.quiet_until = 1 << 31  # as at the floor: nothing leaves
    before = len(machine.chip.sent)
    begin = time.now_us
    while node.settings.trial:
        bench.life(node, 1)
    hours = (time.now_us - begin) / 3600e6
    assert 12 <= hours < 13.5, hours
    assert len(machine.chip.sent) == before


def test_resets_in_a_trial_lose_nothing_and_eight_of_them_end_it():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    told(net, node, interval_s=300)
    bench.life(node, 2)
    told(net, node, interval_s=7200, adr=0, data_rate=1)
    deaf(net)
    for left in range(7, -1, -1):
        node = bench.start(conf, board)
        assert node.settings.left == left and node.settings.trial["interval_s"] == 7200
        assert node.settings.accepted == {"interval_s": 300}
        assert (node.session.dr, node.session.adr) == (1, False)
    bench.life(node, 2)  # after so many starts in a row it first lies still
    assert node.setting("interval_s") == 300 and node.session.adr and rolled_back(node)


def test_a_trial_outlives_deep_sleep():
    net, board, conf = fresh("heltec_v3")
    bench.deep_life(conf, board, 2)
    net.settings = {"interval_s": 1800}
    node = bench.deep_life(conf, board, 6)
    assert node.setting("interval_s") == 1800 and not node.settings.trial
    deaf_from = len(machine.chip.sent)
    net.settings = {"interval_s": 86400}
    while not node.settings.trial:
        node = bench.deep_life(conf, board, 1)
    deaf(net)
    while node.settings.trial:
        node = bench.deep_life(conf, board, 1)
    assert node.setting("interval_s") == 1800
    node = bench.deep_life(conf, board, 1)
    assert rolled_back(node)
    assert len(machine.chip.sent) > deaf_from
    assert node.counters.boots == 1


def test_a_second_downlink_accepts_the_first_and_is_on_trial_itself():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    told(net, node, interval_s=600)
    node.settings.left = 1
    down = lorawan.seal(net.keys[0], net.keys[1], 3, net.dev_addr, net.fcnt_down, 5, encode_config({"ack_after": 9}))
    from suat_node import uplink

    uplink.heard(node, node.session.open(down, node.counters), 0, [])
    assert node.settings.accepted == {"interval_s": 600} and node.settings.trial == {"ack_after": 9}
    assert node.settings.left == 8


def test_a_payload_with_one_fault_changes_nothing():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 2)
    from suat_node import configure

    good = encode_config({"interval_s": 600, "ack_after": 3})
    for bad in (good + b"\x63\x01\x00", good[:-1], good + good, good + b"\x03\x01\x00", b"", b"\x01\x02\x00\x00"):
        assert configure.change(node, bad) == (False, False)
        assert not node.settings.trial and node.setting("interval_s") == 900
    assert configure.change(node, encode_config({"rejoin": 1, "restart": 0})) == (True, False)
    assert not node.settings.trial, "an action has nothing to go back to"


def test_full_flash_refuses_the_settings_whole():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 2)
    from suat_node import configure

    node.settings.path = bench.FOLDER + "/none/settings"
    assert configure.change(node, encode_config({"interval_s": 600, "adr": 0})) == (False, False)
    assert node.setting("interval_s") == 900 and node.session.adr and not node.settings.trial


def test_any_flipped_bit_or_cut_of_the_file_falls_back_to_the_configuration():
    flash.remove_tree(bench.FOLDER)
    os.mkdir(bench.FOLDER)
    settings = Settings(bench.FOLDER)
    settings.accepted = {"interval_s": 600, "freezing": -4000}
    assert settings.begin({"battery_low": 3500}, True, 5, 1700000000)
    with open(FILE, "rb") as file:
        good = file.read()
    read = Settings(bench.FOLDER)
    assert (read.accepted, read.trial) == ({"interval_s": 600, "freezing": -4000}, {"battery_low": 3500})
    assert (read.left, read.adr, read.dr, read.since) == (8, 1, 5, 1700000000)

    def damaged(data):
        with open(FILE, "wb") as file:
            file.write(data)
        found = Settings(bench.FOLDER)
        assert (found.accepted, found.trial, found.left) == ({}, {}, 0)

    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        damaged(bad)
    for size in range(len(good)):
        damaged(good[:size])
    damaged(good + b"\0")


def test_a_power_cut_at_each_flash_operation_leaves_the_old_or_the_new_state():
    import vfs

    for torn in (False, True):
        cut = 0
        while True:
            memory = flash.Flash(16)
            memory.mount("/cut")
            settings = Settings("/cut")
            settings.begin({"interval_s": 600}, True, 3, 5)
            settings.accept()
            memory.cut_after(cut, torn)
            ended = False
            try:
                settings.begin({"interval_s": 7200, "adr": 0}, True, 3, 6)
                ended = True
            except flash.PowerCut:
                pass
            memory.mount("/cut")
            found = Settings("/cut")
            vfs.umount("/cut")
            assert found.accepted == {"interval_s": 600}, (cut, torn)
            assert found.trial in ({}, {"interval_s": 7200, "adr": 0}), (cut, torn, found.trial)
            if ended:
                assert found.trial
                break
            cut += 1
        assert cut >= 3, cut


def test_other_keys_forget_the_settings_of_the_old_ones():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    told(net, node, interval_s=600)
    bench.life(node, 2)
    conf.app_skey = bytes(16)
    assert bench.start(conf, board).setting("interval_s") == 900
    assert Settings(bench.FOLDER).accepted == {}


def test_what_is_set_at_the_node_outweighs_an_earlier_downlink():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    told(net, node, interval_s=600, ack_after=3)
    bench.life(node, 2)
    node.settings.forget(("interval_s",))
    again = bench.start(conf, board)
    assert again.setting("interval_s") == 900 and again.setting("ack_after") == 3


def test_rejoin_keeps_the_session_until_another_is_there():
    net, board, conf = fresh(otaa=True)
    node = bench.start(conf, board)
    bench.life(node, 4)
    join, tried = net.join, [0]

    def silent(phy, hz, sf):
        tried[0] += 1
        return []

    net.join = silent
    net.settings = {"rejoin": 1}
    for _ in range(12):
        bench.life(node, 1)
    assert tried[0] == 1 and node.session.joined
    heard, address = len(net.fcnts), node.session.dev_addr
    bench.life(node, 40)  # the pause between attempts is over, but the old session was heard again
    assert tried[0] == 1 and len(net.fcnts) >= heard + 40 and node.session.dev_addr == address
    net.join = join
    net.settings = {"rejoin": 1}
    for _ in range(12):
        bench.life(node, 1)
    assert net.join_nonce == 2 and node.session.joined and max(net.fcnts) < 20, net.fcnts
    assert len(net.committed) == node.counters.record, "no sample is lost over it"


def test_a_power_cut_between_the_settings_file_and_the_counters():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 3)
    before = (node.session.dr, node.session.adr)
    assert node.settings.begin({"adr": 0, "data_rate": 1}, before[1], before[0], time.time())
    node = bench.start(conf, board)  # the counters still say what was before
    assert (node.session.dr, node.session.adr) == (1, False)
    deaf(net)
    while node.settings.trial:
        bench.life(node, 1)
    assert (node.session.dr, node.session.adr) == before
