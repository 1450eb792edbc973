"""The data set and the model are judged before a GPU is taken.

A refusal is one sentence that names the file or field, its value and what is allowed. It looks at every annotation and
at every image's name, and opens a few images. No torch: the launcher calls it before it joins the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from rfdetr_contract.run import ModelRun, RunConfig
from rfdetr_contract.variants import VARIANTS
from rfdetr_trainer import dataset, dataset_yolo
from rfdetr_trainer.dataset import COCO_FILE, SplitName, list_names
from rfdetr_trainer.errors import ConfigError, DataError
from rfdetr_trainer.fingerprint import LABELS_READ, DatasetFacts, read_facts

SPLITS: Final[tuple[SplitName, ...]] = ("train", "valid")
T = TypeVar("T")

OPENED = 8  # images of a split whose header is read

# A variant's divisor is patch size x windows; which of the two an override replaces decides what is left.
PATCH_AND_WINDOWS: Final = {12: (12, 1), 24: (12, 2), 32: (16, 2), 56: (14, 4)}


def check(run: RunConfig, data_root: Path) -> DatasetFacts:
    """Refuse a job that cannot train, with ConfigError or DataError; what the data set is known by."""
    check_resolution(run.model)
    root = find_root(data_root, run.dataset.path)
    layout = dataset.detect_layout(root, run.dataset.format)
    masks = run.model.task == "segmentation"
    if layout == "coco":
        check_coco(root, masks=masks)
    else:
        for split in SPLITS:
            check_yolo_split(root, split, masks=masks)
    facts = read_facts(root, layout)
    check_classes(facts.classes, run.model)
    return facts


def check_resolution(model: ModelRun) -> None:
    """Refuse a resolution that the model cannot cut into whole windows of patches."""
    patch, windows = PATCH_AND_WINDOWS[VARIANTS[model.variant].divisor]
    patch = model.overrides.get("patch_size", patch)
    windows = model.overrides.get("num_windows", windows)
    if not isinstance(patch, int) or not isinstance(windows, int) or patch < 1 or windows < 1:
        raise ConfigError(
            f"model.overrides patch_size and num_windows must be whole numbers above 0, found {patch!r} and {windows!r}"
        )
    divisor = patch * windows
    if model.resolution < 1 or model.resolution % divisor:
        below = max(model.resolution // divisor, 1) * divisor
        raise ConfigError(
            f"model.resolution is {model.resolution}; {model.variant} takes multiples of {divisor} "
            f"(patch size {patch} x windows {windows}), the nearest are {below} and {below + divisor}"
        )


def find_root(data_root: Path, path: str) -> Path:
    """The data set's folder on the claim."""
    root = data_root / path
    if not root.resolve().is_relative_to(data_root.resolve()):
        raise DataError(f"dataset path '{path}' leads out of the claim")
    if not root.is_dir():
        raise DataError(f"dataset path '{path}' is not on the claim; found: {list_names(data_root)}")
    return root


def check_classes(names: tuple[str, ...], model: ModelRun) -> None:
    """Refuse a class count that is not the data set's: a wrong one trains without a word, to a wrong model."""
    if model.num_classes is not None and model.num_classes != len(names):
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise DataError(
            f"model.numClasses is {model.num_classes}, but the data set has {len(names)} classes ({shown}); "
            f"say {len(names)}, or leave numClasses out"
        )


def check_coco(root: Path, *, masks: bool) -> None:
    """Refuse annotation files that do not fit each other, their images or the task."""
    train = dataset.load_coco(root, "train")
    labels = dataset.label_map(train)
    for split in SPLITS:
        document = train if split == "train" else dataset.load_coco(root, split)
        name = f"{split}/{COCO_FILE}"
        if not document["images"]:
            raise DataError(f"{name} has no images; train and valid need at least one each")
        check_annotations(document, labels, name)
        if masks and not any(annotation.get("segmentation") for annotation in document["annotations"]):
            raise DataError(f"{name} has boxes only; a segmentation model needs 'segmentation' polygons or RLE")
        check_files(root / split, [str(image["file_name"]) for image in document["images"]], name)
        check_sizes(root / split, document["images"], name)


