"""A probe calibrated while the real daemon runs: the past is computed anew, without being asked."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.slow
def test_the_running_station_takes_a_curve_over_and_lets_it_go_again(station: Any, concentrator: Any) -> None:
    """A soil-specific curve of a probe that knows its water content itself: half of what it says."""
    (node,) = station.register(1)
    station.start()
    concentrator.pull()
    for number in range(4):
        concentrator.push(node.frame(number, vwc=0.2 + 0.01 * number))

    def moistures() -> list[float]:
        return [row["value"] for row in station.readings() if row["channel"] == "moisture"]

    station.wait_for(lambda: moistures() == [0.2, 0.21, 0.22, 0.23])
    station.suat("calibrate", "use", node.name, "upper", "--field", "vwc", "--coefficients", "0,0.5")
    station.wait_for(lambda: moistures() == pytest.approx([0.1, 0.105, 0.11, 0.115]))
    concentrator.push(node.frame(4, vwc=0.24))
    station.wait_for(lambda: moistures()[4:] == pytest.approx([0.12]))
    station.suat("calibrate", "drop", node.name, "upper", "--version", "1")
    station.wait_for(lambda: moistures() == [0.2, 0.21, 0.22, 0.23, 0.24])
    station.stop()
