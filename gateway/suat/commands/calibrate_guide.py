"""The guided way through `suat calibrate`: asks, checks each answer at once, and keeps what was measured at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import typer

from suat.commands.calibrate import campaign_of, keep_curve, login, next_label, weigh_core
from suat.commands.calibrate_points import number
from suat.commands.calibrate_words import described, print_state, show_curve
from suat.commands.options import existing_journal, instant_us, iso_utc
from suat.commands.options import station_us as now
from suat.config import Config
from suat.errors import SuatError, UsageError, did_you_mean, printable
from suat.quality import campaign
from suat.quality.campaign import REFERENCE_C, Subject, Taken
from suat.store.calibration import Point, add_points
from suat.store.journal import Journal
from suat.store.reader import Reader

T = TypeVar("T")

POLL_S = 1.0  # how often the journal is looked at while a reading is awaited
RING_CM3 = 100.0  # the usual sampling ring (ISO 11272)
TIN_G = 0.0
ANY_M3 = 0.2  # a water content that a soil can have

STEPS = (  # (what is missing, what to do)
    ("air", "read the probe in air: clean, dry, hanging free"),
    ("water", "read the probe in water: in a bucket, to the same mark as in soil, 10 cm from its wall"),
    ("soil", "a soil core from beside the probe"),
    ("dry", "dry masses out of the oven (105 degC until two weighings agree)"),
    (None, "fit the curve and draw it"),
)
TEMPERATURE, DONE = len(STEPS) + 1, 0


def guide(settings: Config) -> None:
    """Walk through a probe's calibration until the curve is kept or the technician has done for today."""
    with Journal(existing_journal(settings)) as journal, journal.reader() as reader:
        subject = _chosen(reader)
        print("What you enter is kept at once; Ctrl-C leaves, and you go on here another day.\n")
        per_kelvin = 0.0
        while True:
            _, points = campaign_of(reader, subject.device.name, subject.group)
            print_state(points)
            step = _step(points)
            try:
                if step == DONE:
                    return
                if step == TEMPERATURE:
                    per_kelvin = _temperature(reader, subject, points, now(settings))
                    continue
                kind = STEPS[step - 1][0]
                if kind is None:
                    if _fit(journal, settings, subject, points, per_kelvin):
                        return
                elif kind == "dry":
                    _weigh(journal, subject, points)
                else:
                    point = _point(reader, subject, kind, points, lambda: now(settings))
                    add_points(journal, [campaign.check(point, points)])
                    print(f"kept: {described(point)}")
            except SuatError as error:
                print(f"{error}")


def _chosen(reader: Reader) -> Subject:
    devices = [d for d in reader.devices(revoked=False) if d.kind == "soil" and d.probes]
    if not devices:
        raise UsageError("there is no soil node with a probe; register one: suat device add --help")
    device = _one_of("Node", {device.name: device for device in devices})
    probe = _one_of("Probe", {probe.name: probe for probe in device.probes})
    return campaign.subject(devices, device.name, probe.name)


def _one_of(question: str, known: dict[str, T]) -> T:
    """The one that is meant; where there is one alone nobody is asked."""
    names = [*known]
    while len(names) > 1:
        name = _ask(f"{question} ({', '.join(names)})")
        if name in known:
            return known[name]
        print(f'there is no "{printable(name)}"{did_you_mean(name, names)}')
    return known[names[0]]


def _step(points: list[Point]) -> int:
    needed = campaign.missing(points)
    print()
    for place, (_, what) in enumerate(STEPS, 1):
        print(f"  {place}  {what}")
    print(f"  {TEMPERATURE}  the effect of temperature, from days in the ground\n  {DONE}  leave")
    usual = next(place for place, (kind, _) in enumerate(STEPS, 1) if kind == needed)
    answer = _number("What now", usual)
    return int(answer) if answer in range(TEMPERATURE + 1) else _step(points)


