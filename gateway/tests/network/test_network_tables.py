"""The table [network] of the configuration: taken whole or refused with one clear line a fault."""

from __future__ import annotations

import tomllib

import pytest
from suat.config import ConfigError, parse

STATION = '[station]\nname = "Asy"\nregion = "{region}"\ndata_dir = "data"\n'


def faults(network: str, region: str = "IN865") -> list[str]:
    try:
        parse(tomllib.loads(STATION.format(region=region) + "[network]\n" + network))
    except ConfigError as error:
        return error.faults
    return []


def test_adr_is_on_and_repetitions_are_not_unless_the_file_says_so() -> None:
    plain = parse(tomllib.loads(STATION.format(region="IN865"))).network
    assert (plain.adr, plain.repetitions, plain.extra_channels_hz) == (True, 1, ())
    given = parse(
        tomllib.loads(
            STATION.format(region="IN865")
            + "[network]\nadr = false\nrepetitions = 3\nextra_channels_mhz = [866.185, 865.6025]\n"
        )
    ).network
    assert (given.adr, given.repetitions, given.extra_channels_hz) == (False, 3, (866_185_000, 865_602_500))


@pytest.mark.parametrize(
    ("network", "region", "said"),
    [
        ("extra_channels_mhz = [868.1]", "IN865", "868.1: not a channel of IN865; it lies within 865 to 867 MHz"),
        ("extra_channels_mhz = [868.65]", "EU868", "868.65: not a channel of EU868"),  # between two bands
        ("extra_channels_mhz = [865.06251]", "IN865", "in steps of 100 Hz"),
        ("extra_channels_mhz = [865.0625]", "IN865", "865.062: IN865 has that channel already"),
        ("extra_channels_mhz = [866.1, 866.1]", "IN865", "or it is given twice"),
        ("extra_channels_mhz = [866.1, 866.2, 866.3, 866.4, 866.5, 866.6]", "IN865", "at most 5"),
        ("repetitions = 4", "IN865", "network.repetitions"),
        ("repetitions = 0", "IN865", "network.repetitions"),
        ("ard = true", "IN865", 'network.ard: unknown key (did you mean "adr"?)'),
    ],
)
def test_one_line_a_fault(network: str, region: str, said: str) -> None:
    found = faults(network, region)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(("region", "mhz"), [("EU868", 867.1), ("RU864", 866.1), ("EU433", 434.175), ("IN865", 866.9)])
def test_channels_of_each_region(region: str, mhz: float) -> None:
    assert faults(f"extra_channels_mhz = [{mhz}]", region) == []
