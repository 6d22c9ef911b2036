"""How the threads of torch, numba and FAISS share the cores. Import this before torch, which reads it when it loads.

torch and numba each bring a pool of OpenMP threads, one a core; FAISS is kept to one thread by `rrzoo.gallery`. A
thread that waits for work spins by default. While another process, or the other pool, needs the core, that costs many
times what it saves: so waiting threads sleep, unless OMP_WAIT_POLICY is already set otherwise.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
