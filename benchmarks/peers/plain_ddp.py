"""RF-DETR's network and losses in a loop that a careful person would write: `torchrun ... plain_ddp.py DATA OUT RESOLUTION BATCH`.

Forward, backward under DistributedDataParallel, clipping, AdamW over RF-DETR's groups of parameters and RF-DETR's EMA, and
nothing else: no trainer, no callback, no metric, no checkpoint. It writes down when each step begins, and runs until it is killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rfdetr._namespace import _namespace_from_configs
from rfdetr.config import RFDETRNanoConfig, TrainConfig
from rfdetr.training import RFDETRDataModule, RFDETRModelModule
from rfdetr.training.callbacks.ema import RFDETREMACallback
from rfdetr.training.param_groups import get_param_dict
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, DistributedSampler

from benchmarks import workload
from benchmarks.peers.stock_training import build_training
from trainer_marks import ENV_MARKS, build_mark, write_mark


def build_loader(data: Any) -> DataLoader[Any]:  # noqa: ANN401 - rfdetr carries no types
    data.setup("fit")
    sampler: DistributedSampler[Any] = DistributedSampler(data._dataset_train, seed=workload.SEED)
    return DataLoader(
        data._dataset_train,
        batch_size=data.train_config.batch_size,
        sampler=sampler,
        drop_last=True,
        collate_fn=data._collate_fn_train,
    )


def step(network: Any, criterion: Any, optimizer: torch.optim.Optimizer, batch: Any) -> None:  # noqa: ANN401 - rfdetr carries no types
    """One optimizer step."""
    samples, targets = batch
    losses = criterion(network(samples, targets), targets)
    weights = criterion.weight_dict
    torch.stack([losses[key] * weights[key] for key in losses if key in weights]).sum().backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), workload.TRAINING["clip_max_norm"])
    optimizer.step()
    optimizer.zero_grad()


def main(data: Path, out: Path, resolution: int, batch: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    model = RFDETRNanoConfig(pretrain_weights=None, num_classes=workload.CLASSES, resolution=resolution, device="cpu")
    training = TrainConfig(**{**build_training(data, out), "batch_size": batch})
    module, data_module = RFDETRModelModule(model, training), RFDETRDataModule(model, training)
    loader = build_loader(data_module)
    network = DistributedDataParallel(
        module.model.train(), find_unused_parameters=True, static_graph=True, gradient_as_bucket_view=True
    )
    groups = get_param_dict(_namespace_from_configs(model, training), module.model)
    optimizer = torch.optim.AdamW(groups, lr=workload.LEARNING_RATE, weight_decay=1e-4)
    averaging = RFDETREMACallback(decay=workload.TRAINING["ema_decay"], tau=workload.TRAINING["ema_tau"])
    average = AveragedModel(module.model, multi_avg_fn=averaging._multi_avg_fn, use_buffers=True)
    device, marks, done = torch.device("cpu"), Path(os.environ[ENV_MARKS]), 0
    while True:
        for samples in loader:
            write_mark(marks, build_mark("begin", done))
            step(network, module.criterion, optimizer, data_module.transfer_batch_to_device(samples, device, 0))
            average.update_parameters(module.model)
            done += 1
            write_mark(marks, build_mark("done", done))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
