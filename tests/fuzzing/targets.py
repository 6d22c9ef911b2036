"""What is fed with damaged files: each target makes good ones once, damages one a case, and uses what it reads."""

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

import rrzoo
from fuzzing.mutating import Random, in_bytes, in_json, in_tensors, pick
from rrzoo import backbones, datasets, errors, files, images, pretext, weights
from rrzoo.config import Recipe
from rrzoo.datasets import download
from rrzoo.datasets.dataset import Archive
from rrzoo.gallery import storage
from rrzoo.gallery.unfinished import Unfinished
from rrzoo.store import card, evaluation_file, golden, model_folder
from rrzoo.store.load import load
from rrzoo.training import checkpoint
from rrzoo.training.step import TrainStep

MODEL = Path(__file__).parent.parent / "fixtures" / "0.1.0" / "conv4-cifar10-relation"
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
MOST_PIXELS = 16_000_000

Case = Callable[[Random], None]  # writes one damaged file and uses it; raises RRZooErrors, and nothing else
Damage = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A kind of file, and how one case of it is made in an empty folder."""

    name: str
    prepare: Callable[[Path], Case]


def picture() -> np.ndarray:
    """Return uint8 (40, 60, 3)."""
    coarse = Image.fromarray(np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((60, 40), Image.Resampling.BICUBIC))


def use(model: rrzoo.Model) -> None:
    """Compute with a model all that its golden outputs hold, and more."""
    golden.golden_outputs(model, golden.golden_images(model.config.architecture.image_size)[:2])
    model.fingerprint  # noqa: B018 - it reads all weights


def of_model(name: str, damage: Damage) -> Callable[[Path], Case]:
    """Return a case that damages one file of a model folder."""

    def prepare(folder: Path) -> Case:
        there = Path(shutil.copytree(MODEL, folder / "m"))
        content = (there / name).read_bytes()

        def case(random: Random) -> None:
            (there / name).write_bytes(damage(random, content))
            if name == model_folder.GOLDEN:
                golden.verify(there, 1)
                return
            model = load(there)
            use(model)
            model_folder.altered(there)
            known = evaluation_file.read(there, model.config)
            card.render(model.config, known.evaluations if known else {}).encode()

        return case

    return prepare


def gallery(folder: Path) -> Case:
    """Damage a gallery's tensors, and list them anew in its manifest, or damage the manifest; then search."""
    model = load(MODEL)
    pictures = [np.roll(picture(), 5 * step, 1) for step in range(6)]
    rrzoo.Gallery.from_images(model, pictures, ["a", "b", "a", None, "b", "a"]).save(folder / "g")
    good = {path.name: path.read_bytes() for path in sorted((folder / "g").iterdir())}
    manifest = json.loads(good["manifest.json"])

    def case(random: Random) -> None:
        name = pick(random, [*sorted(good), *sorted(set(good) - {"manifest.json"})])
        content = (in_json if name.endswith("json") else in_tensors)(random, good[name])
        (folder / "g" / name).write_bytes(content)
        try:
            if name != "manifest.json":
                listed = manifest | {"files": manifest["files"] | {name: files.sha256(content)}}
                (folder / "g" / "manifest.json").write_text(json.dumps(listed))
            opened = rrzoo.Gallery.load(model, folder / "g")
            for hit in opened.search(picture(), 6, opened.can_rerank)[0]:
                assert np.isfinite(hit.score)
                str(hit.label), hit.source.encode("utf-8", "surrogateescape"), hit.thumbnail
            opened.vote(picture())
            opened.random_scores()
        finally:
            for one in (name, "manifest.json"):
                (folder / "g" / one).write_bytes(good[one])

    return case


def unfinished(folder: Path) -> Case:
    """Damage what an interrupted run of indexing has left."""
    model = load(MODEL)
    rrzoo.Gallery.from_images(model, [picture(), picture()[:, ::-1]]).save(folder / "saved")
    store = Unfinished(folder / "g", model.fingerprint, "photos")
    store.add(replace(storage.check(folder / "saved").rows, stamps=np.zeros((2, 2), np.int64)))
    (path,) = store.folder.iterdir()
    content = path.read_bytes()

    def case(random: Random) -> None:
        path.write_bytes(in_tensors(random, content))
        for known in store.known():
            assert len(known.sources) == len(known)

    return case


def image(folder: Path) -> Case:
    """Damage a picture."""
    good = {}
    for form in FORMATS:
        file = io.BytesIO()
        frames = (
            {"save_all": True, "append_images": [Image.fromarray(picture()[::-1])]} if form in ("GIF", "WEBP") else {}
        )
        Image.fromarray(picture()).save(file, form, **frames)
        good[form] = file.getvalue()

    def case(random: Random) -> None:
        form = pick(random, FORMATS)
        content = good[form]
        for _ in range(int(random.integers(1, 4))):
            content = in_bytes(random, content)
        (folder / "a.jpg").write_bytes(content)
        read = images.read(folder / "a.jpg", MOST_PIXELS)
        assert read.dtype == np.uint8
        assert read.ndim == 3
        assert read.shape[0] * read.shape[1] <= MOST_PIXELS

    return case


