"""Gradio's page made ours: what a link to it shows, and a picture of this server's in the snippets of Use via API."""

import functools
import io
import os
import re
from pathlib import Path

import fastapi
import gradio as gr
import jinja2
from gradio import routes
from PIL import Image, ImageDraw, ImageFont

from rrzoo import demo
from rrzoo.demo import uploads
from rrzoo.demo.examples import HORSE, example_pictures

TITLE = "rrzoo: find pictures like yours"
LINE = "With models that learn to see without labels. Drop a picture, paste one, or click an example."
SIZE = (1200, 630)  # px, as those who show previews ask for
TILE, GAP = 190, 15  # px, of the figures on it
PAPER, INK, ACCENT = "#fafaf9", "#1c1917", "#047857"
TEMPLATE = "frontend/index.html"
ROOT = "{{ config['root'] }}"  # in the template: the address of the page, which may be below another path


@functools.cache
def picture() -> bytes:
    """Draw the preview: what the page is for beside nine clay figures, as JPEG."""
    canvas = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, figure in enumerate(example_pictures()[0][1:10]):
        row, column = divmod(number, 3)
        place = SIZE[0] - (3 - column) * (TILE + GAP), row * (TILE + GAP) + GAP
        canvas.paste(Image.fromarray(figure).resize((TILE, TILE), Image.Resampling.LANCZOS), place)
    for text, size, weight, colour, top in (
        ("rrzoo", 96, "Bold", ACCENT, 120),
        ("Find pictures\nlike yours", 64, "SemiBold", INK, 250),
        ("with models that learn to\nsee without labels", 34, "Regular", INK, 430),
    ):
        font = ImageFont.truetype(demo.FONT, size)
        font.set_variation_by_name(weight)
        draw.multiline_text((60, top), text, colour, font, spacing=12)
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=90)
    return file.getvalue()


def template(original: str) -> str:
    """Return Gradio's page with the tags of this preview in place of its own."""
    own = (
        ("property", "og:type", "website"),
        ("property", "og:title", TITLE),
        ("property", "og:description", LINE),
        ("property", "og:image", f"{ROOT}/preview.jpg"),
        ("name", "twitter:card", "summary_large_image"),
        ("name", "description", LINE),
    )
    drawn = "".join(f'<meta {kind}="{name}" content="{content}" />' for kind, name, content in own)
    stripped = re.sub(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>', "", original)
    stripped = stripped.replace('href="/manifest.json"', f'href="{ROOT}/manifest.json"')
    drawn += f'<link rel="icon" href="{ROOT}/favicon.ico" />'  # else browsers ask for it at the root of the host
    return stripped.replace("</head>", f"{drawn}<title>{TITLE}</title></head>", 1)


def add(app: fastapi.FastAPI) -> None:
    """Let an app that Gradio's page will be mounted on answer with the preview, and the page name it."""

    @app.get("/preview.jpg")
    def preview() -> fastapi.Response:
        return fastapi.Response(picture(), media_type="image/jpeg", headers={"cache-control": "max-age=86400"})

    environment = routes.templates.env
    assert environment.loader is not None
    original, _, _ = environment.loader.get_source(environment, TEMPLATE)
    changed = jinja2.DictLoader({TEMPLATE: template(original)})
    environment.loader = jinja2.ChoiceLoader([changed, environment.loader])


def send_own_picture(page: gr.Blocks, folder: Path) -> None:
    """Let the snippets of Use via API send a picture of this server: Gradio's is of another host, which is refused.

    Args:
        page: before anybody asks for its endpoints.
        folder: of files that this server may serve: the picture is written there.
    """
    example = folder / "example.png"
    Image.fromarray(example_pictures()[0][HORSE]).save(example)
    space = os.environ.get("SPACE_HOST")
    address = f"{f'https://{space}' if space else 'http://127.0.0.1:7860'}{uploads.SERVED}{example}"
    payload = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
    for block in page.blocks.values():
        if isinstance(block, gr.Image):
            block.example_payload = lambda: payload  # type: ignore[method-assign]
