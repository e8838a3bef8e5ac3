"""Each sensor with each fault it really has, on the whole node in the simulator: the right code, the frame on time.

A node a case, all in one run: sound at first, broken for ten minutes, sound again. The table is what docs/wiring.md
tells a technician; a kind of sensor that it leaves out is a failure.
"""

import base64
import itertools
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from suat_node.sensor_options import OPTIONS
from suat_wire import lorawan, payload_host
from suat_wire.aes import Aes
from suat_wire.document import FAULTS
from suat_wire.payload_host import unpack

clock = pytest.importorskip("suat.clock")
devices = pytest.importorskip("suat_sim.devices")
fleet_module = pytest.importorskip("suat_sim.fleet")
node_process = pytest.importorskip("suat_sim.node_process")
air = pytest.importorskip("suat_sim.air")

MISSING, CORRUPT, OUT_OF_RANGE, OPEN, SHORT, LOW_SUPPLY, UNSTEADY = (
    FAULTS.index(text)
    for text in (
        "no answer", "bad answer", "impossible value", "open circuit", "short circuit", "low supply", "unsteady",
    )
)  # fmt: skip
UNSEEN = -1  # the pin cannot tell it from a sound sensor: a value travels, no code; docs/wiring.md says which

PICO, LILYGO = "pico_waveshare", "lilygo_t3s3"
RS485 = {"kind": "rs485", "uart": 1, "tx": 4, "rx": 5, "de": 6, "power": 22}
WATER_MAP = [["ec", 0, 0.001], ["temperature", 1, 0.1], ["depth", 4, 0.001]]

PAGE = (Path(__file__).parents[2] / "docs" / "wiring.md").read_text()
# the most that each kind takes, as that page promises it
AT_MOST_S = {kind: float(most) for kind, most in re.findall(r"^\| `(\w+)`[^|]*\| ([\d.]+) s \|", PAGE, re.M)}

# kind -> [(board, its options, {fault: code})]
CASES: dict[str, list[tuple[str, dict[str, Any], dict[str, int]]]] = {
    "capacitive": [
        (
            board,
            {"at": "probe1", "adc": adc, "power": power},
            {"missing": SHORT, "shorted": SHORT, "open": OPEN, "noisy": UNSTEADY},
        )
        for board, adc, power in ((PICO, 27, 22), (LILYGO, 4, 15))
    ],
    "rs485": [
        (
            PICO,
            {**RS485, **more},
            {
                "missing": MISSING, "shorted": MISSING, "noisy": CORRUPT, "hung": CORRUPT, "crc": CORRUPT,
                "half": CORRUPT, "wrong": CORRUPT, "error": CORRUPT, "range": OUT_OF_RANGE, "glitch": 0,
            },
        )
        for more in ({"at": "probe2"}, {"at": "water", "registers": WATER_MAP})
    ],
    "ds18b20": [
        (
            board,
            {"at": at, "pin": pin},
            {
                "missing": MISSING, "open": MISSING, "shorted": SHORT, "noisy": CORRUPT, "crc": CORRUPT,
                "hung": MISSING, "range": OUT_OF_RANGE, "low_supply": LOW_SUPPLY,
            },
        )
        for board, at, pin in ((PICO, "water", 7), (LILYGO, "node", 15))
    ],
    "ultrasonic": [
        (
            PICO,
            {"at": "water", "uart": 1, "tx": 4, "rx": 5, "power": 22},
            {
                "missing": MISSING, "noisy": UNSTEADY, "hung": CORRUPT, "crc": CORRUPT, "half": CORRUPT,
                "range": OUT_OF_RANGE, "glitch": 0,
            },
        )
    ],
    "pressure": [
        (PICO, {"at": "water", "adc": 28, "power": 22}, {"missing": OPEN, "shorted": SHORT, "noisy": UNSTEADY})
    ],
    "flow": [
        (
            LILYGO,
            {"at": "water", "source": "pcf8583", "sda": 16, "scl": 17},
            {"missing": MISSING, "shorted": SHORT, "hung": MISSING, "range": OUT_OF_RANGE, "low_supply": LOW_SUPPLY},
        ),
        (PICO, {"at": "water", "source": "pin", "pin": 9, "debounce_ms": 5}, {"noisy": 0}),
        (LILYGO, {"at": "water", "source": "pin", "pin": 16, "pulses_per_l": 0.2}, {"missing": UNSEEN}),
    ],
    "switch": [
        (PICO, {"at": "water", "pin": 8}, {"noisy": UNSTEADY, "missing": UNSEEN, "shorted": UNSEEN}),
        (LILYGO, {"at": "node", "pin": 16}, {"noisy": UNSTEADY}),
    ],
    "current": [
        (
            PICO,
            {"at": "water", "adc": 28, "amps_per_v": 30.0},
            {"missing": OPEN, "shorted": OPEN, "open": SHORT, "range": OUT_OF_RANGE},
        ),
        (LILYGO, {"at": "water", "adc": 9, "amps_per_v": 25.0, "mode": "dc"}, {"missing": OPEN, "open": SHORT}),
    ],
    "solar": [(PICO, {"at": "node", "adc": 28}, {"range": OUT_OF_RANGE, "open": OUT_OF_RANGE, "missing": UNSEEN})],
    "battery": [(PICO, {"at": "node"}, {"missing": OPEN, "shorted": OPEN})],
    "logger": [
        (
            PICO,
            {"at": "node", "uart": 0, "tx": 0, "rx": 1, "power": 22},
            {"missing": MISSING, "noisy": CORRUPT, "hung": CORRUPT, "crc": CORRUPT, "half": CORRUPT},
        )
    ],
}  # fmt: skip

