"""The house's structure: who may import whom, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rrzoo

PACKAGE = Path(rrzoo.__file__).parent
LAYERS = [
    {"errors", "environment", "files", "progress"},
    {"records", "ranks"},
    {"config", "measured", "devices", "optimisers", "backbones", "images"},
    {"kernels"},
    {"features", "recogniser", "views", "relation", "weights"},
    {"datasets"},
    {"pretext"},
    {"recipes", "gallery"},
    {"model", "training"},
    {"evaluation"},
    {"store"},
    {"hub"},
    {"zoo"},
    {"demo"},
    {"__init__"},
    {"commands"},
    {"__main__"},
]
ONLY_USERS = {
    "faiss": {"gallery"},
    "lancedb": {"gallery"},
    "torchvision": {"backbones"},
    "timm": {"backbones"},
    "huggingface_hub": {"hub"},
    "gradio": {"demo"},
}


def imports(path: Path) -> set[str]:
    """Return all modules that a file imports, wherever in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def modules() -> dict[str, list[Path]]:
    """Return the files of each module; a package is one module here, with the packages in it."""
    packages = {path.parent.name: sorted(path.parent.rglob("*.py")) for path in PACKAGE.glob("*/__init__.py")}
    return {path.stem: [path] for path in PACKAGE.glob("*.py")} | packages


def imports_of(name: str) -> set[str]:
    return set().union(*map(imports, modules()[name]))


def test_every_module_has_a_layer() -> None:
    assert set(modules()) == set().union(*LAYERS)


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_from_layers_below(name: str) -> None:
    layer = next(number for number, names in enumerate(LAYERS) if name in names)
    below = set().union(*LAYERS[:layer])
    own = {found.split(".")[1] for found in imports_of(name) if found.startswith("rrzoo.")} & set(modules())
    assert own - {name} <= below, f"{name} imports {own - below}"


@pytest.mark.parametrize(("library", "users"), ONLY_USERS.items())
def test_a_library_has_one_user(library: str, users: set[str]) -> None:
    found = {name for name in modules() if any(i.split(".")[0] == library for i in imports_of(name))}
    assert found == users


def test_one_file_names_timm() -> None:
    users = [path for path in modules()["backbones"] if any(i.split(".")[0] == "timm" for i in imports(path))]
    assert users == [PACKAGE / "backbones" / "timm_names.py"]


@pytest.mark.parametrize(("library", "file"), [("faiss", "faiss_index.py"), ("lancedb", "lance_connection.py")])
def test_one_file_names_each_library_behind_the_galleries(library: str, file: str) -> None:
    users = [path for path in modules()["gallery"] if any(i.split(".")[0] == library for i in imports(path))]
    assert users == [PACKAGE / "gallery" / "backends" / file]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light() -> None:
    heavy = [
        "torch",
        "numpy",
        "faiss",
        "lancedb",
        "pyarrow",
        "gradio",
        "huggingface_hub",
        "torchvision",
        "timm",
        "numba",
        "pandas",
        "matplotlib",
    ]
    assert run(f"import sys, rrzoo.commands; print([m for m in {heavy} if m in sys.modules])") == "[]\n"


def test_what_the_demo_draws_needs_no_widgets() -> None:
    pure = "about, drawing, examples, learning, relating, uploads, visitors"
    assert run(f"import sys; from rrzoo.demo import {pure}; print('gradio' in sys.modules)") == "False\n"


def test_using_a_model_needs_nothing_that_only_training_needs() -> None:
    code = """
import sys
sys.modules["numba"] = None  # importing it now raises ImportError
import numpy as np
import rrzoo
model = rrzoo.load("conv4-cifar10")
picture = np.zeros((40, 50, 3), np.uint8)
print(len(model.gallery().search(picture, 3)[0]), model.classify(picture).shape, model.relate(picture, picture).shape)
from rrzoo.demo import page
"""
    assert run(code) == "3 (1, 10) (1,)\n"


def test_public_names() -> None:
    assert len(rrzoo.__all__) <= 10
    assert all(hasattr(rrzoo, name) for name in rrzoo.__all__)
