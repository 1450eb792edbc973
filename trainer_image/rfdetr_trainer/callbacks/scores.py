"""What RF-DETR's metrics say, in our words: scores by weights, parts of the loss, classes, learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from rfdetr_contract.metrics import CLASS_LIMIT
from rfdetr_contract.report import Best, Scores, Weights
from rfdetr_contract.variants import Task

KEYS: Final[dict[Task, str]] = {"detection": "mAP", "segmentation": "segm_mAP"}
LOSSES: Final = {
    "loss": "total",
    "train/loss": "total",
    "loss_cls": "class",
    "loss_box": "box",
    "loss_giou": "giou",
    "mask_ce": "mask_ce",
    "mask_dice": "mask_dice",
}
COMPONENTS: Final = (("transformer.decoder", "decoder"), ("backbone", "encoder"))
NAME_LIMIT: Final = 64  # characters of a class's name


def read_ratio(metrics: Mapping[str, float], key: str) -> float | None:
    """A score, or None when RF-DETR did not compute it or had nothing to compute it from."""
    value = metrics.get(key)
    return None if value is None or not 0 <= value < math.inf else round(value, 6)


def read_track(metrics: Mapping[str, float], task: Task, prefix: str) -> Scores | None:
    """The mAP of one set of weights. RF-DETR's mAP 75 and mAR are those of boxes: a segmentation is not scored by them."""
    key, boxes = KEYS[task], task == "detection"
    value = read_ratio(metrics, f"val/{prefix}{key}_50_95")
    if value is None:
        return None
    return Scores(
        map50_95=value,
        map50=read_ratio(metrics, f"val/{prefix}{key}_50") or 0.0,
        map75=read_ratio(metrics, f"val/{prefix}{key}_75") if boxes else None,
        mar=read_ratio(metrics, f"val/{prefix}mAR") if boxes else None,
    )


def read_scores(metrics: Mapping[str, float], task: Task) -> dict[Weights, Scores]:
    """The scores of the weights that were validated.

    Unless both were, RF-DETR shows the EMA's mAP under the regular keys as well; precision, recall and F1 come from one
    forward pass, which is the regular weights' when those were validated.
    """
    found: dict[Weights, Scores] = {}
    ema, regular = read_track(metrics, task, "ema_"), read_track(metrics, task, "")
    if ema is not None:
        found["ema"] = ema
    if regular is not None and not (
        ema is not None and ema.map50_95 == regular.map50_95 and ema.map50 == regular.map50
    ):
        found["regular"] = regular
    swept: Weights = "regular" if "regular" in found else "ema"
    if swept in found:
        sweep = {name: read_ratio(metrics, f"val/{key}") for name, key in SWEEP.items()}
        found[swept] = found[swept].model_copy(update=sweep)
    return found


SWEEP: Final = {"precision": "precision", "recall": "recall", "f1": "F1"}


def read_class_ap(metrics: Mapping[str, float]) -> dict[str, float]:
    """AP 50:95 by class, when RF-DETR was asked for it: the EMA's where it was validated."""
    ema, regular = "val/ema_AP/", "val/AP/"
    prefix = ema if any(key.startswith(ema) for key in metrics) else regular
    scored = (
        (key.removeprefix(prefix)[:NAME_LIMIT], read_ratio(metrics, key)) for key in metrics if key.startswith(prefix)
    )
    return dict(islice(((name, value) for name, value in scored if value is not None), CLASS_LIMIT))


def read_losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """The parts of the loss, by our names."""
    return {name: round(metrics[key], 6) for key, name in LOSSES.items() if key in metrics}


def choose_best(best: Best | None, scores: Iterable[Scores], epoch: int) -> Best | None:
    """The best so far: a new one must be better, not equal."""
    value = max((score.map50_95 for score in scores), default=None)
    if value is None or (best is not None and value <= best.value):
        return best
    return Best(value=value, epoch=epoch)


def name_groups(module: Any, optimizer: Any) -> list[str]:
    """For each parameter group of the optimizer: encoder, decoder or head, by the first parameter in it."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [choose_component(names.get(id(group["params"][0]), "")) for group in optimizer.param_groups]


def choose_component(parameter: str) -> str:
    """The part of the model that a parameter belongs to."""
    return next((component for part, component in COMPONENTS if part in parameter), "head")


def read_rates(groups: Iterable[str], optimizer: Any) -> dict[str, float]:
    """The learning rate of each part: the highest of its layers."""
    rates: dict[str, float] = {}
    for name, group in zip(groups, optimizer.param_groups, strict=True):
        rates[name] = max(rates.get(name, 0.0), float(group["lr"]))
    return rates
