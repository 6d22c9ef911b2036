"""Points, directions and rotations as arrays, for modelling."""

import math
from collections.abc import Sequence

import numpy as np

Point = Sequence[float] | np.ndarray  # x, y, z
IDENTITY = np.eye(3)


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


def across(direction: np.ndarray, wanted: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return the unit vector across `direction` nearest to `wanted`; if these agree, across `otherwise`."""
    side = wanted - direction * (direction @ wanted)
    length = math.sqrt(side @ side)
    if length <= 1e-3:
        side = np.cross(direction, otherwise)
        length = math.sqrt(side @ side)
    return side / length
