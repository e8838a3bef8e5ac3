"""Run by the real MicroPython interpreter: encodes and decodes what test_wire_micropython.py gives it on stdin."""

import json
import sys
from binascii import hexlify, unhexlify

from suat_wire import payload

for line in sys.stdin:
    job = json.loads(line)
    if "samples" in job:
        samples = [
            payload.Sample(record, age, {tuple(key.split(".")): value for key, value in readings.items()})
            for record, age, readings in job["samples"]
        ]
        data, fport = payload.encode(samples, 10000, job["ack_from"])
        print(json.dumps([hexlify(data).decode(), fport, payload.fit(samples, job["limit"], job["ack_from"])]))
    elif "value" in job:
        group, name, value = job["value"]
        try:
            print(json.dumps(hexlify(payload.pack({(group, name): float(value)})).decode()))
        except payload.PayloadError:
            print("null")
    else:
        try:
            asked, rows = payload.split(unhexlify(job["data"]), job["fport"], job["near"])
        except payload.PayloadError:
            print("null")
            continue
        told = []
        for record, age, body in rows:
            readings = payload.unpack(body)
            told.append([record, age, {".".join(key): readings[key] for key in readings}])
        print(json.dumps([asked, told]))
