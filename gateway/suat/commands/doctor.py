"""`suat doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import json

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, load

MARKS = {"good": "  ok ", "look": "LOOK ", "bad": "BAD  "}


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> int:
    """Look at clock, supply, card, disk, ports, journal, nodes, radio and InfluxDB; exit 1 when something is bad."""
    from suat.doctor import examine
    from suat.timekeeping import now_us

    settings = load(config)
    findings = examine(settings, now_us(settings.time, settings.station.data_dir))
    for finding in findings:
        if as_json:
            print(json.dumps(finding._asdict(), ensure_ascii=False))
        else:
            print(MARKS[finding.level] + finding.what + (f"\n       -> {finding.todo}" if finding.todo else ""))
    return int(any(finding.level == "bad" for finding in findings))