INTERVAL_S = 300
BROKEN_S = (695.0, 1310.0)  # two samples or three
RUN_S = 2050.0
RADIO_S = 2  # beside the sensors, from a sample's time to its frame; ages are whole seconds
START_APART_S = 2.3
START_US = 1_767_225_600_000_000


class World:
    """Everything is well but for one fault, for a while."""

    def __init__(self, sensor: dict[str, Any], fault: str) -> None:
        self.name = f"{sensor['at']}.{sensor['kind']}.fault"
        self.mode = float(devices.FAULT_MODES.index(fault))

    def at(self, t: float) -> dict[str, float | None]:
        since = t - START_US / 1e6
        return {
            self.name: self.mode if BROKEN_S[0] <= since < BROKEN_S[1] else 0.0,
            "probe1.count": 0.5, "probe2.vwc": 0.25, "probe2.temperature": 9.5, "probe2.ec": 0.7,
            "water.depth": 1.5, "water.distance": 1.2, "water.temperature": 6.5, "water.ec": 1.1, "water.float": 1.0,
            "water.volume": 5 + 0.05 * since, "water.pump_current": 5.0,
            "node.air_temperature": 11.5, "node.battery": 3.9, "node.solar": 18.0, "node.tamper": 0.0,
        }  # fmt: skip

    def ask(self, t: float, line: bytes) -> bytes:
        """A logger without new rows."""
        body = b"END 7"
        return body + b"*%02X%02X\n" % tuple(reversed(devices.crc16(body)))


@dataclass
class Case:
    kind: str
    board: str
    sensor: dict[str, Any]
    fault: str
    code: int
    samples: dict[int, tuple[float, dict[tuple[str, str], float]]] = field(default_factory=dict)  # by record
    ages: list[int] = field(default_factory=list)  # of the newest sample of each frame

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.sensor['at']}-{self.board}-{self.fault}"


ALL = [
    Case(kind, board, {"kind": kind, **options}, fault, code)
    for kind, rows in CASES.items()
    for board, options, faults in rows
    for fault, code in faults.items()
]


def spec(number: int, case: Case) -> Any:
    config = {
        "board": case.board,
        "kind": "soil",  # no event of the water asks for frames out of turn
        "interval_s": INTERVAL_S,
        "radio": {"dr": 5, "adr": False},
        "abp": {"dev_addr": f"0102{number:04x}", "nwk_skey": "11" * 16, "app_skey": "22" * 16},
        "sensors": [case.sensor, *([] if case.kind == "battery" else [{"kind": "battery"}])],
    }
    if case.kind == "battery":
        config["sensors"].append({"kind": "capacitive", "at": "probe1", "adc": 27})
    return node_process.NodeSpec(
        f"n{number}",
        config,
        World(case.sensor, case.fault),
        x_m=100.0 + number,
        start_us=round(number * START_APART_S * 1e6),
    )


def listen(fleet: Any) -> None:
    """A receiver that hears all and acknowledges nothing."""
    keys = Aes(bytes.fromhex("11" * 16)), Aes(bytes.fromhex("22" * 16))

    def receive(data: bytes, _address: Any) -> None:
        if data[3] != 0:
            return
        for rxpk in json.loads(data[12:]).get("rxpk", []):
            phy = base64.b64decode(rxpk["data"])
            frame = lorawan.parse_data(phy)
            case = ALL[frame.dev_addr & 0xFFFF]
            assert lorawan.mic_ok(keys[0], frame, frame.fcnt16)
            content = lorawan.open_payload(*keys, frame, frame.fcnt16)
            if not frame.fport:
                continue
            sent = fleet.now_us() / 1e6
            _, samples = payload_host.split(content, frame.fport, max(case.samples, default=0))
            case.ages.append(min(age for _, age, _ in samples))
            for record, age, body in samples:
                case.samples.setdefault(record, (sent - age, unpack(body)))

    fleet.attach(receive)


