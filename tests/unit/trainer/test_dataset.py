"""The data set read from its files: classes, boxes, ids, in both layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from examples.data.digits import Recipe, write_digits
from rfdetr_trainer import dataset, dataset_yolo
from rfdetr_trainer.dataset import Annotation, Image, Split
from rfdetr_trainer.errors import DataError

CATEGORIES = [
    {"id": 0, "name": "fruit", "supercategory": "none"},
    {"id": 3, "name": "apple", "supercategory": "fruit"},
    {"id": 7, "name": "pear", "supercategory": "fruit"},
]


def coco_note(category: int, bbox: list[float], **more: object) -> dict[str, Any]:
    return {"id": 1, "image_id": 5, "category_id": category, "bbox": bbox, "iscrowd": 0, **more}


def write_coco(root: Path, split: str, notes: list[dict[str, Any]], categories: object = CATEGORIES) -> Path:
    (root / split).mkdir(parents=True, exist_ok=True)
    images = [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}]
    document = {"images": images, "annotations": notes, "categories": categories}
    (root / split / "_annotations.coco.json").write_text(json.dumps(document))
    return root


def test_classes_count_from_zero_in_the_order_of_category_ids(tmp_path: Path) -> None:
    """A grouping category that nothing is annotated with takes no class."""
    write_coco(tmp_path, "train", [coco_note(3, [0, 0, 1, 1]), coco_note(7, [0, 0, 1, 1])])

    assert ("apple", "pear") == dataset.read_names(tmp_path, "coco")


def test_a_grouping_category_that_is_annotated_takes_a_class(tmp_path: Path) -> None:
    """What the train file annotates is a class, whatever else it is named for."""
    write_coco(tmp_path, "train", [coco_note(0, [0, 0, 1, 1])])

    assert ("fruit", "apple", "pear") == dataset.read_names(tmp_path, "coco")


def test_a_category_that_is_its_own_parent_takes_a_class(tmp_path: Path) -> None:
    """COCO writes a top-level class that way."""
    write_coco(tmp_path, "train", [], [{"id": 1, "name": "person", "supercategory": "person"}])

    assert ("person",) == dataset.read_names(tmp_path, "coco")


def test_valid_has_the_classes_of_train(tmp_path: Path) -> None:
    """A grouping category annotated in valid alone shifts no class there, and boxes are cut at the border."""
    write_coco(tmp_path, "train", [coco_note(3, [0, 0, 1, 1])])
    notes = [coco_note(7, [-5, 10, 15, 50]), coco_note(3, [41, 0, 5, 5]), coco_note(3, [-2, 0, 9, 9], iscrowd=1)]
    write_coco(tmp_path, "valid", notes)

    assert dataset.read_split(tmp_path, "coco", "valid") == Split(
        layout="coco",
        images=(Image(5, tmp_path / "valid" / "a.png", 40, 30),),
        annotations=(
            Annotation(5, 1, (0.0, 10.0, 10.0, 20.0), None, 200.0),
            Annotation(5, 0, (-2.0, 0.0, 9.0, 9.0), None, 81.0, iscrowd=1),
        ),
        names=("apple", "pear"),
    )


@pytest.mark.parametrize("masks", [False, True])
def test_both_layouts_of_one_set_say_the_same(tmp_path: Path, masks: bool) -> None:
    """COCO and YOLO differ in image ids and in rounding only."""
    layouts: tuple[Literal["coco", "yolo"], ...] = ("coco", "yolo")
    for layout in layouts:
        write_digits(tmp_path / layout, Recipe(train=2, valid=3, layout=layout, masks=masks))
    coco, yolo = (dataset.read_split(tmp_path / layout, layout, "valid") for layout in layouts)

    assert coco.names == yolo.names == ("zero", "one")
    assert [image.id - 1 for image in coco.images] == [image.id for image in yolo.images]
    assert [(a.image_id - 1, a.label) for a in coco.annotations] == [(a.image_id, a.label) for a in yolo.annotations]
    for ours, theirs in zip(coco.annotations, yolo.annotations, strict=True):
        assert ours.bbox == pytest.approx(theirs.bbox, abs=1e-3)
        assert masks == bool(ours.segmentation) == bool(theirs.segmentation)


@pytest.mark.parametrize(
    ("asked", "files", "expected"),
    [
        ("auto", ["train/_annotations.coco.json"], "coco"),
        ("auto", ["data.yaml"], "yolo"),
        ("auto", ["train/_annotations.coco.json", "data.yml"], "coco"),
        ("yolo", ["train/_annotations.coco.json", "data.yml"], "yolo"),
    ],
)
def test_the_layout_is_read_from_the_files(
    tmp_path: Path, asked: Literal["auto", "coco", "yolo"], files: list[str], expected: str
) -> None:
    """COCO wins when both are there, as it does in RF-DETR."""
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()

    assert expected == dataset.detect_layout(tmp_path, asked)


def test_a_folder_of_neither_layout_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    """The sentence names what was looked for and what lies there."""
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError) as refusal:
        dataset.detect_layout(tmp_path, "auto")

    assert refusal.value.message == (
        f"data set '{tmp_path.name}' has no train/_annotations.coco.json (COCO) nor data.yaml (YOLO); found: photos/"
    )


def test_torn_json_is_refused_with_its_line(tmp_path: Path) -> None:
    """No stack trace for a file that an upload cut off."""
    write_coco(tmp_path, "train", [])
    (tmp_path / "train" / "_annotations.coco.json").write_text('{"images": [],\n "annotations": [')
    with pytest.raises(DataError, match=r"train/_annotations.coco.json is not JSON: line 2 column 18"):
        dataset.load_coco(tmp_path, "train")


@pytest.mark.parametrize(
    ("names", "expected"),
    [("[cat, dog]", ("cat", "dog")), ("{1: dog, 0: cat}", ("cat", "dog")), ('{"0": cat}', ("cat",))],
)
def test_yolo_names_are_a_list_or_a_numbered_mapping(tmp_path: Path, names: str, expected: tuple[str, ...]) -> None:
    """The number is the class."""
    (tmp_path / "data.yaml").write_text(f"names: {names}\n")

    assert expected == dataset.read_names(tmp_path, "yolo")


@pytest.mark.parametrize("names", ["{0: cat, 2: dog}", "[]", "cat", "{a: cat}"])
def test_yolo_names_with_gaps_are_refused(tmp_path: Path, names: str) -> None:
    """A class without a number cannot be trained."""
    (tmp_path / "data.yaml").write_text(f"names: {names}\n")
    with pytest.raises(DataError, match=r"data\.yaml: "):
        dataset.read_names(tmp_path, "yolo")


@pytest.mark.parametrize(
    ("content", "folder"),
    [
        ("val: images/val", "images/val"),
        ("path: base\nval: images/val", "base/images/val"),
        ("path: elsewhere\nvalid: images/val", "images/val"),
        ("val: ../../outside/images", "valid/images"),
        ("val: nowhere", "valid/images"),
        ("names: [a]", "valid/images"),
    ],
)
def test_yolo_folders_are_the_declared_ones_inside_the_set_else_the_usual(
    tmp_path: Path, content: str, folder: str
) -> None:
    """A declaration that leads out, or nowhere, does not count."""
    root = tmp_path / "set"
    for name in ("images/val", "base/images/val", "valid/images", "../outside/images"):
        (root / name).mkdir(parents=True, exist_ok=True)
        Path(str(root / name).replace("images", "labels")).mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text(content)
    labels = root / folder.replace("images", "labels")

    assert dataset_yolo.Folders(root / folder, labels) == dataset_yolo.split_folders(root, "valid")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.1", "has 3 numbers after the class"),
        ("0 0.1 0.1 0.2 0.2 0.3", "has 5 numbers after the class"),
        ("2 0.5 0.5 0.1 0.1", "has class 2; data.yaml names 2, so 0 to 1 are allowed"),
        ("-1 0.5 0.5 0.1 0.1", "has class -1"),
        ("0 0.5 x 0.1 0.1", "has coordinates that are no numbers: 0.5 x 0.1 0.1"),
    ],
)
def test_a_bad_label_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    """The sentence names file and line."""
    file = tmp_path / "train" / "labels" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_text(f"1 0.5 0.5 0.1 0.1\n\n{line}\n")
    with pytest.raises(DataError) as refusal:
        list(dataset_yolo.read_labels(file, 2))

    assert refusal.value.message.startswith(f"train/labels/a.txt line 2 {said}")
