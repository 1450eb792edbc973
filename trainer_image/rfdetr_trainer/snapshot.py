"""A state that no later step can change: every tensor copied into memory that is allocated once, the rest rebuilt."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch

ALIGNMENT = 64
LANES = 4  # more do not make memory faster
PLAIN = frozenset({int, float, str, bytes, bool, type(None), complex})
KINDS = frozenset({torch.Tensor, torch.nn.Parameter})


class Place(NamedTuple):
    """A storage: where it is, its address and its bytes."""

    device: torch.device
    address: int
    size: int


class Snapshots:
    """One state's memory. A snapshot is valid until the next one is taken."""

    def __init__(self) -> None:
        self._arena = torch.empty(0, dtype=torch.uint8)
        self._storages: dict[tuple[int, int], torch.UntypedStorage] = {}
        self._tensors: dict[tuple[Any, ...], torch.Tensor] = {}

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._arena.numel()

    def take(self, tree: Any) -> Any:
        """The same tree on the CPU, as it is now; torch.save writes it as it would write the tree itself."""
        leaves: list[torch.Tensor] = []
        collect(tree, leaves.append)
        places = [locate(leaf) for leaf in leaves]
        offsets = lay_out(places)
        devices = {place.device for place in offsets if place.device.type == "cuda"}
        self._reserve(sum(pad(place.size) for place in offsets), pinned=bool(devices))
        copies = [
            leaf.detach().clone() if place is None else self._build(leaf, offsets[place], place.size)
            for leaf, place in zip(leaves, places, strict=True)
        ]
        self._copy(offsets, dict(zip(places, leaves, strict=True)))
        for device in devices:
            torch.cuda.current_stream(device).synchronize()
        return rebuild(tree, iter(copies))

    def _copy(self, offsets: dict[Place, int], holders: dict[Place | None, torch.Tensor]) -> None:
        sources, targets = [], []
        for place, offset in offsets.items():
            holder = holders[place]
            if holder.nbytes == place.size and holder.is_contiguous():
                sources.append(holder.detach())
                targets.append(self._build(holder, offset, place.size).detach())
            else:
                empty = torch.empty(0, dtype=torch.uint8, device=place.device)
                sources.append(empty.set_(holder.untyped_storage()))
                targets.append(self._build(sources[-1], offset, place.size))
        if targets:
            copy_all(targets, sources, 1 if any(place.device.type == "cuda" for place in offsets) else count_lanes())

    def _build(self, leaf: torch.Tensor, offset: int, size: int) -> torch.Tensor:
        """The leaf as it lies over its storage's copy: the same object as long as states look alike."""
        shape = (leaf.storage_offset(), leaf.size(), leaf.stride())
        key = (offset, size, leaf.dtype, type(leaf), leaf.requires_grad, *shape)
        if key not in self._tensors:
            built = torch.empty(0, dtype=leaf.dtype).set_(self._slice(offset, size), *shape)
            parameter = type(leaf) is torch.nn.Parameter
            self._tensors[key] = torch.nn.Parameter(built, leaf.requires_grad) if parameter else built
        return self._tensors[key]

    def _slice(self, offset: int, size: int) -> torch.UntypedStorage:
        if (offset, size) not in self._storages:
            self._storages[offset, size] = self._arena.untyped_storage()[offset : offset + size]
        return self._storages[offset, size]

    def _reserve(self, size: int, *, pinned: bool) -> None:
        if self._arena.numel() >= size and self._arena.is_pinned() >= pinned:
            return
        self._tensors, self._storages = {}, {}
        self._arena = torch.empty(0, dtype=torch.uint8)  # the old memory goes before the new comes
        self._arena = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)


def count_lanes() -> int:
    """Threads that copy: while rank 0 does, the other ranks wait for it, and their processors have nothing to do."""
    return min(LANES, len(os.sched_getaffinity(0)))


def copy_all(targets: list[torch.Tensor], sources: list[torch.Tensor], lanes: int) -> None:
    """Copy each source into its target, by so many threads."""
    if lanes == 1:
        torch._foreach_copy_(targets, sources, non_blocking=True)
        return
    with ThreadPoolExecutor(lanes, "snapshot") as pool:
        shares = [(targets[lane::lanes], sources[lane::lanes]) for lane in range(lanes)]
        for done in [pool.submit(torch._foreach_copy_, *share) for share in shares if share[0]]:
            done.result()


def pad(size: int) -> int:
    """Bytes that a storage's copy takes."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def locate(tensor: torch.Tensor) -> Place | None:
    """What identifies a tensor's storage; None: it cannot be copied as bytes. Those are few and small, and cloned."""
    if type(tensor) not in KINDS or tensor.layout is not torch.strided or tensor.device.type not in {"cpu", "cuda"}:
        return None
    if tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
        return None
    storage = tensor.untyped_storage()
    size = storage.nbytes()
    return Place(tensor.device, storage.data_ptr(), size) if size else None


def lay_out(places: list[Place | None]) -> dict[Place, int]:
    """Where each storage's copy begins; tensors that share a storage share its copy."""
    offsets: dict[Place, int] = {}
    end = 0
    for place in places:
        if place is not None and place not in offsets:
            offsets[place] = end
            end += pad(place.size)
    return offsets


def collect(tree: Any, add: Callable[[torch.Tensor], None]) -> None:
    """Find every tensor, in the order in which ``rebuild`` asks for them."""
    if isinstance(tree, torch.Tensor):
        add(tree)
    elif type(tree) in {dict, OrderedDict}:
        for value in tree.values():
            collect(value, add)
    elif type(tree) in {list, tuple}:
        for value in tree:
            collect(value, add)


def is_on_host(tree: Any) -> bool:
    """No tensor of the tree is on another device."""
    leaves: list[torch.Tensor] = []
    collect(tree, leaves.append)
    return all(leaf.device.type == "cpu" for leaf in leaves)


def rebuild(tree: Any, copies: Iterator[torch.Tensor]) -> Any:
    """The tree over the copies of its tensors; nothing in it is shared with the old one but what cannot change."""
    kind = type(tree)
    if kind in PLAIN:
        return tree
    if isinstance(tree, torch.Tensor):
        return next(copies)
    if kind in {dict, OrderedDict}:
        built = kind((key, rebuild(value, copies)) for key, value in tree.items())
        if kind is OrderedDict:  # a state_dict carries its modules' versions as an attribute
            vars(built).update(vars(tree))
        return built
    if kind in {list, tuple}:
        return kind(rebuild(value, copies) for value in tree)
    return copy.deepcopy(tree)
