"""The second opinion: the best weights judged by pycocotools' COCOeval, over every image, in one process.

It shares with RF-DETR's evaluator only the network, its post-processing and the images it is fed. The ground truth is
read from the data set's own files, the matching and the precision are pycocotools'.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch.nn import functional
from torch.utils.data import DataLoader, SequentialSampler

from rfdetr_contract.report import Judgement
from rfdetr_trainer.dataset import Annotation, Image, Split

TOLERANCE: Final = 0.005  # of mAP 50:95
# RF-DETR's recall thresholds are single precision. A class of 25, 50 or 100 objects has recalls that fall on them, and
# double precision then takes another step of the curve: the same detections would differ by up to 0.01.
RECALLS: Final = np.array(torch.linspace(0.0, 1.0, 101).tolist())
Mask = NDArray[np.uint8]
Grids = dict[int, tuple[tuple[int, int], tuple[int, int]]]  # image id: heights and widths of input and of its masks


def judge(
    module: Any,
    datamodule: Any,
    split: Split,
    *,
    reported: float,
    max_dets: int,
    segmentation: bool,
    tolerance: float = TOLERANCE,
    breathe: Callable[[], object] = bool,
) -> Judgement:
    """MAP of the module's weights on the split, beside the one that was reported for them.

    ``breathe`` is called between two batches; it may end the work.
    """
    detections, grids = detect(module, datamodule, segmentation=segmentation, breathe=breathe)
    missing = {image.id for image in split.images} - grids.keys()
    if missing:
        raise ValueError(f"{len(missing)} of {len(split.images)} images were never judged, such as {min(missing)}")
    truth = build_truth(split, grids if segmentation else None)
    map50_95, map50 = score(truth, detections, max_dets, "segm" if segmentation else "bbox")
    return Judgement(
        map50_95=map50_95,
        map50=map50,
        reported=reported,
        tolerance=tolerance,
        agrees=abs(map50_95 - reported) <= tolerance,
    )


def detect(
    module: Any, datamodule: Any, *, segmentation: bool, breathe: Callable[[], object] = bool
) -> tuple[list[dict[str, Any]], Grids]:
    """All detections on the validation images, in COCO's result format, and the grids of each image's masks."""
    detections: list[dict[str, Any]] = []
    grids: Grids = {}
    was_training = module.model.training
    module.model.eval()
    with torch.no_grad(), precision_of(module):
        for batch in whole_loader(datamodule.val_dataloader()):
            breathe()
            samples, targets = datamodule.transfer_batch_to_device(batch, module.device, 0)
            sizes = torch.stack([target["orig_size"] for target in targets])
            results = module.postprocess(module.model(samples), sizes)
            for target, result in zip(targets, results, strict=True):
                image = int(target["image_id"].reshape(-1)[0])
                grids[image] = (grid_of(target["size"]), mask_grid(result, target["orig_size"]))
                detections.extend(coco_results(image, result, segmentation=segmentation))
    module.model.train(was_training)
    return detections, grids


def whole_loader(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The same batches without a distributed sampler and without worker processes: every image, once."""
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=SequentialSampler(loader.dataset),  # type: ignore[arg-type]  # a map-style data set has a length
        collate_fn=loader.collate_fn,
    )


def precision_of(module: Any) -> contextlib.AbstractContextManager[Any]:
    """The precision that validation ran in, when the module still has its trainer."""
    try:
        context: contextlib.AbstractContextManager[Any] = module.trainer.precision_plugin.forward_context()
    except RuntimeError:  # Lightning's answer for a module without a trainer
        return contextlib.nullcontext()
    return context


def grid_of(size: torch.Tensor) -> tuple[int, int]:
    """Height and width as numbers."""
    height, width = (int(value) for value in size.tolist())
    return height, width


def mask_grid(result: Mapping[str, torch.Tensor], size: torch.Tensor) -> tuple[int, int]:
    """The grid on which a result's masks lie: the image's own, unless the masks stay at the head's resolution."""
    return (int(result["masks"].shape[-2]), int(result["masks"].shape[-1])) if "masks" in result else grid_of(size)


def coco_results(image: int, result: Mapping[str, torch.Tensor], *, segmentation: bool) -> Iterator[dict[str, Any]]:
    """One image's detections; a class keeps its number, counted from 0 as in the split."""
    boxes = result["boxes"].float().cpu()
    sides = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).tolist()
    masks = result["masks"].cpu().bool().flatten(0, -3).numpy() if segmentation else None
    found = zip(result["scores"].float().tolist(), result["labels"].tolist(), sides, strict=True)
    for index, (confidence, label, box) in enumerate(found):
        entry = {"image_id": image, "category_id": label, "bbox": box, "score": confidence}
        yield entry if masks is None else entry | {"segmentation": encode(masks[index])}


