"""What a fork server builds once, so that no restart builds it again: the data set's index, and a model to load into.

A worker that is forked from the process that holds it shares its memory until it writes. It takes only what it would have
built itself: from equal configurations, of a data set with the same fingerprint.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from rfdetr.training import RFDETRDataModule, RFDETRModelModule

# Two fields say whether a run resumes; neither changes what a data set is.
WHETHER_RESUMING = {"pretrain_weights": None, "resume": None}
OWN_GENERATORS = (
    "albumentations"  # its transforms are seeded when they are made: ranks that share them would draw alike
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The module of a run that resumes, and its data sets for training and validation."""

    configs: tuple[Any, Any]
    fingerprint: str
    module: Any
    datasets: tuple[Any, Any]


shelf: list[Prepared] = []  # of this process, and of those that are forked from it


@contextlib.contextmanager
def without_cuda() -> Iterator[None]:
    """Whoever initialises CUDA gets an error: a process that has done so must not fork."""
    initialise = torch.cuda._lazy_init

    def refuse() -> None:
        raise RuntimeError("CUDA must not be initialised before the fork")

    torch.cuda._lazy_init = refuse
    try:
        yield
    finally:
        torch.cuda._lazy_init = initialise


def prepare(model_config: Any, train_config: Any, fingerprint: str) -> None:
    """Build all that workers may take."""
    with without_cuda():
        data = RFDETRDataModule(model_config, train_config)
        data.setup("fit")
        module = RFDETRModelModule(model_config, train_config)
    shelf[:] = [Prepared((model_config, train_config), fingerprint, module, (data._dataset_train, data._dataset_val))]


def build_module(model_config: Any, train_config: Any) -> Any:
    """The module of these configurations: the prepared one, once, or a new one."""
    for number, prepared in enumerate(shelf):
        if prepared.configs == (model_config, train_config) and prepared.module is not None:
            shelf[number] = Prepared(prepared.configs, prepared.fingerprint, None, prepared.datasets)
            return prepared.module
    return RFDETRModelModule(model_config, train_config)


def lend_datasets(datamodule: Any, fingerprint: str) -> None:
    """Give the data module what it would read from the annotations."""
    if OWN_GENERATORS in sys.modules:
        return
    wanted = [config.model_copy(update=_reset(config)) for config in (datamodule.model_config, datamodule.train_config)]
    for prepared in shelf:
        held = [config.model_copy(update=_reset(config)) for config in prepared.configs]
        if held == wanted and prepared.fingerprint == fingerprint:
            datamodule._dataset_train, datamodule._dataset_val = prepared.datasets


def _reset(config: Any) -> dict[str, None]:
    return {name: value for name, value in WHETHER_RESUMING.items() if name in type(config).model_fields}
