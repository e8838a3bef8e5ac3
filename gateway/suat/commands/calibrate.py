"""`suat calibrate`: from weighed soil cores to a probe's curve."""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, existing_journal, instant_us, load
from suat.commands.options import station_us as now
from suat.errors import UsageError

if TYPE_CHECKING:
    from suat.config import Config
    from suat.quality.campaign import Subject
    from suat.quality.fit import Fit
    from suat.store.calibration import Point
    from suat.store.reader import Reader
    from suat.store.rows import Curve

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="The node's name or DevEUI.")]
ProbeArgument = Annotated[str, typer.Argument(metavar="PROBE", help="The probe's name, or its place: probe1.")]
ByOption = Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who did it; you, if not given.")]
SvgOption = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the curve into this file.")]
PerKelvinOption = Annotated[
    float, typer.Option("--per-kelvin", metavar="K", help="Relative change of the reading a kelvin.")
]
ReferenceOption = Annotated[
    float, typer.Option("--reference-c", metavar="C", help="The temperature that readings are put right to.")
]


def calibrate(context: typer.Context, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Calibrate a probe, step by step; take it up again whenever you like. The commands do the same, one by one."""
    if context.invoked_subcommand is not None:
        source = context.get_parameter_source("config")
        if source is not None and source.name == "COMMANDLINE":  # the command would take its own, the default
            raise UsageError(f"give --config behind the command: suat calibrate {context.invoked_subcommand} --config")
        return
    from suat.commands.calibrate_guide import guide

    guide(load(config))


def add(
    node: NodeArgument,
    probe: ProbeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    kind: Annotated[str, typer.Option(metavar="KIND", help="air, water or soil.")] = "soil",
    label: Annotated[str | None, typer.Option(metavar="TEXT", help="The tin's number; the next free one.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="ISO", help="When the probe was read; its readings are in the journal.")
    ] = None,
    raw: Annotated[float | None, typer.Option(metavar="X", help="What the probe gave, if not by radio.")] = None,
    field: Annotated[str, typer.Option(metavar="FIELD", help="What --raw is: count, permittivity, vwc.")] = "count",
    temperature_c: Annotated[float | None, typer.Option(metavar="C", help="The soil's temperature.")] = None,
    tin_g: Annotated[float | None, typer.Option(metavar="G", help="Mass of the empty tin.")] = None,
    wet_g: Annotated[float | None, typer.Option(metavar="G", help="Mass of tin and core as taken.")] = None,
    dry_g: Annotated[float | None, typer.Option(metavar="G", help="Mass of tin and core when dry.")] = None,
    volume_cm3: Annotated[float | None, typer.Option(metavar="CM3", help="Volume of the sampling ring.")] = None,
    moisture: Annotated[float | None, typer.Option(metavar="M3", help="Water content, if found elsewhere.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Many points at once (docs/calibration.md).")] = None,
    by: ByOption = None,
) -> None:
    """Keep what a probe gave in air, in water, or beside a soil core whose water content is known or will be."""
    from suat.commands.calibrate_points import read_points
    from suat.commands.calibrate_words import described
    from suat.quality.campaign import check, taken_at
    from suat.store.calibration import Point, add_points
    from suat.store.journal import Journal

    settings = load(config)
    with Journal(existing_journal(settings)) as journal, journal.reader() as reader:
        subject, others = campaign_of(reader, node, probe)
        now_us = now(settings)
        if csv is not None:
            single = (label, at, raw, temperature_c, tin_g, wet_g, dry_g, volume_cm3, moisture)
            if any(option is not None for option in single):
                raise UsageError("--csv: the points are in the file; give no others beside it")
            found = read_points(csv, subject, others, by or login(), now_us, lambda us: taken_at(reader, subject, us))
        else:
            at_us = now_us if at is None else instant_us(at, "--at")
            if raw is None:
                taken = taken_at(reader, subject, at_us)
                field, raw = taken.field, taken.raw
                temperature_c = taken.temperature_c if temperature_c is None else temperature_c
            label = label or next_label(kind, others)
            point = Point(
                *(subject.registration, subject.group, label, kind, at_us, field, raw, temperature_c),
                *(tin_g, wet_g, dry_g, volume_cm3, moisture, by or login()),
            )
            found = [check(point, others)]
        add_points(journal, found)
    for point in found:
        print(f"kept: {described(point)}")


def weigh(
    node: NodeArgument,
    probe: ProbeArgument,
    label: Annotated[str, typer.Argument(metavar="TIN", help="The label of the core that was in the oven.")],
    dry_g: Annotated[float, typer.Argument(metavar="G", help="Mass of tin and core, dry and cold.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Enter the dry mass of a core that was in the oven at 105 degC to constant mass."""
    from suat.commands.calibrate_words import described
    from suat.store.journal import Journal

    settings = load(config)
    with Journal(existing_journal(settings)) as journal, journal.reader() as reader:
        subject, points = campaign_of(reader, node, probe)
        print(f"kept: {described(weigh_core(journal, subject, points, label, dry_g))}")


def weigh_core(journal: Any, subject: Subject, points: list[Point], label: str, dry_g: float) -> Point:
    """Keep the dry mass of a core [g, with the tin]; the point, which is known now. UsageError."""
    from suat.quality.campaign import core, in_oven
    from suat.store import calibration

    waiting = {point.label: point for point in in_oven(points)}
    if label not in waiting:
        listed = ", ".join(waiting) or "none"
        raise UsageError(f'no core "{label}" of {subject} waits for its dry mass; there are {listed}')
    point = waiting[label]._replace(dry_g=dry_g)
    core(point)
    calibration.weigh(journal, subject.registration, subject.group, label, dry_g)
    return point


def temperature(
    node: NodeArgument,
    probe: ProbeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[str, typer.Option(metavar="ISO", help="From this instant on.")] = "1970-01-01",
    until: Annotated[str | None, typer.Option(metavar="ISO", help="Up to this instant; now, if not given.")] = None,
    reference_c: ReferenceOption = 20.0,
    as_json: JsonOption = False,
) -> None:
    """How much the probe's reading changes with its temperature, from its days in the ground without rain and roots."""
    from suat.quality.campaign import temperature_effect
    from suat.store.reader import Reader

    settings = load(config)
    span = instant_us(since, "--since"), now(settings) if until is None else instant_us(until, "--until")
    with Reader(existing_journal(settings)) as reader:
        subject, points = campaign_of(reader, node, probe)
        found = temperature_effect(reader, subject, points, span, reference_c)
    if as_json:
        print(json.dumps(found._asdict()))
        return
    print(f"{subject}: {found.per_kelvin:+.5f} per kelvin, standard error {found.error:.5f}, from {found.days} days")
    clear = abs(found.per_kelvin) > 2 * found.error
    print(
        f"use it: suat calibrate fit ... --per-kelvin {found.per_kelvin:.5f}" if clear else "no clear effect: leave it"
    )


def fit(
    node: NodeArgument,
    probe: ProbeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    degree: Annotated[int | None, typer.Option(min=1, max=2, help="1 or 2; the better one, if not given.")] = None,
    per_kelvin: PerKelvinOption = 0.0,
    reference_c: ReferenceOption = 20.0,
    soil: Annotated[str, typer.Option(metavar="TEXT", help="What soil it is, and where.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Use the curve from now on, for all readings.")] = False,
    poor: Annotated[bool, typer.Option("--poor", help="Keep it though its points lie far from it.")] = False,
    by: ByOption = None,
    svg: SvgOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the curve to the points and draw it; nothing is changed without --keep."""
    from suat.commands.calibrate_words import show_curve
    from suat.quality import campaign
    from suat.store.journal import Journal

    settings = load(config)
    with Journal(existing_journal(settings)) as journal, journal.reader() as reader:
        subject, points = campaign_of(reader, node, probe)
        found = campaign.fitted(points, degree, per_kelvin, reference_c)
        curve = campaign.made(subject, points, found, soil, by or login(), now(settings))
        show_curve(subject, curve, None, found, svg, as_json)
        if keep:
            keep_curve(journal, settings, subject, curve, found, poor)
        elif not as_json:
            print("nothing is changed yet: --keep uses it from now on")


def keep_curve(journal: Any, settings: Config, subject: Subject, curve: Curve, found: Fit | None, poor: bool) -> None:
    """Keep a curve; UsageError for one that is not good enough, unless it is wanted `poor`."""
    from suat import running
    from suat.quality.fit import GOOD
    from suat.store.calibration import add_curve

    if found is not None and found.left_out > GOOD and not poor:
        raise UsageError(
            f"not kept: it foretells points {found.left_out:.3f} m3/m3 off, and a general curve does with {GOOD:g};"
            " look at the points, take more, or keep it all the same with --poor"
        )
    add_curve(journal, curve)
    when = "the running station computes its readings anew within seconds"
    if not running.seen(settings):
        node = subject.device.name
        when = f"its readings are computed anew when the station starts, or now: suat refilter --node {node}"
    print(f"kept as the curve of {subject}; {when}", file=sys.stderr)


def use(
    node: NodeArgument,
    probe: ProbeArgument,
    coefficients: Annotated[
        str, typer.Option(metavar="C0,C1[,C2...]", help="moisture = c0 + c1 x + c2 x^2 ..., m3/m3.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    field: Annotated[
        str, typer.Option(metavar="FIELD", help="What x is: count, permittivity (its root), vwc.")
    ] = "count",
    air: Annotated[float, typer.Option(metavar="X", help="The count in air.")] = 0.0,
    water: Annotated[float, typer.Option(metavar="X", help="The count in water.")] = 1.0,
    per_kelvin: PerKelvinOption = 0.0,
    reference_c: ReferenceOption = 20.0,
    soil: Annotated[str, typer.Option(metavar="TEXT", help="What soil it is, and whose curve.")] = "",
    by: ByOption = None,
) -> None:
    """Use a curve that a laboratory or the probe's maker has given."""
    from suat.commands.calibrate_words import show_curve
    from suat.quality.campaign import check_curve, check_notes
    from suat.store.journal import Journal
    from suat.store.rows import Curve, ProbeCurve

    try:
        numbers = tuple(float(text) for text in coefficients.split(","))
    except ValueError:
        raise UsageError(f'--coefficients "{coefficients}": write them as 0.02,0.61') from None
    form = check_curve(ProbeCurve(numbers, field, air, water, per_kelvin, reference_c))
    made_by = by or login()
    check_notes(soil, made_by)
    settings = load(config)
    with Journal(existing_journal(settings)) as journal, journal.reader() as reader:
        subject, _ = campaign_of(reader, node, probe)
        curve = Curve(subject.registration, subject.group, form, None, now(settings), soil, made_by)
        show_curve(subject, curve, None, None, None, False)
        keep_curve(journal, settings, subject, curve, None, False)


def show(
    node: NodeArgument,
    probe: ProbeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    version: Annotated[
        int | None, typer.Option(metavar="N", help="An older one; the one in use, if not given.")
    ] = None,
    svg: SvgOption = None,
    as_json: JsonOption = False,
) -> None:
    """A probe's curve: what soil, when and by whom, how good, and its points; else how far its calibration is."""
    from suat.commands.calibrate_words import print_state, show_curve, standing
    from suat.quality.campaign import refitted
    from suat.store.calibration import all_curves
    from suat.store.reader import Reader

    settings = load(config)
    with Reader(existing_journal(settings)) as reader:
        subject, points = campaign_of(reader, node, probe)
        versions = subject.versions(reader.read(all_curves))
    in_use = [number for number, curve in enumerate(versions, 1) if curve.dropped_us is None]
    number = version or (in_use[-1] if in_use else 0)
    if version is not None and not 1 <= version <= len(versions):
        raise UsageError(f"--version {version}: {subject} has {len(versions)}")
    if number:
        curve = versions[number - 1]
        show_curve(subject, curve, number, refitted(curve), svg, as_json, standing(versions, number))
    elif svg is not None:
        raise UsageError(f"--svg: {subject} has no curve in use; --version N draws an older one")
    elif not as_json:
        print(f"{subject}: no curve in use")
    if not as_json:
        print_state(points)


def list_curves(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Every probe that has a curve, or points for one."""
    from suat.commands.calibrate_words import curve_line, curve_row, state
    from suat.quality.campaign import Subject
    from suat.store import calibration
    from suat.store.reader import Reader

    settings = load(config)
    with Reader(existing_journal(settings)) as reader:
        devices = reader.devices()
        curves, points = reader.read(calibration.all_curves), reader.read(calibration.points)
    seen = False
    for device in devices:
        for place in device.probes:
            subject = Subject(device, f"probe{place.position}", place.name)
            for number, curve in enumerate(subject.versions(curves), 1):
                seen = True
                if as_json:
                    print(json.dumps(curve_row(subject, curve, number), ensure_ascii=False))
                else:
                    print(curve_line(subject, subject.versions(curves), number))
            mine = subject.of(points)
            if mine and not as_json:
                seen = True
                print(f"{subject!s:32} {state(mine)}")
    if not seen and not as_json:
        print("no probe is calibrated here; begin with: suat calibrate")


def drop(
    node: NodeArgument,
    probe: ProbeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    version: Annotated[int | None, typer.Option(metavar="N", help="Of the curves, as listed.")] = None,
    point: Annotated[str | None, typer.Option(metavar="LABEL", help="Of the points; later fits do without.")] = None,
) -> None:
    """Take a curve out of use, or a point out of later fits; both are remembered."""
    from suat.store import calibration
    from suat.store.journal import Journal

    if (version is None) == (point is None):
        raise UsageError("give --version N or --point LABEL")
    settings = load(config)
    with Journal(existing_journal(settings)) as journal, journal.reader() as reader:
        subject, points = campaign_of(reader, node, probe)
        if point is not None:
            if point not in [known.label for known in points]:
                listed = ", ".join(known.label for known in points) or "none"
                raise UsageError(f'--point: {subject} has no point "{point}"; it has {listed}')
            calibration.drop_point(journal, subject.registration, subject.group, point, now(settings))
            print(f'dropped the point "{point}" of {subject}')
            return
        versions = subject.versions(reader.read(calibration.all_curves))
        assert version is not None
        if not 1 <= version <= len(versions) or versions[version - 1].dropped_us is not None:
            raise UsageError(f"--version {version}: {subject} has none of that number in use; see suat calibrate list")
        calibration.drop_curve(journal, versions[version - 1], now(settings))
        left = [number for number, curve in enumerate(versions, 1) if curve.dropped_us is None and number != version]
    print(f"dropped; {subject} has {f'version {left[-1]} in use' if left else 'no curve in use'} now")


# What the commands and the guide share


def campaign_of(reader: Reader, node: str, probe: str) -> tuple[Subject, list[Point]]:
    """The probe, and its points so far."""
    from suat.quality.campaign import subject
    from suat.store.calibration import points

    found = subject(reader.devices(), node, probe)
    return found, found.of(reader.read(points))


def login() -> str:
    """Who sits at the machine."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return ""


def next_label(kind: str, others: list[Point]) -> str:
    """A label that no point has: cores are numbered."""
    used = {point.label for point in others}
    names = (str(n) if kind == "soil" else f"{kind}-{n}" for n in range(1, len(used) + 2))
    return next(name for name in names if name not in used)
