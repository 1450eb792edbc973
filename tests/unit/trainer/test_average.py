"""The moving average of a run that resumes: the checkpoint's own tensors."""

from __future__ import annotations

import copy
import types
from typing import Any

import torch

from rfdetr_trainer.average import lend_average


def make_module() -> torch.nn.Module:
    """Weights, a frozen weight, and a buffer."""
    module = torch.nn.BatchNorm1d(3)
    module.bias.requires_grad_(False)
    return module


def make_average(module: torch.nn.Module, **others: torch.Tensor) -> dict[str, Any]:
    """As RF-DETR's callback keeps it."""
    kept = {f"module.{name}": torch.full_like(tensor, 5) for name, tensor in module.state_dict().items()}
    return {**kept, "n_averaged": torch.tensor(7), **{f"module.{name}": tensor for name, tensor in others.items()}}


def first_value(module: torch.nn.Module, name: str) -> float:
    """Of one of its tensors."""
    return float(module.state_dict()[name][0])


def list_addresses(tensors: dict[str, Any]) -> dict[str, int]:
    """Where each lies."""
    return {name.removeprefix("module."): tensor.data_ptr() for name, tensor in tensors.items() if "n_av" not in name}


def test_the_copy_is_made_of_the_checkpoints_tensors() -> None:
    """Nothing is copied; what may learn and what may not is the module's own."""
    module = make_module()
    average = make_average(module)
    lend_average(module, types.SimpleNamespace(_pending_average_state_dict=average))

    copied = copy.deepcopy(module)

    assert list_addresses(average) == list_addresses(copied.state_dict())
    assert [True, False] == [each.requires_grad for each in copied.parameters()]


def test_only_the_first_copy_is_special() -> None:
    """RF-DETR makes one; whoever makes another has its own."""
    module = make_module()
    lend_average(module, types.SimpleNamespace(_pending_average_state_dict=make_average(module)))
    first, second = copy.deepcopy(module), copy.deepcopy(module)

    assert (5.0, 1.0) == (first_value(first, "weight"), first_value(second, "weight"))
    assert not set(list_addresses(first.state_dict()).values()) & set(list_addresses(second.state_dict()).values())


def test_what_differs_in_kind_or_is_not_there_is_copied() -> None:
    """A run that begins has no average, an older one may keep other types: the callback loads what it must."""
    module = make_module()
    lend_average(module, types.SimpleNamespace(_pending_average_state_dict=None))
    begun = copy.deepcopy(module)
    lend_average(
        module,
        types.SimpleNamespace(_pending_average_state_dict=make_average(module, weight=torch.full((3,), 5.0).half())),
    )
    other = copy.deepcopy(module)

    assert (1.0, 1.0, 5.0) == (
        first_value(begun, "weight"),
        first_value(other, "weight"),
        first_value(other, "running_mean"),
    )
