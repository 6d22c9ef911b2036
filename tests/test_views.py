"""The random views against torchvision, one at a time and slowly; the kernel against the torch path."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2 import functional

from rrzoo import errors, views
from rrzoo.views import ViewParameters
from rrzoo.views.drawing import BRIGHTNESS, CONTRAST, HUE, SATURATION

MEAN = torch.tensor([0.49, 0.48, 0.44])
STD = torch.tensor([0.25, 0.24, 0.26])
SIZES = [  # height and width of the images, size of the views
    (32, 32, 32),
    (96, 96, 32),  # reduced
    (16, 16, 48),  # enlarged
    (40, 60, 33),  # a size that no vector length divides
    (200, 7, 24),
    (7, 200, 24),
    (1, 1, 8),
]


def photographs(count: int, height: int, width: int) -> torch.Tensor:
    """Return uint8 (count, 3, height, width): smooth in some places, sharp in others, some of it saturated."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noise = 0.2 * torch.randn(count, 3, height, width, generator=generator)
    return ((smooth + noise) * 1.4 - 0.2).clamp(0, 1).mul(255).round().to(torch.uint8)


def one_by_one(images: torch.Tensor, drawn: ViewParameters, size: int) -> torch.Tensor:
    """Make the views as torchvision does, one after another, in float64."""
    made = []
    for n in range(len(drawn)):
        image = images[n % len(images)].double() / 255
        box = (int(drawn.top[n]), int(drawn.left[n]), int(drawn.height[n]), int(drawn.width[n]))
        view = functional.resized_crop(image, *box, [size, size], antialias=True)
        if drawn.flip[n]:
            view = functional.horizontal_flip(view)
        if drawn.jitter[n]:
            for operation in drawn.order[n]:
                factor = float(drawn.factors[n, operation])
                view = ADJUST[operation](view, factor)
        if drawn.grey[n]:
            view = functional.rgb_to_grayscale(view, num_output_channels=3)
        made.append(functional.normalize(view, MEAN.tolist(), STD.tolist()))
    return torch.stack(made).float()


