"""A DDP loop with nothing around it, under torchrun (as a script) or under our launcher (as its worker): what a restart
costs when the model costs nothing. Its state is a file that rank 0 replaces every few steps.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rfdetr_contract import names
from trainer_marks import ENV_MARKS, build_mark, write_mark

ENV_STATE = "BARE_STATE"
WIDTH = 64
STEP_SECONDS = 0.02
STEPS_BETWEEN_CHECKPOINTS = 10


def save_state(file: Path, model: torch.nn.Module, step: int) -> None:
    """The state as both sides keep it; our launcher also wants a set with a manifest."""
    temporary = file.with_suffix(".new")
    torch.save({"step": step, "model": model.state_dict()}, temporary)
    temporary.rename(file)
    if names.ENV_GENERATION in os.environ:
        # Imported here: torchrun's side would pay for what only ours uses.
        from integration.launcher_toy import save
        from rfdetr_contract.run import RunConfig
        from rfdetr_trainer.manifest import RunFolder

        run = RunConfig.model_validate_json(Path(os.environ[names.ENV_RUN_CONFIG]).read_bytes())
        folder = RunFolder.of(Path(os.environ[names.ENV_OUTPUT_ROOT]), run)
        save(folder, run, int(os.environ[names.ENV_GENERATION]), step)


def main() -> int:
    torch.set_num_threads(1)
    marks, file = Path(os.environ[ENV_MARKS]), Path(os.environ[ENV_STATE])
    write_mark(marks, build_mark("built", 0))
    dist.init_process_group("gloo")
    bare, step = torch.nn.Linear(WIDTH, WIDTH), 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        bare.load_state_dict(state["model"])
        step = int(state["step"])
    model = DistributedDataParallel(bare)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    write_mark(marks, build_mark("train", step))
    while True:
        write_mark(marks, build_mark("begin", step))
        time.sleep(STEP_SECONDS)
        optimizer.zero_grad()
        model(torch.ones(1, WIDTH)).square().mean().backward()
        optimizer.step()
        step += 1
        write_mark(marks, build_mark("done", step))
        if step % STEPS_BETWEEN_CHECKPOINTS == 0 and dist.get_rank() == 0:
            save_state(file, bare, step)


if __name__ == "__main__":
    sys.exit(main())
