"""The second opinion: pycocotools' verdict on detections that are known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Sampler

from rfdetr_contract.report import Judgement
from rfdetr_trainer.dataset import Annotation, Image, Split
from rfdetr_trainer.judge import build_truth, decode, judge

# pycocotools' compiled decoder answers numpy 2 in the old way
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIDE = 40
SQUARES = [(0, 0, (4.0, 4.0, 12.0, 12.0)), (0, 1, (20.0, 20.0, 16.0, 10.0)), (1, 0, (8.0, 16.0, 20.0, 20.0))]
Found = dict[str, torch.Tensor]


def polygon(box: tuple[float, float, float, float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def make_split(layout: Literal["coco", "yolo"] = "coco", images: int = 3) -> Split:
    annotations = tuple(Annotation(i, label, box, [polygon(box)], box[2] * box[3]) for i, label, box in SQUARES)
    pictures = tuple(Image(number, Path(f"{number}.png"), SIDE, SIDE) for number in range(images))
    return Split(layout, pictures, annotations, ("zero", "one"))


def find_all(*, shift: float = 0.0, masks: bool = False) -> dict[int, Found]:
    """What a network would find: every square, moved to the right, and an unsure one of the spare class."""
    found: dict[int, Found] = {}
    for image in range(3):
        squares = [(label, box) for owner, label, box in SQUARES if owner == image] + [(2, (0.0, 0.0, 9.0, 9.0))]
        boxes = [[box[0] + shift, box[1], box[0] + box[2] + shift, box[1] + box[3]] for _, box in squares]
        found[image] = {
            "scores": torch.tensor([0.9] * (len(squares) - 1) + [0.1]),
            "labels": torch.tensor([label for label, _ in squares]),
            "boxes": torch.tensor(boxes),
        }
        if masks:
            planes = torch.zeros(len(squares), 1, SIDE, SIDE, dtype=torch.bool)
            for plane, (left, top, right, bottom) in zip(planes, boxes, strict=True):
                plane[0, int(top) : int(bottom), int(left) : int(right)] = True
            found[image]["masks"] = planes
    return found


class Backwards(Sampler[int]):
    """One rank's share of the images, as a sharded validation would hand them out."""

    def __iter__(self) -> Iterator[int]:
        return iter([2])

    def __len__(self) -> int:
        return 1


@dataclass
class Data:
    """A datamodule over image numbers."""

    images: int = 3

    def val_dataloader(self) -> DataLoader[Any]:
        numbers: Any = list(range(self.images))
        return DataLoader(numbers, batch_size=2, sampler=Backwards(), collate_fn=list)

    def transfer_batch_to_device(self, batch: list[int], device: torch.device, index: int) -> tuple[list[int], Any]:
        size = torch.tensor([SIDE, SIDE])
        return batch, [{"image_id": torch.tensor([n]), "orig_size": size, "size": size} for n in batch]


