"""What every script imports first: finds rrzoo in this clone, installed or not, and loads it and torch as they should.

`rrzoo.commands.starting` says how, and why.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rrzoo.commands import starting

with starting():
    import rrzoo.zoo  # noqa: F401
