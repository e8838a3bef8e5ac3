"""Reads one sensor with the real driver and prints [fields or fault code, milliseconds, driver enable]."""

import json
import sys
import time

import machine
from suat_node import config, sensors
from suat_node.sensors import rs485

sensor = json.loads(sys.stdin.read())
start = time.ticks_ms()
try:
    found = rs485.read(sensor, config.board("pico_waveshare"))
except Exception as error:
    found = sensors.fault_code(error)
print(json.dumps([found, time.ticks_diff(time.ticks_ms(), start), machine.driver_enable]))
