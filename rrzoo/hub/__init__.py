"""The Hugging Face Hub: models are fetched into its cache, each file checked; models and the demo are published.

This package is the only user of huggingface_hub, which nothing here imports before it is needed.
"""

from rrzoo.hub.cache import fetch
from rrzoo.hub.source import Source
from rrzoo.hub.upload import publish, publish_space
from rrzoo.hub.weights import fetch_file

__all__ = ["Source", "fetch", "fetch_file", "publish", "publish_space"]