def check_annotations(document: Mapping[str, Any], labels: Mapping[int, int], name: str) -> None:
    """Refuse annotations of unknown images or classes, with boxes that are none, and a split without any box."""
    images = {int(image["id"]) for image in document["images"]}
    if len(images) != len(document["images"]):
        raise DataError(f"{name} has {len(document['images'])} images but {len(images)} ids; each needs its own")
    usable = 0
    for index, annotation in enumerate(document["annotations"]):
        where = f"{name}: annotations[{index}]"
        if int(annotation["image_id"]) not in images:
            raise DataError(f"{where}.image_id is {annotation['image_id']}, which is no image's id in this file")
        if int(annotation["category_id"]) not in labels and not annotation.get("iscrowd"):
            raise DataError(
                f"{where}.category_id is {annotation['category_id']}; train/{COCO_FILE} has "
                f"{', '.join(map(str, islice(labels, 12)))}{', ...' if len(labels) > 12 else ''}"
            )
        usable += has_area(annotation["bbox"], where)
    if not usable:
        raise DataError(f"{name} has no box with a width and a height above 0; the split would teach nothing")


def has_area(bbox: object, where: str) -> bool:
    """Whether a box encloses anything; refuses what is no box at all."""
    numbers = list(bbox) if isinstance(bbox, Sequence) and not isinstance(bbox, str) else []
    if len(numbers) != 4 or not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
        raise DataError(f"{where}.bbox is {str(bbox)[:60]}; it must be four numbers: x, y, width, height in pixels")
    return bool(numbers[2] > 0 and numbers[3] > 0)


def check_files(folder: Path, names: Sequence[str], where: str) -> None:
    """Refuse a missing image: one listing a folder, not one look a file."""
    listed = {parent: list_files(folder / parent) for parent in {str(Path(name).parent) for name in names}}
    missing = [name for name in names if Path(name).name not in listed[str(Path(name).parent)]]
    if missing:
        raise DataError(f"{where} names {len(missing)} images that are not there, the first is '{missing[0]}'")


def list_files(folder: Path) -> frozenset[str]:
    """The names in a folder."""
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()


def check_sizes(folder: Path, images: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse boxes drawn on images of another size, by a few images spread over the split."""
    for image in spread(images, OPENED):
        size = dataset_yolo.image_size(folder / str(image["file_name"]))
        said = (int(image["width"]), int(image["height"]))
        if size != said:
            raise DataError(
                f"{where} says {said[0]} x {said[1]} for '{image['file_name']}', the image is {size[0]} x {size[1]}"
            )


def spread(items: Sequence[T], count: int) -> Iterable[T]:
    """At most ``count`` items, evenly over all."""
    step = max(math.ceil(len(items) / count), 1)
    return items[::step]


def check_yolo_split(root: Path, split: SplitName, *, masks: bool) -> None:
    """Refuse a split without images, with labels that are none, or with boxes only for a segmentation model."""
    names = dataset_yolo.read_names(root)
    folders = dataset_yolo.split_folders(root, split)
    images = dataset_yolo.list_images(folders.images)
    shown, beside = (f"{folder.parent.name}/{folder.name}" for folder in (folders.images, folders.labels))
    if not images:
        raise DataError(f"{shown} has no images; allowed are {', '.join(sorted(dataset_yolo.SUFFIXES))}")
    for image in spread(images, OPENED):
        dataset_yolo.image_size(image)
    labelled = list_files(folders.labels)
    files = [image.stem + ".txt" for image in images if image.stem + ".txt" in labelled]
    labels = [
        label
        for file in spread(files, LABELS_READ)
        for label in dataset_yolo.read_labels(folders.labels / file, len(names))
    ]
    if not any(width > 0 and height > 0 for _, _, width, height in (label.scale_box(1, 1) for label in labels)):
        raise DataError(f"{beside} has no box for any image of {shown}")
    if masks and not any(label.is_polygon for label in labels):
        raise DataError(f"{beside} has boxes only; a segmentation model needs polygons")
