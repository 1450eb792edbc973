"""RF-DETR's moving average when a run resumes: made of the checkpoint's own tensors, not copied and then overwritten."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import torch


def lend_average(module: Any, ema: Any) -> None:
    """Let the one deep copy that RF-DETR's EMA callback makes of the module take what it loads into it a moment later.

    Only a tensor that lies where and as the module's own does is taken, so on a GPU everything is copied there, as ever.
    """

    def copy_module(memo: dict[int, Any]) -> Any:
        del module.__deepcopy__
        memo.update(find_spares(module, getattr(ema, "_pending_average_state_dict", None) or {}))
        return copy.deepcopy(module, memo)

    module.__deepcopy__ = copy_module


def find_spares(module: Any, average: dict[str, Any]) -> dict[int, torch.Tensor]:
    """By the id of each tensor of the module: what the average has in its place."""
    spares: dict[int, torch.Tensor] = {}
    for name, live in chain(module.named_parameters(), module.named_buffers()):
        spare = average.get(f"module.{name}")
        if spare is not None and describe(spare) == describe(live):
            parameter = isinstance(live, torch.nn.Parameter)
            spares[id(live)] = torch.nn.Parameter(spare, live.requires_grad) if parameter else spare
    return spares


def describe(tensor: torch.Tensor) -> tuple[Any, ...]:
    """All but the values."""
    return tensor.dtype, tensor.device, tensor.layout, tensor.shape, tensor.stride()
