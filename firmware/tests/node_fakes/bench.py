"""A node on the small bench: fake hardware, small network, folder on flash."""

import binascii
import os
import sys
import time

import chip
import machine
import network
from suat_node import config, power

FOLDER = os.getenv("SUAT_TEST_FOLDER") or "/tmp/suat-node-test"


def settings(board="pico_waveshare", otaa=False, **more):
    """A configuration with a probe and the battery."""
    raw = {
        "board": board,
        "kind": "soil",
        "interval_s": 900,
        "radio": {"dr": 3},
        "sensors": [
            {"kind": "capacitive", "at": "probe1", "adc": 27 if board == "pico_waveshare" else 2},
            {"kind": "battery"},
        ],
    }
    if otaa:
        raw["otaa"] = {"dev_eui": "0102030405060708", "join_eui": "1112131415161718", "app_key": hexed(network.APP_KEY)}
    else:
        raw["abp"] = {"dev_addr": "01020304", "nwk_skey": hexed(network.NWK), "app_skey": hexed(network.APP)}
    raw.update(more)
    return config.check(raw)


def hexed(data):
    return binascii.hexlify(data).decode()


def hardware(board_name="pico_waveshare", net=None):
    """Fresh hardware; the clock goes on."""
    board = config.board(board_name)
    machine.wiring = board
    machine.chip = chip.Chip(net)
    machine.analog = {27: [30000], 2: [30000], 26: [25000], 1: [20000]}
    machine.lines = {}
    machine.levels = {}
    machine.i2c = {}
    machine.rtc = b""
    machine.cause = machine.PWRON_RESET
    time.watchdog_us = 0
    power._wdt = None
    return board


def start(conf, board, folder=FOLDER):
    """Boot the node's program."""
    from suat_node import node

    power.start(board)
    return node.Node(conf, board, folder)


def _between(node):
    """Whether this wake is for an extra frame, a join, or a band that opens again: none that takes a sample."""
    return power.clock() < node.counters.next_sense and not power.woken_by_pin()


def life(node, wakes):
    """So many wakes of a board that stays in its program, with the wakes between them that take no sample."""
    from suat_node import node as program

    while wakes:
        wakes -= not _between(node)
        program.wake(node)
        program.sleep(node)


def deep_life(conf, board, wakes, folder=FOLDER, forget=False):
    """The same of a board that starts again each time, modules and all."""
    while wakes:
        if forget:
            for name in list(sys.modules):
                if name.startswith("suat_node"):
                    del sys.modules[name]
        from suat_node import node as program

        node = start(conf, board, folder)
        wakes -= not _between(node)
        try:
            program.wake(node)
            program.sleep(node)
        except machine.DeepSleep:
            machine.cause = machine.DEEPSLEEP_RESET
    return node
