"""Which sample a rank sees when: a function of (seed, epoch, rank, position), so that a run resumes inside an epoch."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from rfdetr.training import RFDETRDataModule
from rfdetr.training.module_data import _MIN_TRAIN_BATCHES, GradAccumAlignedDataset
from torch.utils.data import DataLoader, Dataset, DistributedSampler

logger = logging.getLogger(__name__)


def derive_seed(*parts: int | str) -> int:
    """A 32-bit seed of its parts: equal parts, equal seed, in every process and after every restart."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little")


def seed_everything(*parts: int | str) -> None:
    """Seed torch, numpy and random from the parts.

    ``torch.manual_seed`` would keep a stack trace for each device that is not in use: 0.4 ms for each sample.
    """
    seed = derive_seed(*parts)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch's own gap
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    np.random.seed(seed)


def describe_inexact(backend: str | None, augmentations: Mapping[str, Any] | None) -> str:
    """What a reader of the log should know of an augmentation with generators of its own. No config is RF-DETR's own."""
    if backend in {None, "torchvision"} or augmentations == {}:
        return ""
    return (
        f"augmentation backend {backend} draws from generators of its own: a resumed run goes on at the right sample, but "
        "is not equal to the bit to one without a break; training.overrides.augmentation_backend: torchvision is"
    )


class ResumableSampler(DistributedSampler[Any]):
    """DistributedSampler's own permutation and padding, which can begin inside one epoch.

    ``first_sample`` samples of epoch ``first_epoch`` are left out; the length stays that of a whole epoch, because
    Lightning compares it with its batch counter. The epoch is kept in shared memory, where loader processes see it.
    """

    def __init__(
        self, dataset: Dataset[Any], *, world_size: int, rank: int, seed: int, first: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=True, seed=seed)
        self.first_epoch, self.first_sample = first
        self.shared_epoch = torch.zeros((), dtype=torch.int64)
        self.shared_epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch's own gap
        self.set_epoch(self.first_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        super().set_epoch(epoch)
        self.shared_epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Any]:
        indices = list(super().__iter__())
        return iter(indices[self.first_sample :] if self.epoch == self.first_epoch else indices)


class SeededDataset(Dataset[Any]):
    """Seeds each sample by (seed, epoch, index): its augmentation does not depend on what was drawn before."""

    def __init__(self, dataset: Any, sampler: ResumableSampler, seed: int) -> None:
        self._dataset = dataset
        self._epoch = sampler.shared_epoch
        self._seed = seed

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        seed_everything("sample", self._seed, int(self._epoch), int(index))
        return self._dataset[index]


class ResumableDataModule(RFDETRDataModule):  # type: ignore[misc]  # rfdetr carries no types
    """RF-DETR's data module with our sampler under the training loader; all else is its own."""

    def __init__(self, model_config: Any, train_config: Any, *, seed: int, first: tuple[int, int] = (0, 0)) -> None:
        super().__init__(model_config, train_config)
        self._seed = seed
        self._first = first  # epoch, batches of it that are already trained

    def setup(self, stage: str) -> None:
        """RF-DETR's own; it says when the run cannot be repeated to the bit."""
        super().setup(stage)
        backend = self._resolved_augmentation_backend
        note = describe_inexact(backend.value if backend else None, self.train_config.aug_config)
        if note and stage == "fit" and self.trainer.global_rank == 0:
            logger.warning(note)

    def train_dataloader(self) -> DataLoader[Any]:
        """RF-DETR's loader with the same data set, padding and collation, in our order."""
        loader = super().train_dataloader()
        dataset = self._align(loader.dataset)
        sampler = ResumableSampler(
            dataset,
            world_size=self.trainer.world_size,
            rank=self.trainer.global_rank,
            seed=self._seed,
            first=(self._first[0], self._first[1] * loader.batch_size),
        )
        return DataLoader(
            SeededDataset(dataset, sampler, self._seed),
            batch_size=loader.batch_size,
            sampler=sampler,
            drop_last=True,
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            pin_memory=loader.pin_memory,
            persistent_workers=loader.persistent_workers,
            prefetch_factor=loader.prefetch_factor,
            worker_init_fn=loader.worker_init_fn,
        )

    def _align(self, dataset: Any) -> Any:
        """A short data set is drawn with replacement on one rank; repeated, as on many ranks, it has an order."""
        if isinstance(dataset, GradAccumAlignedDataset):
            return dataset
        size = self._resolve_batch_size() * self._effective_grad_accum_steps()
        return GradAccumAlignedDataset(dataset, size, 1, minimum_length=size * _MIN_TRAIN_BATCHES)
