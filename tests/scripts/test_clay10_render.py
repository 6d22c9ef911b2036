"""Clay10's renderer against slow, obvious oracles, and its pictures against those that ship."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clay10
import rrzoo
from clay10 import CLASSES, render
from clay10.assembly import KeyPoint
from clay10.camera import frame, place_camera
from clay10.dice import Dice
from clay10.field import (
    PART,
    Field,
    Shape,
    box_distance,
    cone_distance,
    cylinder_distance,
    distance,
    ellipsoid_distance,
    part_distance,
    smooth_union,
    surface_normal,
)
from clay10.figure import Model
from clay10.geometry import rotation
from clay10.march import openness, sunlight, trace
from clay10.picture import paint
from clay10.scene import BUILDERS, build_scene
from clay10.sheets import lay_out, write_sheets
from clay10.staging import Staging

GREY = (0.5, 0.5, 0.5)
SCRIPTS = Path(clay10.__file__).parent.parent
SHEETS = Path(rrzoo.__file__).parent / "datasets" / "clay10" / "sheets"
TILE = 96
POINTS = np.random.default_rng(7).uniform(-2, 2, (300, 3))


# Distances of the primitives


def to_block(excess: np.ndarray, rounding: float) -> float:
    """Distance to a rounded block, from how far the point is beyond each pair of sides of the inner block."""
    if (excess <= 0).all():
        return excess.max() - rounding
    return float(np.linalg.norm(np.maximum(excess, 0))) - rounding


@pytest.mark.parametrize(("start", "end", "length"), [(0.5, 0.2, 1.5), (0.1, 0.6, 0.9), (0.3, 0.3, 1.0)])
def test_cone_is_all_balls_between_its_ends(start: float, end: float, length: float) -> None:
    share = np.linspace(0, 1, 4001)
    centres = np.outer(share, (0, 0, length))
    radii = start + (end - start) * share
    for point in POINTS:
        expected = (np.linalg.norm(point - centres, axis=1) - radii).min()
        assert cone_distance(*point, start, end, length) == pytest.approx(expected, abs=1e-5)


def test_ellipsoid_with_equal_axes_is_a_ball() -> None:
    for point in POINTS:
        assert ellipsoid_distance(*point, 0.7, 0.7, 0.7) == pytest.approx(np.linalg.norm(point) - 0.7)


def test_ellipsoid_is_exact_on_its_axes_and_zero_on_its_surface() -> None:
    axes = np.array([0.4, 0.9, 1.5])
    for axis in range(3):
        for offset in (-2.0, -0.3, 0.2, 1.1):
            point = np.zeros(3)
            point[axis] = offset
            expected = abs(offset) - axes[axis]
            assert ellipsoid_distance(*point, *axes) == pytest.approx(expected)
    for direction in POINTS:
        surface = axes * direction / np.linalg.norm(direction)
        assert ellipsoid_distance(*surface, *axes) == pytest.approx(0, abs=1e-12)
        assert ellipsoid_distance(*(surface * 1.1), *axes) > 0 > ellipsoid_distance(*(surface * 0.9), *axes)


@pytest.mark.parametrize("rounding", [0.0, 0.15])
def test_box_matches_nearest_point(rounding: float) -> None:
    half = np.array([0.3, 0.8, 1.2])
    for point in POINTS:
        expected = to_block(abs(point) - (half - rounding), rounding)
        assert box_distance(*point, *half, rounding) == pytest.approx(expected)


@pytest.mark.parametrize("rounding", [0.0, 0.1])
def test_cylinder_matches_nearest_point(rounding: float) -> None:
    for x, y, z in POINTS:
        excess = np.array([math.hypot(x, y) - 0.6 + rounding, abs(z) - 0.9 + rounding])
        assert cylinder_distance(x, y, z, 0.6, 0.9, rounding) == pytest.approx(to_block(excess, rounding))


# Parts in the world


def one_part(kind: Shape, lengths: tuple[float, float, float], **fields: float) -> np.void:
    """A part at the origin in world axes."""
    part = np.zeros(1, PART)
    part["kind"] = kind
    part["axes"] = np.eye(3)
    part["lengths"] = lengths
    for name, value in fields.items():
        part[name] = value
    return part[0]


def test_part_distance_uses_centre_and_axes() -> None:
    model = Model()
    turn = rotation(0.4, -0.7, 1.1)
    centre = np.array([0.3, -0.2, 0.5])
    half = np.array([0.2, 0.5, 0.9])
    model.box(centre, half, GREY, turn=turn, rounding=0.0)
    for point in POINTS:
        own = [turn[:, axis] @ (point - centre) for axis in range(3)]
        expected = to_block(np.abs(own) - half, 0.0)
        assert part_distance(model.parts[0], tuple(point)) == pytest.approx(expected)


def test_stretched_cone_has_a_stretched_surface() -> None:
    plain = one_part(Shape.CONE, (0.4, 0.2, 1.0), bend=1.0)
    stretched = one_part(Shape.CONE, (0.4, 0.2, 1.0), bend=0.3)
    for x, y, z in POINTS:
        inside = part_distance(plain, (x, y, z)) < 0
        assert (part_distance(stretched, (0.3 * x, y, z)) < 0) == inside
    # Half as thick along x, as before along y.
    assert part_distance(stretched, (0.12, 0.0, 0.0)) == pytest.approx(0, abs=0.01)
    assert part_distance(stretched, (0.0, 0.4, 0.0)) == pytest.approx(0, abs=0.03)


def test_tapered_box_is_narrow_where_it_should_be() -> None:
    part = one_part(Shape.BOX, (0.5, 0.4, 1.0), taper_z=0.6, taper_y=0.3, bend=0.25)
    for y, z in [(0.0, -0.8), (0.0, 0.9), (0.3, 0.0), (-0.3, 0.5), (0.0, 0.0)]:
        half = 0.5 * (1 - 0.6 * z) * (1 - 0.3 * y / 0.4)
        for side in (-1, 1):
            x = 0.25 * z + side * half
            assert part_distance(part, (x, y, z)) == pytest.approx(0, abs=1e-12)


def test_hull_is_sharp_at_the_bow_and_narrow_at_the_keel() -> None:
    part = one_part(Shape.HULL, (0.5, 0.2, 1.5), taper_z=0.25, taper_y=0.4)
    for x, y, z, surface in [
        (0.5, 0.2, 0.0, True),  # deck amidships
        (0.5 * 0.6, -0.2, 0.0, True),  # keel, narrower by taper_y
        (0.5 * 0.75, 0.2, 1.5 * 0.625, True),  # half way through the closing bow: 1 - 0.5 ** 2
        (0.5, 0.2, 1.4, False),
    ]:
        found = part_distance(part, (x, y, z))
        assert found == pytest.approx(0, abs=1e-12) if surface else found > 0.1
    assert part_distance(part, (0.0, 0.0, 0.0)) < 0


@pytest.mark.parametrize(
    "part",
    [
        one_part(Shape.CONE, (0.4, 0.2, 1.0), bend=0.5),
        one_part(Shape.BOX, (0.5, 0.1, 1.0), taper_z=0.5, bend=0.6),
        one_part(Shape.BOX, (0.02, 0.8, 0.3), taper_y=0.97),
        one_part(Shape.HULL, (0.3, 0.2, 1.3), taper_z=0.25, taper_y=0.45, bend=0.08),
    ],
)
def test_bent_distances_never_overshoot_the_surface(part: np.void) -> None:
    """A ray that advances by such a distance must not step through a part."""
    directions = np.random.default_rng(1).normal(size=(60, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for point in POINTS[:80] * 0.8:
        clearance = part_distance(part, tuple(point))
        if clearance > 0:
            for direction in directions:
                assert part_distance(part, tuple(point + 0.92 * clearance * direction)) > 0


# Joining parts


def test_smooth_union_matches_its_formula() -> None:
    for a, b, width in np.random.default_rng(2).uniform((-1, -1, 0.01), (1, 1, 0.8), (300, 3)):
        overlap = max(width - abs(a - b), 0)
        assert smooth_union(a, b, width) == pytest.approx(min(a, b) - overlap**2 / (4 * width))


def joined(parts: np.ndarray, point: np.ndarray) -> float:
    """Distance by joining every part, near or far."""
    nearest = 1e3
    for part in parts:
        own = part_distance(part, tuple(point))
        if part["hollow"]:
            nearest = max(nearest, -own)
        elif part["blend"] > 0:
            overlap = max(part["blend"] - abs(nearest - own), 0)
            nearest = min(nearest, own) - overlap**2 / (4 * part["blend"])
        else:
            nearest = min(nearest, own)
    return nearest


def test_distance_skips_only_what_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    model = Model()
    for _ in range(12):
        start, end = rng.uniform(-1, 1, (2, 3))
        model.cone(start, end, 0.3, 0.1, GREY, blend=rng.uniform(0, 0.3))
        model.ellipsoid(rng.uniform(-1, 1, 3), 0.2, GREY, blend=rng.uniform(0, 0.3))
    model.box((0.2, 0.1, 0.3), (0.3, 0.3, 0.3), GREY, hollow=True)
    model.cylinder((0.2, 0.1, 0.3), (0.4, 0.1, 0.3), 0.1, GREY, blend=0)
    for point in POINTS:
        expected = joined(model.parts, point)
        assert distance(model.field(), tuple(point)) == pytest.approx(expected, abs=1e-12)


def test_hollow_part_cuts() -> None:
    model = Model()
    model.ellipsoid((0, 0, 0), 1.0, GREY)
    assert distance(model.field(), (0.0, 0.0, 0.9)) < 0
    model.ellipsoid((0, 0, 1), 0.5, GREY, hollow=True)
    assert distance(model.field(), (0.0, 0.0, 0.9)) == pytest.approx(0.4)


def test_mirrored_parts_are_symmetric() -> None:
    model = Model()
    model.wing((0.1, 0, 0.2), (1.0, 0.2, 0), 0.4, 0.2, 0.05, GREY, sweep=0.5, mirror=True)
    model.box((0.5, 0.6, 0), (0.2, 0.1, 0.3), GREY, turn=rotation(0.3, 0.5, 0.2), taper_z=0.3, mirror=True)
    model.cone((0.2, -0.5, 0), (0.6, -0.9, 0.3), 0.2, 0.1, GREY, flat=(1, 0.2, 0), squash=0.5, mirror=True)
    assert len(model.parts) == 6
    for one, other in zip(model.parts[::2], model.parts[1::2], strict=True):
        for x, y, z in POINTS:
            assert part_distance(one, (x, y, z)) == pytest.approx(part_distance(other, (-x, y, z)))


def test_head_has_its_own_frame() -> None:
    turn = rotation(0.2, 0.9)
    origin = np.array([0.1, 0.8, 0.4])

    def build(model: Model) -> None:
        model.cone((0, 0, 0), (0, -0.1, 0.9), 0.5, 0.2, GREY, squash=0.8)
        model.cylinder((0.3, 0.4, 0), (0.3, 0.9, 0), 0.1, GREY, mirror=True)
        model.box((0, 0.5, 0), (0.2, 0.1, 0.3), GREY)

    plain, placed = Model(), Model()
    plain.blend = 0.2
    build(plain)
    with placed.head(origin, turn, 0.25, blend=0.2):
        build(placed)
    for point in POINTS:
        world = origin + 0.25 * (turn @ point)
        expected = 0.25 * distance(plain.field(), tuple(point))
        assert distance(placed.field(), tuple(world)) == pytest.approx(expected, abs=1e-9)
    assert {point.role for point in placed.key_points} == {"head"}


# Rays


@pytest.fixture(scope="module")
def ball() -> Field:
    model = Model()
    model.ellipsoid((0, 1, 0), 1.0, GREY)
    # Wide bounds, so that rays that pass nearby are followed too.
    return model.field()._replace(bounds=np.array([(-2, -1, -2), (2, 3, 2)], float))


def test_trace_meets_a_ball_where_algebra_says(ball: Field) -> None:
    origin = np.array([0.3, 1.2, -4.0])
    for aim in np.random.default_rng(4).uniform(-1.3, 1.3, (200, 2)):
        direction = np.array([aim[0], 1 + aim[1], 0]) - origin
        direction /= np.linalg.norm(direction)
        offset = origin - (0, 1, 0)
        middle = -offset @ direction
        root = middle**2 - offset @ offset + 1
        if abs(root) < 0.1:
            continue  # a ray that grazes may go either way
        found = trace(ball, tuple(origin), tuple(direction), 1e-4)
        assert found == pytest.approx(middle - math.sqrt(root), abs=2e-3) if root > 0 else found == -1


def test_normal_points_away_from_a_ball(ball: Field) -> None:
    for direction in POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True):
        normal = surface_normal(ball, tuple(direction + np.array((0, 1, 0))))
        assert normal == pytest.approx(tuple(direction), abs=5e-3)


def test_sunlight_is_blocked_below_a_ball_only(ball: Field) -> None:
    up = (0.0, 1.0, 0.0)
    assert sunlight(ball, (0.0, -0.05, 0.0), up, 10.0) == 0
    assert sunlight(ball, (3.0, -0.05, 0.0), up, 10.0) == 1
    # In the soft edge: hardness times clearance over length, smoothed. This ray passes 0.05 beside the ball.
    share = 10 * 0.05 / 1.05
    expected = share * share * (3 - 2 * share)
    assert sunlight(ball, (1.05, -0.05, 0.0), up, 10.0) == pytest.approx(expected, abs=0.05)


def test_openness_shrinks_under_a_ball(ball: Field) -> None:
    up = (0.0, 1.0, 0.0)
    below, beside, away = (openness(ball, (x, 0.0, 0.0), up, 0.3) for x in (0.1, 0.8, 4.0))
    assert below < beside < away == 1


# Pictures


def test_every_class_has_its_builder() -> None:
    assert tuple(BUILDERS) == CLASSES


@pytest.mark.parametrize("class_name", CLASSES)
def test_picture_shows_the_figure(class_name: str) -> None:
    scene = build_scene(CLASSES.index(class_name), class_name, 3)
    image, mask = paint(scene.field, scene.world, scene.camera, 48)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.03
    assert 0.05 < mask.mean() < 0.9
    # The figure stands out: it is not the colour of what is around it.
    assert abs(image[mask].mean(0) - image[~mask].mean(0)).max() > 0.02


@pytest.mark.parametrize("portrait", [0.0, 1.0])
def test_camera_frames_its_subject(portrait: float) -> None:
    rng = np.random.default_rng(5)
    staging = Staging("field", azimuth=0.7, elevation=0.3, roll=0.2, portrait=portrait)
    for _ in range(50):
        points = [KeyPoint(rng.uniform(-1, 1, 3), 0.1, "body") for _ in range(9)]
        points += [KeyPoint(rng.uniform(0.5, 0.8, 3), 0.05, "head") for _ in range(3)]
        view = place_camera(Dice(rng), staging, points, on_ground=True)
        camera = frame(Dice(rng), staging, points, view)
        axes = np.array([camera.right, camera.up, camera.forward])
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-9)
        for point in points[-3:] if portrait else points:
            x, y, depth = axes @ (point.position - camera.origin)
            assert depth > 0
            reach = camera.half_width - point.radius / depth
            assert abs(x / depth - camera.shift_x) < reach
            # A portrait looks a little lower than its head.
            assert abs(y / depth - camera.shift_y) < reach + (0.35 * camera.half_width if portrait else 0)


@pytest.mark.parametrize("class_name", CLASSES)
def test_same_arguments_give_the_same_picture(class_name: str) -> None:
    first = render(class_name, 5, size=24)
    assert first.shape == (24, 24, 3)
    assert first.dtype == np.uint8
    assert (render(class_name, 5, size=24) == first).all()
    assert (render(class_name, 6, size=24) != first).mean() > 0.5


def test_classes_differ() -> None:
    pictures = [render(class_name, 0, size=24).astype(int) for class_name in CLASSES]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert abs(one - other).mean() > 5


def test_the_renderer_is_compiled_once_for_all_scenes() -> None:
    for class_name in CLASSES:
        render(class_name, 1, size=8)
    assert len(paint.signatures) == 1


@pytest.mark.parametrize(
    ("split", "first", "columns", "indices"), [("train", 0, 20, (0, 21, 399)), ("test", 400, 10, (400, 499))]
)
@pytest.mark.parametrize("class_name", CLASSES)
def test_picture_is_the_one_that_ships(
    class_name: str, split: str, first: int, columns: int, indices: tuple[int, ...]
) -> None:
    sheet = np.asarray(Image.open(SHEETS / split / f"{class_name}.webp").convert("RGB")).astype(int)

    def tile(index: int) -> np.ndarray:
        row, column = divmod(index - first, columns)
        return sheet[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]

    def coarse(picture: np.ndarray) -> np.ndarray:
        """Means of 8 x 8 pixels, in which grain and compression cancel out."""
        return picture.reshape(12, 8, 12, 8, 3).mean((1, 3))

    for index in indices:
        picture = coarse(render(class_name, index))
        assert abs(picture - coarse(tile(index))).mean() < 4.5
        other = index + 1 if index == first else index - 1
        assert abs(picture - coarse(tile(other))).mean() > 8


def test_sheets_are_those_that_ship(tmp_path: Path) -> None:
    write_sheets(tmp_path, {"test": range(400, 402)})
    for class_name in CLASSES:
        drawn, ships = (
            np.asarray(Image.open(folder / "test" / f"{class_name}.webp").convert("RGB")).astype(int)
            for folder in (tmp_path, SHEETS)
        )
        assert drawn.shape == (TILE, 2 * TILE, 3)
        assert abs(drawn - ships[:TILE, : 2 * TILE]).mean() < 3


def test_sheets_are_laid_out_row_by_row() -> None:
    figures = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
    sheet = lay_out(figures, 3)
    assert sheet.shape == (8, 12, 3)
    for number, figure in enumerate(figures):
        row, column = divmod(number, 3)
        np.testing.assert_array_equal(sheet[4 * row : 4 * row + 4, 4 * column : 4 * column + 4], figure)


# Wrong use


def test_unknown_class_names_the_close_one_and_all() -> None:
    with pytest.raises(ValueError, match=r"'hrose'.*Did you mean 'horse'\?.*airplane, .*truck"):
        render("hrose", 0)
    with pytest.raises(ValueError, match=r"'xyzzy'\. Choose from: airplane"):
        render("xyzzy", 0)


def test_negative_index_and_tiny_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"index is -1.*0 or more"):
        render("cat", -1)
    with pytest.raises(ValueError, match=r"size is 7.*at least 8"):
        render("cat", 0, size=7)


def test_without_numba_only_rendering_fails() -> None:
    code = """
import sys
sys.modules["numba"] = None
from clay10 import render
try:
    render("cat", 0)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert 'pip install "rrzoo[train]"' in done.stdout


def test_import_does_not_load_numba() -> None:
    code = "import clay10, sys; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
