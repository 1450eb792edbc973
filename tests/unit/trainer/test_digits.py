"""The example data set: deterministic, disjoint splits, boxes and masks that fit the ink."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as masks

from examples.data.digits import Recipe, main, outline, polygon_area, split_scans, write_digits


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_the_same_arguments_give_the_same_bytes(tmp_path: Path, layout: str) -> None:
    """Two runs differ in nothing; another seed does."""
    for name, seed in (("first", "3"), ("second", "3"), ("other", "4")):
        main([str(tmp_path / name), "--train", "4", "--valid", "2", "--seed", seed, "--layout", layout, "--masks"])

    assert read_tree(tmp_path / "first") == read_tree(tmp_path / "second")
    assert read_tree(tmp_path / "first") != read_tree(tmp_path / "other")


def test_valid_shows_no_scan_that_train_has_shown() -> None:
    """The scans are parted before anything is composed, and none is lost."""
    pools = split_scans(Recipe(classes=2), np.random.default_rng(0))

    assert {"train": 288, "valid": 72} == {split: len(scans.labels) for split, scans in pools.items()}
    assert {0, 1} == set(pools["train"].labels.tolist()) == set(pools["valid"].labels.tolist())


def test_a_box_is_filled_by_its_ink(tmp_path: Path) -> None:
    """All dark pixels lie inside a box of the annotation file."""
    write_digits(tmp_path, Recipe(train=4, valid=1))
    document = json.loads((tmp_path / "train" / "_annotations.coco.json").read_text())
    for image in document["images"]:
        dark = np.asarray(Image.open(tmp_path / "train" / image["file_name"]).convert("L")) < 150
        for note in document["annotations"]:
            if note["image_id"] == image["id"]:
                x, y, width, height = note["bbox"]
                assert dark[y : y + height, x : x + width].any()
                dark[y : y + height, x : x + width] = False

        assert not dark.any()


def test_a_mask_has_the_box_and_the_area_of_its_annotation(tmp_path: Path) -> None:
    """pycocotools reads from the polygon what the annotation says."""
    write_digits(tmp_path, Recipe(train=4, valid=1, masks=True))
    document = json.loads((tmp_path / "train" / "_annotations.coco.json").read_text())
    for note in document["annotations"]:
        (encoded,) = masks.frPyObjects(note["segmentation"], 64, 64)

        assert note["bbox"] == masks.toBbox(encoded).tolist()
        assert note["area"] == pytest.approx(float(masks.area(encoded)), rel=0.02)


def test_an_outline_fills_holes() -> None:
    """A ring of ink is a full square, with no more points than corners."""
    ring = np.ones((4, 4), np.bool_)
    ring[1:3, 1:3] = False
    points = outline(ring, 10, 20)

    assert ((14.0, 20.0), (14.0, 24.0), (10.0, 24.0), (10.0, 20.0)) == points
    assert polygon_area(points) == pytest.approx(16.0)
