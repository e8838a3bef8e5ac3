"""A fitted curve as a picture: SVG for paper and screen, characters for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from suat.quality.curves import moisture, put_right
from suat.quality.fit import Fit, Known, is_normalised
from suat.store.rows import ProbeCurve

WIDTH, HEIGHT = 720, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 64, 64
STEPS = 60  # of the curve's line
_UNCURVED = (0.0, 1.0)

Span = tuple[float, float]


def axis_title(curve: ProbeCurve) -> str:
    """What the curve is a polynomial of, for people."""
    name = {"permittivity": "root of the permittivity", "vwc": "water content as sent, m3/m3"}.get(curve.field)
    if name is None:
        name = "count: 0 in air, 1 in water" if is_normalised(curve) else "count as sent"
    return f"{name}, at {curve.reference_c:g} degC" if curve.per_kelvin else name


def equation(curve: ProbeCurve) -> str:
    """The curve as people write it, m3/m3."""
    x = {"permittivity": "sqrt(permittivity)", "vwc": "vwc"}.get(curve.field, "count")
    if curve.field == "count" and is_normalised(curve):
        x = f"(count - {curve.air:.5g}) / ({curve.water:.5g} - {curve.air:.5g})"
    if curve.per_kelvin:
        x = f"{x} / (1 {curve.per_kelvin:+.3g} (T - {curve.reference_c:g}))".replace("1 +", "1 + ").replace(
            "1 -", "1 - "
        )
    terms = ""
    for power, coefficient in enumerate(curve.coefficients):
        sign = ("-" if coefficient < 0 else "") if not terms else (" - " if coefficient < 0 else " + ")
        terms += f"{sign}{abs(coefficient):.4g}" + ("", " x")[power > 0] + (f"^{power}" if power > 1 else "")
    return f"moisture = {terms}, x = {x}"


def spans(curve: ProbeCurve, fit: Fit | None) -> tuple[Span, Span]:
    """What the drawing shows: (x, moisture)."""
    low, high = (curve.low, curve.high) if fit is not None else _UNCURVED
    margin = 0.15 * (high - low)
    x = (low - margin, high + margin)
    values = [_at(curve, x[0]), _at(curve, x[1]), *((p.moisture for p in fit.points) if fit else ())]
    widest = max(fit.band(end) for end in x) if fit else 0.0
    return x, (min(0.0, min(values)), max(0.4, max(values) + min(widest, 0.1)))


def ticks(span: Span, most: int = 8) -> list[float]:
    """Round numbers within a span: 1, 2 or 5 times a power of ten apart."""
    rough = (span[1] - span[0]) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = -math.floor(-span[0] / step)
    return [round(step * n, 10) for n in range(first, math.floor(span[1] / step + 1e-9) + 1)]


def _at(curve: ProbeCurve, x: float) -> float:
    """The curve by a reading that is put right already."""
    return moisture(ProbeCurve(curve.coefficients, "vwc", low=curve.low, high=curve.high), x)


def _place(curve: ProbeCurve, point: Known) -> float:
    """The reading of a point, put right."""
    return put_right(curve, point.reading, math.nan if point.temperature_c is None else point.temperature_c)


def svg(heading: str, notes: Sequence[str], curve: ProbeCurve, fit: Fit | None) -> str:
    """The curve with its points, their distance to it and the band in which one more would lie (95 %)."""
    span_x, span_y = spans(curve, fit)
    across = _scale(span_x, LEFT, WIDTH - RIGHT)
    up = _scale(span_y, HEIGHT - BOTTOM, TOP)
    places = [span_x[0] + (span_x[1] - span_x[0]) * n / STEPS for n in range(STEPS + 1)]

    def path(points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{across(x):.1f},{up(min(max(y, span_y[0]), span_y[1])):.1f}" for x, y in points)

    parts = [_frame(span_x, span_y, across, up, axis_title(curve))]
    if fit is not None:
        upper = [(x, _at(curve, x) + fit.band(x)) for x in places]
        lower = [(x, _at(curve, x) - fit.band(x)) for x in reversed(places)]
        parts.append(f'<polygon class="band" points="{path([*upper, *lower])}"/>')
    inside = [x for x in places if curve.low <= x <= curve.high]
    parts.append(f'<polyline class="beyond" points="{path([(x, _at(curve, x)) for x in places])}"/>')
    parts.append(f'<polyline class="curve" points="{path([(x, _at(curve, x)) for x in inside])}"/>')
    for point in fit.points if fit else ():
        x, known = _place(curve, point), point.moisture
        kind = "suspect" if fit is not None and point.label in fit.suspects else "point"
        at_x, at_y, of_curve = across(x), up(known), up(_at(curve, x))
        parts.append(f'<line class="off" x1="{at_x:.1f}" y1="{at_y:.1f}" x2="{at_x:.1f}" y2="{of_curve:.1f}"/>')
        parts.append(f'<circle class="{kind}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="5"/>')
        parts.append(f'<text class="label" x="{at_x + 8:.1f}" y="{at_y + 14:.1f}">{escape(point.label)}</text>')
    parts.append(f'<text class="heading" x="{LEFT}" y="24">{escape(heading)}</text>')
    parts += [f'<text class="note" x="{LEFT}" y="{42 + 15 * n}">{escape(note)}</text>' for n, note in enumerate(notes)]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' role="img" aria-label="{escape(heading, quote=True)}">\n<style>{_STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n{body}\n</svg>\n'
    )


_STYLE = (
    "text{font:12px sans-serif;fill:#333}.heading{font-size:15px;font-weight:bold}.note{fill:#555}"
    ".paper{fill:#fff}.grid{stroke:#e4e4e4}.axis{stroke:#333}.band{fill:#cfe3f5}"
    ".curve{fill:none;stroke:#0b5394;stroke-width:2.5}.beyond{fill:none;stroke:#0b5394;stroke-dasharray:5 5}"
    ".point{fill:#a64d00}.suspect{fill:#fff;stroke:#c00;stroke-width:2.5}.off{stroke:#a64d00}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
)


def _scale(span: Span, first: float, last: float) -> Callable[[float], float]:
    return lambda value: first + (value - span[0]) / (span[1] - span[0]) * (last - first)


def _frame(
    span_x: Span, span_y: Span, across: Callable[[float], float], up: Callable[[float], float], title: str
) -> str:
    left, right, top, bottom = across(span_x[0]), across(span_x[1]), up(span_y[1]), up(span_y[0])
    parts = []
    for x in ticks(span_x):
        parts.append(f'<line class="grid" x1="{across(x):.1f}" y1="{top:.1f}" x2="{across(x):.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<text class="middle" x="{across(x):.1f}" y="{bottom + 18:.1f}">{x:g}</text>')
    for y in ticks(span_y):
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{up(y):.1f}" x2="{right:.1f}" y2="{up(y):.1f}"/>')
        parts.append(f'<text class="end" x="{left - 8:.1f}" y="{up(y) + 4:.1f}">{y:g}</text>')
    parts.append(
        f'<polyline class="axis" fill="none" points="{left:.1f},{top} {left:.1f},{bottom} {right:.1f},{bottom}"/>'
    )
    parts.append(f'<text class="middle" x="{(left + right) / 2:.1f}" y="{bottom + 42:.1f}">{escape(title)}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text class="middle" transform="rotate(-90 20 {middle:.1f})" x="20" y="{middle:.1f}">'
        "soil moisture, m3/m3</text>"
    )
    return "\n".join(parts)


def text(curve: ProbeCurve, fit: Fit | None, columns: int = 64, rows: int = 18) -> str:
    """The same in characters: `.` the curve, a point by its label's last character, `!` a point to look at."""
    span_x, span_y = spans(curve, fit)
    across, up = _scale(span_x, 0, columns - 1), _scale(span_y, rows - 1, 0)
    grid = [[" "] * columns for _ in range(rows)]

    def put(x: float, y: float, sign: str) -> None:
        column, row = round(across(x)), round(up(y))
        if 0 <= column < columns and 0 <= row < rows:
            grid[row][column] = sign

    for column in range(columns):
        x = span_x[0] + (span_x[1] - span_x[0]) * column / (columns - 1)
        put(x, _at(curve, x), ".")
    for point in fit.points if fit else ():
        x, known = _place(curve, point), point.moisture
        put(x, known, "!" if fit is not None and point.label in fit.suspects else point.label[-1:] or "o")
    named = {round(up(y)): f"{y:g}" for y in ticks(span_y, 6)}
    lines = [f"{named.get(row, ''):>6} |{''.join(line)}".rstrip() for row, line in enumerate(grid)]
    scale = [" "] * (columns + 6)
    for x in ticks(span_x, 6):
        mark, column = f"{x:g}", round(across(x))
        scale[column : column + len(mark)] = mark
    return "\n".join(
        [*lines, " " * 7 + "+" + "-" * columns, " " * 8 + "".join(scale).rstrip(), f"{'':8}{axis_title(curve)}"]
    )
