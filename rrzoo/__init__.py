"""Self-supervised relational reasoning: backbones and relation heads to train, share and use.

import rrzoo
model = rrzoo.load("conv4-cifar10")
model.embed("photo.jpg")
"""

from rrzoo import errors
from rrzoo.gallery import Gallery
from rrzoo.model import Model
from rrzoo.zoo import list_models, load

__all__ = ["Gallery", "Model", "errors", "list_models", "load"]
__version__ = "0.1.0"
