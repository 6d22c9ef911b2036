"""Colours: linear RGB triples, 0 to 1."""

Colour = tuple[float, float, float]

DARK: Colour = (0.012, 0.01, 0.01)
WHITE: Colour = (0.85, 0.83, 0.8)
PINK: Colour = (0.65, 0.25, 0.25)
RUBBER: Colour = (0.02, 0.02, 0.022)
GLASS: Colour = (0.02, 0.03, 0.045)

# Paints of vehicles, toys and sails, as sRGB for `Dice.colour`.
PAINTS = (
    "#c62828",
    "#1e4fa8",
    "#e9e9e6",
    "#1c1d20",
    "#9aa0a8",
    "#e0b020",
    "#2f7d4a",
    "#6d1f2c",
    "#d9661f",
    "#56a0c8",
    "#3a4450",
)


def linear_rgb(code: str) -> Colour:
    """Return the linear colour of an sRGB code such as `#c62828`."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red**2.2, green**2.2, blue**2.2


def dimmed(colour: Colour, factor: float) -> Colour:
    """Return the colour times `factor`."""
    red, green, blue = colour
    return red * factor, green * factor, blue * factor
