"""A state that no later step can change: every tensor copied into memory that is allocated once, the rest rebuilt."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import torch

ALIGNMENT = 64
PLAIN = (int, float, str, bytes, bool, type(None), complex)
Place = tuple[torch.device, int, int]  # a storage: where it is, its address and its bytes


@dataclass(slots=True)
class Storages:
    """The storages of a tree in the order in which they are met, and where each one's copy begins."""

    offsets: dict[Place, int] = field(default_factory=dict)
    sources: list[torch.Tensor] = field(default_factory=list)
    size: int = 0
    on_device: bool = False

    def add(self, tensor: torch.Tensor) -> None:
        """Tensors that share a storage share its copy."""
        storage = tensor.untyped_storage()
        place = locate(tensor)
        if place in self.offsets:
            return
        self.offsets[place] = self.size
        self.sources.append(torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage))
        self.size += -(-storage.nbytes() // ALIGNMENT) * ALIGNMENT
        self.on_device = self.on_device or tensor.device.type == "cuda"


class Snapshots:
    """One state's memory. A snapshot is valid until the next one is taken."""

    def __init__(self) -> None:
        self._arena = torch.empty(0, dtype=torch.uint8)

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._arena.numel()

    def take(self, tree: Any) -> Any:
        """The same tree on the CPU, as it is now; torch.save writes it as it would write the tree itself."""
        storages = Storages()
        collect(tree, storages)
        self._reserve(storages.size, pinned=storages.on_device)
        whole = self._arena.untyped_storage()
        copies = {place: whole[offset : offset + place[2]] for place, offset in storages.offsets.items()}
        targets = [torch.empty(0, dtype=torch.uint8).set_(copy) for copy in copies.values()]
        if targets:
            torch._foreach_copy_(targets, storages.sources, non_blocking=True)
        for device in {place[0] for place in copies if place[0].type == "cuda"}:
            torch.cuda.current_stream(device).synchronize()
        return rebuild(tree, copies)

    def _reserve(self, size: int, *, pinned: bool) -> None:
        if self._arena.numel() >= size and self._arena.is_pinned() >= pinned:
            return
        self._arena = torch.empty(0, dtype=torch.uint8)  # the old memory goes before the new comes
        self._arena = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)


def locate(tensor: torch.Tensor) -> Place:
    """What identifies a tensor's storage."""
    storage = tensor.untyped_storage()
    return tensor.device, storage.data_ptr(), storage.nbytes()


def is_strided(tensor: torch.Tensor) -> bool:
    """A tensor whose storage can be copied as bytes; the others are few, small, and cloned."""
    plain = type(tensor) in {torch.Tensor, torch.nn.Parameter} and tensor.layout is torch.strided
    whole = plain and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
    return whole and tensor.device.type in {"cpu", "cuda"} and tensor.untyped_storage().nbytes() > 0


def collect(tree: Any, storages: Storages) -> None:
    """Find every tensor's storage."""
    if isinstance(tree, torch.Tensor):
        if is_strided(tree):
            storages.add(tree)
    elif isinstance(tree, dict):
        for value in tree.values():
            collect(value, storages)
    elif isinstance(tree, list | tuple):
        for value in tree:
            collect(value, storages)


def rebuild(tree: Any, copies: dict[Place, torch.UntypedStorage]) -> Any:
    """The tree with its tensors over their copies; nothing in it is shared with the old one but what cannot change."""
    if isinstance(tree, torch.Tensor):
        return rebuild_tensor(tree, copies)
    if type(tree) in {dict, OrderedDict}:
        built = type(tree)((key, rebuild(value, copies)) for key, value in tree.items())
        if isinstance(tree, OrderedDict):  # a state_dict carries its modules' versions as an attribute
            vars(built).update(vars(tree))
        return built
    if type(tree) is list:
        return [rebuild(value, copies) for value in tree]
    if type(tree) is tuple:
        return tuple(rebuild(value, copies) for value in tree)
    return tree if type(tree) in PLAIN else copy.deepcopy(tree)


def rebuild_tensor(tensor: torch.Tensor, copies: dict[Place, torch.UntypedStorage]) -> torch.Tensor:
    """The tensor over its storage's copy."""
    if not is_strided(tensor):
        return tensor.detach().clone()
    with torch.no_grad():
        built = torch.empty(0, dtype=tensor.dtype).set_(
            copies[locate(tensor)], tensor.storage_offset(), tensor.size(), tensor.stride()
        )
    return torch.nn.Parameter(built, tensor.requires_grad) if type(tensor) is torch.nn.Parameter else built