@pytest.fixture(scope="module")
def run() -> list[Case]:
    """All nodes of the table, side by side."""
    specs = [spec(number, case) for number, case in enumerate(ALL)]
    still = air.AirSettings(shadow_db=0.0, fading_db=0.0)
    with fleet_module.Fleet(clock.VirtualScheduler(START_US), specs, seed=1, air=still) as fleet:
        listen(fleet)
        fleet.run(RUN_S)
        assert [incident for incident in fleet.incidents if incident.kind != "reset"] == []
    return ALL


def readings(case: Case, begin: float, end: float) -> list[dict[tuple[str, str], float]]:
    """The samples taken between the two times; those of one instant (health apart) are one."""
    by_time: dict[int, dict[tuple[str, str], float]] = {}
    for taken, found in case.samples.values():
        if begin <= taken < end:
            by_time.setdefault(round(taken / 10), {}).update(found)
    return list(by_time.values())


def test_each_kind_of_sensor_has_its_faults_listed() -> None:
    assert set(CASES) == set(OPTIONS)
    assert {case.fault for case in ALL} == set(devices.FAULT_MODES) - {""}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) >= set(OPTIONS)
    assert set(AT_MOST_S) == set(OPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ALL)), ids=[case.name for case in ALL])
def test_the_right_code_travels_and_the_frame_leaves_on_time(number: int, run: list[Case]) -> None:
    case = run[number]
    group = case.sensor["at"]
    while_broken = readings(case, BROKEN_S[0] + 5, BROKEN_S[1] - 5)
    assert len(while_broken) >= 2
    for found in while_broken:
        code = found.get((group, "fault"), 0)
        assert code == max(0, case.code), (FAULTS[int(code)], found)
        if case.kind != "battery":
            assert abs(found["node", "battery"] - 3.9) < 0.05, "the other readings travel"
    sound = readings(case, 0, BROKEN_S[0] - 5) + readings(case, BROKEN_S[1] + 5, RUN_S)
    assert len(sound) >= 4
    for found in sound:
        if case.fault == "low_supply" and case.kind == "flow":
            continue  # the first sample after it says once more that litres were lost
        assert (group, "fault") not in found, found
    # on its grid, and sent at once
    grid = sorted({round(taken) for taken, _ in case.samples.values()})[1:]  # the first one follows the start
    assert all(abs(later - earlier - INTERVAL_S) <= 2 for earlier, later in itertools.pairwise(grid)), grid
    assert len(case.ages) >= len(sound) + 2 and max(case.ages) <= AT_MOST_S[case.kind] + RADIO_S, case.ages


@pytest.mark.slow
def test_values_are_right_where_nothing_is_broken(run: list[Case]) -> None:
    """What each sound sensor says is what the world is like; the meter's contact bounced, and was counted once."""
    # a pulse of the simulated contact comes up to two minutes late: 6 L
    tolerance = {"pump_current": 0.12, "solar": 0.1, "battery": 0.05, "volume": 7.0, "count": 0.001}
    seen = set()
    started = {
        case.name: World(case.sensor, "").at(START_US / 1e6 + number * START_APART_S)["water.volume"]
        for number, case in enumerate(run)
    }
    for case in run:
        for taken, found in case.samples.values():
            truth = World(case.sensor, "").at(START_US / 1e6 + taken)
            for (group, name), value in found.items():
                if group == "health" or name in ("fault", "events"):
                    continue
                if case.code and BROKEN_S[0] - 5 < taken < BROKEN_S[1] + 5:
                    continue
                want = truth[f"{group}.{name}"]
                if name == "volume":
                    want = math.floor(want or 0) - math.floor(started[case.name] or 0)
                    if case.fault == "low_supply":
                        continue
                assert want is not None and abs(value - want) <= tolerance.get(name, 0.06), (case.name, name, value)
                seen.add((group.rstrip("12"), name))
    assert seen >= {("water", name) for name in ("depth", "distance", "volume", "ec", "float", "pump_current")}
    assert seen >= {("probe", "vwc"), ("probe", "count"), ("node", "solar"), ("node", "air_temperature")}
