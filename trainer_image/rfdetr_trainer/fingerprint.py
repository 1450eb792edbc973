"""What a data set is known by when a run resumes: its classes, and a digest of its annotations.

It is taken in seconds from a hundred thousand images on a network volume: image files are named, never opened. No torch:
the launcher imports this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rfdetr_trainer import dataset, dataset_yolo
from rfdetr_trainer.dataset import COCO_FILE, Layout

LABELS_READ = 2000  # label files of a split, spread over it: each costs a round trip on a network volume
SPLITS = ("train", "valid")


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """The class names (the place is the class), and layout and digest as one comparable word."""

    classes: tuple[str, ...]
    fingerprint: str


def read_facts(root: Path, layout: Layout, known: str = "") -> DatasetFacts:
    """The facts of a data set that the preflight has found fit. ``known``: its fingerprint, which is not taken again."""
    return DatasetFacts(dataset.read_names(root, layout), known or take_fingerprint(root, layout))


def take_fingerprint(root: Path, layout: Layout) -> str:
    """Equal for equal annotations of equal images, wherever they lie."""
    digest = hashlib.sha256()
    for piece in _read_coco(root) if layout == "coco" else _read_yolo(root):
        digest.update(piece)
    return f"{layout}-{digest.hexdigest()[:16]}"


def _read_coco(root: Path) -> Iterator[bytes]:
    for split in SPLITS:
        yield (root / split / COCO_FILE).read_bytes()


def _read_yolo(root: Path) -> Iterator[bytes]:
    name, _ = dataset_yolo.load_data_file(root)
    yield (root / name).read_bytes()
    for split in SPLITS:
        folders = dataset_yolo.split_folders(root, split)
        images = sorted(path.name for path in folders.images.iterdir() if path.suffix.lower() in dataset_yolo.SUFFIXES)
        labels = sorted(path.name for path in folders.labels.iterdir() if path.suffix == ".txt")
        yield "\n".join([split, *images, "", *labels]).encode()
        for label in labels[:: max(-(-len(labels) // LABELS_READ), 1)]:
            yield (folders.labels / label).read_bytes()
