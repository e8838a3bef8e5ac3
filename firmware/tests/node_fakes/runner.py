"""Runs the test functions of one file on MicroPython: `micropython runner.py FILE [NAME ...]`; one JSON line each.

What is random is the same in each run, or a test that waits for a rare draw fails once in a hundred;
SUAT_TEST_SEED=N takes other draws.
"""

import io
import json
import os
import random
import sys

seed = int(os.getenv("SUAT_TEST_SEED") or 1)

module = __import__(sys.argv[1])
only = sys.argv[2:]
for name in dir(module):
    if not name.startswith("test_") or (only and name not in only):
        continue
    text = None
    random.seed(seed)
    try:
        getattr(module, name)()
    except BaseException as error:
        stream = io.StringIO()
        sys.print_exception(error, stream)
        text = stream.getvalue()
    print("\x01" + json.dumps({"name": name, "error": text}))
