"""Grafana's own types (npm @grafana/schema) and a YAML reader judge the files; installed at first use."""

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PROVISIONING = HERE.parent / "provisioning"
RAW = "@grafana/schema/dist/esm/raw/composable"
PANEL_TYPES = {
    "stat": ("stat", "Stat"),
    "bargauge": ("bargauge", "BarGauge"),
    "table": ("table", "Table"),
    "timeseries": ("timeseries", "TimeSeries"),
    "state-timeline": ("statetimeline", "StateTimeline"),
}
# An enum of TypeScript takes no literal: its values do.
HEAD = """\
import type { Dashboard, Panel, DataTransformerConfig } from '@grafana/schema';
type Wire<T> =
  T extends string ? `${T}` : T extends (infer U)[] ? Wire<U>[] : T extends object ? { [K in keyof T]: Wire<T[K]> } : T;
"""
# Offered by the panel ("Disconnect values"), but not in its schema.
MISSING = {"state-timeline": "{ insertNulls?: boolean | number; spanNulls?: boolean | number }"}


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install {package}", pytrace=False)
    return found


@pytest.fixture(scope="session")
def modules() -> Path:
    """node_modules with the exact versions of package.json."""
    wanted = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    with (HERE / "package.json").open() as manifest:
        fcntl.flock(manifest, fcntl.LOCK_EX)  # tests may run in several processes
        for name, version in wanted.items():
            installed = HERE / "node_modules" / name / "package.json"
            if not installed.exists() or json.loads(installed.read_text("utf-8"))["version"] != version:
                command = [tool("npm", "npm"), "install", "--no-package-lock", "--no-audit", "--no-fund"]
                done = subprocess.run(
                    [*command, "--ignore-scripts"], cwd=HERE, capture_output=True, text=True, timeout=300, check=False
                )
                if done.returncode:
                    pytest.fail(f"npm install failed in {HERE}: {done.stderr[-1000:]}", pytrace=False)
                break
    return HERE / "node_modules"


def typescript(dashboards: dict[str, Any]) -> str:
    """The dashboards as literals of Grafana's types: an unknown key or a wrong value does not compile."""
    lines = [HEAD]
    for module, (folder, name) in PANEL_TYPES.items():
        alias = module.replace("-", "")
        lines.append(f"import type * as {alias} from '{RAW}/{folder}/panelcfg/x/{name}PanelCfg_types.gen';")
    for path, dashboard in dashboards.items():
        lines.append(f"// {path}")
        panels = dashboard["panels"]
        lines.append(f"(): Wire<Dashboard> => ({json.dumps({**dashboard, 'panels': []})});")
        for panel in panels:
            kind = panel["type"]
            alias = kind.replace("-", "")
            options, custom = panel["options"], panel["fieldConfig"]["defaults"].get("custom")
            lines.append(f"(): Wire<Panel> => ({json.dumps(panel)});")
            lines.append(f"(): Wire<Partial<{alias}.Options>> => ({json.dumps(options)});")
            if custom:
                more = f" & {MISSING[kind]}" if kind in MISSING else ""
                lines.append(f"(): Wire<Partial<{alias}.FieldConfig{more}>> => ({json.dumps(custom)});")
    return "\n".join(lines)


def compiled(source: str, modules: Path, folder: Path) -> list[str]:
    """What `tsc` has against it."""
    (folder / "dashboards.ts").write_text(source, "utf-8")
    (folder / "node_modules").symlink_to(modules)
    flags = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext"]
    command = ["node_modules/typescript/bin/tsc", *flags, "--moduleResolution", "bundler", "dashboards.ts"]
    done = subprocess.run(
        [tool("node", "nodejs"), *command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    faults = done.stdout.splitlines()
    assert done.returncode == 0 or faults, done.stderr
    return faults


@pytest.mark.slow
def test_grafanas_own_types_accept_every_dashboard(committed: dict[str, Any], modules: Path, tmp_path: Path) -> None:
    assert compiled(typescript(committed), modules, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("panel", "change"),
    [
        (0, {"options": {"colorMode": "backgroundd"}}),
        (1, {"options": {"displayMod": "basic"}}),
        (5, {"fieldConfig": {"defaults": {"custom": {"lineWidth": "2"}}}}),
        (5, {"fieldConfig": {"defaults": {"units": "percent"}}}),
        (3, {"gridPoss": {}}),
    ],
)
def test_grafanas_own_types_refuse_what_is_wrong(
    committed: dict[str, Any], modules: Path, tmp_path: Path, panel: int, change: dict[str, Any]
) -> None:
    dashboard = json.loads(json.dumps(committed["en/pasture-now.json"]))
    merge(dashboard["panels"][panel], change)
    assert compiled(typescript({"wrong": dashboard}), modules, tmp_path)


def merge(target: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


@pytest.fixture(scope="session")
def provisioned(modules: Path) -> dict[str, Any]:
    """The provisioning files as a YAML 1.2 reader takes them; it refuses a key that is given twice."""
    script = (
        "const {parse} = require('yaml'), fs = require('fs');"
        "console.log(JSON.stringify(process.argv.slice(1).map(path => parse(fs.readFileSync(path, 'utf8')))))"
    )
    paths = sorted(PROVISIONING.rglob("*.yaml"))
    done = subprocess.run(
        [tool("node", "nodejs"), "-e", script, *map(str, paths)],
        cwd=modules.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        str(path.relative_to(PROVISIONING)): content
        for path, content in zip(paths, json.loads(done.stdout), strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_the_data_source_is_the_one_that_the_dashboards_ask(
    provisioned: dict[str, Any], committed: dict[str, Any], version: int
) -> None:
    content = provisioned[f"datasources/influxdb{version}.yaml"]
    assert content["apiVersion"] == 1
    (source,) = content["datasources"]
    asked = {panel["datasource"]["uid"] for dashboard in committed.values() for panel in dashboard["panels"]}
    assert {source["uid"]} == asked
    assert (source["type"], source["access"], source["editable"]) == ("influxdb", "proxy", False)
    assert source["jsonData"]["dbName"] == "suat"
    assert "version" not in source["jsonData"]  # InfluxQL is what the data source speaks when nothing else is said
    for secret in source["secureJsonData"].values():
        assert "$__file{/etc/suat/grafana." in secret
    if version == 2:
        assert source["jsonData"]["httpHeaderName1"] == "Authorization"
        assert source["secureJsonData"]["httpHeaderValue1"].startswith("Token $__file{")


@pytest.mark.slow
def test_each_language_has_a_folder(provisioned: dict[str, Any], committed: dict[str, Any]) -> None:
    providers = provisioned["dashboards/suat.yaml"]["providers"]
    folders = {provider["options"]["path"].rpartition("/")[2]: provider for provider in providers}
    assert folders.keys() == {path.partition("/")[0] for path in committed}
    for unique in ("name", "folder", "folderUid"):
        assert len({provider[unique] for provider in providers}) == len(providers)
    for language, provider in folders.items():
        assert provider["type"] == "file"
        assert provider["allowUiUpdates"] is False
        assert provider["folderUid"] == f"suat-{language}"