class Network(torch.nn.Module):
    """Passes the image numbers on, and notes the mode that it was in."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, samples: list[int]) -> list[int]:
        self.modes.append((self.training, torch.is_grad_enabled()))
        return samples


@dataclass
class Module:
    """A module whose detections are known."""

    found: dict[int, Found]
    model: Network = field(default_factory=Network)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def postprocess(self, numbers: list[int], sizes: torch.Tensor) -> list[Found]:
        return [self.found[number] for number in numbers]

    @property
    def trainer(self) -> object:
        raise RuntimeError("not attached to a trainer")


def verdict(found: dict[int, Found], reported: float, *, segmentation: bool = False, max_dets: int = 10) -> Judgement:
    return judge(Module(found), Data(), make_split(), reported=reported, max_dets=max_dets, segmentation=segmentation)


def rounded(judged: Judgement) -> Judgement:
    return judged.model_copy(update={"map50_95": round(judged.map50_95, 6), "map50": round(judged.map50, 6)})


@pytest.mark.parametrize("segmentation", [False, True])
def test_perfect_detections_are_judged_one(segmentation: bool) -> None:
    """Detections of the spare class count for nothing, nor does the image without objects."""
    found = find_all(masks=segmentation)

    assert Judgement(map50_95=1.0, map50=1.0, reported=1.0, tolerance=0.005, agrees=True) == rounded(
        verdict(found, 1.0, segmentation=segmentation)
    )


def test_shifted_detections_are_judged_by_their_overlap() -> None:
    """Two pixels to the right: IoU 10/14, 14/18 and 18/22, so 5, 6 and 7 of the ten thresholds, by class."""
    judged = verdict(find_all(shift=2.0), 0.9)

    assert 1.0 == pytest.approx(judged.map50)
    assert 0.5 < judged.map50_95 < 0.7
    assert not judged.agrees


def test_nothing_detected_is_judged_zero() -> None:
    """An untrained model has a mAP of 0, not an error."""
    empty = {n: {key: value[:0] for key, value in found.items()} for n, found in find_all().items()}

    assert Judgement(map50_95=0.0, map50=0.0, reported=0.0, tolerance=0.005, agrees=True) == verdict(empty, 0.0)


def test_no_more_than_the_asked_detections_of_an_image_and_class_count() -> None:
    """A true detection behind ten surer false ones is lost when ten an image and class are allowed."""
    found = find_all()
    for number in (0, 1):
        found[number] = {
            "scores": torch.cat([torch.full((10,), 0.95), found[number]["scores"]]),
            "labels": torch.cat([torch.zeros(10, dtype=torch.int64), found[number]["labels"]]),
            "boxes": torch.cat([torch.tensor([[30.0, 0.0, 39.0, 9.0]] * 10), found[number]["boxes"]]),
        }

    assert 0.5 == pytest.approx(verdict(found, 0.0, max_dets=10).map50)  # class one alone
    assert (1 + 2 / 22) / 2 == pytest.approx(verdict(found, 0.0, max_dets=20).map50)


def test_the_network_judges_in_eval_mode_without_gradients_and_is_left_as_it_was() -> None:
    """Every image once, whatever share the loader's sampler would give this rank."""
    module = Module(find_all())
    judge(module, Data(), make_split(), reported=1.0, max_dets=10, segmentation=False)

    assert [(False, False), (False, False)] == module.model.modes
    assert module.model.training


def test_an_image_that_was_never_judged_is_an_error() -> None:
    """A verdict over a part of the images is none."""
    with pytest.raises(ValueError, match="1 of 4 images were never judged, such as 3"):
        judge(Module(find_all()), Data(), make_split(images=4), reported=1.0, max_dets=10, segmentation=False)


def test_a_crowd_is_kept_as_one() -> None:
    """COCOeval ignores what it finds there."""
    split = make_split()
    crowd = Annotation(2, 0, (0.0, 0.0, 9.0, 9.0), None, 81.0, iscrowd=1)
    truth = build_truth(Split("coco", split.images, (*split.annotations, crowd), split.names), None)

    assert [0, 0, 0, 1] == [truth.anns[number]["iscrowd"] for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[0.0, 0.0, 4.0, 0.0, 4.0, 2.0, 0.0, 2.0]],
        [[0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0], [2.0, 0.0, 4.0, 0.0, 4.0, 2.0, 2.0, 2.0]],
        {"counts": [0, 2, 4, 2, 4, 2, 4, 2, 28], "size": [6, 8]},
    ],
)
def test_every_form_of_a_coco_mask_is_read(segmentation: object) -> None:
    """One polygon, several parts, or run lengths down the columns."""
    expected = np.zeros((6, 8), np.uint8)
    expected[:2, :4] = 1

    assert expected.tolist() == decode(segmentation, Image(0, Path("a.png"), 8, 6)).tolist()
    assert not decode(None, Image(0, Path("a.png"), 8, 6)).any()
