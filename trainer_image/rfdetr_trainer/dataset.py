"""The data set as RF-DETR will read it, from its files alone.

Both layouts end in the same :class:`Split`: boxes in pixels, classes counted from 0 without gaps. In COCO layout the
classes are the categories of the *train* file in id order, without a grouping category that nothing is annotated with;
in YOLO layout they are the names of ``data.yaml``. No torch: the launcher imports this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rfdetr_trainer import dataset_yolo
from rfdetr_trainer.errors import DataError

Layout = Literal["coco", "yolo"]
SplitName = Literal["train", "valid"]
Box = tuple[float, float, float, float]

COCO_FILE = "_annotations.coco.json"
NO_PARENT = frozenset({"", "none", "null", None})  # what exporters write for "no supercategory"


@dataclass(frozen=True, slots=True)
class Image:
    """One image; ``id`` is the one that RF-DETR's data set gives it."""

    id: int
    path: Path
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object: class from 0, box as x, y, width, height in pixels, and its polygons or RLE when it has them."""

    image_id: int
    label: int
    bbox: Box
    segmentation: Any
    area: float
    iscrowd: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """One split: ``names[label]`` is a class's name."""

    layout: Layout
    images: tuple[Image, ...]
    annotations: tuple[Annotation, ...]
    names: tuple[str, ...]


def detect_layout(root: Path, asked: Literal["auto", "coco", "yolo"]) -> Layout:
    """The layout found below ``root``; a data set that has both is COCO unless YOLO was asked for."""
    found: list[Layout] = []
    if (root / "train" / COCO_FILE).is_file():
        found.append("coco")
    if dataset_yolo.find_data_file(root) is not None:
        found.append("yolo")
    if asked != "auto" and asked in found:
        return asked
    if asked == "auto" and found:
        return found[0]
    looked = {
        "auto": f"train/{COCO_FILE} (COCO) nor data.yaml (YOLO)",
        "coco": f"train/{COCO_FILE}, which the COCO layout needs",
        "yolo": "data.yaml, which the YOLO layout needs",
    }[asked]
    raise DataError(f"data set '{root.name}' has no {looked}; found: {list_names(root)}")


def read_names(root: Path, layout: Layout) -> tuple[str, ...]:
    """The class names; the place in the tuple is the class."""
    if layout == "yolo":
        return dataset_yolo.read_names(root)
    return tuple(str(category["name"]) for category in keep_categories(load_coco(root, "train")))


def read_split(root: Path, layout: Layout, split: SplitName) -> Split:
    """One split with all its annotations. In YOLO layout each image's header is read for its size."""
    return read_yolo(root, split) if layout == "yolo" else read_coco(root, split)


def list_names(folder: Path, limit: int = 8) -> str:
    """What lies in a folder, for a message."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "") if names else "nothing"


def load_coco(root: Path, split: SplitName) -> dict[str, Any]:
    """The annotation file of a split, with its three lists."""
    name = f"{split}/{COCO_FILE}"
    try:
        document: Any = json.loads((root / split / COCO_FILE).read_bytes())
    except FileNotFoundError:
        raise DataError(f"data set '{root.name}' has no {name}; found: {list_names(root)}") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{name} is not JSON: line {error.lineno} column {error.colno}: {error.msg}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise DataError(f"{name} has no list '{key}'; a COCO file has images, annotations and categories")
        check_entries(document[key], key, name)
    return dict(document)


REQUIRED = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


def check_entries(entries: Sequence[Any], key: str, name: str) -> None:
    """Refuse an entry without what RF-DETR reads of it, or with an id that is no whole number."""
    for index, entry in enumerate(entries):
        for field in REQUIRED[key]:
            if not isinstance(entry, Mapping) or field not in entry:
                raise DataError(f"{name}: {key}[{index}] has no '{field}'")
            if field in ("id", "image_id", "category_id", "width", "height") and not is_whole(entry[field]):
                raise DataError(f"{name}: {key}[{index}].{field} is {entry[field]!r}; it must be a whole number")


def is_whole(value: object) -> bool:
    """A whole number, also one written as a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1


def keep_categories(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The categories that get a class, in id order: all but grouping ones that no annotation of the file names."""
    ordered = sorted(document["categories"], key=lambda category: int(category["id"]))
    parents = {
        parent
        for category in ordered
        if (parent := category.get("supercategory", "none")) not in NO_PARENT and parent != category["name"]
    }
    annotated = {int(annotation["category_id"]) for annotation in document["annotations"]}
    kept = [category for category in ordered if category["name"] not in parents or int(category["id"]) in annotated]
    return kept or ordered


def label_map(train: Mapping[str, Any]) -> dict[int, int]:
    """Category id to class, the same for every split: the train file decides."""
    return {int(category["id"]): label for label, category in enumerate(keep_categories(train))}


def read_coco(root: Path, split: SplitName) -> Split:
    """A split in COCO layout."""
    train = load_coco(root, "train")
    document = train if split == "train" else load_coco(root, split)
    labels = label_map(train)
    images = {
        int(entry["id"]): Image(
            int(entry["id"]), root / split / entry["file_name"], int(entry["width"]), int(entry["height"])
        )
        for entry in document["images"]
    }
    annotations = (
        coco_annotation(entry, images[int(entry["image_id"])], labels)
        for entry in document["annotations"]
        if int(entry["image_id"]) in images and int(entry["category_id"]) in labels
    )
    return Split(
        layout="coco",
        images=tuple(images[number] for number in sorted(images)),
        annotations=tuple(annotation for annotation in annotations if annotation is not None),
        names=tuple(str(category["name"]) for category in keep_categories(train)),
    )


def coco_annotation(entry: Mapping[str, Any], image: Image, labels: Mapping[int, int]) -> Annotation | None:
    """An annotation, its box cut at the image's border (a crowd's is not); None when nothing of it is left."""
    crowd = int(entry.get("iscrowd") or 0)
    x, y, width, height = (float(value) for value in entry["bbox"])
    box = (x, y, width, height) if crowd else clip_box((x, y, width, height), image)
    if box is None:
        return None
    return Annotation(
        image_id=image.id,
        label=labels[int(entry["category_id"])],
        bbox=box,
        segmentation=entry.get("segmentation") or None,
        area=float(entry.get("area") or box[2] * box[3]),
        iscrowd=crowd,
    )


def clip_box(box: Box, image: Image) -> Box | None:
    """The part of a box inside its image, or None."""
    left, top = (min(max(value, 0.0), limit) for value, limit in zip(box[:2], (image.width, image.height), strict=True))
    right = min(max(box[0] + box[2], 0.0), image.width)
    bottom = min(max(box[1] + box[3], 0.0), image.height)
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def read_yolo(root: Path, split: SplitName) -> Split:
    """A split in YOLO layout; image ids count from 0 in the order of the file names."""
    names = dataset_yolo.read_names(root)
    folders = dataset_yolo.split_folders(root, split)
    images: list[Image] = []
    annotations: list[Annotation] = []
    for number, path in enumerate(dataset_yolo.list_images(folders.images)):
        image = Image(number, path, *dataset_yolo.image_size(path))
        images.append(image)
        for label in dataset_yolo.read_labels(folders.labels / f"{path.stem}.txt", len(names)):
            box = clip_box(label.scale_box(image.width, image.height), image)
            if box is not None:
                polygon = label.scale_polygon(image.width, image.height)
                annotations.append(
                    Annotation(number, label.label, box, [polygon] if polygon else None, box[2] * box[3])
                )
    return Split(layout="yolo", images=tuple(images), annotations=tuple(annotations), names=names)
