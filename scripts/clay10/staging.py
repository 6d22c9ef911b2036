"""How a figure wants to be shown."""

from typing import Literal, NamedTuple

Place = Literal["pet", "field", "forest", "canopy", "sky", "water", "road", "runway"]


class Staging(NamedTuple):
    """What a class decides about the picture around its figure.

    `place` chooses ground, backdrop and scenery ("pet" is indoors or a garden). `azimuth` and `elevation` say
    where the camera stands, in radians: 0 in front of the figure, a positive elevation above it; `roll` tilts
    it. `size` is how large a unit is here, compared with a cat's: the larger, the finer the textures look.
    `portrait` is the probability of a close-up of the head.
    """

    place: Place
    azimuth: float
    elevation: float
    roll: float = 0.0
    size: float = 1.0
    portrait: float = 0.0
