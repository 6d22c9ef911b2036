"""The demo below its page: tabs, endpoints for programs, drawings as HTML and SVG, and the galleries of visitors."""

import base64
from pathlib import Path

FONT = Path(__file__).parent / "fonts" / "inter.woff2"  # Inter, SIL Open Font Licence: OFL.txt beside it


def font_face() -> str:
    """Return the bundled font as a style element, so that no other host and no file path is asked for it."""
    data = base64.b64encode(FONT.read_bytes()).decode()
    return (
        "<style>@font-face {font-family: Inter; font-weight: 100 900; font-display: swap; "
        f"src: url(data:font/woff2;base64,{data}) format('woff2')}}</style>"
    )
