"""The SX1262 driver: what goes over SPI, by the data sheet (DS.SX1261-2.W.APP rev. 2.1), and how it meets faults."""

import time

import bench
import machine
from suat_node import config
from suat_node.radio.sx126x import RadioError, Sx126x


def made(board_name="heltec_v3", net=None):
    board = bench.hardware(board_name, net)
    radio = Sx126x(board)
    machine.chip.log.clear()
    return radio, machine.chip


def sent(model, opcode):
    return [command for command in model.log if command[0] == opcode]


def test_set_up_in_the_order_of_the_data_sheet():
    radio, model = made()
    radio.wake(865062500)
    names = [command[0] for command in model.log]
    # standby RC, TCXO, clear errors, calibrate, regulator, DIO2, LoRa, image, buffer, sync word, clamp, IRQ
    assert names == [0x80, 0x97, 0x07, 0x89, 0x96, 0x9D, 0x8A, 0x98, 0x8F, 0x0D, 0x0D, 0x08], [hex(n) for n in names]
    assert sent(model, 0x97) == [b"\x97\x02\x00\x01\x40"]  # 1.8 V; 5 ms = 320 steps of 15.625 us
    assert sent(model, 0x98) == [b"\x98\xd7\xdb"]  # 863-870 MHz, table 9-2
    assert model.registers[0x0740] == 0x34 and model.registers[0x0741] == 0x44
    assert model.registers[0x08D8] & 0x1E == 0x1E  # 15.2


def test_a_board_without_tcxo_on_another_band():
    board = config.board("pico_waveshare")
    saved = board.TCXO_CV, board.DCDC, board.DIO2_RF_SWITCH
    board.TCXO_CV, board.DCDC, board.DIO2_RF_SWITCH = 0, False, False
    try:
        radio, model = made("pico_waveshare")
        radio.wake(433175000)
        assert sent(model, 0x97) == [] and sent(model, 0x96) == [b"\x96\x00"] and sent(model, 0x9D) == [b"\x9d\x00"]
        assert sent(model, 0x98) == [b"\x98\x6b\x6f"]
    finally:
        board.TCXO_CV, board.DCDC, board.DIO2_RF_SWITCH = saved


def test_send():
    radio, model = made()
    radio.wake(865062500)
    model.log.clear()
    start = time.now_us
    end = radio.send(bytes(range(30)), 865062500, 9, 125000, 14)
    assert model.sent[0][0] == bytes(range(30)) and model.sent[0][2] == 9
    # SF9, 125 kHz, 30 bytes with CRC: 226.304 ms by Semtech's calculator
    assert abs(model.sent[0][4] - model.sent[0][3] - 226304) <= 1, model.sent[0][4] - model.sent[0][3]
    assert 0 <= (end - model.sent[0][4]) <= 1500
    assert end - start < 240000
    assert abs(model.hz - 865062500) <= 1
    assert sent(model, 0x8B) == [b"\x8b\x09\x04\x01\x00"]
    assert sent(model, 0x8C) == [b"\x8c\x00\x08\x00\x1e\x01\x00"]  # preamble 8, explicit, 30 bytes, CRC on, IQ standard
    assert model.registers[0x0736] & 4 == 4  # 15.4
    assert model.registers[0x0889] & 4 == 4  # 15.1
    # 14 dBm, table 13-21
    assert sent(model, 0x95) == [b"\x95\x02\x02\x00\x01"] and sent(model, 0x8E) == [b"\x8e\x16\x04"]


def test_power_steps():
    radio, model = made()
    radio.wake(865062500)
    table = ((22, (4, 7), 22), (20, (3, 5), 22), (16, (2, 3), 21), (14, (2, 2), 22), (2, (2, 2), 10), (0, (2, 2), 8))
    for dbm, pa, code in table:
        model.log.clear()
        radio.send(b"x", 865062500, 7, 125000, dbm)
        assert sent(model, 0x95)[0][1:3] == bytes(pa), dbm
        assert sent(model, 0x8E)[0][1] == code, dbm


def test_low_data_rate_optimisation_from_sf11():
    radio, model = made()
    radio.wake(865062500)
    for sf, on in ((10, 0), (11, 1), (12, 1)):
        model.log.clear()
        radio.send(b"x", 865062500, sf, 125000, 14)
        assert sent(model, 0x8B) == [bytes((0x8B, sf, 4, 1, on))]


def test_receive_window():
    answer = b"\x60" + bytes(range(16))
    radio, model = made(net=lambda phy, hz, sf, end: [(866550000, 10, 50000, answer)])
    radio.wake(865062500)
    end = radio.send(b"hello", 865062500, 9, 125000, 14)
    radio.prepare(866550000, 10, 125000, 20)
    model.log.clear()
    time.now_us = end + 45000
    packet = radio.listen(10, 125000, 20)
    assert packet.phy == answer and packet.rssi == -90 and packet.snr == -5
    assert sent(model, 0x82) == [b"\x82\x00\x00\x00"]
    assert model.registers[0x0736] & 4 == 0 and model.registers[0x08AC] == 0x96


