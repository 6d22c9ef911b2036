"""All chance of a picture comes from one generator, drawn in a fixed order."""

from typing import TypeVar

import numpy as np

from clay10.palette import Colour, linear_rgb

Option = TypeVar("Option")


class Dice:
    """Random draws from one generator.

    The order of draws is part of a picture's identity: a draw added, dropped or moved changes every picture
    of the classes that pass it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw from `rng`."""
        self.rng = rng

    def between(self, low: float, high: float) -> float:
        """Return a number evenly from [low, high)."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Return True with that probability."""
        return self.between(0, 1) < probability

    def count(self, low: int, high: int) -> int:
        """Return a whole number from low to high - 1."""
        return int(self.rng.integers(low, high))

    def pick(self, *options: Option) -> Option:
        """Return one of the options; write one twice to make it twice as likely."""
        return options[self.rng.integers(len(options))]

    def sign(self) -> int:
        """Return -1 or 1: a side."""
        return self.pick(-1, 1)

    def colour(self, *codes: str, jitter: float = 0.06) -> Colour:
        """Return one of the sRGB colours as linear RGB, a little lighter or darker and off in hue."""
        root = np.sqrt(linear_rgb(self.pick(*codes)))
        root = root + self.rng.normal(0, jitter / 2) + self.rng.normal(0, jitter / 4, 3)
        red, green, blue = (np.clip(root, 0.02, 1) ** 2).tolist()
        return red, green, blue