NAMES = ("d/a.png", "../x", "/tmp/rrzoo-x", "d/../../x", "d", "d/", "", "a\0b", "d/\udcff", "C:\\x", "d/" + "y" * 300)


def archive(folder: Path) -> Case:
    """Make an archive with hostile members, perhaps damage it, and unpack it; nothing may appear outside."""
    outside = folder / "data"
    place = outside / ".downloads"

    def member(random: Random, packed: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(pick(random, NAMES))
        info.type = pick(
            random, (tarfile.REGTYPE,) * 3 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
        )
        info.linkname = pick(random, ("/etc/passwd", "../../x", "d/a.png", "d", "."))
        info.mode, info.size = int(random.integers(0o10000)), 3 if info.type == tarfile.REGTYPE else 0
        packed.addfile(info, io.BytesIO(b"abc"))

    def made(random: Random) -> bytes:
        file = io.BytesIO()
        if random.random() < 0.5:
            with tarfile.open(fileobj=file, mode=pick(random, ("w", "w:gz"))) as packed:
                for _ in range(int(random.integers(1, 5))):
                    member(random, packed)
        else:
            with zipfile.ZipFile(file, "w", pick(random, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as packed:
                for name in {pick(random, NAMES).replace("\udcff", "ö") for _ in range(3)} - {""}:
                    packed.writestr(name, b"abc")
        content = file.getvalue()
        return content if random.random() < 0.4 else in_bytes(random, content)

    def case(random: Random) -> None:
        place.mkdir(parents=True, exist_ok=True)
        (place / "a").write_bytes(made(random))
        try:
            download._unpack(place / "a", Archive("http://a/a", 1, "", "d", 10), outside / "d")
        finally:
            assert {path.name for path in folder.iterdir()} == {"data"}
            assert {path.name for path in outside.iterdir()} <= {".downloads", "d"}
            assert [path.name for path in place.iterdir()] == ["a"]
            if (outside / "d").is_dir():
                shutil.rmtree(outside / "d")
            (outside / "d").unlink(missing_ok=True)

    return case


def state(folder: Path) -> Case:
    """Damage weights of others: safetensors, and what torch.save wrote."""
    import torch

    tensors = {"a.weight": torch.ones(3, 4), "b": torch.zeros(2, dtype=torch.int64)}
    torch.save({"state_dict": tensors, "epoch": 3}, folder / "good.pth")
    good = {"pth": (folder / "good.pth").read_bytes(), "safetensors": (MODEL / model_folder.WEIGHTS).read_bytes()}

    def case(random: Random) -> None:
        kind = pick(random, sorted(good))
        damage = in_tensors if kind == "safetensors" else in_bytes
        (folder / f"a.{kind}").write_bytes(damage(random, good[kind]))
        weights.read(folder / f"a.{kind}")

    return case


def run(folder: Path) -> Case:
    """Damage a checkpoint of training, and go on from it."""
    recipe = Recipe(backbone="conv4", dataset="clay10", image_size=32, views=2, batch_size=4, epochs=3)
    figures = datasets.load("clay10", "test")
    few = replace(figures, images=images.to_square(figures.images[::125], 32), labels=None)
    step = TrainStep(pretext.create(recipe, backbones.create(recipe.backbone), few), few, fast=False)
    (folder / "run").mkdir()
    checkpoint.save(folder / "run", step, 1, 1.0)
    path = folder / "run" / checkpoint.CHECKPOINT
    content = path.read_bytes()

    def case(random: Random) -> None:
        path.write_bytes(in_tensors(random, content))
        done, _ = checkpoint.load(folder / "run", step)
        assert done >= 0

    return case


TARGETS = (
    Target("config", of_model(model_folder.CONFIG, in_json)),
    Target("manifest", of_model(model_folder.MANIFEST, in_json)),
    Target("evaluation", of_model(model_folder.EVALUATION, in_json)),
    Target("weights", of_model(model_folder.WEIGHTS, in_tensors)),
    Target("golden", of_model(model_folder.GOLDEN, in_tensors)),
    Target("gallery", gallery),
    Target("unfinished", unfinished),
    Target("image", image),
    Target("archive", archive),
    Target("state", state),
    Target("checkpoint", run),
)


def failure(case: Case, random: Random) -> str | None:
    """Run one case; return what is wrong with how it ends, None where it is as it should be."""
    try:
        case(random)
    except errors.RRZooError as refusal:
        if len(str(refusal).splitlines()) != 1 or len(str(refusal)) > 2000:
            return f"no single line: {str(refusal)[:300]!r}"
    except Exception as problem:
        import traceback

        places = traceback.extract_tb(problem.__traceback__)
        ours = [one for one in places if "/rrzoo/" in one.filename] or places
        return f"{type(problem).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}: {str(problem)[:200]}"
    return None