def test_an_empty_window_ends_by_the_symbol_timeout():
    radio, model = made()
    radio.wake(865062500)
    radio.send(b"hello", 865062500, 9, 125000, 14)
    radio.prepare(866550000, 12, 125000, 10)
    assert sent(model, 0xA0)[-1] == b"\xa0\x0a"
    start = time.now_us
    assert radio.listen(12, 125000, 10) is None
    assert 327000 <= time.now_us - start <= 335000  # 10 symbols of 32.768 ms


def test_channel_activity_detection():
    radio, model = made("xiao_s3_wio")
    radio.wake(865062500)
    for noisy in (False, True):
        model.noisy = lambda hz, sf, noisy=noisy: noisy
        model.log.clear()
        machine.writes.clear()
        start = time.now_us
        assert radio.hears(865062500, 9, 125000) == noisy
        assert sent(model, 0x88) == [b"\x88\x02\x17\x0a\x00\x00\x00\x00"]  # 4 symbols, peak 23: AN1200.48
        assert sent(model, 0x8C) == [b"\x8c\x00\x08\x00\xff\x01\x00"], "other nodes do not invert IQ"
        assert 4.5 * 4096 <= time.now_us - start <= 4.5 * 4096 + 2000
        levels = [level for pin, level in machine.writes if pin == 38]
        assert levels == [1, 0], "the antenna is switched to the receiver, and off"
    assert model.registers[0x0736] & 4 == 4  # 15.4


def test_activity_detection_that_never_ends():
    radio, model = made()
    radio.wake(865062500)
    model._look = lambda: None
    start = time.now_us
    assert not radio.hears(865062500, 9, 125000)
    assert time.now_us - start < 200000 and model.log[-1] == b"\x80\x00", "back to standby"


def test_rf_switch_pins():
    radio, _model = made("xiao_s3_wio")
    radio.wake(865062500)
    machine.writes.clear()
    radio.send(b"hello", 865062500, 9, 125000, 14)
    radio.prepare(866550000, 10, 125000, 10)
    assert machine.levels[38] == 1
    radio.listen(10, 125000, 10)
    assert machine.levels[38] == 0


def fails(action, *args):
    try:
        action(*args)
    except RadioError as error:
        return str(error)
    raise AssertionError("no error")


def test_busy_stuck_high_ends_in_time():
    radio, model = made()
    model.stuck = True
    start = time.now_us
    assert "BUSY" in fails(radio.wake, 865062500)
    assert time.now_us - start < 300000
    model.stuck = False
    radio.wake(865062500)
    assert radio.ready


def test_device_errors_are_named():
    radio, model = made()
    model.errors = 0x20
    assert "0x020" in fails(radio.wake, 865062500)
    assert not radio.ready


def test_a_frame_that_never_ends():
    radio, model = made()
    radio.wake(865062500)
    model.deaf_tx = True
    start = time.now_us
    assert "did not leave" in fails(radio.send, b"x", 865062500, 7, 125000, 14)
    assert time.now_us - start < 1000000


def test_sleep_with_and_without_retention():
    radio, model = made()
    radio.wake(865062500)
    radio.sleep(True)
    assert sent(model, 0x84) == [b"\x84\x04"]
    model.log.clear()
    radio.wake(865062500)
    assert [command[0] for command in model.log] == [0x80], "kept: no set-up"
    radio.sleep(False)
    assert sent(model, 0x84) == [b"\x84\x00"]
    model.log.clear()
    radio.wake(865062500)
    assert len(sent(model, 0x89)) == 1, "set up anew"
    radio.sleep(True)
    radio.sleep(True)  # it sleeps already


def test_image_is_calibrated_anew_for_another_band():
    radio, model = made()
    radio.wake(865062500)
    model.log.clear()
    radio.send(b"x", 868100000, 7, 125000, 14)
    assert sent(model, 0x98) == []
    radio.send(b"x", 433175000, 7, 125000, 10)
    assert sent(model, 0x98) == [b"\x98\x6b\x6f"]
    assert "band" in fails(radio.send, b"x", 600000000, 7, 125000, 10)


def test_every_board_names_all_its_values():
    names = [name for name in dir(config.board("template")) if name.isupper() or name[:1].isupper()]
    for board in ("pico_waveshare", "heltec_v3", "lilygo_t3s3", "xiao_s3_wio"):
        module = config.board(board)
        for name in names:
            assert hasattr(module, name), (board, name)
