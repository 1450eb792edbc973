"""The one training that ours and the peer run: model, data, batch and checkpoint interval are the same for both."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.result import CannotRun, Say
from rfdetr_trainer.launch.spawn import PRELOAD, WORKER

REPOSITORY: Final = Path(__file__).parents[1]
SEED: Final = 42
EPOCHS: Final = 1000
PER_DEVICE: Final = 4
RESOLUTION: Final = 64
CLASSES: Final = 2
LEARNING_RATE: Final = 5e-4
STEPS_BETWEEN_CHECKPOINTS: Final = 10
# An epoch of 200 steps: no validation falls into a recovery.
IMAGES: Final = 1600

# A small RF-DETR that learns on a CPU (fields of rfdetr's ModelConfig).
MODEL: Final[dict[str, Any]] = {
    "patch_size": 8,
    "num_windows": 1,
    "positional_encoding_size": 8,
    "out_feature_indexes": [2, 4],
    "dec_layers": 2,
    "num_queries": 10,
    "num_select": 10,
    "group_detr": 4,
    "hidden_dim": 128,
}
# Fields of rfdetr's TrainConfig that differ from its defaults.
TRAINING: Final[dict[str, Any]] = {
    "lr_vit_layer_decay": 1.0,
    "lr_component_decay": 1.0,
    "multi_scale": False,
    "expanded_scales": False,
    "scale_jitter": False,
    "clip_max_norm": 1.0,
    "ema_decay": 0.9,
    "ema_tau": 10,
    "aug_config": {},
}


def build_path(*more: Path) -> str:
    """PYTHONPATH with the repository's packages, and some folders more."""
    ours = (REPOSITORY / "operator", REPOSITORY / "trainer_image", REPOSITORY / "tests", REPOSITORY)
    return os.pathsep.join(str(path) for path in (*ours, *more))


def build_env(**more: str) -> dict[str, str]:
    """The environment of this machine with the repository's packages, one thread a process and gloo on the loopback."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        "PYTHONPATH": build_path(),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        **more,
    }


def check_machine() -> None:
    if not Path("/proc/self/stat").exists():
        raise CannotRun("processes are found in /proc, which this machine does not have: use Linux")
    if importlib.util.find_spec("rfdetr") is None:
        raise CannotRun("rfdetr is not installed: run `make` in the repository, or install the extra [trainer]")


def is_compiled(package: str) -> bool:
    """Whether the package's bytecode is beside it."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None and Path(importlib.util.cache_from_source(spec.origin)).exists()


def write_bytecode() -> None:
    """Both sides import compiled packages, as in an image: without bytecode an import takes twice as long."""
    if not all(is_compiled(package) for package in ("torch", "pytorch_lightning", "rfdetr")):
        command = [sys.executable, "-c", "import rfdetr.training, torch.distributed.run, pycocotools.cocoeval"]
        subprocess.run(command, env=build_env(), capture_output=True, check=False)


def time_import(say: Say) -> float:
    """Seconds that a fresh process takes to import what a worker needs, while nothing else of the benchmark runs."""
    started = time.monotonic()
    command = [sys.executable, "-c", f"import {PRELOAD}, {WORKER}"]
    subprocess.run(command, env=build_env(), check=True, capture_output=True)
    seconds = time.monotonic() - started
    say(f"import in a fresh process: {seconds:.2f} s")
    return seconds


def create_dataset(folder: Path, images: int = IMAGES) -> None:
    """Handwritten digits of two classes in COCO layout; seconds, no network."""
    command = [sys.executable, "-m", "examples.data.digits", str(folder), "--classes", str(CLASSES)]
    command += ["--train", str(images), "--valid", "8", "--seed", "0"]
    done = subprocess.run(command, cwd=REPOSITORY, env=build_env(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"the data set could not be made: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
