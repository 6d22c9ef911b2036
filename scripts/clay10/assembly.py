"""The list of parts that a figure becomes, and the points that its picture must show."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from clay10.field import PART, Field, Shape
from clay10.geometry import IDENTITY, Point
from clay10.material import Material
from clay10.palette import Colour

BOTH_SIDES = (1, -1)
BOUNDS_MARGIN = 0.12  # for what blends and roundings add


class KeyPoint(NamedTuple):
    """A ball that the picture's frame takes into account; `role` is that of the part it belongs to."""

    position: np.ndarray
    radius: float
    role: str


class Assembly:
    """Parts in the order they join, placed in the world.

    `blend` is the seam width for parts that name none. `role` marks parts: "body", "head" (what a portrait
    shows) or "scenery" (which the frame ignores).
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.blend = 0.03
        self.role = "body"
        self.key_points: list[KeyPoint] = []
        self._records: list[tuple[Any, ...]] = []
        self._origin = np.zeros(3)
        self._turn = IDENTITY
        self._scale = 1.0

    @property
    def parts(self) -> np.ndarray:
        """The parts so far, an array of `field.PART`."""
        return np.array(self._records, PART)

    def field(self) -> Field:
        """Return the finished figure.

        Key points lie close to the surface, the parts' reach is generous: the bounds are where the boxes
        about both overlap.
        """
        parts = self.parts
        solid = parts[parts["hollow"] == 0]
        centre = solid["centre"]
        reach = solid["reach"][:, None] + np.linalg.norm(solid["middle"] - centre, axis=1)[:, None]
        position = np.array([point.position for point in self.key_points])
        radius = np.array([point.radius for point in self.key_points])[:, None] + BOUNDS_MARGIN
        low = np.maximum((centre - reach).min(0), (position - radius).min(0))
        high = np.minimum((centre + reach).max(0), (position + radius).max(0))
        return Field(parts, np.stack([low, high]))

    @contextmanager
    def head(self, origin: Point, turn: np.ndarray, scale: float, blend: float) -> Iterator[None]:
        """Build the head inside: own origin, orientation (3, 3), unit of length and default blend."""
        before = self.blend
        self._origin, self._turn, self._scale = np.asarray(origin, float), turn, scale
        self.role, self.blend = "head", blend
        yield
        self._origin, self._turn, self._scale = np.zeros(3), IDENTITY, 1.0
        self.role, self.blend = "body", before

    @contextmanager
    def scenery(self) -> Iterator[None]:
        """Build inside what stands about the figure and must not count for the frame."""
        self.role = "scenery"
        yield
        self.role = "body"

    def mark(self, position: Point, radius: float = 0.0, side: int = 1) -> None:
        """Make a ball count for the frame."""
        self.key_points.append(KeyPoint(self._placed(position, side), radius * self._scale, self.role))

    def _placed(self, point: Point, side: int) -> np.ndarray:
        """Return the place in the world of a point, or of its mirror image, in the current frame."""
        return self._scale * (self._turn @ (np.asarray(point) * (side, 1, 1))) + self._origin

    def _add(
        self,
        shape: Shape,
        centre: np.ndarray,
        axes: np.ndarray,
        size: Point,
        paint: Material | Colour,
        reach: float,
        marks: list[tuple[np.ndarray, float]],
        blend: float | None = None,
        mirror: bool = False,
        hollow: bool = False,
        bend: float = 0.0,
        rounding: float = 0.0,
        taper_z: float = 0.0,
        taper_y: float = 0.0,
        middle: np.ndarray | None = None,
    ) -> None:
        """Add a part, given in the current frame; the columns of `axes` are its x, y and z directions."""
        material = paint if isinstance(paint, Material) else Material(paint)
        scale = self._scale
        for side in BOTH_SIDES if mirror else (1,):
            flip = np.diag([side, 1.0, 1.0])
            placed_axes = self._turn @ flip @ axes
            if shape != Shape.CONE:
                # A rotation again: these shapes are symmetric in their own x, but for the shear.
                placed_axes = placed_axes @ flip
            # Shear and stretch are ratios, a hull's sheer is a length.
            own_bend = {Shape.BOX: bend * side, Shape.CONE: bend}.get(shape, bend * scale)
            record = {
                "kind": shape,
                "centre": tuple(self._placed(centre, side)),
                "axes": placed_axes.T,
                "lengths": tuple(length * scale for length in size),
                "bend": own_bend,
                "rounding": rounding * scale,
                "blend": (self.blend if blend is None else blend) * scale,
                "middle": tuple(self._placed(centre if middle is None else middle, side)),
                "reach": reach * scale,
                "hollow": hollow,
                "taper_z": taper_z,
                "taper_y": taper_y,
                "colour": material.colour,
                "second_colour": material.second_colour or material.colour,
                "pattern": material.pattern,
                "pattern_scale": material.pattern_scale,
                "gloss": material.gloss,
            }
            self._records.append(tuple(record[name] for name in PART.names or ()))
            if not hollow:
                for point, radius in marks:
                    self.mark(point, radius, side)
