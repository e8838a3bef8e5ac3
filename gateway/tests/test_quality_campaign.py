"""A campaign: the next step follows from the points, whatever the probe gives and in whatever order they were taken."""

from __future__ import annotations

import pytest
from suat.errors import UsageError
from suat.quality import campaign
from suat.quality.campaign import Taken, check, fitted, in_oven, missing
from suat.quality.curves import moisture
from suat.store.calibration import Point

AIR = Point(1, "probe1", "air", "air", 0, "count", 0.82)
WATER = Point(1, "probe1", "water", "water", 0, "count", 0.36)
LEDIEU = (-0.1758, 0.1138)  # Ledieu et al. 1986: moisture by the root of the permittivity


def core(label: str, raw: float, dry_g: float | None = None, field: str = "count") -> Point:
    return Point(1, "probe1", label, "soil", 0, field, raw, 12.0, 50.0, 205.0, dry_g, 100.0)


def known(label: str, raw: float, water: float, field: str = "count") -> Point:
    return Point(1, "probe1", label, "soil", 0, field, raw, 12.0, moisture=water)


def test_each_point_brings_the_next_step() -> None:
    cores = [core(str(n), 0.7 - n / 50) for n in range(5)]
    points: list[Point] = []
    steps = [missing(points)]
    for point in (AIR, WATER, *cores):
        points.append(check(point, points))
        steps.append(missing(points))
    assert steps == ["air", "water", "soil", "soil", "soil", "soil", "soil", "dry"]
    assert in_oven(points) == cores
    assert missing([*points[:2], *(one._replace(dry_g=180.0) for one in cores)]) is None


def test_a_probe_that_gives_permittivity_needs_no_air_and_no_water() -> None:
    """Its own curve in its soil; these points lie on Ledieu's."""
    points = [known(str(e), e, LEDIEU[0] + LEDIEU[1] * e**0.5, "permittivity") for e in (5.0, 8.0, 12.0, 18.0, 26.0)]
    assert missing(points[:4]) == "soil" and missing(points) is None
    found = fitted(points, degree=1)
    assert found.curve.coefficients == pytest.approx(LEDIEU)
    assert moisture(found.curve, 16.0) == pytest.approx(LEDIEU[0] + 4 * LEDIEU[1])


def test_air_alone_is_no_scale() -> None:
    points = [AIR, *(known(str(n), 0.7 - n / 25, 0.1 + n / 25) for n in range(5))]
    assert missing(points) == "water"
    with pytest.raises(UsageError, match="read in air alone: read it in water too"):
        fitted(points)


def test_a_probe_that_was_changed_begins_anew() -> None:
    with pytest.raises(UsageError, match="points before are of count"):
        check(known("x", 12.0, 0.2, "permittivity"), [AIR, WATER])
    with pytest.raises(UsageError, match="there is one already"):
        check(AIR, [AIR])


@pytest.mark.parametrize("wet_g", [45.0, 50.0, 400.0])
def test_a_mass_is_doubted_while_the_core_can_still_be_weighed_again(wet_g: float) -> None:
    with pytest.raises(UsageError, match=r'point "7": .*(weighed with its tin|no soil)'):
        check(core("7", 0.6)._replace(wet_g=wet_g), [])


def test_the_middle_of_some_readings() -> None:
    sent = [Taken("count", raw, warm, at) for raw, warm, at in ((0.61, 12.0, 1), (0.60, None, 2), (0.90, 13.0, 3))]
    assert campaign.middle(sent) == Taken("count", 0.61, 12.5, 2, 3)  # a wild one does no harm
    with pytest.raises(UsageError, match="count and vwc in turn"):
        campaign.middle([*sent, Taken("vwc", 0.2, None, 4)])
