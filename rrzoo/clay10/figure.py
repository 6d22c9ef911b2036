"""The modelling kit: a figure is built part by part, and remembers the points that a picture must show.

Figures stand on y = 0 and look along +z; x is across, and about one unit is a body's length.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from rrzoo.clay10.field import PART, Shape
from rrzoo.clay10.palette import Colour
from rrzoo.clay10.pattern import Pattern

Point = Sequence[float] | np.ndarray
IDENTITY = np.eye(3)
BOTH_SIDES = (1, -1)
HULL_FLARE = 0.45  # how much narrower a hull is at the keel than at the deck


def vector(*values: float) -> np.ndarray:
    """Return the values as a float64 array."""
    return np.array(values, float)


def rotation(pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Return the matrix (3, 3) that rolls about z, then pitches about x, then yaws about y; radians."""
    cos_pitch, sin_pitch = math.cos(pitch), math.sin(pitch)
    cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
    cos_roll, sin_roll = math.cos(roll), math.sin(roll)
    yawing = np.array([[cos_yaw, 0, sin_yaw], [0, 1, 0], [-sin_yaw, 0, cos_yaw]])
    pitching = np.array([[1, 0, 0], [0, cos_pitch, -sin_pitch], [0, sin_pitch, cos_pitch]])
    rolling = np.array([[cos_roll, -sin_roll, 0], [sin_roll, cos_roll, 0], [0, 0, 1]])
    return yawing @ pitching @ rolling


class Material(NamedTuple):
    """What a part's surface looks like; without a second colour a pattern does not show."""

    colour: Colour
    second_colour: Colour | None = None
    pattern: Pattern = Pattern.PLAIN
    pattern_scale: float = 1.0
    gloss: float = 0.0


class KeyPoint(NamedTuple):
    """A ball that the picture's frame takes into account; `role` is that of the part it belongs to."""

    position: np.ndarray
    radius: float
    role: str


def _across(direction: np.ndarray, wanted: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return the unit vector across `direction` nearest to `wanted`; if these agree, across `otherwise`."""
    side = wanted - direction * (direction @ wanted)
    length = math.sqrt(side @ side)
    if length <= 1e-3:
        side = np.cross(direction, otherwise)
        length = math.sqrt(side @ side)
    return side / length


class Model:
    """A figure under construction.

    `blend` is the seam width for parts that name none. `role` marks parts: "body", "head" (what a portrait
    shows) or "scenery" (which the frame ignores). Every part method takes its geometry and a paint (a
    `Material` or just a colour), and these options:

    - `blend`: width of the smooth seam to what is there already; 0 for a sharp one
    - `mirror`: add the same part at -x too
    - `hollow`: cut the part out of what is there already
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
        placed = self._scale * (self._turn @ (np.asarray(position) * (side, 1, 1))) + self._origin
        self.key_points.append(KeyPoint(placed, radius * self._scale, self.role))

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
        side = _across(along, np.asarray(flat, float), vector(0.3, 1, 0.2))
        # One ball must not swallow the other.
        length = max(length, abs(start_radius - end_radius) * 1.02 + 1e-4)
        axes = np.stack([side, np.cross(along, side), along], 1)
        marks = [(start, start_radius * 0.9), (end, end_radius * 0.9)] if marked else []
        size = (start_radius, end_radius, length)
        reach = length + max(start_radius, end_radius) * max(1, squash)
        self._add(Shape.CONE, start, axes, size, paint, reach, marks, bend=squash, **options)

    def chain(
        self, points: Sequence[Point], radii: Sequence[float], paint: Material | Colour, **options: Any
    ) -> None:
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
        """Add a tapered plate from root to tip, its flat side facing `up`, its tip swept back by `sweep` a unit."""
        start, end = np.asarray(root, float), np.asarray(tip, float)
        half = math.sqrt((end - start) @ (end - start)) / 2
        along = (end - start) / (2 * half)
        normal = _across(along, np.asarray(up, float), vector(1, 0, 0))
        chord = np.cross(normal, along)
        mean = (root_half_chord + tip_half_chord) / 2
        shift = sweep * half
        marks = [(start + chord * root_half_chord * end_, 0.0) for end_ in (-1, 1)]
        marks += [(end + chord * (2 * shift + tip_half_chord * end_), 0.0) for end_ in (-1, 1)]
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
        self._add(
            Shape.CYLINDER, (start + end) / 2, axes, size, paint, reach, marks, rounding=rounding, **options
        )

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
    ) -> None:
        """Add a part, given in the current frame; the columns of `axes` are its x, y and z directions."""
        material = paint if isinstance(paint, Material) else Material(paint)
        scale = self._scale
        seam = self.blend if blend is None else blend
        for side in BOTH_SIDES if mirror else (1,):
            flip = np.diag([side, 1.0, 1.0])
            placed = self._turn @ flip @ axes
            if shape != Shape.CONE:
                placed = placed @ flip  # a rotation again, so that the part's own x can be mirrored below
            if shape == Shape.BOX:
                own_bend = bend * side  # a slope, which scales with nothing
            elif shape == Shape.CONE:
                own_bend = bend
            else:
                own_bend = bend * scale
            position = scale * (self._turn @ (flip @ centre)) + self._origin
            record = (
                shape,
                tuple(position),
                placed.T,
                tuple(length * scale for length in size),
                own_bend,
                rounding * scale,
                seam * scale,
                reach * scale,
                hollow,
                taper_z,
                taper_y,
                material.colour,
                material.second_colour or material.colour,
                material.pattern,
                material.pattern_scale,
                material.gloss,
            )
            self._records.append(record)
            if not hollow:
                for point, radius in marks:
                    self.mark(point, radius, side)
