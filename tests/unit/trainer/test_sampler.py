"""The order of samples is a function of seed, epoch and rank, and can begin anywhere."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler, TensorDataset

from rfdetr_trainer.sampler import ResumableSampler, SeededDataset, describe_inexact, seed_everything


def make_dataset(size: int) -> TensorDataset:
    """Samples that are their own index."""
    return TensorDataset(torch.arange(size))


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_order_is_that_of_distributed_sampler(size: int, world: int, epoch: int, seed: int) -> None:
    """Permutation and padding are torch's own."""
    for rank in range(world):
        ours = ResumableSampler(make_dataset(size), world_size=world, rank=rank, seed=seed)
        theirs: DistributedSampler[object] = DistributedSampler(
            make_dataset(size), num_replicas=world, rank=rank, seed=seed
        )
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)

        assert list(theirs) == list(ours)


@given(st.integers(1, 60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_resumed_epoch_sees_exactly_the_rest(size: int, seen: int) -> None:
    """Nothing twice, nothing left out; the next epoch is whole; the length stays that of a whole epoch."""
    whole = ResumableSampler(make_dataset(size), world_size=1, rank=0, seed=1, first=(3, 0))
    rest = ResumableSampler(make_dataset(size), world_size=1, rank=0, seed=1, first=(3, seen))

    assert list(whole)[seen:] == list(rest)
    assert list(whole)[seen:] == list(rest)  # a loader may ask twice
    whole.set_epoch(4)
    rest.set_epoch(4)
    assert (list(whole), len(whole)) == (list(rest), len(rest))


class Noisy:
    """A sample that is augmented by every generator there is."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_augmentation_depends_on_seed_epoch_and_index_alone() -> None:
    """What was drawn before does not matter; another epoch is another draw."""
    sampler = ResumableSampler(make_dataset(4), world_size=1, rank=0, seed=1)
    dataset = SeededDataset(Noisy(), sampler, 1)
    first = dataset[2]
    dataset[0]
    again = dataset[2]
    sampler.set_epoch(1)
    later = dataset[2]

    assert (True, False) == (first == again, first == later)


@pytest.mark.parametrize("parts", [(1, 2), (1, 2, "x")])
def test_equal_parts_are_equal_draws(parts: tuple[int | str, ...]) -> None:
    """In every process and after every restart."""
    seed_everything(*parts)
    first = torch.rand(3)
    seed_everything(*parts)

    assert torch.equal(first, torch.rand(3))


def test_an_augmentation_with_generators_of_its_own_is_told_of() -> None:
    """Torchvision draws from the seeded ones, and what augments nothing draws nothing."""
    told = [
        describe_inexact(backend, augmentations)
        for backend, augmentations in (
            ("torchvision", None),
            ("albumentations", {}),
            (None, None),
            ("albumentations", None),
            ("kornia", {"flip": 1}),
        )
    ]

    assert [False, False, False, True, True] == [bool(note) for note in told]
