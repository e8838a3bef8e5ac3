"""Runs the test functions of one file on MicroPython: `micropython runner.py FILE`; one JSON line each."""

import io
import json
import sys

module = __import__(sys.argv[1])
only = sys.argv[2:]
for name in dir(module):
    if not name.startswith("test_") or (only and name not in only):
        continue
    text = None
    try:
        getattr(module, name)()
    except BaseException as error:
        stream = io.StringIO()
        sys.print_exception(error, stream)
        text = stream.getvalue()
    print("\x01" + json.dumps({"name": name, "error": text}))