def _point(reader: Reader, subject: Subject, kind: str, points: list[Point], clock: Callable[[], int]) -> Point:
    taken = _reading(reader, subject, clock)
    label = next_label(kind, points)
    if kind != "soil":
        return _as_point(subject, kind, label, taken)
    any_core = _as_point(subject, kind, label, taken)._replace(moisture=ANY_M3)
    campaign.check(any_core, points)  # is the reading one to weigh a core for
    tin, ring = _last(points)
    while True:  # a slip costs the numbers, not the reading that was waited for
        point = _as_point(subject, kind, _ask("Number of the tin", label), taken)._replace(
            tin_g=_number("Mass of the empty tin, g", tin),
            volume_cm3=_number("Volume of the sampling ring, cm3", ring),
            wet_g=_number("Mass of tin and core now, g", None),
        )
        try:
            return campaign.check(point, points)
        except UsageError as error:
            print(error)


def _as_point(subject: Subject, kind: str, label: str, taken: Taken) -> Point:
    probe = (subject.registration, subject.group)
    return Point(*probe, label, kind, taken.at_us, taken.field, taken.raw, taken.temperature_c, made_by=login())


def _last(points: list[Point]) -> tuple[float, float]:
    """Tin and ring as they were the last time."""
    weighed = [point for point in points if point.volume_cm3 is not None]
    return (weighed[-1].tin_g or TIN_G, weighed[-1].volume_cm3 or RING_CM3) if weighed else (TIN_G, RING_CM3)


def _reading(reader: Reader, subject: Subject, clock: Callable[[], int]) -> Taken:
    """What the probe gave: awaited, looked up, or typed in from the node's console."""
    answer = _ask("When was it read? A time, = and a number from the console, or Enter to await the next reading", "")
    if answer.startswith("="):
        field = _ask("What is that", "count")
        return Taken(field, number(answer[1:]), number(_ask("Temperature, degC", str(REFERENCE_C))), clock())
    return (
        campaign.taken_at(reader, subject, instant_us(answer, "time"))
        if answer
        else await_reading(reader, subject, clock)
    )


def await_reading(reader: Reader, subject: Subject, clock: Callable[[], int]) -> Taken:
    """The next reading that the station keeps, shown as it comes."""
    since_us = clock()
    print("waiting for the node (its button, or its interval); Ctrl-C leaves", flush=True)
    while True:
        sent = campaign.sent_by(reader, subject, since_us, 1 << 62)
        if sent:
            taken = sent[-1]
            warm = "" if taken.temperature_c is None else f", {taken.temperature_c:.1f} degC"
            print(f"{iso_utc(taken.at_us)}  {taken.field} {taken.raw:.5g}{warm}")
            if typer.confirm("Take it", default=True):
                return taken
            since_us = taken.at_us + 1
        time.sleep(POLL_S)


def _weigh(journal: Journal, subject: Subject, points: list[Point]) -> None:
    waiting = campaign.in_oven(points)
    if not waiting:
        print("no core is in the oven")
    for point in waiting:
        answer = _ask(f"Mass of tin {point.label} with the dry core, g (Enter: not yet)", "")
        if answer:
            print(f"kept: {described(weigh_core(journal, subject, points, point.label, number(answer)))}")


def _temperature(reader: Reader, subject: Subject, points: list[Point], now_us: int) -> float:
    answer = _ask("From when on (Enter: all it has sent)", "1970-01-01")
    span = (instant_us(answer, "time"), now_us)
    found = campaign.temperature_effect(reader, subject, points, span, REFERENCE_C)
    print(f"{found.per_kelvin:+.5f} per kelvin, standard error {found.error:.5f}, from {found.days} days")
    clear = abs(found.per_kelvin) > 2 * found.error
    return found.per_kelvin if typer.confirm("Use it", default=clear) else 0.0


def _fit(journal: Journal, settings: Config, subject: Subject, points: list[Point], per_kelvin: float) -> bool:
    """Fit, draw, and keep if wanted; whether it was."""
    found = campaign.fitted(points, None, per_kelvin)
    soil = _ask("What soil is it, and where", "")
    curve = campaign.made(subject, points, found, soil, login(), now(settings))
    show_curve(subject, curve, None, found, None, False)
    print()
    if not typer.confirm("Use this curve from now on, for all readings", default=not found.suspects):
        return False
    keep_curve(journal, settings, subject, curve, found, poor=False)
    return True


def _ask(question: str, usual: str | None = None) -> str:
    return str(typer.prompt(question, default=usual, show_default=bool(usual))).strip()


def _number(question: str, usual: float | None) -> float:
    """A number; asked again until it is one."""
    while True:
        try:
            return number(_ask(question, None if usual is None else f"{usual:g}"))
        except UsageError as error:
            print(error)