ADJUST = {
    BRIGHTNESS: functional.adjust_brightness,
    CONTRAST: functional.adjust_contrast,
    SATURATION: functional.adjust_saturation,
    HUE: functional.adjust_hue,
}


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the largest absolute difference of two batches of views, as of pixels in 0..1."""
    return ((a - b) * STD.view(3, 1, 1)).abs().max().item()


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_views_are_those_of_torchvision(height: int, width: int, size: int) -> None:
    images = photographs(3, height, width)
    drawn = views.draw(1, 2, np.arange(3), 16, height, width)
    expected = one_by_one(images, drawn, size)
    assert difference(views.apply(images, drawn, size, MEAN, STD), expected) < 1e-5
    assert difference(views.make(images, drawn, size, MEAN, STD), expected) < 1e-5


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_kernel_equals_torch(height: int, width: int, size: int) -> None:
    images = photographs(16, height, width)
    drawn = views.draw(3, 4, np.arange(16), 24, height, width)
    fast = views.make(images, drawn, size, MEAN, STD)
    slow = views.apply(images, drawn, size, MEAN, STD)
    assert fast.shape == slow.shape == (16 * 24, 3, size, size)
    assert fast.dtype == slow.dtype == torch.float32
    assert difference(fast, slow) < 1e-5


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 32), (96, 96, 32), (30, 20, 40)])
def test_blocked_views_equal_torch(monkeypatch: pytest.MonkeyPatch, height: int, width: int, size: int) -> None:
    images = photographs(6, height, width)  # a block of 16 holds views of some images thrice
    drawn = views.draw(8, 0, np.arange(6), 8, height, width)
    blocked = [torch.full((3, size + 2, size + 2, 3, 16), 7.0) for _ in range(2)]
    views.make(images, drawn, size, MEAN, STD, out=blocked[0])
    monkeypatch.setattr(views.making, "_kernel", lambda: None)
    views.make(images, drawn, size, MEAN, STD, out=blocked[1])
    expected = views.apply(images, drawn, size, MEAN, STD)
    for out in blocked:
        assert difference(out[:, 1:-1, 1:-1].permute(0, 4, 3, 1, 2).flatten(0, 1), expected) < 1e-5
        out[:, 1:-1, 1:-1] = 7.0
        assert (out == 7.0).all()  # the border is left alone


@pytest.mark.parametrize("size", [8, 20, 64])
@pytest.mark.parametrize("height", [1, 2, 31])
@pytest.mark.parametrize("width", [1, 5, 64])
def test_thin_crops(height: int, width: int, size: int) -> None:
    images = photographs(2, 40, 70)
    drawn = views.draw(5, 0, np.arange(2), 12, 40, 70)
    random = np.random.default_rng(0)
    drawn = dataclasses.replace(
        drawn,
        top=random.integers(0, 40 - height, 24, endpoint=True),
        left=random.integers(0, 70 - width, 24, endpoint=True),
        height=np.full(24, height),
        width=np.full(24, width),
    )
    expected = one_by_one(images, drawn, size)
    assert difference(views.apply(images, drawn, size, MEAN, STD), expected) < 1e-5
    assert difference(views.make(images, drawn, size, MEAN, STD), expected) < 1e-5


def test_extreme_colours() -> None:
    black, white = torch.zeros(1, 3, 20, 20), torch.full((1, 3, 20, 20), 255)
    greys = torch.arange(256)[:, None].expand(256, 75).reshape(48, 1, 20, 20).expand(-1, 3, -1, -1)
    nearly_grey = greys.clone()
    nearly_grey[:, 1] = (nearly_grey[:, 1] - 1).clamp(0)
    primaries = torch.tensor([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)])
    primaries = primaries.view(8, 3, 1, 1).expand(-1, -1, 20, 20)
    images = torch.cat([black, white, greys, nearly_grey, primaries]).to(torch.uint8)
    drawn = views.draw(6, 0, np.arange(len(images)), 8, 20, 20)
    expected = one_by_one(images, drawn, 8)
    assert difference(views.apply(images, drawn, 8, MEAN, STD), expected) < 1e-5
    assert difference(views.make(images, drawn, 8, MEAN, STD), expected) < 1e-5


@pytest.mark.parametrize(("source", "size"), [(32, 32), (96, 96), (96, 32)])
def test_views_are_near_those_of_pillow(source: int, size: int) -> None:
    images = photographs(8, source, source)
    drawn = views.draw(7, 0, np.arange(8), 16, source, source)
    made = views.make(images, drawn, size, torch.zeros(3), torch.ones(3))
    total = 0.0
    for n in range(len(drawn)):
        image = Image.fromarray(images[n % 8].permute(1, 2, 0).numpy())
        box = (int(drawn.top[n]), int(drawn.left[n]), int(drawn.height[n]), int(drawn.width[n]))
        view = transforms.functional.resized_crop(image, *box, [size, size])
        if drawn.flip[n]:
            view = transforms.functional.hflip(view)
        if drawn.jitter[n]:
            for operation in drawn.order[n]:
                view = ADJUST[operation](view, float(drawn.factors[n, operation]))
        if drawn.grey[n]:
            view = transforms.functional.to_grayscale(view, 3)
        total += (transforms.functional.to_tensor(view) - made[n]).abs().mean().item()
    assert total / len(drawn) < 1.5 / 255  # Pillow rounds to whole numbers, and down, after every operation


def test_results_do_not_depend_on_threads_or_batch() -> None:
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread is all there is")
    images = photographs(9, 48, 48)
    drawn = views.draw(8, 0, np.arange(9), 8, 48, 48)
    made = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        made.append(views.make(images, drawn, 48, MEAN, STD))
    assert torch.equal(made[0], made[1])
    alone = views.make(images[4:5], views.draw(8, 0, np.array([4]), 8, 48, 48), 48, MEAN, STD)
    assert torch.equal(alone, made[0][4::9])


def test_memory_is_used_again() -> None:
    images = photographs(4, 32, 32)
    drawn = views.draw(8, 0, np.arange(4), 2, 32, 32)
    out = torch.full((8, 3, 32, 32), torch.nan)
    made = views.make(images, drawn, 32, MEAN, STD, out=out)
    assert made is out
    assert torch.equal(out, views.make(images, drawn, 32, MEAN, STD))


def test_layout_of_images_does_not_matter() -> None:
    images = photographs(4, 32, 24)
    drawn = views.draw(8, 0, np.arange(4), 2, 32, 24)
    as_stored = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(
        views.make(images, drawn, 16, MEAN, STD),
        views.make(as_stored, drawn, 16, MEAN, STD),
    )


def test_what_does_not_fit_is_refused() -> None:
    images = photographs(4, 32, 32)
    drawn = views.draw(0, 0, np.arange(4), 2, 32, 32)
    with pytest.raises(errors.ArgumentError, match="uint8"):
        views.make(images.float(), drawn, 32, MEAN, STD)
    with pytest.raises(errors.ArgumentError, match="multiple of 3"):
        views.make(images[:3], drawn, 32, MEAN, STD)
    with pytest.raises(errors.ArgumentError, match="beyond images of 31 x 32"):
        views.make(images[:, :, 1:], drawn, 32, MEAN, STD)
    with pytest.raises(errors.ArgumentError, match="size is 0"):
        views.make(images, drawn, 0, MEAN, STD)
    with pytest.raises(errors.ArgumentError, match="contiguous"):
        views.make(images, drawn, 32, MEAN, STD, out=torch.empty(8, 32, 32, 3).permute(0, 3, 1, 2))
    for size, shape in (
        (32, (1, 34, 34, 3, 16)),
        (32, (2, 34, 34, 3, 4)),
        (33, (1, 35, 35, 3, 8)),
        (32, (1, 1, 1, 3, 0)),
    ):
        with pytest.raises(errors.ArgumentError, match=f"{size}, {size}. is needed"):
            views.make(images, drawn, size, MEAN, STD, out=torch.empty(shape))


def test_without_numba_the_torch_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    images = photographs(4, 32, 32)
    drawn = views.draw(0, 0, np.arange(4), 2, 32, 32)
    monkeypatch.setattr(views.making, "_kernel", lambda: None)
    out = torch.empty(8, 3, 32, 32)
    expected = views.apply(images, drawn, 32, MEAN, STD)
    assert torch.equal(views.make(images, drawn, 32, MEAN, STD), expected)
    assert views.make(images, drawn, 32, MEAN, STD, out=out) is out
    assert torch.equal(out, expected)


def test_numba_is_imported_by_making_views_only() -> None:
    code = "import rrzoo, rrzoo.training, sys; assert 'numba' not in sys.modules, 'imported too early'"
    subprocess.run([sys.executable, "-c", code], check=True)


# Drawing


def rows(drawn: ViewParameters, index: np.ndarray | slice) -> list[np.ndarray]:
    return [getattr(drawn, field.name)[index] for field in dataclasses.fields(drawn)]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_view_depends_on_seed_epoch_image_and_number_alone() -> None:
    drawn = views.draw(11, 3, np.arange(100, 164), 8, 48, 40)
    for image in (100, 137, 163):
        alone = views.draw(11, 3, np.array([image]), 4, 48, 40)
        assert equal(rows(alone, slice(None)), rows(drawn, np.arange(4) * 64 + image - 100))


def test_seeds_epochs_images_and_views_differ() -> None:
    def factors(seed: int, epoch: int, image: int) -> np.ndarray:
        return views.draw(seed, epoch, np.array([image]), 2, 32, 32).factors

    draws = [factors(s, e, i) for s in range(3) for e in range(3) for i in range(3)]
    values = np.concatenate(draws)[:, BRIGHTNESS]
    assert len(np.unique(values)) == len(values) == 54


def kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> float:
    """Return the two-sample statistic, times the root of the effective count: above 1.95 for 0.1% of equal pairs."""
    grid = np.concatenate([a, b])
    share_a = np.searchsorted(np.sort(a), grid, side="right") / len(a)
    share_b = np.searchsorted(np.sort(b), grid, side="right") / len(b)
    return float(np.abs(share_a - share_b).max() * np.sqrt(len(a) * len(b) / (len(a) + len(b))))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (60, 96), (200, 40), (40, 200)])
def test_crops_are_distributed_as_torchvisions(height: int, width: int) -> None:
    drawn = views.draw(12, 0, np.arange(1000), 5, height, width)
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    crop = transforms.RandomResizedCrop.get_params
    theirs = np.array([crop(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(5000)]).T
    ours = np.stack([drawn.top, drawn.left, drawn.height, drawn.width])
    for measure in (
        lambda top, left, h, w: h * w,
        lambda top, left, h, w: w / h,
        lambda top, left, h, w: top,
        lambda top, left, h, w: left,
        lambda top, left, h, w: top + h,
        lambda top, left, h, w: left + w,
        lambda top, left, h, w: h,
        lambda top, left, h, w: w,
    ):
        assert kolmogorov_smirnov(measure(*ours), measure(*theirs)) < 1.95


def test_jitter_is_distributed_as_torchvisions() -> None:
    drawn = views.draw(13, 0, np.arange(1000), 5, 32, 32)
    torch.manual_seed(0)
    jitter = transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)
    ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    theirs = [jitter.get_params(*ranges) for _ in range(5000)]
    for operation in range(4):
        factors = np.array([params[1 + operation] for params in theirs])
        ours = drawn.factors[:, operation]
        assert kolmogorov_smirnov(ours, factors) < 1.95
        assert np.allclose((ours.min(), ours.max()), ranges[operation], atol=0.005)
    orders = [tuple(order) for order in drawn.order.tolist()]
    counts = np.array([orders.count(order) for order in sorted(set(orders))])
    assert len(counts) == 24
    expected = 5000 / 24
    assert ((counts - expected) ** 2 / expected).sum() < 49.7  # chi-square of 23 degrees of freedom, p = 0.1%


def test_probabilities_and_independence() -> None:
    drawn = views.draw(14, 0, np.arange(5000), 2, 32, 32)
    for chosen, probability in ((drawn.flip, 0.5), (drawn.jitter, 0.8), (drawn.grey, 0.2)):
        assert abs(chosen.mean() - probability) < 3.3 * np.sqrt(probability * (1 - probability) / 10000)
    columns = [drawn.top, drawn.height * drawn.width, drawn.flip, drawn.jitter, drawn.grey, *drawn.factors.T]
    correlation = np.corrcoef(np.stack(columns).astype(float))
    correlation[0, 1] = correlation[1, 0] = 0  # a large crop has less room
    assert np.abs(correlation - np.eye(len(columns))).max() < 0.04
    first, second = drawn.factors[:5000, BRIGHTNESS], drawn.factors[5000:, BRIGHTNESS]  # two views of each image
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.05  # neighbouring images