def encode(mask: NDArray[Any]) -> dict[str, Any]:
    """A mask as compressed RLE."""
    encoded: dict[str, Any] = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return encoded


def build_truth(split: Split, grids: Grids | None) -> COCO:
    """The split as pycocotools takes it. Annotations count from 1: it reads an id of 0 as "no match"."""
    images = {image.id: image for image in split.images}
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image.id, "width": image.width, "height": image.height} for image in split.images],
        "categories": [{"id": label, "name": name} for label, name in enumerate(split.names)],
        "annotations": [
            {
                "id": number,
                "image_id": annotation.image_id,
                "category_id": annotation.label,
                "bbox": list(annotation.bbox),
                "area": annotation.area,
                "iscrowd": annotation.iscrowd,
            }
            | ({"segmentation": encode(truth_mask(split, images, annotation, grids))} if grids else {})
            for number, annotation in enumerate(split.annotations, 1)
        ],
    }
    with silence():
        truth.createIndex()
    return truth


def truth_mask(split: Split, images: Mapping[int, Image], annotation: Annotation, grids: Grids) -> Mask:
    """An object's mask on the grid of the predictions.

    RF-DETR scores a mask as it comes back from the model's input grid, except a crowd's, which it takes from the file;
    both are resampled to their nearest pixel here as there.
    """
    image = images[annotation.image_id]
    mask = draw_polygon(annotation, image) if split.layout == "yolo" else decode(annotation.segmentation, image)
    model_grid, result_grid = grids[annotation.image_id]
    steps = (result_grid,) if annotation.iscrowd else (model_grid, result_grid)
    for grid in steps:
        mask = resample(mask, grid)
    return mask


def decode(segmentation: Any, image: Image) -> Mask:
    """COCO's polygons or RLE as a mask; no segmentation is an empty one."""
    if not segmentation:
        return np.zeros((image.height, image.width), np.uint8)
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str | bytes):
        return np.asarray(rle.decode(segmentation), np.uint8)
    encoded = rle.frPyObjects(segmentation, image.height, image.width)
    return np.asarray(rle.decode(rle.merge(encoded) if isinstance(encoded, list) else encoded), np.uint8)


def draw_polygon(annotation: Annotation, image: Image) -> Mask:
    """A YOLO polygon with the pixels of its border; a line that is a box is drawn as one."""
    canvas = Pillow.new("L", (image.width, image.height), 0)
    x, y, width, height = annotation.bbox
    right, bottom = min(x + width, image.width - 1), min(y + height, image.height - 1)
    box = [x, y, right, y, right, bottom, x, bottom]
    ImageDraw.Draw(canvas).polygon(annotation.segmentation[0] if annotation.segmentation else box, fill=1)
    return np.asarray(canvas, np.uint8)


def resample(mask: Mask, grid: tuple[int, int]) -> Mask:
    """A mask on another grid, by its nearest pixels."""
    if mask.shape == grid:
        return mask
    tensor = torch.from_numpy(mask.copy())[None, None].float()
    return np.asarray(functional.interpolate(tensor, size=grid, mode="nearest")[0, 0].numpy(), np.uint8)


def score(
    truth: COCO, detections: Sequence[Mapping[str, Any]], max_dets: int, kind: Literal["bbox", "segm"]
) -> tuple[float, float]:
    """The mAP 50:95 and 50 over the classes that the truth has; 0 when nothing was detected or nothing is there."""
    if not detections or not truth.anns:
        return 0.0, 0.0
    with silence():
        evaluation = COCOeval(truth, truth.loadRes([dict(detection) for detection in detections]), kind)
        evaluation.params.maxDets = [1, 10, max_dets]
        evaluation.params.recThrs = RECALLS
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU x recall x class, all areas, max_dets
    return mean_of(precision), mean_of(precision[:1])


def mean_of(precision: NDArray[Any]) -> float:
    """The mean without the classes that have no truth, which pycocotools marks with -1."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else 0.0


def silence() -> contextlib.AbstractContextManager[Any]:
    """Keeps pycocotools from printing."""
    return contextlib.redirect_stdout(io.StringIO())
