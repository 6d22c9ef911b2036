"""Where a visitor's pictures are dropped, in more than one tab: all into one gallery."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from rrzoo.demo import uploads
from rrzoo.demo.components import drawing_html, errors_as_toasts, files_input
from rrzoo.demo.context import Context
from rrzoo.demo.filling import CHECK_BEFORE_UPLOAD, fill, room
from rrzoo.demo.visitors import Visitors
from rrzoo.gallery import Gallery

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Own:
    """What the tabs that show a visitor's own pictures share."""

    context: Context
    galleries: Visitors
    changed: gr.State  # the time at which his pictures changed, ns

    def gallery(self, model_name: str, request: gr.Request) -> Gallery | None:
        """Return a visitor's gallery as a model sees it, or None."""
        return self.galleries.gallery(request.session_hash or "", self.context.get_model(model_name)[0])

    @property
    def downloads(self) -> Path:
        """The folder of what visitors take home; like uploads, it is emptied within an hour."""
        return Path(get_upload_folder()) / "downloads"

    def drop(self, elem_id: str, label: str) -> None:
        """Lay out: a place to drop pictures, what there is room for, and the clay figures to try it with."""
        drop = files_input(label, elem_id, "multiple")
        drop.elem_classes.append("drop-here")
        left = drawing_html(room(None), f"{elem_id}-room")
        drawing_html('<p class="upload-problem" role="alert"></p>', f"{elem_id}-problem", CHECK_BEFORE_UPLOAD)
        message = gr.Markdown(elem_id=f"{elem_id}-message")
        figures = gr.Button(f"Or try it with {len(self.context.figures)} clay figures", size="sm")

        def add(pictures: Any, model_name: str, request: gr.Request, progress: Any) -> tuple[int, str]:
            model, _ = self.context.get_model(model_name)

            def tell(done: int, total: int) -> None:
                progress((done, total), desc="Reading", unit="pictures")

            return time.monotonic_ns(), fill(self.galleries, request.session_hash or "", model, pictures, tell)

        def take(
            paths: list[str],
            model_name: str,
            request: gr.Request,
            progress: Any = gr.Progress(),  # noqa: B008 - Gradio looks for it here
        ) -> tuple[Any, ...]:
            if not paths:
                return gr.skip(), gr.skip(), gr.skip()
            try:
                return None, *add(paths, model_name, request, progress)
            finally:
                for path in paths:
                    uploads.remove(path)

        def take_figures(
            model_name: str,
            request: gr.Request,
            progress: Any = gr.Progress(),  # noqa: B008
        ) -> tuple[int, str]:
            return add(self.context.figures, model_name, request, progress)

        def say_room(model_name: str, request: gr.Request) -> str:
            return room(self.gallery(model_name, request))

        model_choice = self.context.model_choice
        shown: dict[str, Any] = {"api_visibility": "private", "show_progress_on": message}
        drop.upload(errors_as_toasts(take), [drop, model_choice], [drop, self.changed, message], **shown)
        figures.click(errors_as_toasts(take_figures), model_choice, [self.changed, message], **shown)
        self.changed.change(say_room, model_choice, left, **QUIET)
