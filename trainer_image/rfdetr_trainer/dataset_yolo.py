"""YOLO layout: ``data.yaml``, folders of images, and one text file of labels an image.

Where ``data.yaml`` names a split's folder inside the data set, that folder counts; else ``train/images`` and
``valid/images`` (or ``val/images``), with ``labels`` beside ``images``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, UnidentifiedImageError

from rfdetr_trainer.errors import DataError

DATA_FILES = ("data.yaml", "data.yml")
KEYS = {"train": ("train",), "valid": ("val", "valid")}  # of data.yaml, in the order in which they count
USUAL = {"train": ("train",), "valid": ("valid", "val")}
SUFFIXES = frozenset({".bmp", ".dng", ".jpg", ".jpeg", ".mpo", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a split's images and labels are."""

    images: Path
    labels: Path


@dataclass(frozen=True, slots=True)
class Label:
    """One line: class from 0, and a centre box (4 numbers) or a polygon (6 or more), as shares of the image's sides."""

    label: int
    values: tuple[float, ...]

    @property
    def is_polygon(self) -> bool:
        """Whether the line outlines its object."""
        return len(self.values) > 4

    def scale_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The box in pixels: x, y, width, height."""
        if not self.is_polygon:
            x, y, w, h = self.values
            return ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
        xs, ys = self.values[0::2], self.values[1::2]
        left, top = min(xs) * width, min(ys) * height
        return (left, top, max(xs) * width - left, max(ys) * height - top)

    def scale_polygon(self, width: int, height: int) -> list[float] | None:
        """The polygon in pixels, held inside the last row and column as RF-DETR holds it; None for a box."""
        if not self.is_polygon:
            return None
        sides = (width, height)
        return [min(max(v * sides[i % 2], 0.0), float(sides[i % 2] - 1)) for i, v in enumerate(self.values)]


def find_data_file(root: Path) -> Path | None:
    """``data.yaml``, else ``data.yml``, else None."""
    return next((root / name for name in DATA_FILES if (root / name).is_file()), None)


def load_data_file(root: Path) -> tuple[str, dict[str, Any]]:
    """The name and the content of the data file."""
    file = find_data_file(root)
    if file is None:
        raise DataError(f"data set '{root.name}' has no data.yaml, which the YOLO layout needs")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DataError(f"{file.name} is not YAML{f': line {mark.line + 1}' if mark else ''}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{file.name} is no mapping; it needs the keys train, val and names")
    return file.name, content


def read_names(root: Path) -> tuple[str, ...]:
    """The class names: a list, or a mapping from the numbers 0, 1, 2 and so on."""
    file, content = load_data_file(root)
    names = content.get("names")
    if isinstance(names, list) and names:
        return tuple(str(name) for name in names)
    if isinstance(names, dict) and names:
        numbered = {int(str(key)): name for key, name in names.items() if str(key).isascii() and str(key).isdigit()}
        if len(numbered) == len(names) and sorted(numbered) == list(range(len(names))):
            return tuple(str(numbered[number]) for number in range(len(names)))
        raise DataError(
            f"{file}: the keys of 'names' must be 0 to {len(names) - 1}, found {', '.join(map(str, names))}"
        )
    raise DataError(f"{file}: 'names' must be a list or a mapping of class names, found {names!r}")


def split_folders(root: Path, split: str) -> Folders:
    """The folders of a split, declared or usual."""
    file, content = load_data_file(root)
    declared = next((content[key] for key in KEYS[split] if content.get(key) is not None), None)
    if isinstance(declared, str) and (folders := declared_folders(root, content.get("path"), declared)):
        return folders
    for name in USUAL[split]:
        if (root / name / "images").is_dir():
            return Folders(root / name / "images", root / name / "labels")
    said = f"{file} says {KEYS[split][0]}: {declared!r}, which is no folder of the data set with labels beside it, and "
    raise DataError(
        f"data set '{root.name}' has no {split} images: {said if declared is not None else ''}"
        f"there is no {USUAL[split][0]}/images"
    )


def declared_folders(root: Path, base: object, declared: str) -> Folders | None:
    """The folders that ``data.yaml`` declares, when they are inside the data set and have labels."""
    start = Path(base) if isinstance(base, str) else Path()
    joined = root / start
    images = (joined if start.is_absolute() or joined.is_dir() else root) / declared
    if not images.is_dir() or not is_inside(images, root):
        return None
    parts = images.parts
    for index in (i for i in reversed(range(len(parts))) if parts[i] == "images"):
        labels = Path(*parts[:index], "labels", *parts[index + 1 :])
        if labels.is_dir() and is_inside(labels, root):
            return Folders(images, labels)
    nested = Folders(images / "images", images / "labels")
    return nested if nested.images.is_dir() and nested.labels.is_dir() else None


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path is below the root once links are followed."""
    return path.resolve().is_relative_to(root.resolve())


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def image_size(path: Path) -> tuple[int, int]:
    """Width and height, from the image's header."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError):
        raise DataError(f"{path.parent.parent.name}/{path.parent.name}/{path.name} is no readable image") from None


def read_labels(file: Path, classes: int) -> Iterator[Label]:
    """The labels of one image; an image without a file is background."""
    if not file.is_file():
        return
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate((line for line in lines if line.strip()), 1):
        yield parse_label(line, f"{file.parent.parent.name}/{file.parent.name}/{file.name} line {number}", classes)


def parse_label(line: str, where: str, classes: int) -> Label:
    """One line of a label file."""
    first, *rest = line.split()
    if len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        raise DataError(f"{where} has {len(rest)} numbers after the class; a box has 4, a polygon 6 or more in pairs")
    if not first.isdigit() or not int(first) < classes:
        raise DataError(f"{where} has class {first}; data.yaml names {classes}, so 0 to {classes - 1} are allowed")
    try:
        return Label(int(first), tuple(float(value) for value in rest))
    except ValueError:
        raise DataError(f"{where} has coordinates that are no numbers: {' '.join(rest[:4])}") from None
