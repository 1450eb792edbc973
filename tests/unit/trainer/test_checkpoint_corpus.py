"""Files that were made to run code when they are read: none does, whatever their manifest says."""

from __future__ import annotations

import builtins
import functools
import hashlib
import io
import os
import pickle
import runpy
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rfdetr_trainer.loading import load_verified
from rfdetr_trainer.resume import Digests, choose_valid, scan
from saved_run import SavedRun, make_checkpoint, save


class Call:
    """A pickle that calls a function when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def touch(trace: Path) -> str:
    """A command that leaves a trace."""
    return f"touch {trace}"


def build_bytes(value: Any, *, zipped: bool = True) -> bytes:
    """A file of torch's, in its present or its former format."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def plant_system(trace: Path) -> bytes:
    return build_bytes({"state_dict": Call(os.system, touch(trace))})


def plant_eval(trace: Path) -> bytes:
    return build_bytes({"state_dict": Call(builtins.eval, f"__import__('os').system('{touch(trace)}')")})


def plant_exec_in_a_key(trace: Path) -> bytes:
    return build_bytes({"loops": OrderedDict([("a", Call(builtins.exec, f"open('{trace}', 'w')"))])})


def plant_former_format(trace: Path) -> bytes:
    return build_bytes({"state_dict": Call(os.system, touch(trace))}, zipped=False)


def plant_bare_pickle(trace: Path) -> bytes:
    return pickle.dumps({"state_dict": Call(os.system, touch(trace))}, protocol=2)


def plant_storage(trace: Path) -> bytes:
    """A storage whose bytes are a file of torch's again, read without a care."""
    inner = build_bytes(Call(os.system, touch(trace)))
    return build_bytes({"weights": Call(torch.storage._load_from_bytes, inner)})


def plant_loader(trace: Path) -> bytes:
    """A call of torch.load with all freedom."""
    inner = trace.with_name("inner")
    inner.write_bytes(build_bytes(Call(os.system, touch(trace))))
    return build_bytes({"weights": Call(functools.partial(torch.load, weights_only=False), str(inner))})


def plant_script(trace: Path) -> bytes:
    """A path to a script that lies beside it."""
    script = trace.with_name("script.py")
    script.write_text(f"open({str(trace)!r}, 'w')")
    return build_bytes({"args": Call(runpy.run_path, str(script))})


PLANTED = [
    plant_system,
    plant_eval,
    plant_exec_in_a_key,
    plant_former_format,
    plant_bare_pickle,
    plant_storage,
    plant_loader,
    plant_script,
]


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_file_with_its_own_digest_does_not_run(tmp_path: Path, plant: Callable[[Path], bytes]) -> None:
    """Who can write to the volume can write manifests too: only tensors and plain types are ever built."""
    run, trace = SavedRun(tmp_path), tmp_path / "trace"
    save(run.begin(1), make_checkpoint(1), run.folder.checkpoints / "step.ckpt")
    found = scan(run.folder.checkpoints)[0]
    content = plant(trace)
    found.path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()

    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        load_verified(found.path, digest)

    assert not trace.exists()


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_file_without_its_digest_is_never_opened_by_pickle(
    tmp_path: Path, plant: Callable[[Path], bytes]
) -> None:
    """The set before it is taken."""
    run, trace = SavedRun(tmp_path), tmp_path / "trace"
    io_, target = run.begin(1), run.folder.checkpoints / "step.ckpt"
    save(io_, make_checkpoint(1), target)
    save(io_, make_checkpoint(2), target)
    newest = scan(run.folder.checkpoints)[0]
    newest.path.write_bytes(plant(trace).ljust(newest.manifest.size, b"\0")[: newest.manifest.size])
    chosen = choose_valid(scan(run.folder.checkpoints), Digests()).found

    assert (1, False) == (chosen and chosen.manifest.step, trace.exists())
