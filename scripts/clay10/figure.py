"""The modelling kit: a figure is built part by part.

Figures stand on y = 0 and look along +z; x is across, and about one unit is a body's length.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clay10.assembly import Assembly
from clay10.field import Shape
from clay10.geometry import IDENTITY, Point, across, vector
from clay10.material import Material
from clay10.palette import Colour

Options = dict[str, Any]  # keyword arguments that several parts share
HULL_FLARE = 0.45  # how much narrower a hull is at the keel than at the deck


class Model(Assembly):
    """A figure under construction.

    Every method adds one kind of part. It takes its geometry, a paint (a `Material` or just a colour), and
    these options:

    - `blend`: width of the smooth seam to what is there already, 0 for a sharp one; by default `self.blend`
    - `mirror`: add the same part at -x too
    - `hollow`: cut the part out of what is there already
    """

    def cone(
        self,
        start: Point,
        end: Point,
        start_radius: float,
        end_radius: float,
        paint: Material | Colour,
        flat: Point = (1, 0, 0),
        squash: float = 1.0,
        marked: bool = True,
        **options: Any,
    ) -> None:
        """Add two balls and all between them, flattened to `squash` times its width in direction `flat`.

        With `marked` false it does not count for the frame.
        """
        start, end = np.asarray(start, float), np.asarray(end, float)
        along = end - start
        length = math.sqrt(along @ along)
        along = along / (length + 1e-9)
        side = across(along, np.asarray(flat, float), vector(0.3, 1, 0.2))
        # One ball must not swallow the other.
        length = max(length, abs(start_radius - end_radius) * 1.02 + 1e-4)
        axes = np.stack([side, np.cross(along, side), along], 1)
        marks = [(start, start_radius * 0.9), (end, end_radius * 0.9)] if marked else []
        size = (start_radius, end_radius, length)
        # The stretched distance of a squashed cone may be less than that to a tight ball about it.
        tight = squash == 1
        middle = start + along * (length / 2) if tight else start
        reach = (length / 2 if tight else length) + max(start_radius, end_radius) * max(1, squash)
        self._add(Shape.CONE, start, axes, size, paint, reach, marks, bend=squash, middle=middle, **options)

    def chain(self, points: Sequence[Point], radii: Sequence[float], paint: Material | Colour, **options: Any) -> None:
        """Add cones from point to point: a limb, a tail, a neck."""
        for i in range(len(points) - 1):
            self.cone(points[i], points[i + 1], radii[i], radii[i + 1], paint, **options)

    def ellipsoid(
        self,
        centre: Point,
        radii: float | Point,
        paint: Material | Colour,
        turn: np.ndarray = IDENTITY,
        **options: Any,
    ) -> None:
        """Add an ellipsoid with those half axes, or a ball of that radius."""
        centre = np.asarray(centre, float)
        size = np.broadcast_to(np.asarray(radii, float), 3)
        marks = [(centre + turn[:, i] * size[i] * end, 0.0) for i in range(3) for end in (-1, 1)]
        self._add(Shape.ELLIPSOID, centre, turn, size, paint, size.max(), marks, **options)

    def box(
        self,
        centre: Point,
        half: Point,
        paint: Material | Colour,
        turn: np.ndarray = IDENTITY,
        rounding: float | None = None,
        taper_y: float = 0.0,
        taper_z: float = 0.0,
        **options: Any,
    ) -> None:
        """Add a rounded box with those half sizes.

        Its top (y) is narrower than its middle by the share `taper_y`, its front (z) by `taper_z`.
        """
        size = np.asarray(half, float)
        reach = math.sqrt(size @ size) * (1 + abs(taper_z) + abs(taper_y))
        self._add_block(
            Shape.BOX, centre, turn, size, paint, reach, rounding, taper_y=taper_y, taper_z=taper_z, **options
        )

    def hull(
        self,
        centre: Point,
        half: Point,
        paint: Material | Colour,
        bow: float,
        sheer: float,
        rounding: float,
        **options: Any,
    ) -> None:
        """Add a ship's hull with those half sizes.

        The bow closes from the share `bow` of the half length on; the ends rise by `sheer`.
        """
        size = np.asarray(half, float)
        reach = math.sqrt(size @ size) + sheer
        self._add_block(
            Shape.HULL,
            centre,
            IDENTITY,
            size,
            paint,
            reach,
            rounding,
            bend=sheer,
            taper_y=HULL_FLARE,
            taper_z=bow,
            **options,
        )

    def wing(
        self,
        root: Point,
        tip: Point,
        root_half_chord: float,
        tip_half_chord: float,
        half_thickness: float,
        paint: Material | Colour,
        up: Point = (0, 1, 0),
        sweep: float = 0.0,
        blend: float = 0.03,
        **options: Any,
    ) -> None:
        """Add a tapered plate from root to tip.

        Its flat side faces `up`; it is swept back by `sweep` units for each unit outwards.
        """
        start, end = np.asarray(root, float), np.asarray(tip, float)
        half = math.sqrt((end - start) @ (end - start)) / 2
        along = (end - start) / (2 * half)
        normal = across(along, np.asarray(up, float), vector(1, 0, 0))
        chord = np.cross(normal, along)
        mean = (root_half_chord + tip_half_chord) / 2
        shift = sweep * half
        marks = [(start + chord * root_half_chord * edge, 0.0) for edge in (-1, 1)]
        marks += [(end + chord * (2 * shift + tip_half_chord * edge), 0.0) for edge in (-1, 1)]
        self._add(
            Shape.BOX,
            (start + end) / 2 + chord * shift,
            np.stack([chord, normal, along], 1),
            (mean, half_thickness, half),
            paint,
            math.hypot(mean * 2 + abs(shift), half),
            marks,
            bend=sweep,
            rounding=half_thickness * 0.9,
            taper_z=(root_half_chord - tip_half_chord) / (root_half_chord + tip_half_chord),
            blend=blend,
            **options,
        )

    def cylinder(
        self,
        start: Point,
        end: Point,
        radius: float,
        paint: Material | Colour,
        rounding: float = 0.01,
        **options: Any,
    ) -> None:
        """Add a cylinder from `start` to `end`."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        length = math.sqrt((end - start) @ (end - start))
        along = (end - start) / length
        side = np.cross(along, vector(0.31, 0.9, 0.3) if abs(along[1]) < 0.9 else vector(1, 0, 0))
        side /= math.sqrt(side @ side)
        axes = np.stack([side, np.cross(along, side), along], 1)
        marks = [(start, radius * 0.8), (end, radius * 0.8)]
        size = (radius, 0.0, length / 2)
        reach = math.hypot(length / 2, radius)
        self._add(Shape.CYLINDER, (start + end) / 2, axes, size, paint, reach, marks, rounding=rounding, **options)

    def _add_block(
        self,
        shape: Shape,
        centre: Point,
        turn: np.ndarray,
        size: np.ndarray,
        paint: Material | Colour,
        reach: float,
        rounding: float | None,
        **options: Any,
    ) -> None:
        """Add a box or hull: its eight corners count for the frame."""
        centre = np.asarray(centre, float)
        corners = [(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
        marks = [(centre + turn @ (size * corner), 0.0) for corner in corners]
        if rounding is None:
            rounding = min(0.03, size.min() * 0.9)
        self._add(shape, centre, turn, size, paint, reach, marks, rounding=rounding, **options)
