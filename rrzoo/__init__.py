"""Self-supervised relational reasoning: backbones and relation heads to train, share and use.

import rrzoo
model = rrzoo.load("conv4-cifar10")
model.embed("photo.jpg")
"""

import importlib
from typing import TYPE_CHECKING

from rrzoo import errors

if TYPE_CHECKING:
    from rrzoo.gallery import Gallery
    from rrzoo.model import Model
    from rrzoo.zoo import list_models, load

__all__ = ["Gallery", "Model", "errors", "list_models", "load"]
__version__ = "0.2.0"

# imported when first asked for (PEP 562): torch takes seconds, and `rrzoo --help` needs none of it
_MODULES = {"Gallery": "rrzoo.gallery", "Model": "rrzoo.model", "list_models": "rrzoo.zoo", "load": "rrzoo.zoo"}

if not TYPE_CHECKING:  # type checkers would take any name for one of the package

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(importlib.import_module(_MODULES[name]), name)
        return value

    def __dir__():
        return sorted({*globals(), *_MODULES})
