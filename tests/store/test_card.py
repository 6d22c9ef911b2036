"""Model cards: the Hub's own library reads their metadata, and their code runs."""

import re
from dataclasses import replace

import numpy as np
import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from rrzoo import zoo
from rrzoo.config import Architecture, ModelConfig
from rrzoo.store import card, evaluation_file, model_folder

FOLDER = zoo.SHIPPED / "conv4-cifar10"
CONFIG = model_folder.read_config(FOLDER)
OWN = evaluation_file.own(FOLDER, CONFIG)
EVALUATIONS = {OWN.dataset: OWN} if OWN else {}


def test_metadata_is_what_the_hubs_library_makes() -> None:
    evaluation = OWN
    assert evaluation is not None
    auc = evaluation.relation
    assert auc is not None
    measured = [
        (
            "image-classification",
            "Classification by frozen features",
            "accuracy",
            "Linear probe",
            evaluation.linear_probe,
        ),
        (
            "image-classification",
            "Classification by frozen features",
            "accuracy",
            "20 nearest neighbours",
            evaluation.knn["20"],
        ),
        (
            "image-feature-extraction",
            "Relation scores of pairs",
            "roc_auc",
            "Same image",
            auc.auc_same_image,
        ),
        (
            "image-feature-extraction",
            "Relation scores of pairs",
            "roc_auc",
            "Same class",
            auc.auc_same_class,
        ),
    ]
    expected = ModelCardData(
        library_name="rrzoo",
        license="apache-2.0",
        pipeline_tag="image-feature-extraction",
        datasets=["uoft-cs/cifar10"],
        tags=["rrzoo", "image-retrieval", "conv4", "self-supervised", "relational-reasoning"],
        model_name="conv4-cifar10",
        eval_results=[
            EvalResult(
                task_type=task,
                task_name=task_name,
                dataset_type="uoft-cs/cifar10",
                dataset_name="CIFAR-10 (JPEG-coded copy), test split",
                metric_type=metric,
                metric_name=name,
                metric_value=value,
            )
            for task, task_name, metric, name, value in measured
        ],
    )
    assert ModelCard(card.render(CONFIG, EVALUATIONS)).data.to_dict() == expected.to_dict()


@pytest.mark.parametrize("name", ['a: "b" #\\c', "---\nlicense: mit", "naïve 🦌 \x85\u2028 '", "yes", "1e3", "- [x]"])
def test_any_name_stays_one_value(name: str) -> None:
    read = ModelCard(card.render(replace(CONFIG, name=name), EVALUATIONS)).data.to_dict()
    assert read["model-index"][0]["name"] == name
    assert read["license"] == "apache-2.0"


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", card.render(CONFIG, EVALUATIONS), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert np.shape(names["score"]) == (1,)


def test_what_is_not_known_is_not_claimed() -> None:
    bare = ModelConfig("bare", Architecture("resnet8", 32, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)))
    text = card.render(bare)
    assert "model-index" not in ModelCard(text).data.to_dict()
    for claim in ("trained on", "Accuracy", "accuracies", "classify", "relation_percentile", "ROC", "None"):
        assert claim not in text, claim


def test_without_a_relation_head_none_is_described() -> None:
    training, evaluation = CONFIG.training, OWN
    assert training is not None
    assert training.recipe is not None
    assert evaluation is not None
    other = replace(
        CONFIG,
        architecture=replace(CONFIG.architecture, aggregation=None),
        training=replace(training, recipe=replace(training.recipe, pretext="rotation")),
        random_pair_scores=(),
    )
    text = card.render(other, {"cifar10": replace(evaluation, relation=None, reranked=None)})
    for claim in ("relat", "pairs", "ROC", "roc_auc", "relation_percentile"):
        assert claim not in text.lower(), claim
    assert "| pretext task | rotation |" in text
