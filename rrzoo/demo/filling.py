"""How pictures of a visitor's become a gallery, or more of it; and how a folder becomes a file to take home."""

import html
import secrets
import zipfile
from collections.abc import Sequence
from pathlib import Path

from rrzoo import errors
from rrzoo.demo.visitors import Visitors
from rrzoo.gallery import IN_MEMORY, Gallery
from rrzoo.gallery.joining import join
from rrzoo.images import ImageLike
from rrzoo.model import Model
from rrzoo.progress import OnProgress

MOST_MB = 20  # of an upload


def fill(
    galleries: Visitors, session: str, model: Model, pictures: Sequence[ImageLike], progress: OnProgress | None = None
) -> str:
    """Add pictures to a visitor's gallery, which is made if need be; say what came of it, as Markdown.

    Raises:
        errors.GalleryError: there is no room for so many, or none can be read.
    """
    here = galleries.gallery(session, model)
    room = IN_MEMORY - (len(here) if here else 0)
    if len(pictures) > room:
        raise errors.GalleryError(
            f"{len(pictures)} pictures arrived, and there is room for {room}: choose fewer, or forget those that are "
            f"here; a gallery here holds {IN_MEMORY}, one of rrzoo index any number"
        )
    new = Gallery.from_images(model, pictures, progress=progress)
    gallery = join(here, new) if here else new
    galleries.keep(session, gallery)
    added = f"{len(new)} more, " if here else ""
    message = f"{added}**{len(gallery)} pictures** of yours are in memory."
    if new.skipped:
        message += f" {len(new.skipped)} could not be read: {html.escape('; '.join(new.skipped[:3]))}."
    return message


def room(gallery: Gallery | None) -> str:
    """Say how many pictures more there is room for, as HTML that the page's script reads before an upload."""
    left = IN_MEMORY - (len(gallery) if gallery else 0)
    more = "more pictures" if gallery else "pictures"
    return f'<p class="hint" data-room="{left}">Room for {left} {more}, of {MOST_MB} MB each.</p>'


# Stops an upload before it starts where there is no room, and says so in the same place. The listeners come before
# those of Gradio, whose own limit is known only when all is uploaded.
CHECK_BEFORE_UPLOAD = f"""
if (!window.checksUploads) {{
  window.checksUploads = true
  const check = (event, files) => {{
    const place = event.target.closest && event.target.closest('.drop-here')
    if (!place || !files) return
    const room = document.querySelector('[data-room]')
    const most = room ? Number(room.dataset.room) : {IN_MEMORY}
    const large = [...files].find(file => file.size > {MOST_MB}e6)
    let problem = ''
    if (files.length > most) problem = `You chose ${{files.length}} pictures, room is for ${{most}}: choose fewer.`
    else if (large) problem = `${{large.name}} has ${{(large.size / 1e6).toFixed(0)}} MB: at most {MOST_MB} are taken.`
    for (const alert of document.querySelectorAll('.upload-problem')) alert.textContent = problem
    if (!problem) return
    event.stopImmediatePropagation()
    event.preventDefault()
    if (event.target.value !== undefined) event.target.value = ''
  }}
  document.addEventListener('change', event => check(event, event.target.files), true)
  document.addEventListener('drop', event => check(event, event.dataTransfer && event.dataTransfer.files), true)
}}
"""


def zipped(folder: Path, name: str, downloads: Path) -> Path:
    """Return a new zip file of a folder's files, below `name`, which is below `downloads` at a place nobody can guess.

    What is in it is packed already: it is stored as it is.
    """
    place = downloads / secrets.token_hex(32)
    place.mkdir(parents=True, mode=0o700)
    with zipfile.ZipFile(place / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path(name) / path.relative_to(folder))
    return place / f"{name}.zip"
