"""The variants of RF-DETR: what they are for and which resolutions they take.

A resolution is a side of the square input in pixels and must be a multiple of ``patch size x windows``. The numbers are
those of rfdetr 1.11.2; a test of the trainer compares them with the installed package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Task = Literal["detection", "segmentation"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant: its config class in rfdetr, task, default resolution (pixels), divisor (pixels), checkpoint size."""

    config: str
    task: Task
    resolution: int
    divisor: int

    def nearest(self, resolution: int) -> int:
        """The legal resolution nearest to the one given (the larger of two equally near ones)."""
        below = max(resolution // self.divisor, 1) * self.divisor
        above = below + self.divisor
        return below if resolution - below < above - resolution else above


VARIANTS: Final[dict[str, Variant]] = {
    "nano": Variant("RFDETRNanoConfig", "detection", 384, 32),
    "small": Variant("RFDETRSmallConfig", "detection", 512, 32),
    "medium": Variant("RFDETRMediumConfig", "detection", 576, 32),
    "large": Variant("RFDETRLargeConfig", "detection", 704, 32),
    "base": Variant("RFDETRBaseConfig", "detection", 560, 56),
    "seg-nano": Variant("RFDETRSegNanoConfig", "segmentation", 312, 12),
    "seg-small": Variant("RFDETRSegSmallConfig", "segmentation", 384, 24),
    "seg-medium": Variant("RFDETRSegMediumConfig", "segmentation", 432, 24),
    "seg-large": Variant("RFDETRSegLargeConfig", "segmentation", 504, 24),
    "seg-xlarge": Variant("RFDETRSegXLargeConfig", "segmentation", 624, 24),
    "seg-2xlarge": Variant("RFDETRSeg2XLargeConfig", "segmentation", 768, 24),
}
