"""What RF-DETR logs, read in our words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rfdetr_contract.metrics import CLASS_LIMIT
from rfdetr_contract.report import Best, Scores
from rfdetr_contract.variants import Task
from rfdetr_trainer.callbacks.scores import (
    choose_best,
    name_groups,
    read_class_ap,
    read_losses,
    read_rates,
    read_scores,
)

SWEPT = {"val/precision": 0.7, "val/recall": 0.6, "val/F1": 0.65}
BOXES = {"val/mAP_50_95": 0.4, "val/mAP_50": 0.6, "val/mAP_75": 0.45, "val/mAR": 0.5}


def prefix(metrics: dict[str, float], change: float = 0.0) -> dict[str, float]:
    """The same metrics of the EMA, a little better."""
    return {key.replace("val/", "val/ema_"): value + change for key, value in metrics.items()}


def test_one_validation_is_scored_in_all_our_words() -> None:
    """Before the EMA exists there are the regular weights alone."""
    scores = Scores(map50_95=0.4, map50=0.6, map75=0.45, mar=0.5, precision=0.7, recall=0.6, f1=0.65)

    assert {"regular": scores} == read_scores({**BOXES, **SWEPT}, "detection")


def test_scores_that_were_only_mirrored_are_the_emas_alone() -> None:
    """RF-DETR shows the EMA's mAP under the regular keys when only the EMA was validated."""
    scores = Scores(map50_95=0.4, map50=0.6, map75=0.45, mar=0.5, precision=0.7, recall=0.6, f1=0.65)

    assert {"ema": scores} == read_scores({**BOXES, **prefix(BOXES), **SWEPT}, "detection")


def test_with_both_validated_the_sweep_is_the_regular_weights() -> None:
    """Precision, recall and F1 come from one forward pass."""
    regular = Scores(map50_95=0.4, map50=0.6, map75=0.45, mar=0.5, precision=0.7, recall=0.6, f1=0.65)
    ema = Scores(map50_95=0.5, map50=0.7, map75=0.55, mar=0.6)

    assert {"regular": regular, "ema": ema} == read_scores({**BOXES, **prefix(BOXES, 0.1), **SWEPT}, "detection")


def test_a_segmentation_is_scored_by_its_masks() -> None:
    """The mAP 75 and mAR that RF-DETR logs are those of boxes."""
    metrics = {**BOXES, "val/segm_mAP_50_95": 0.3, "val/segm_mAP_50": 0.5}

    assert {"regular": Scores(map50_95=0.3, map50=0.5)} == read_scores(metrics, "segmentation")


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_nothing_computed_is_no_score(task: Task) -> None:
    """COCO's -1 means that there was nothing to compute it from; a NaN is no score either."""
    broken = {"val/mAP_50_95": -1.0, "val/segm_mAP_50_95": float("nan"), **SWEPT}

    assert {} == read_scores(broken, task)


def test_the_best_must_be_better_not_equal() -> None:
    """The first epoch of equal scores keeps the title."""
    best = Best(value=0.4, epoch=2)
    equal, better = Scores(map50_95=0.4, map50=0.5), Scores(map50_95=0.5, map50=0.5)

    assert (best, Best(value=0.5, epoch=3), best) == (
        choose_best(best, [equal], 3),
        choose_best(best, [equal, better], 3),
        choose_best(best, [], 3),
    )


def test_losses_get_our_names() -> None:
    """Other metrics are no losses."""
    metrics = {"loss": 2.0, "loss_box": 0.5, "mask_dice": 0.25, "val/mAP_50": 0.1}

    assert {"total": 2.0, "box": 0.5, "mask_dice": 0.25} == read_losses(metrics)


def test_classes_are_bounded_in_number_and_in_the_length_of_their_names() -> None:
    """A class that had nothing to be found has no score."""
    many = {f"val/ema_AP/class-{number:03}": 0.5 for number in range(300)}
    odd = {"val/AP/" + "x" * 500: 0.25, "val/AP/ghost": float("nan")}

    assert (CLASS_LIMIT, {"x" * 64: 0.25}) == (len(read_class_ap(many)), read_class_ap(odd))


def test_the_emas_classes_come_before_the_regular_ones() -> None:
    """One label, one value."""
    assert {"cat": 0.5} == read_class_ap({"val/AP/cat": 0.4, "val/ema_AP/cat": 0.5})


class Module:
    """A model's parameters by name."""

    def __init__(self, *names: str) -> None:
        self.parameters = {name: object() for name in names}

    def named_parameters(self) -> Iterator[tuple[str, object]]:
        yield from self.parameters.items()


class Optimizer:
    """Groups of parameters, each with its rate."""

    def __init__(self, *groups: tuple[object, float]) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": [parameter], "lr": rate} for parameter, rate in groups]


def test_rates_are_told_by_the_part_of_the_model() -> None:
    """Layers that learn at rates of their own make one series a part: the highest of them."""
    parts = ("model.class_embed.bias", "model.backbone.0.a", "model.backbone.0.b", "model.transformer.decoder.x")
    module = Module(*parts)
    optimizer = Optimizer(*zip(module.parameters.values(), (1e-4, 1e-5, 2e-5, 5e-5), strict=True))

    groups = name_groups(module, optimizer)
    assert {"head": 1e-4, "encoder": 2e-5, "decoder": 5e-5} == read_rates(groups, optimizer)
