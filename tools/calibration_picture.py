"""Draw docs/figures/calibration_*.svg: the curves of the example in docs/calibration.md."""

from __future__ import annotations

import sys
from pathlib import Path

from suat.commands.calibrate_points import read_points
from suat.commands.calibrate_words import show_curve
from suat.quality import campaign
from suat.quality.campaign import Subject, Taken
from suat.records import DeviceRecord, Probe

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
MADE_US = 1_783_900_800_000_000  # 2026-07-13
PER_KELVIN = 0.0005


def _by_radio(at_us: int) -> Taken:
    raise AssertionError(f"the example has what the probe gave, {at_us} too")


def draw(folder: Path) -> None:
    """Fit the points of the example, print the fits and draw them: with all points, and without the mistaken tin."""
    device = DeviceRecord(1, "upper-3", "soil", "00" * 8, None, "jailau-1", None, (Probe("upper", 10, 1),), 0)
    subject = Subject(device, "probe1", "upper")
    points = read_points(FIGURES / "calibration_points.csv", subject, [], "Aigul", MADE_US, _by_radio)
    for name, taken in (("suspect", points), ("kept", [point for point in points if point.label != "T8"])):
        found = campaign.fitted(taken, None, PER_KELVIN)
        curve = campaign.made(subject, taken, found, "loam, upper terrace", "Aigul", MADE_US)
        show_curve(subject, curve, None, found, folder / f"calibration_{name}.svg", False)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES)
