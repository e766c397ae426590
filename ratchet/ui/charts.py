"""Charts as inline SVG, drawn on the server. Colours come from the page's style sheet, so they follow its
theme; every chart has a text alternative, and its numbers stand in a table beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from shared.messages.evidence import Interval
from shared.messages.records import ARMS

WIDTH, HEIGHT, MARGIN = 720, 240, 36
SHOWN_LABELS = 20  # of an axis: more would overlap
SHOWN_POINTS = 720  # of a line: one a pixel


@dataclass(frozen=True)
class Scale:
    """Maps a value in [low, high] to pixels from the bottom of the plot."""

    low: float
    high: float

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)


def scale_of(values: Sequence[float]) -> Scale:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    slack = 0.05 * ((high - low) or 1.0)
    return Scale(low - slack, high + slack)


def arms_chart(rows: Sequence[tuple[int, dict[str, Interval | None]]]) -> Markup:
    """The four arms of each generation, with 95 % intervals. `rows`: (generation, interval by arm)."""
    known = [found for _, arms in rows for found in arms.values() if found]
    scale = scale_of([edge for found in known for edge in (found.low, found.high)])
    step = (WIDTH - 2 * MARGIN) / max(len(rows), 1)
    parts = [_axis(scale)]
    for column, (number, arms) in enumerate(rows):
        left = MARGIN + step * column
        if column % -(-len(rows) // SHOWN_LABELS) == 0:
            parts.append(_text(left + step / 2, HEIGHT - 12, str(number), "middle"))
        for place, arm in enumerate(ARMS):
            if found := arms.get(arm):
                x = left + step * (place + 1) / (len(ARMS) + 1)
                parts.append(_whisker(x, found, scale, arm, f"generation {number}, {arm}"))
    return _svg(parts, f"Scores of the four arms in {len(rows)} generations, with 95 % intervals")


def line_chart(points: Sequence[tuple[float, float]], label: str, band: Sequence[Interval] = ()) -> Markup:
    """A line through (x, y), with a band where intervals are given, one a point. Of a long line every so many
    points are drawn, and the last one."""
    every = -(-len(points) // SHOWN_POINTS)
    if every > 1:
        kept = sorted({*range(0, len(points), every), len(points) - 1})
        points, band = [points[at] for at in kept], [band[at] for at in kept] if band else ()
    edges = [edge for found in band for edge in (found.low, found.high)]
    scale = scale_of([y for _, y in points] + edges)
    last = max((x for x, _ in points), default=1.0) or 1.0

    def at(x: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * x / last

    parts = [_axis(scale)]
    if band:
        above = [f"{at(x):.1f},{scale.y(found.high):.1f}" for (x, _), found in zip(points, band, strict=True)]
        below = [f"{at(x):.1f},{scale.y(found.low):.1f}" for (x, _), found in zip(points, band, strict=True)]
        parts.append(f'<polygon class="band" points="{" ".join(above + below[::-1])}"/>')
    path = " ".join(f"{at(x):.1f},{scale.y(y):.1f}" for x, y in points)
    parts.append(f'<polyline class="line" points="{path}"/>')
    return _svg(parts, label)


def gains_chart(gains: Sequence[tuple[str, float, str]]) -> Markup:
    """Horizontal bars: what each lever bought. `gains`: (name, difference to base, its text)."""
    most = max((abs(value) for _, value, _ in gains), default=1.0) or 1.0
    middle, parts = WIDTH / 2, []
    for row, (name, value, text) in enumerate(gains):
        y, size = 12 + 34 * row, abs(value) / most * (WIDTH / 2 - 130)
        x = middle if value >= 0 else middle - size
        shape = f'x="{x:.1f}" y="{y}" width="{size:.1f}" height="22"'
        parts.append(f'<rect class="arm-{escape(name)}" {shape}/>')
        parts.append(_text(4, y + 16, name, "start"))
        parts.append(_text(WIDTH - 4, y + 16, text, "end"))
    parts.append(f'<line class="axis" x1="{middle}" x2="{middle}" y1="4" y2="{34 * len(gains) + 8}"/>')
    spoken = ", ".join(f"{name} {text}" for name, _, text in gains)
    return _svg(parts, f"Difference to base: {spoken}", 34 * len(gains) + 12)


def _whisker(x: float, found: Interval, scale: Scale, arm: str, title: str) -> str:
    low, high, mean = scale.y(found.low), scale.y(found.high), scale.y(found.mean)
    about = f"{title}: {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return (
        f'<g class="arm-{arm}"><title>{escape(about)}</title>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{mean:.1f}" r="4"/></g>'
    )


def _axis(scale: Scale) -> str:
    lines = []
    for part in range(5):
        value = scale.low + (scale.high - scale.low) * part / 4
        y = scale.y(value)
        lines.append(f'<line class="grid" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(_text(MARGIN - 4, y + 4, f"{value:.2f}", "end"))
    return "".join(lines)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], label: str, height: int = HEIGHT) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
