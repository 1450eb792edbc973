"""RF-DETR's own last.ckpt is described without a line of its code, and without one of ours that the file could choose."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from integration.launcher_pods import build_run
from rfdetr_contract.report import FailureReason
from rfdetr_contract.run import ResumeRun
from rfdetr_trainer.errors import ConfigError, RunError
from rfdetr_trainer.foreign import read_foreign
from rfdetr_trainer.generations import Claim, ClaimedResume, write_claim
from rfdetr_trainer.manifest import RunFolder
from rfdetr_trainer.resume import Digests, choose_resume

RUN = build_run().model_copy(update={"resume": ResumeRun(source="old/last.ckpt")})


def write_stock(path: Path, **other: Any) -> Path:
    """As much of RF-DETR's checkpoint as is read, in torch's archive."""
    counts = {"ready": 3, "started": 3, "processed": 3, "completed": 2}
    content = {
        "epoch": 2,
        "global_step": 30,
        "state_dict": {"w": 1},
        "optimizer_states": [{}],
        "lr_schedulers": [{}],
        "loops": {"fit_loop": {"epoch_progress": {"current": counts, "total": counts}}},
        "args": {"batch_size": 2, "grad_accum_steps": 4, "devices": 2, "num_nodes": 1, "class_names": ["cat", "dog"]},
        "model_name": "RFDETRNano",
        "model_config": {"resolution": 64, "num_classes": 2},
        "rfdetr_version": "1.11.2",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content | other))
    return path


class Bomb:
    """Leaves a file behind when a careless machine unpickles it."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self._target),))


def test_the_description_is_what_our_manifest_would_say(tmp_path: Path) -> None:
    """Epoch, step, plan, model and classes."""
    found = read_foreign(write_stock(tmp_path / "last.ckpt"), "digest")

    assert (30, 3, 0, 4, 16, "nano detection 64px 2 classes", ("cat", "dog"), "digest") == (
        found.step,
        found.epoch,
        found.batch_in_epoch,
        found.accumulation,
        found.effective_batch,
        found.model,
        found.classes,
        found.sha256,
    )


def test_nothing_that_the_file_names_is_called(tmp_path: Path) -> None:
    """The bomb lies there as an empty thing."""
    path = write_stock(tmp_path / "last.ckpt", callbacks={"evil": Bomb(tmp_path / "gone off")})

    assert (30, False) == (read_foreign(path, "digest").step, (tmp_path / "gone off").exists())


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"optimizer_states": []}, "'last.ckpt' has no optimizer_states; weights alone are a start by model.pretrainWeights"),
        ({"loops": {"fit_loop": {"epoch_progress": {"current": {"started": 2, "processed": 1}}}}}, "stands inside an epoch"),
        ({"args": None}, "'last.ckpt' is no checkpoint of RF-DETR"),
    ],
)  # fmt: skip
def test_what_cannot_be_gone_on_from_is_refused(tmp_path: Path, other: dict[str, Any], sentence: str) -> None:
    """Weights without an optimizer, a place that only its writer knew, and what is something else."""
    with pytest.raises(ConfigError) as caught:
        read_foreign(write_stock(tmp_path / "last.ckpt", **other), "digest")

    assert sentence in caught.value.message


def test_the_digest_of_its_first_sight_holds(tmp_path: Path) -> None:
    """It is recorded in the claim of the round that began from it; a file changed since is refused."""
    path = write_stock(tmp_path / "old" / "last.ckpt")
    found = choose_resume(tmp_path, RUN, None, Digests()).found
    assert found is not None
    begun = ClaimedResume(file="old/last.ckpt", step=30, sha256=found.manifest.sha256)
    claim = Claim(generation=1, parent=None, resume=begun, pod_uid="a", attempt=1, world_size=2, time=1)
    write_claim(RunFolder.of(tmp_path, RUN).generations, claim)
    again = choose_resume(tmp_path, RUN, None, Digests()).found

    write_stock(path, global_step=31)
    with pytest.raises(RunError) as caught:
        choose_resume(tmp_path, RUN, None, Digests())

    assert (found, FailureReason.CHECKPOINT_CORRUPT) == (again, caught.value.reason)
