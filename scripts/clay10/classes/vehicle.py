"""What several vehicles share: the wheel."""

from clay10.figure import Model
from clay10.material import Material
from clay10.palette import RUBBER, Colour

HUB = (0.1, 0.1, 0.1)
STEEL = (0.5, 0.5, 0.52)


def add_wheels(model: Model, x: float, z: float, radius: float, half_width: float, rim: Colour = STEEL) -> None:
    """Add a pair of wheels that stand on the ground at (+-x, 0, z)."""

    def disc(inner: float, outer: float, disc_radius: float, paint: Material | Colour, rounding: float) -> None:
        start, end = (x + inner * half_width, radius, z), (x + outer * half_width, radius, z)
        model.cylinder(start, end, disc_radius, paint, rounding=rounding, mirror=True, blend=0)

    disc(-1, 1, radius, RUBBER, 0.04)
    disc(0.7, 1.12, radius * 0.56, Material(rim, gloss=0.6), 0.015)
    disc(1, 1.25, radius * 0.2, HUB, 0.01)
