"""How people's pictures are altered when they are saved again: copies to fit and measure the finding of duplicates by.

Each takes an RGB picture and a generator, and returns an altered picture; how strongly is drawn. Sizes are shares of
the picture's own.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Alteration = Callable[[Image.Image, np.random.Generator], Image.Image]
WORDS = ("HELLO", "Happy Birthday", "so true", "SALE 50%", "(c) 2024", "when you know\nyou know", "summer")


def recode(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Save as JPEG of quality 30 to 90."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(30, 91)))
    return Image.open(file).convert("RGB")


def resize(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Scale to 0.4 to 1.5 times the size."""
    factor = random.uniform(0.4, 1.5)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Cut off 10 to 40% of the area, anywhere, and keep the shape."""
    return _cut(image, np.sqrt(random.uniform(0.6, 0.9)), None, random)


def crop_wide(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Cut to 16:9, 16:10 or 3:2 around anywhere."""
    return _cut(image, 1.0, float(random.choice((16 / 9, 16 / 10, 3 / 2))), random)


def frame(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Put a border of 3 to 15% of the side around it, of one colour, or bars above and below."""
    across, down = (round(side * random.uniform(0.03, 0.15)) for side in image.size)
    border = (0, down) if random.random() < 0.3 else (across, down)
    return ImageOps.expand(image, border, _plain_colour(random))


def screenshot(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Lay it on a page with margins and two bars, as a telephone's screen shows it."""
    width, height = round(image.width * 1.15), round(image.height * random.uniform(1.3, 1.7))
    page = Image.new("RGB", (width, height), _plain_colour(random))
    draw, bar = ImageDraw.Draw(page), round(image.height * 0.1)
    for top in (0, height - bar):
        draw.rectangle((0, top, width, top + bar), (200, 200, 205))
        draw.text((bar / 2, top), "12:30  Photos", fill=(20, 20, 20), font_size=0.8 * bar)
    page.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return page


def caption(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Write on it."""
    image = image.copy()
    size = image.height * random.uniform(0.1, 0.2)
    place = image.width * random.uniform(0.02, 0.2), image.height * random.uniform(0.05, 0.7)
    colour = tuple(random.choice([(255, 255, 0), (255, 255, 255), (0, 0, 0), (230, 30, 30)]).tolist())
    ImageDraw.Draw(image).text(place, str(random.choice(WORDS)), fill=colour, font_size=size)
    return image


def blur(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Blur by 0.5 to 1.7% of the side."""
    return image.filter(ImageFilter.GaussianBlur(image.width * random.uniform(0.005, 0.017)))


def recolour(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Change brightness, contrast and colour, as filters of telephones do."""
    for enhance, least, most in (
        (ImageEnhance.Brightness, 0.6, 1.5),
        (ImageEnhance.Contrast, 0.6, 1.5),
        (ImageEnhance.Color, 0.3, 1.8),
    ):
        image = enhance(image).enhance(random.uniform(least, most))
    warmth = np.array([random.uniform(0.85, 1.15), 1, random.uniform(0.85, 1.15)])
    return Image.fromarray((np.asarray(image) * warmth).clip(0, 255).astype(np.uint8))


def grey(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Take the colours away; half of them become brown."""
    plain = ImageOps.grayscale(image)
    return ImageOps.colorize(plain, "#1a0f00", "#fff3d6") if random.random() < 0.5 else plain.convert("RGB")


def mirror(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Turn left and right round."""
    return ImageOps.mirror(image)


def rotate(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Turn by 1 to 5 degrees, and cut the corners off."""
    angle = random.uniform(1, 5) * random.choice((-1, 1))
    turned = image.rotate(angle, Image.Resampling.BICUBIC)
    lost = np.tan(np.radians(abs(angle))) / 2
    across, down = round(image.height * lost), round(image.width * lost)
    return turned.crop((across, down, image.width - across, image.height - down))


def several(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Crop, recolour, scale and save as JPEG, one after the other."""
    for step in (crop, recolour, resize, recode):
        image = step(image, random)
    return image


ALTERATIONS: dict[str, Alteration] = {
    one.__name__: one
    for one in (
        recode, resize, crop, crop_wide, frame, caption, blur, recolour, mirror, rotate, grey, screenshot, several
    )
}  # fmt: skip
NOT_FITTED = ("grey", "screenshot", "several", "rotate")  # kinds that nothing is fitted to


def flat(random: np.random.Generator, side: int) -> Image.Image:
    """Return what shows next to nothing: uint8, one colour, a slope, or noise, of any, little or much light."""
    level = random.choice((random.uniform(0, 12), random.uniform(243, 255), random.uniform(0, 255)))
    pixels = np.full((side, side, 3), level) + random.uniform(-6, 6, 3)
    kind = random.integers(4)
    if kind == 1:
        pixels += np.linspace(-1, 1, side)[:, None, None] * random.uniform(2, 12)
    if kind == 2:
        pixels += random.normal(0, random.uniform(1, 4), pixels.shape)
    if kind == 3:  # a light in the dark, or a speck on white
        x, y, size = *random.uniform(0.1, 0.9, 2), random.uniform(0.02, 0.1)
        across, down = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
        spot = np.exp(-((across - x) ** 2 + (down - y) ** 2) / 2 / size**2)[..., None]
        pixels += spot * (150 if level < 128 else -150)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _cut(image: Image.Image, share: float, shape: float | None, random: np.random.Generator) -> Image.Image:
    width, height = image.width * share, image.height * share
    if shape is not None and width / height < shape:
        height = width / shape
    elif shape is not None:
        width = height * shape
    width, height = round(width), round(height)
    x, y = random.integers(0, image.width - width + 1), random.integers(0, image.height - height + 1)
    return image.crop((x, y, x + width, y + height))


def _plain_colour(random: np.random.Generator) -> tuple[int, int, int]:
    grey = int(random.choice((0, 255, 240, 18)))
    return (grey, grey, grey) if random.random() < 0.7 else tuple(random.integers(0, 256, 3).tolist())
