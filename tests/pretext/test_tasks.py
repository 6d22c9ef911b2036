"""Pretext tasks behind their protocol: each learns, resumes, and computes what its paper defines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import smooth_image
from rrzoo import backbones, errors, pretext, training, views
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.kernels import conv4
from rrzoo.optimisers import Adam
from rrzoo.pretext import Pretext, simclr
from rrzoo.recipes import RECIPES, check
from rrzoo.store.export import export

TRAINED = [tag for tag in pretext.TASKS if tag != "random"]


def recipe(tag: str, **changes: object) -> Recipe:
    epochs = 0 if tag == "random" else 3
    made = Recipe(
        "conv4", "none", 32, pretext=tag, views=pretext.TASKS[tag].least_views, batch_size=16, epochs=epochs, loss="bce"
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    random = np.random.default_rng(11)
    pictures = np.stack([smooth_image(random, 36, 40) for _ in range(110)])  # 6 batches and a rest
    half = (0.5, 0.5, 0.5)
    labels = np.arange(110) % 3
    return Dataset("none", "train", pictures, labels, ("x", "y", "z"), half, half, "chosen", "synthetic", "none")


def create(chosen: Recipe, dataset: Dataset) -> tuple[Pretext, training.TrainStep]:
    torch.manual_seed(chosen.seed)
    task = pretext.create(chosen, backbones.create(chosen.backbone), dataset).train()
    task.start_epoch(0, dataset)
    task.train()
    return task, training.TrainStep(task, dataset)


def test_every_task_has_a_name_for_recipes() -> None:
    assert {f"conv4-cifar10-{tag}" for tag in pretext.TASKS} <= set(RECIPES)


@pytest.mark.parametrize("tag", TRAINED)
def test_a_step_of_any_task(tag: str, dataset: Dataset) -> None:
    """K pictures of each image go in, every parameter gets a gradient, and the seed alone decides the outcome."""
    task, step = create(recipe(tag), dataset)
    batch = step.batch(0, np.arange(16))
    extract, shown = task.extract, []
    task.extract = lambda inputs: shown.append(inputs.shape) or extract(inputs)
    loss, metrics = task(step.views(batch), batch)
    ((first, *rest),) = shown
    assert first * (16 if len(rest) == 4 else 1) == 16 * task.recipe.views  # blocks of 16
    loss.backward()
    assert all(parameter.grad is not None for parameter in task.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.backbone.parameters())
    assert all(torch.isfinite(value).all() and value.ndim == 0 for value in [loss, *metrics.values()])
    again, other = (create(recipe(tag, seed=seed), dataset)[1](0, np.arange(16))[0].item() for seed in (0, 1))
    assert loss.item() == again != other


@pytest.mark.parametrize("tag", TRAINED)
def test_a_task_runs_on_another_device(tag: str, dataset: Dataset) -> None:
    """The device "meta" computes shapes only, and refuses tensors of any other: nothing is made on the CPU unseen."""
    task, step = create(recipe(tag), dataset)
    batch = step.batch(0, np.arange(16))
    views = step.views(batch)
    if views.ndim == 5:
        views = conv4.unblock(views)
    task.to("meta")
    labels = batch.labels.to("meta")
    with torch.device("meta"):
        loss, metrics = task(views.to("meta"), replace(batch, images=batch.images.to("meta"), labels=labels))
    assert all(value.device.type == "meta" and value.ndim == 0 for value in [loss, *metrics.values()])


@pytest.mark.parametrize("tag", TRAINED)
def test_hooks_see_what_a_task_does(tag: str, dataset: Dataset) -> None:
    """A step calls the task as a module; what it returns for the log keeps no graph alive."""
    task, step = create(recipe(tag), dataset)
    losses = []
    task.register_forward_hook(lambda _, arguments, outcome: losses.append(outcome[0].item()))
    loss, metrics = step(0, np.arange(16))
    assert losses == [loss.item()]
    assert not any(value.requires_grad for value in [loss, *metrics.values()])


@pytest.mark.parametrize("tag", TRAINED)
def test_only_what_is_learnt_is_saved(tag: str, dataset: Dataset) -> None:
    """Checkpoints hold parameters and the statistics of BatchNorm, no constants, nothing twice."""
    task, _ = create(recipe(tag), dataset)
    learnt = {name for name, _ in task.named_parameters()}
    statistics = {"running_mean", "running_var", "num_batches_tracked"}
    assert {name for name in task.state_dict() if name.rpartition(".")[2] not in statistics} == learnt


def test_options_of_a_task(dataset: Dataset) -> None:
    """They change what they name, and are checked with the recipe, before anything is trained."""
    usual, same, warm = (
        create(recipe("simclr", options=options), dataset)[1](0, np.arange(16))[0].item()
        for options in (None, {"temperature": 0.5}, {"temperature": 1.0})
    )
    assert usual == same != warm
    with pytest.raises(errors.ArgumentError, match=r"simclr has no option 'temprature': did you mean temperature\?"):
        check(recipe("simclr", options={"temprature": 1.0}))
    with pytest.raises(errors.ArgumentError, match=r"rotation has no option 'temperature'.*Known: none"):
        check(recipe("rotation", options={"temperature": 1.0}))
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(errors.ArgumentError, match=r"temperature of simclr is .*: it must be a positive number"):
            check(recipe("simclr", options={"temperature": value}))


@pytest.mark.parametrize("tag", TRAINED)
def test_a_resumed_run_equals_an_uninterrupted_one(
    tag: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training.pretrain(recipe(tag, epochs=2), dataset, tmp_path / "whole").backbone.state_dict()
    calls, step = 0, Adam.step

    def crash(optimizer: Adam) -> None:
        nonlocal calls
        calls += 1
        if calls == 8:  # in the second epoch
            raise KeyboardInterrupt
        step(optimizer)

    monkeypatch.setattr(Adam, "step", crash)
    with pytest.raises(KeyboardInterrupt):
        training.pretrain(recipe(tag, epochs=2), dataset, tmp_path / "parts")
    monkeypatch.undo()
    parts = training.pretrain(recipe(tag, epochs=2), dataset, tmp_path / "parts", resume=True).backbone.state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_random_weights_are_those_that_training_begins_with(dataset: Dataset, tmp_path: Path) -> None:
    trained = training.pretrain(recipe("random"), dataset, tmp_path / "run")
    torch.manual_seed(0)
    expected = backbones.create("conv4").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in trained.backbone.state_dict().items())
    assert (trained.views_seen, trained.epochs_done) == (0, 0)
    with pytest.raises(errors.ArgumentError, match="random weights are not trained, in 0 epochs"):
        check(recipe("random", epochs=1))


@pytest.mark.parametrize("count", [2, 3])
def test_nt_xent_is_its_definition(count: int) -> None:
    """Equation 1 of arXiv 2002.05709, pair by pair; for more views than two, the mean over all positive pairs."""
    torch.manual_seed(3)
    m = 4
    z = torch.randn(count * m, 8)
    losses = []
    for i in range(count * m):
        similar = [torch.cosine_similarity(z[i], z[k], dim=0).item() / 0.5 for k in range(count * m)]
        below = sum(np.exp(similar[k]) for k in range(count * m) if k != i)
        for j in range(count * m):
            if j != i and j % m == i % m:  # another view of the same image
                losses.append(-np.log(np.exp(similar[j]) / below))
    assert simclr.nt_xent(simclr.similarities(z, 0.5), m).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_nt_xent_of_identical_views_of_opposite_images() -> None:
    """Closed form: two images, opposite: log(1 + 2 exp(-2 / 0.5)), one positive against two views of the other."""
    one = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    logits = simclr.similarities(one.repeat(2, 1), 0.5)
    assert simclr.nt_xent(logits, 2).item() == pytest.approx(np.log(1 + 2 * np.exp(-4)), rel=1e-5)


def test_rotation_shows_every_view_in_all_four_turns(dataset: Dataset) -> None:
    task, step = create(recipe("rotation", views=8), dataset)
    batch = step.batch(2, np.array([5, 1, 9]))
    made = step.views(batch)
    drawn = views.draw(0, 2, batch.indices, 2, 36, 40)
    assert len(made) == len(drawn) == 6
    turned = task.transform_views(made, batch)
    for n, view in enumerate(made.numpy()):
        for turn in range(4):
            np.testing.assert_array_equal(turned[6 * turn + n], np.rot90(view, turn, (1, 2)))
    logits = torch.eye(4).repeat_interleave(6, 0)
    task.classifier = torch.nn.Identity()
    loss, metrics = task.loss(logits, batch)
    assert loss.item() == pytest.approx(np.log(np.e + 3) - 1, rel=1e-5)
    assert metrics["accuracy"] == 1
    with pytest.raises(errors.ArgumentError, match="views is 6: a multiple of 4 is needed"):
        create(recipe("rotation", views=6), dataset)


def test_supervision_knows_whose_label_a_view_has(dataset: Dataset) -> None:
    task, step = create(recipe("supervised", views=2), dataset)
    task.classifier = torch.nn.Identity()
    batch = step.batch(0, np.array([0, 4, 5]))  # of classes 0, 1, 2
    assert task.loss(torch.eye(3).repeat(2, 1), batch)[1]["accuracy"] == 1
    with pytest.raises(errors.DatasetError, match="has no labels"):
        create(recipe("supervised"), replace(dataset, labels=None))


def test_random_numbers_of_tasks_are_not_those_of_views(dataset: Dataset) -> None:
    _, step = create(recipe("relation"), dataset)
    batch = step.batch(0, np.array([3, 4]))
    numbers = batch.uniform(3, per_image=2)
    assert numbers.shape == (3, 4)
    assert len(np.unique(numbers)) == 12
    assert (numbers == views.uniform(0, 0, batch.indices, 2, 3)).all()
    assert not np.isin(numbers, views.drawing._Uniform(0, 0, batch.indices, 2)(np.arange(views.UNUSED))).any()
    alone = step.batch(0, np.array([4])).uniform(3, per_image=2)
    np.testing.assert_array_equal(alone, numbers[:, 1::2])  # whatever the batch


def test_a_model_that_cannot_relate(dataset: Dataset, tmp_path: Path) -> None:
    """From training to folder, card, gallery and back, without a relation head."""
    trained = training.pretrain(recipe("simclr", epochs=2), dataset, tmp_path / "run", minutes=0)
    assert trained.epochs_done == 1
    model = export("conv4-none-simclr", recipe("simclr", epochs=2), trained, dataset, dataset, tmp_path / "model")
    assert model.relation_head is None
    assert model.evaluation.relation is None
    card = (tmp_path / "model" / "README.md").read_text()
    assert "elat" not in card.replace("relational", "")  # relation, relate
    assert "| epochs | 1 of 2 |" in card
    assert "by the task simclr" in card
    picture = dataset.images[0]
    (hits,) = model.gallery().search(picture, 3)
    assert [hit.relation for hit in hits] == [None] * 3
    for refused in (lambda: model.relate(picture, picture), lambda: model.gallery().search(picture, 3, rerank=True)):
        with pytest.raises(errors.ArgumentError, match="conv4-none-simclr has no relation head"):
            refused()
