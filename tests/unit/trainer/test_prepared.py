"""What a worker takes from the fork server, and when it builds for itself."""

from __future__ import annotations

import types
from collections.abc import Iterator

import pytest
import torch
from pydantic import BaseModel

from rfdetr_trainer import prepared
from rfdetr_trainer.prepared import Prepared


class ModelConfig(BaseModel):
    """As much of rfdetr's as matters here."""

    resolution: int = 64
    pretrain_weights: str | None = None


class TrainConfig(BaseModel):
    """As much of rfdetr's as matters here."""

    dataset_dir: str = "/data/shelves"
    resume: str | None = None


MODULE, DATASETS = object(), ("train", "valid")
CONFIGS = (ModelConfig(), TrainConfig(resume="/output/last.ckpt"))


@pytest.fixture(autouse=True)
def _shelf() -> Iterator[None]:
    prepared.shelf[:] = [Prepared(CONFIGS, "coco-1", MODULE, DATASETS)]
    yield
    prepared.shelf.clear()


def make_data_module(model: ModelConfig, train: TrainConfig) -> types.SimpleNamespace:
    """A data module that has read nothing yet."""
    return types.SimpleNamespace(model_config=model, train_config=train, _dataset_train=None, _dataset_val=None)


def test_a_run_that_resumes_takes_the_module_that_is_there() -> None:
    """Its weights come from the checkpoint."""
    assert MODULE is prepared.build_module(ModelConfig(), TrainConfig(resume="/output/last.ckpt"))


@pytest.mark.parametrize(
    ("model", "train", "fingerprint", "expected"),
    [
        (ModelConfig(), TrainConfig(resume="/output/last.ckpt"), "coco-1", DATASETS),
        (ModelConfig(pretrain_weights="coco"), TrainConfig(), "coco-1", DATASETS),
        (ModelConfig(resolution=128), TrainConfig(), "coco-1", (None, None)),
        (ModelConfig(), TrainConfig(dataset_dir="/data/other"), "coco-1", (None, None)),
        (ModelConfig(), TrainConfig(), "coco-2", (None, None)),
    ],
)
def test_data_sets_are_lent_where_the_worker_would_read_the_same(
    model: ModelConfig, train: TrainConfig, fingerprint: str, expected: tuple[str | None, str | None]
) -> None:
    """Whether the run resumes does not matter to a data set; annotations that have changed do."""
    datamodule = make_data_module(model, train)

    prepared.lend_datasets(datamodule, fingerprint)

    assert expected == (datamodule._dataset_train, datamodule._dataset_val)


def test_cuda_cannot_be_initialised_while_things_are_prepared() -> None:
    """A process that has done so could not fork any more: better to prepare nothing."""
    with pytest.raises(RuntimeError, match="CUDA must not be initialised before the fork"), prepared.without_cuda():
        torch.zeros(1, device="cuda")

    assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
