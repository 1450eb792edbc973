"""The guide's five memory presets: defaults for a card's memory, which explicit fields override."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MemoryPreset:
    """Defaults for one card: the guide's batch x accumulation, resolution in pixels, gradient checkpointing."""

    per_device: int
    accumulation: int
    resolution: int | None
    gradient_checkpointing: bool


# The guide's 560 and 784 belong to the patch-14 models; for another variant the nearest legal size is taken.
PRESETS: Final[dict[str, MemoryPreset]] = {
    "8GB": MemoryPreset(per_device=1, accumulation=16, resolution=560, gradient_checkpointing=True),
    "12GB": MemoryPreset(per_device=2, accumulation=8, resolution=None, gradient_checkpointing=True),
    "16GB": MemoryPreset(per_device=4, accumulation=4, resolution=None, gradient_checkpointing=False),
    "24GB": MemoryPreset(per_device=8, accumulation=2, resolution=None, gradient_checkpointing=False),
    "40GB": MemoryPreset(per_device=16, accumulation=1, resolution=784, gradient_checkpointing=False),
}
