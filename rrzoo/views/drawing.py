"""What is random in a view, drawn by numbered streams: see `rrzoo.views`."""

import itertools
from dataclasses import dataclass, fields

import numpy as np

SCALE = (0.08, 1.0)  # area of the crop as a share of the image
RATIO = (3 / 4, 4 / 3)  # width / height of the crop
CROP_TRIES = 10
AFTER_CROPS = 2 * CROP_TRIES + 2  # random numbers that crops use: two a try, two for the position
UNUSED = AFTER_CROPS + 8  # the first random number that `draw` has no use for
FLIP_PROBABILITY = 0.5
JITTER_PROBABILITY = 0.8
STRENGTH = (0.8, 0.8, 0.8, 0.2)  # of brightness, contrast, saturation, hue
GREY_PROBABILITY = 0.2

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # columns of `factors`, values of `order`
ORDERS = np.array(list(itertools.permutations(range(4))), np.int8)  # (24, 4)


@dataclass(frozen=True)
class ViewParameters:
    """The random numbers of N views. View n is made from image n % M: all first views, then all second views, ..."""

    top: np.ndarray  # int64 (N,), px
    left: np.ndarray  # int64 (N,), px
    height: np.ndarray  # int64 (N,), px
    width: np.ndarray  # int64 (N,), px
    flip: np.ndarray  # bool (N,)
    jitter: np.ndarray  # bool (N,): whether the four below apply
    factors: np.ndarray  # float32 (N, 4): brightness, contrast, saturation; hue as a share of the circle
    order: np.ndarray  # int8 (N, 4): the order in which the four apply
    grey: np.ndarray  # bool (N,)

    def __len__(self) -> int:
        """Return N."""
        return len(self.top)

    def __getitem__(self, rows: slice) -> "ViewParameters":
        """Return the parameters of some views; of all M images, for the rule above to hold."""
        return ViewParameters(*(getattr(self, field.name)[rows] for field in fields(self)))


def draw(seed: int, epoch: int, images: np.ndarray, views: int, height: int, width: int) -> ViewParameters:
    """Draw the parameters of `views` views of each image.

    Args:
        seed: of the run.
        epoch: so that every epoch has views of its own.
        images: int (M,), numbers of the images within the data set.
        views: K.
        height: of the images, px.
        width: of the images, px.

    Returns:
        N = K * M sets of parameters, distributed as torchvision's transforms draw theirs.
    """
    uniform = _Uniform(seed, epoch, images, views)
    top, left, crop_height, crop_width = _draw_crops(uniform, height, width)
    flip, jitter, *strengths, order, grey = uniform(np.arange(AFTER_CROPS, UNUSED))
    centre = np.array([1.0, 1.0, 1.0, 0.0])
    factors = centre + np.array(STRENGTH) * (2 * np.stack(strengths, axis=1) - 1)
    return ViewParameters(
        top,
        left,
        crop_height,
        crop_width,
        flip < FLIP_PROBABILITY,
        jitter < JITTER_PROBABILITY,
        factors.astype(np.float32),
        ORDERS[(order * len(ORDERS)).astype(np.int64)],
        grey < GREY_PROBABILITY,
    )


def uniform(seed: int, epoch: int, images: np.ndarray, views: int, count: int) -> np.ndarray:
    """Return `count` random numbers in [0, 1) of each view, float64 (count, K * M), independent of those of `draw`.

    For pretext tasks that draw more than views; arguments as for `draw`.
    """
    return _Uniform(seed, epoch, images, views)(np.arange(UNUSED, UNUSED + count))


def crops(
    top: np.ndarray, left: np.ndarray, height: np.ndarray, width: np.ndarray, flip: np.ndarray, grey: np.ndarray
) -> ViewParameters:
    """Return the parameters of N views that are cut and scaled, perhaps flipped or grey, and else keep their colours.

    Args:
        top: int64 (N,), px.
        left: int64 (N,), px.
        height: int64 (N,), px.
        width: int64 (N,), px.
        flip: bool (N,).
        grey: bool (N,).
    """
    neutral = np.tile(np.array([1, 1, 1, 0], np.float32), (len(top), 1))
    order = np.tile(ORDERS[:1], (len(top), 1))
    return ViewParameters(top, left, height, width, flip, np.zeros(len(top), bool), neutral, order, grey)


def _draw_crops(uniform: "_Uniform", height: int, width: int) -> tuple[np.ndarray, ...]:
    """Draw crops as torchvision's RandomResizedCrop.get_params: ten tries, then the largest allowed centre crop."""
    low, high = np.log(RATIO)
    # the fallback: the whole image, cut in the middle where its ratio is not allowed
    crop_width = np.full(len(uniform), min(width, round(height * RATIO[1])))
    crop_height = np.full(len(uniform), min(height, round(width / RATIO[0])))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    pending = np.arange(len(uniform))
    for number in range(CROP_TRIES):
        share, ratio = uniform(np.array([2 * number, 2 * number + 1]), pending)
        area = height * width * (SCALE[0] + (SCALE[1] - SCALE[0]) * share)
        ratio = np.exp(low + (high - low) * ratio)
        w = np.rint(np.sqrt(area * ratio)).astype(np.int64)
        h = np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        crop_width[pending[fits]], crop_height[pending[fits]] = w[fits], h[fits]
        pending = pending[~fits]
        if not len(pending):
            break
    vertical, horizontal = uniform(np.arange(AFTER_CROPS - 2, AFTER_CROPS))
    drawn_top = (vertical * (height - crop_height + 1)).astype(np.int64)
    drawn_left = (horizontal * (width - crop_width + 1)).astype(np.int64)
    drawn_top[pending], drawn_left[pending] = top[pending], left[pending]
    return drawn_top, drawn_left, crop_height, crop_width


class _Uniform:
    """Numbered streams of uniform numbers in [0, 1), one for each of N = K * M views: splitmix64 (Steele et al. 2014).

    The stream of a view depends on (seed, epoch, image, view) alone.
    """

    GOLDEN = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self, seed: int, epoch: int, images: np.ndarray, views: int) -> None:
        state: np.ndarray = np.array([seed], np.uint64)
        for part in (np.array([epoch]), images, np.arange(views)[:, np.newaxis]):
            state = self._mix(state + self.GOLDEN) ^ part.astype(np.uint64)
        self._state = self._mix(state.ravel() + self.GOLDEN)

    def __len__(self) -> int:
        return len(self._state)

    def __call__(self, numbers: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return float64 (len(numbers), number of rows): the numbers of these places in the streams of these rows."""
        steps = (numbers.astype(np.uint64) + np.uint64(1)) * self.GOLDEN
        return (self._mix(self._state[rows] + steps[:, np.newaxis]) >> np.uint64(11)) * 2.0**-53

    @staticmethod
    def _mix(z: np.ndarray) -> np.ndarray:
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: np.ndarray = z ^ (z >> np.uint64(31))
        return mixed
