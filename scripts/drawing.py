"""What the pictures of these scripts share: SVG documents, and curves of accuracy."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

GREY = "#555"


@dataclass(frozen=True)
class Curve:
    """Accuracies (0 to 1) along the horizontal axis, with their standard deviations (0: none is drawn)."""

    label: str
    colour: str
    points: list[tuple[float, float, float]]  # x, accuracy, deviation; x increases

    def at(self, x: float) -> float:
        """Return the accuracy at a place, between points on a straight line."""
        places, shares, _ = zip(*self.points, strict=True)
        return float(np.interp(x, places, shares))


def document(width: int, height: int, title: str, parts: Iterable[str], caption: str) -> str:
    """Return a whole SVG document: title above, caption below."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            'font-size="13"><rect width="100%" height="100%" fill="white"/>',
            f'<text x="12" y="26" font-size="16">{title}</text>',
            *parts,
            f'<text x="12" y="{height - 12}" fill="{GREY}" font-size="11">{caption}</text></svg>\n',
        ]
    )


def text(x: float, y: float, content: str, colour: str = GREY, anchor: str = "middle") -> str:
    """Return a piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{content}</text>'


def curves(title: str, drawn: list[Curve], ticks: dict[float, str], caption: str) -> str:
    """Return curves as SVG; the horizontal axis is logarithmic, with `ticks` at these places."""
    points = [point for curve in drawn for point in curve.points]
    low, high = (choose(x for x, _, _ in points) for choose in (min, max))
    floor = int(20 * min(share - sd for _, share, sd in points)) / 20
    ceiling = (int(20 * max(share + sd for _, share, sd in points)) + 1) / 20

    def x(value: float) -> float:
        return 60 + 560 * float(np.log(value / low) / max(np.log(high / low), 1e-9))

    def y(share: float) -> float:
        return 330 - 270 * (share - floor) / (ceiling - floor)

    parts = []
    for tick in np.arange(floor, ceiling + 0.01, 0.05):
        parts.append(f'<path d="M60 {y(tick):.1f}H620" stroke="#ddd"/>')
        parts.append(text(52, y(tick) + 4, f"{tick:.0%}", anchor="end"))
    for curve in drawn:
        path = " ".join(f"{x(value):.1f},{y(share):.1f}" for value, share, _ in curve.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{curve.colour}" stroke-width="2"/>')
        for value, share, sd in curve.points:
            if sd:
                parts.append(
                    f'<path d="M{x(value):.1f} {y(share - sd):.1f}V{y(share + sd):.1f}" stroke="{curve.colour}"/>'
                )
            parts.append(f'<circle cx="{x(value):.1f}" cy="{y(share):.1f}" r="4" fill="{curve.colour}"/>')
            below = any(other.at(value) > share for other in drawn)
            beside = y(share - sd) + 18 if below else y(share + sd) - 9
            parts.append(text(x(value), beside, f"{share:.1%}", curve.colour))
        parts.append(text(632, y(curve.points[-1][1]) + 4, curve.label, curve.colour, "start"))
    parts += [text(x(min(max(place, low), high)), 350, label) for place, label in ticks.items()]
    return document(740, 400, title, parts, caption)
