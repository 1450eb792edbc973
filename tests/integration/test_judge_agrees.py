"""The judge against RF-DETR's own evaluator on the same detections: two implementations, one number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rfdetr.training.coco_map import OnePassCocoMeanAveragePrecision

from rfdetr_trainer.dataset import Annotation, Box, Image, Split
from rfdetr_trainer.judge import build_truth, score

# pycocotools' compiled decoder answers numpy 2 in the old way
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIDE, CLASSES = 200, 3
Boxes = NDArray[np.float64]


def draw_boxes(random: np.random.Generator, count: int) -> Boxes:
    """Corners of boxes inside an image."""
    corner, size = random.uniform(0, 140, (count, 2)), random.uniform(8, 60, (count, 2))
    return np.concatenate([corner, corner + size], axis=1)


def build_scene(seed: int, images: int, objects: int) -> tuple[Split, list[dict[str, torch.Tensor]]]:
    """Objects, and a network that finds most of them, moves them, mistakes some and invents some more."""
    random = np.random.default_rng(seed)
    annotations: list[Annotation] = []
    found: list[dict[str, torch.Tensor]] = []
    for image in range(images):
        truth, labels = draw_boxes(random, objects), random.integers(0, CLASSES, objects)
        for (left, top, right, bottom), label in zip(truth.tolist(), labels.tolist(), strict=True):
            box: Box = (left, top, right - left, bottom - top)
            annotations.append(Annotation(image, label, box, None, box[2] * box[3]))
        seen = random.random(objects) < 0.8
        boxes = np.concatenate([truth[seen] + random.normal(0, 2, (int(seen.sum()), 4)), draw_boxes(random, 4)])
        mistaken = random.random(int(seen.sum())) < 0.1
        guesses = np.where(mistaken, random.integers(0, CLASSES, int(seen.sum())), labels[seen])
        found.append(
            {
                "boxes": torch.tensor(boxes, dtype=torch.float32),
                "labels": torch.tensor(np.concatenate([guesses, random.integers(0, CLASSES, 4)])),
                "scores": torch.tensor(random.random(len(boxes)), dtype=torch.float32),
            }
        )
    pictures = tuple(Image(number, Path(f"{number}.png"), SIDE, SIDE) for number in range(images))
    return Split("coco", pictures, tuple(annotations), ("a", "b", "c")), found


def ask_rfdetr(split: Split, found: list[dict[str, torch.Tensor]], max_dets: int) -> tuple[float, float]:
    """The mAP 50:95 and 50 by the evaluator that training uses."""
    metric = OnePassCocoMeanAveragePrecision(
        max_detection_thresholds=[1, 10, max_dets], backend="vernier", sync_on_compute=False
    )
    targets = []
    for image in split.images:
        own = [one for one in split.annotations if one.image_id == image.id]
        corners = [[x, y, x + width, y + height] for x, y, width, height in (one.bbox for one in own)]
        targets.append({"boxes": torch.tensor(corners), "labels": torch.tensor([one.label for one in own])})
    metric.update(found, targets)
    computed = metric.compute()
    return float(computed["map"]), float(computed["map_50"])


@pytest.mark.parametrize(("images", "objects"), [(20, 6), (25, 3), (1, 50)])
def test_the_judge_and_rfdetrs_evaluator_agree(images: int, objects: int) -> None:
    """On thousands of pairs, and where a class has as many objects as there are thresholds of recall."""
    split, found = build_scene(images + objects, images, objects)
    detections = [
        {
            "image_id": image,
            "category_id": int(label),
            "bbox": [left, top, right - left, bottom - top],
            "score": float(confidence),
        }
        for image, result in enumerate(found)
        for (left, top, right, bottom), label, confidence in zip(
            result["boxes"].tolist(), result["labels"], result["scores"], strict=True
        )
    ]

    judged = score(build_truth(split, None), detections, 100, "bbox")

    assert 0.2 < judged[0] < 0.9
    assert pytest.approx(ask_rfdetr(split, found, 100), abs=1e-4) == judged
