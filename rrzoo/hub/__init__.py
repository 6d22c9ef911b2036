"""The Hugging Face Hub: models are fetched into its cache, each file checked; models and the demo are published.

This package is the only user of huggingface_hub, which nothing here imports before it is needed.
"""

from rrzoo.hub.cache import fetch
from rrzoo.hub.source import Source
from rrzoo.hub.upload import publish, publish_space

__all__ = ["Source", "fetch", "publish", "publish_space"]
