"""What a round resumes from, as it travels from rank 0's launcher to every worker."""

from __future__ import annotations

from rfdetr_contract._base import Frozen


class Resume(Frozen):
    """A checkpoint whose digest was seen to match: an absolute path below the output root, and what it holds."""

    file: str  # absolute path; every node mounts the output root at the same place
    sha256: str
    size: int
    step: int
    epoch: int
    batch_in_epoch: int
    world_size: int
