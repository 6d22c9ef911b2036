"""How every script starts; import this before torch. Loads rrzoo, and torch with it.

torch and numba each bring a pool of OpenMP threads, one a core; FAISS is kept to one thread by `rrzoo.gallery`. A
thread that waits for work spins by default. While another process, or the other pool, needs the core, that costs many
times what it saves: so waiting threads sleep, unless OMP_WAIT_POLICY is already set otherwise.

What loads is hundreds of thousands of objects that stay. Looking for garbage among them, again and again, would take
longer than training's first step: so the collector begins once they are there, and leaves them out.
"""

import gc
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

gc.disable()
import rrzoo  # noqa: E402, F401

gc.freeze()
gc.enable()
