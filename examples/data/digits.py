"""Real handwritten digits, scanned, composed into a small detection or segmentation set.

The scans are the ones that scikit-learn ships. ``python -m examples.data.digits OUT`` writes train and valid in COCO
layout; no scan is in both. The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDES = (18, 30)  # a digit's side in pixels, smallest and largest
INK = 40  # of 255: fainter pixels are paper
TRAIN_SHARE = 0.8  # of the scans; valid is drawn from the rest

Pixels = NDArray[np.uint8]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is made. ``size`` is the side of an image in pixels."""

    classes: int = 2
    train: int = 160
    valid: int = 40
    seed: int = 0
    layout: Literal["coco", "yolo"] = "coco"
    masks: bool = False
    size: int = 64


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit on a canvas: its class, box (x, y, width, height) and outline, in pixels."""

    label: int
    box: tuple[int, int, int, int]
    outline: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Scans:
    """The scans of one split and their classes."""

    pixels: Pixels
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Picture:
    """One image and what is on it."""

    pixels: Pixels
    digits: tuple[Digit, ...]


def split_scans(recipe: Recipe, rng: np.random.Generator) -> dict[str, Scans]:
    """The scans of the wanted classes, parted so that valid shows none that train has shown."""
    bundle = load_digits()
    pixels = (bundle.images / 16 * 255).astype(np.uint8)
    kept = np.flatnonzero(bundle.target < recipe.classes)
    order = kept[rng.permutation(len(kept))]
    cut = int(len(order) * TRAIN_SHARE)
    parts = {"train": order[:cut], "valid": order[cut:]}
    return {split: Scans(pixels[part], bundle.target[part].astype(np.int64)) for split, part in parts.items()}


def outline(ink: NDArray[np.bool_], x: int, y: int) -> tuple[Point, ...]:
    """The silhouette of the ink: down its right edge, up its left edge, holes filled."""
    rows = [(row, np.flatnonzero(line)) for row, line in enumerate(ink) if line.any()]
    right = [point for row, at in rows for point in ((x + at[-1] + 1, y + row), (x + at[-1] + 1, y + row + 1))]
    left = [point for row, at in reversed(rows) for point in ((x + at[0], y + row + 1), (x + at[0], y + row))]
    points = [(float(px), float(py)) for px, py in (*right, *left)]
    around = zip([points[-1], *points], points, [*points[1:], points[0]], strict=False)
    return tuple(here for before, here, after in around if not before[0] == here[0] == after[0])


def choose_place(taken: list[tuple[int, int, int]], side: int, size: int, rng: np.random.Generator) -> Point | None:
    """A free square for a digit, or None when thirty tries find none."""
    for _ in range(30):
        x, y = (int(value) for value in rng.integers(0, size - side, 2))
        if all(x + side <= tx or tx + ts <= x or y + side <= ty or ty + ts <= y for tx, ty, ts in taken):
            return x, y
    return None


def compose(scans: Scans, size: int, rng: np.random.Generator) -> Picture:
    """One to three digits, dark on uneven light paper, none on another."""
    canvas = np.full((size, size), 235, np.int16) - rng.integers(0, 20, (size, size)).astype(np.int16)
    taken: list[tuple[int, int, int]] = []
    digits: list[Digit] = []
    for _ in range(int(rng.integers(1, 4))):
        side = int(rng.integers(SIDES[0], SIDES[1] + 1))
        place = choose_place(taken, side, size, rng)
        if place is None:
            continue
        x, y = int(place[0]), int(place[1])
        taken.append((x, y, side))
        scan = int(rng.integers(len(scans.labels)))
        grey = np.asarray(Image.fromarray(scans.pixels[scan]).resize((side, side), Image.Resampling.BICUBIC))
        canvas[y : y + side, x : x + side] -= (grey * 0.85).astype(np.int16)
        ink = grey > INK
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        box = (x + columns[0], y + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        left, top, width, height = (int(value) for value in box)
        digits.append(Digit(int(scans.labels[scan]), (left, top, width, height), outline(ink, x, y)))
    return Picture(canvas.clip(0, 255).astype(np.uint8), tuple(digits))


def polygon_area(points: tuple[Point, ...]) -> float:
    """The area inside a polygon, by the shoelace formula."""
    pairs = zip(points, (*points[1:], points[0]), strict=True)
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


def coco_annotation(digit: Digit, number: int, image: int, *, masks: bool) -> dict[str, Any]:
    """One annotation; its area is the mask's where there is one."""
    return {
        "id": number,
        "image_id": image,
        "category_id": digit.label + 1,
        "bbox": list(digit.box),
        "area": polygon_area(digit.outline) if masks else digit.box[2] * digit.box[3],
        "iscrowd": 0,
        "segmentation": [[value for point in digit.outline for value in point]] if masks else [],
    }


