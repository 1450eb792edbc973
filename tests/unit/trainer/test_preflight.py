"""Refusals before a GPU is taken: each is one sentence with the value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from examples.data.digits import Recipe, write_digits
from rfdetr_contract.run import DatasetRun, RunConfig
from rfdetr_trainer import preflight
from rfdetr_trainer.errors import ConfigError, DataError
from runs import make_model, make_run_config

COCO = "train/_annotations.coco.json"


def make_run(path: str = "digits", **model: object) -> RunConfig:
    segmentation = str(model.get("variant", "nano")).startswith("seg-")
    values = {"task": "segmentation" if segmentation else "detection", "resolution": 384, **model}
    return make_run_config(nodes=1, model=make_model(**values), dataset=DatasetRun(path=path))


def make_data(root: Path, layout: Literal["coco", "yolo"] = "coco", *, masks: bool = False) -> Path:
    write_digits(root / "digits", Recipe(train=3, valid=2, layout=layout, masks=masks))
    return root


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def refusal(run: RunConfig, data_root: Path) -> str:
    with pytest.raises(DataError) as caught:
        preflight.check(run, data_root)
    return caught.value.message


@pytest.mark.parametrize("layout", ["coco", "yolo"])
@pytest.mark.parametrize("variant", ["nano", "seg-nano"])
def test_a_sound_set_passes(tmp_path: Path, layout: Literal["coco", "yolo"], variant: str) -> None:
    """Both layouts, both tasks."""
    make_data(tmp_path, layout, masks=True)
    preflight.check(make_run(variant=variant, num_classes=2), tmp_path)


def test_a_missing_set_is_refused_with_what_the_claim_holds(tmp_path: Path) -> None:
    """The user sees the name that they meant."""
    make_data(tmp_path)

    assert "dataset path 'digit' is not on the claim; found: digits/" == refusal(make_run("digit"), tmp_path)


def test_a_path_out_of_the_claim_is_refused(tmp_path: Path) -> None:
    """A job reads its own claim."""
    make_data(tmp_path)

    assert "dataset path '../x' leads out of the claim" == refusal(make_run("../x"), tmp_path)


def test_a_missing_split_is_refused(tmp_path: Path) -> None:
    """RF-DETR calls the folder valid, not val."""
    make_data(tmp_path)
    (tmp_path / "digits" / "valid").rename(tmp_path / "digits" / "val")

    assert "data set 'digits' has no valid/_annotations.coco.json; found: train/, val/" == refusal(make_run(), tmp_path)


def test_a_wrong_class_count_is_refused(tmp_path: Path) -> None:
    """It would train silently, to a wrong model."""
    make_data(tmp_path)

    assert (
        "model.numClasses is 7, but the data set has 2 classes (zero, one); say 2, or leave numClasses out"
        == refusal(make_run(num_classes=7), tmp_path)
    )


def test_boxes_only_are_refused_for_a_segmentation_model(tmp_path: Path) -> None:
    """It would train silently, to a mask mAP of 0."""
    make_data(tmp_path / "c")
    make_data(tmp_path / "y", "yolo")
    run = make_run(variant="seg-nano", resolution=312)

    assert f"{COCO} has boxes only; a segmentation model needs 'segmentation' polygons or RLE" == refusal(
        run, tmp_path / "c"
    )
    assert "train/labels has boxes only; a segmentation model needs polygons" == refusal(run, tmp_path / "y")


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    """All of them are looked up, by one listing a folder."""
    make_data(tmp_path)
    (tmp_path / "digits" / "train" / "00002.png").unlink()

    assert f"{COCO} names 1 images that are not there, the first is '00002.png'" == refusal(make_run(), tmp_path)


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    """Its boxes would be drawn elsewhere."""
    make_data(tmp_path)
    Image.new("RGB", (32, 64)).save(tmp_path / "digits" / "train" / "00001.png")

    assert f"{COCO} says 64 x 64 for '00001.png', the image is 32 x 64" == refusal(make_run(), tmp_path)


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    """An upload that was cut off, or a pointer of a large-file store."""
    make_data(tmp_path)
    (tmp_path / "digits" / "train" / "00001.png").write_text("version 1")

    assert "digits/train/00001.png is no readable image" == refusal(make_run(), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["images"].clear(), "has no images; train and valid need at least one each"),
        (lambda d: d["annotations"].clear(), "has no box with a width and a height above 0"),
        (lambda d: [a.update(bbox=[0, 0, 0, 9]) for a in d["annotations"]], "has no box with a width"),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, 3]), "annotations[1].bbox is [1, 2, 3]; it must be four"),
        (lambda d: d["annotations"][0].update(image_id=99), "annotations[0].image_id is 99, which is no image's id"),
        (lambda d: d["annotations"][0].update(category_id=9), f"annotations[0].category_id is 9; {COCO} has 1, 2"),
        (lambda d: d["annotations"][0].pop("bbox"), "annotations[0] has no 'bbox'"),
        (lambda d: d["images"][1].update(id="x"), "images[1].id is 'x'; it must be a whole number"),
        (lambda d: d["images"][1].update(id=1), "has 3 images but 2 ids; each needs its own"),
        (lambda d: d.pop("categories"), "has no list 'categories'"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """The sentence names the file, the entry, the field and the value."""
    make_data(tmp_path)
    edit(tmp_path / "digits" / COCO, change)
    message = refusal(make_run(), tmp_path)

    assert message.startswith(COCO)
    assert said in message


def test_a_yolo_set_without_images_or_labels_is_refused(tmp_path: Path) -> None:
    """A split that teaches nothing takes no GPU."""
    make_data(tmp_path, "yolo")
    for label in (tmp_path / "digits" / "valid" / "labels").iterdir():
        label.write_text("")

    assert "valid/labels has no box for any image of valid/images" == refusal(make_run(), tmp_path)
    for image in (tmp_path / "digits" / "train" / "images").iterdir():
        image.unlink()

    assert refusal(make_run(), tmp_path).startswith("train/images has no images; allowed are .bmp, ")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"resolution": 400}, "takes multiples of 32 (patch size 16 x windows 2), the nearest are 384 and 416"),
        ({"resolution": 72, "overrides": {"patch_size": 16, "num_windows": 1}}, "takes multiples of 16"),
        ({"resolution": 8, "overrides": {"patch_size": 8}}, "takes multiples of 16 (patch size 8 x windows 2)"),
        ({"overrides": {"num_windows": 0}}, "must be whole numbers above 0, found 16 and 0"),
    ],
)
def test_a_resolution_that_is_no_multiple_is_refused(tmp_path: Path, model: dict[str, Any], said: str) -> None:
    """RF-DETR's primitives would pad it and go on."""
    with pytest.raises(ConfigError) as caught:
        preflight.check(make_run(**model), tmp_path)

    assert said in caught.value.message


def test_a_patch_size_of_ones_own_changes_the_divisor(tmp_path: Path) -> None:
    """64 is no multiple of 48, but of 8."""
    make_data(tmp_path)
    preflight.check(make_run(resolution=40, overrides={"patch_size": 8, "num_windows": 1}), tmp_path)
