"""Where the camera stands and how it frames the figure."""

import math
from typing import NamedTuple

import numpy as np

from clay10.assembly import KeyPoint
from clay10.dice import Dice
from clay10.geometry import vector
from clay10.picture import Camera
from clay10.staging import Staging
from clay10.vectors import Vector


class View(NamedTuple):
    """The camera as arrays, with the subject's measures that ground and scenery are laid out by.

    `extent` is the diagonal of the box about the figure, `target` its middle (3,); `ahead` is the horizontal
    unit direction of view.
    """

    origin: np.ndarray
    forward: np.ndarray
    right: np.ndarray
    up: np.ndarray
    target: np.ndarray
    ahead: np.ndarray
    extent: float


def plain(values: np.ndarray) -> Vector:
    """Return an array (3,) as the triple of floats that compiled code takes."""
    x, y, z = values.tolist()
    return x, y, z


def place_camera(dice: Dice, staging: Staging, points: list[KeyPoint], on_ground: bool) -> View:
    """Choose the distance and look at the middle of the figure's key points."""
    positions = np.array([point.position for point in points])
    radii = np.array([point.radius for point in points])[:, None]
    low, high = (positions - radii).min(0), (positions + radii).max(0)
    extent = math.dist(low, high)
    target = (low + high) / 2
    azimuth, elevation = staging.azimuth, staging.elevation
    towards_camera = vector(
        math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)
    )
    origin = target + towards_camera * extent * dice.between(1.1, 3.0)
    if on_ground:
        origin[1] = max(origin[1], 0.12 * extent)
    forward = target - origin
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    cos_roll, sin_roll = math.cos(staging.roll), math.sin(staging.roll)
    right, up = right * cos_roll + up * sin_roll, up * cos_roll - right * sin_roll
    ahead = vector(forward[0], 0, forward[2]) / math.hypot(forward[0], forward[2])
    return View(origin, forward, right, up, target, ahead, extent)


def frame(dice: Dice, staging: Staging, points: list[KeyPoint], view: View) -> Camera:
    """Shift and zoom the lens so that the whole figure, or for a portrait its head, is in the picture."""
    head = [point for point in points if point.role == "head"]
    is_portrait = bool(head) and dice.chance(staging.portrait)
    subject = head if is_portrait else points
    offsets = np.array([point.position for point in subject]) - view.origin
    depth = offsets @ view.forward
    radius = np.array([point.radius for point in subject]) / depth
    across = offsets @ view.right / depth
    upward = offsets @ view.up / depth
    left, right = (across - radius).min(), (across + radius).max()
    bottom, top = (upward - radius).min(), (upward + radius).max()
    needed = max(right - left, top - bottom) / 2
    half_width = needed / (dice.between(0.5, 0.75) if is_portrait else dice.between(0.68, 0.98))
    free = half_width - needed
    shift_x = (left + right) / 2 + dice.between(-0.7, 0.7) * free
    shift_y = (bottom + top) / 2 + dice.between(-0.6, 0.6) * free
    if is_portrait:
        shift_y -= 0.35 * half_width  # show the chest too
    return Camera(
        origin=plain(view.origin),
        forward=plain(view.forward),
        right=plain(view.right),
        up=plain(view.up),
        half_width=float(half_width),
        shift_x=float(shift_x),
        shift_y=float(shift_y),
    )