def coco_document(pictures: list[Picture], recipe: Recipe) -> dict[str, Any]:
    """The annotation file of one split."""
    owners = [(image, digit) for image, picture in enumerate(pictures, 1) for digit in picture.digits]
    return {
        "info": {"description": "handwritten digits"},
        "licenses": [],
        "images": [
            {"id": image, "file_name": file_name(image), "width": recipe.size, "height": recipe.size}
            for image in range(1, len(pictures) + 1)
        ],
        "annotations": [
            coco_annotation(digit, number, image, masks=recipe.masks) for number, (image, digit) in enumerate(owners, 1)
        ],
        "categories": [
            {"id": number, "name": name, "supercategory": "digit"}
            for number, name in enumerate(NAMES[: recipe.classes], 1)
        ],
    }


def yolo_line(digit: Digit, recipe: Recipe) -> str:
    """One label: class and centre box, or class and polygon, as shares of the image's side."""
    x, y, width, height = digit.box
    box = (x + width / 2, y + height / 2, width, height)
    values = [value for point in digit.outline for value in point] if recipe.masks else box
    return " ".join([str(digit.label), *(f"{value / recipe.size:.6f}" for value in values)])


def file_name(image: int) -> str:
    """The file of an image."""
    return f"{image:05d}.png"


def write_images(folder: Path, pictures: list[Picture]) -> None:
    """Write one PNG a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, picture in enumerate(pictures, 1):
        Image.fromarray(picture.pixels).convert("RGB").save(folder / file_name(image))


def write_coco(folder: Path, pictures: list[Picture], recipe: Recipe) -> None:
    """Write a split with its annotations beside the images."""
    write_images(folder, pictures)
    (folder / "_annotations.coco.json").write_text(json.dumps(coco_document(pictures, recipe)))


def write_yolo(folder: Path, pictures: list[Picture], recipe: Recipe) -> None:
    """Write a split with one label file an image."""
    write_images(folder / "images", pictures)
    (folder / "labels").mkdir(exist_ok=True)
    for image, picture in enumerate(pictures, 1):
        lines = [yolo_line(digit, recipe) + "\n" for digit in picture.digits]
        (folder / "labels" / file_name(image)).with_suffix(".txt").write_text("".join(lines))


def write_digits(out: Path, recipe: Recipe) -> None:
    """Write the whole data set below ``out``."""
    rng = np.random.default_rng(recipe.seed)
    pools = split_scans(recipe, rng)
    for split, count in (("train", recipe.train), ("valid", recipe.valid)):
        pictures = [compose(pools[split], recipe.size, rng) for _ in range(count)]
        write = write_coco if recipe.layout == "coco" else write_yolo
        write(out / split, pictures, recipe)
    if recipe.layout == "yolo":
        names = "".join(f"  {number}: {name}\n" for number, name in enumerate(NAMES[: recipe.classes]))
        head = f"train: train/images\nval: valid/images\nnc: {recipe.classes}\nnames:\n"
        (out / "data.yaml").write_text(head + names)


def main(argv: list[str] | None = None) -> None:
    """Write the data set that the command line describes."""
    default = Recipe()
    parser = argparse.ArgumentParser(prog="python -m examples.data.digits", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--classes", type=int, default=default.classes, choices=range(1, 11), help="digits 0 and up")
    parser.add_argument("--train", type=int, default=default.train, help="images in train")
    parser.add_argument("--valid", type=int, default=default.valid, help="images in valid")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--layout", default=default.layout, choices=("coco", "yolo"))
    parser.add_argument("--masks", action="store_true", help="polygons too, for a segmentation model")
    parser.add_argument("--size", type=int, default=default.size, help="side of an image in pixels")
    asked = vars(parser.parse_args(argv))
    write_digits(asked.pop("out"), Recipe(**asked))


if __name__ == "__main__":
    main()
