"""What every script imports first."""

from conftest import REPOSITORY, run_python


def test_scripts_let_threads_sleep_and_leave_what_loads_out_of_garbage_collection() -> None:
    code = f"""
import os, sys
os.environ.pop("OMP_WAIT_POLICY", None)
sys.path.insert(0, {str(REPOSITORY / "scripts")!r})
import startup, gc
assert "torch" in sys.modules
print(os.environ["OMP_WAIT_POLICY"], gc.isenabled(), gc.get_freeze_count() > 100_000)
class Node: pass
node = Node(); node.itself = node; last = __import__("weakref").ref(node)
del node; gc.collect()
print(last())
"""
    assert run_python(code).split() == ["passive", "True", "True", "None"]
