"""The configuration's door: a file that a person, or a broken card, has spoiled."""

from __future__ import annotations

import tomllib
from pathlib import Path
from random import Random
from typing import Any

import tomli_w
from suat.config import ConfigError, load

from fuzzing import mutate
from fuzzing.target import BrokenError

VALID = """
[station]
name = "Asy"
timezone = "Asia/Almaty"
region = "IN865"
data_dir = "/var/lib/suat"

[[ingest]]
kind = "semtech_udp"
bind = "127.0.0.1:1700"

[[ingest]]
kind = "chirpstack"
broker = "127.0.0.1:1883"
username = "suat"
password_file = "mqtt.password"
devices = { a84041000181c061 = "dragino_lse01" }

[[ingest]]
kind = "serial_bridge"
port = "usb:2e8a:0005"
channel = 1
dr = 3

[influx]
url = "http://127.0.0.1:8086"
api = "v2"
org = "upu"
buckets = { raw = "pasture", m15 = "pasture_15m", h1 = "pasture_1h", d1 = "pasture_1d" }
token_file = "influx.token"

[board]
bind = "127.0.0.1:8080"

[[paddock]]
id = "jailau-1"
name = { en = "Jailau 1", ru = "Джайляу 1", kk = "Жайлау 1" }
area_ha = 120
kind = "summer"
soil = "loam"
forage_kg_ha = 600
forage_date = 2026-06-01

[[water_point]]
id = "spring-1"
paddocks = ["jailau-1"]
distance_km = { jailau-1 = 1.2 }
tank_l = 10000
depth_m = 2.0
dead_l = 500
alternative = "none"

[[herd]]
id = "otar-1"
species = "sheep"
head = 600
live_weight_kg = 50
"""


class Target:
    refusals: tuple[type[Exception], ...] = (ConfigError,)
    chunk = 500

    def __init__(self, folder: Path, chance: Random) -> None:
        self.path = folder / "suat.toml"
        self.valid = tomllib.loads(VALID)
        self.loaded = 0
        self.path.write_text(VALID, encoding="utf-8")
        load(self.path)

    def make(self, chance: Random) -> bytes:
        if chance.random() < 0.3:
            return mutate.raw(chance, VALID.encode())
        content: Any = self.valid
        for _ in range(chance.choice((1, 1, 2, 5))):
            content = mutate.tree(chance, content, mutate.SCALARS)
        try:
            said = tomli_w.dumps(content).encode()
        except (TypeError, AttributeError, ValueError, RecursionError):  # no table any more
            said = mutate.raw(chance, VALID.encode())
        return mutate.raw(chance, said) if chance.random() < 0.1 else said

    def feed(self, case: bytes) -> None:
        self.path.write_bytes(case)
        try:
            load(self.path)
        except ConfigError as error:
            lines = str(error).split("\n")
            if not all(line.startswith(str(self.path)) for line in lines):
                raise BrokenError(f"a fault that does not say where: {error!r}") from error
            raise
        self.loaded += 1

    def look(self) -> None:
        return None

    def reached(self) -> dict[str, int]:
        return {"accepted": self.loaded}

    def close(self) -> None: ...
