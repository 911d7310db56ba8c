"""Charts that can be read on a phone and on paper.

Bars are boxes of HTML, whose text keeps its size however narrow the page; only the line
of a time series is drawn, and its labels stand beside it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dbops.cli.page.elements import Element, element

_WIDTH, _HEIGHT = 600.0, 120.0


class Part(NamedTuple):
    """A part of a bar."""

    label: str
    """What it is."""
    value: float
    """How much of it."""
    text: str
    """The same, as a person reads it."""
    kind: str = ""
    """A class that colours it; numbered colours otherwise."""


class Point(NamedTuple):
    """One instant of a series; None is unknown and leaves a gap."""

    at: float
    low: float | None
    high: float | None


def stacked(parts: Sequence[Part], *, whole: float, name: str) -> Element:
    """Draw one bar of several parts, and say below what each is.

    Args:
        parts: From the left.
        whole: What the full width stands for.
        name: What the bar shows, for who cannot see it.
    """
    coloured = [it._replace(kind=it.kind or f"c{n % 6}") for n, it in enumerate(parts)]
    bar = element(
        "div",
        *(
            element("span", class_=it.kind, style=_width(it.value, whole))
            for it in coloured
            if it.value > 0
        ),
        class_="bar",
        role="img",
        aria_label=f"{name}: " + ", ".join(f"{it.label} {it.text}" for it in parts),
    )
    legend = element(
        "ul",
        *(
            element(
                "li",
                element("i", class_=it.kind),
                f"{it.label} ",
                element("b", it.text),
            )
            for it in coloured
        ),
        class_="legend",
    )
    return element("div", bar, legend, class_="stacked")


def ranked(parts: Sequence[Part]) -> Element:
    """Draw one bar for each part, the longest for the greatest."""
    most = max((it.value for it in parts), default=0.0)
    return element(
        "ol",
        *(
            element(
                "li",
                element("span", it.label, class_="name"),
                element("b", it.text),
                element(
                    "div",
                    element("span", class_="c0", style=_width(it.value, most)),
                    class_="bar thin",
                ),
            )
            for it in parts
        ),
        class_="ranked",
    )


def band(points: Sequence[Point], *, name: str, unit: str) -> Element:
    """Draw what lies between low and high over time.

    Args:
        points: In the order of their time.
        name: What is shown, for who cannot see it.
        unit: What the values are, such as `s`.
    """
    span = (points[-1].at - points[0].at) if points else 0.0
    known = [it for it in points if it.low is not None or it.high is not None]
    most = max((it.high or it.low or 0.0 for it in known), default=0.0)
    shapes = [_shape(run, span or 1.0, most or 1.0) for run in _runs(points)]
    drawing = element(
        "svg",
        *(it for shape in shapes for it in shape),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{name}, at most {most:.3g} {unit} within {span:.0f} s",
    )
    return element(
        "figure",
        element("span", f"{most:.3g} {unit}", class_="top"),
        drawing,
        element("figcaption", element("span", "0 s"), element("span", f"{span:.0f} s")),
        class_="series",
    )


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """Split where something is unknown: a line across a gap would be a claim."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.low is None and point.high is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _shape(run: Sequence[Point], span: float, most: float) -> list[Element]:
    def place(at: float, value: float | None) -> str:
        left = (at - 0.0) / span * _WIDTH
        return f"{left:.1f},{(1 - (value or 0.0) / most) * (_HEIGHT - 4) + 2:.1f}"

    uppers = [place(it.at, it.low if it.high is None else it.high) for it in run]
    lowers = [place(it.at, it.low) for it in reversed(run)]
    if len(run) == 1:
        x, y = uppers[0].split(",")
        return [element("circle", cx=x, cy=y, r="3")]
    return [
        element("polygon", points=" ".join([*uppers, *lowers])),
        element("polyline", points=" ".join(uppers)),
    ]


def _width(value: float, whole: float) -> str:
    share = min(max(value / whole, 0.0), 1.0) if whole > 0 else 0.0
    return f"width:{share * 100:.2f}%"
