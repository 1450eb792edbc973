"""The time to the first batch of a training that resumes inside an epoch, against one that begins it."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from benchmarks import workload
from benchmarks.result import Benchmark, Measured, Say

SAMPLES: Final = 100_000
IMAGES: Final = 64
WORKERS: Final = 2
SHARES: Final = (0.01, 0.5, 0.99)
GOAL: Final = 1 / 1.1


class Repeated:
    """A few images as a large data set."""

    def __init__(self, dataset: Any) -> None:  # noqa: ANN401 - rfdetr carries no types
        self._dataset = dataset

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - rfdetr carries no types
        return self._dataset[index % IMAGES]


def build_configs(data: Path) -> tuple[Any, Any]:
    configs = import_module("rfdetr.config")
    model = configs.RFDETRNanoConfig(
        pretrain_weights=None,
        num_classes=workload.CLASSES,
        resolution=workload.RESOLUTION,
        device="cpu",
        **workload.MODEL,
    )
    training = configs.TrainConfig(
        dataset_dir=str(data),
        output_dir=str(data),
        batch_size=workload.PER_DEVICE,
        grad_accum_steps=1,
        num_workers=WORKERS,
        **workload.TRAINING,
    )
    return model, training


def build_module(configs: tuple[Any, Any], first: int) -> Any:  # noqa: ANN401 - rfdetr carries no types
    """Our data module at a batch of the first epoch. Only who measures imports what trains."""
    return import_module("rfdetr_trainer.sampler").ResumableDataModule(*configs, seed=workload.SEED, first=(0, first))


def time_first_batch(configs: tuple[Any, Any], dataset: Any, first: int) -> float:  # noqa: ANN401 - rfdetr carries no types
    """Seconds from nothing to a batch, the loader's processes included."""
    module = build_module(configs, first)
    module.trainer = SimpleNamespace(world_size=1, global_rank=0, accumulate_grad_batches=1)
    module._dataset_train = dataset
    began = time.perf_counter()
    batches = iter(module.train_dataloader())
    next(batches)
    return time.perf_counter() - began


def measure(short: bool, say: Say) -> list[Measured]:
    workload.check_machine()
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        data = Path(name) / "digits"
        workload.create_dataset(data, IMAGES)
        configs = build_configs(data)
        module = build_module(configs, 0)
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            module.setup("fit")
        dataset = Repeated(module._dataset_train)
        batches = SAMPLES // workload.PER_DEVICE
        places = {0.0: 0, **{share: int(batches * share) for share in SHARES}}
        seconds: dict[float, list[float]] = {share: [] for share in places}
        for _ in range(25 if short else 100):
            for share, first in places.items():
                seconds[share].append(time_first_batch(configs, dataset, first))
        say(f"{len(seconds[0.0])} starts at each place")
    return [
        Measured(
            ours=tuple(seconds[share]),
            peer=tuple(seconds[0.0]),
            unit="s",
            goal=GOAL,
            against="an epoch's beginning",
            label=f"{share:.0%}",
            notes=(f"{SAMPLES} samples, {WORKERS} loader processes",),
        )
        for share in SHARES
    ]


BENCHMARK = Benchmark(
    "data_position", "time to the first batch when a run resumes at 1, 50 and 99 % of an epoch, against 0 %", measure
)
