"""compose.yaml by the Compose specification's own rules (PyPI compose-spec), and its images against the installer's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from compose_spec import PyCompose

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "gateway" / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()


def test_it_is_what_the_specification_allows() -> None:
    compose = PyCompose.from_yaml(TEXT)
    compose.validate()
    assert sorted(compose.service_names()) == ["grafana", "influxdb", "station"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("mem_limit: 300m", "mem_limitt: 300m"),
        ("restart: always", "restart: sometimes"),
        ("      - influx_token\n", "      - influx_tokn\n"),
        ("condition: service_started", "condition: service_begun"),
    ],
)
def test_the_judge_finds_a_slip(good: str, bad: str) -> None:
    assert good in TEXT
    with pytest.raises(ValueError, match=r"\S"):
        PyCompose.from_yaml(TEXT.replace(good, bad, 1)).validate()


def test_every_image_is_pinned_to_what_the_installer_installs() -> None:
    script = (DEPLOY / "install.sh").read_text()
    for image, variable in (("influxdb", "influxdb_version"), ("grafana/grafana", "grafana_version")):
        wanted = re.search(rf"{variable}='([\d.]+)\.\*'", script)
        found = re.search(rf"image: {image}:([\d.]+)\n", TEXT)
        assert wanted and found and found[1].startswith(wanted[1] + "."), (image, wanted, found)


def test_nothing_but_loopback_is_published_and_the_station_has_no_rights() -> None:
    assert set(re.findall(r'"([\d.]+):\d+:\d+', TEXT.split("secrets:\n  suat_toml")[0])) == {"127.0.0.1"}
    station = TEXT.split("  influxdb:\n    image")[0]
    for line in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"):
        assert line in station


def test_the_dockerfile_copies_what_there_is() -> None:
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            *sources, _target = line.split()[1:]
            assert [name for name in sources if not (ROOT / name).exists()] == []
