"""RF-DETR's own full checkpoint (``last.ckpt``), described without running anything of it: no torch, no object of its own.

Its pickle is read by a machine that knows one class, and that class does nothing. Tensors stay in the file.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rfdetr_contract.variants import VARIANTS
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.manifest import Manifest

LARGEST = 64 * 1024 * 1024  # bytes of the pickle; the tensors are beside it
BROKEN = (pickle.UnpicklingError, zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, EOFError)
FULL = ("state_dict", "optimizer_states", "lr_schedulers", "loops")


class Inert(dict[Any, Any]):
    """Stands for whatever the file wants to build."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None:
        """State is dropped."""

    def append(self, _: Any) -> None:
        """Items are dropped."""

    extend = add = append


class Reader(pickle.Unpickler):
    """Builds plain values, and nothing else."""

    def find_class(self, _module: str, _name: str) -> type[Inert]:
        """No name of the file leads to code."""
        return Inert

    def persistent_load(self, _: Any) -> None:
        """A tensor's bytes are not read."""


def read_foreign(path: Path, sha256: str) -> Manifest:
    """What a manifest of ours would say of the file.

    Raises:
        ConfigError: it is no full checkpoint at an epoch's end.

    """
    try:
        content = read_plain(path)
        if missing := [key for key in FULL if not content.get(key)]:
            raise ConfigError(
                f"resume.from: '{path.name}' has no {missing[0]}; weights alone are a start by model.pretrainWeights"
            )
        return build_manifest(path, sha256, content)
    except BROKEN:
        raise ConfigError(f"resume.from: '{path.name}' is no checkpoint of RF-DETR, nor a run folder") from None


def read_plain(path: Path) -> Mapping[str, Any]:
    """The checkpoint's dictionary, with nothing in the place of what is not plain."""
    with zipfile.ZipFile(path) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
        if entry.file_size > LARGEST:
            raise ValueError(entry.file_size)
        with archive.open(entry) as file:
            content = Reader(file).load()
    if not isinstance(content, dict):
        raise TypeError(type(content))
    return content


def build_manifest(path: Path, sha256: str, content: Mapping[str, Any]) -> Manifest:
    """Lightning's counters and RF-DETR's description of its model, as ours."""
    epochs = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    if epochs["processed"] < epochs["started"]:
        raise ConfigError(f"resume.from: '{path.name}' stands inside an epoch; only an epoch's end can be gone on from")
    arguments, facts = content["args"], path.stat()
    accumulation = int(arguments["grad_accum_steps"])
    ranks = 1
    for key in ("devices", "num_nodes"):
        ranks *= arguments[key] if isinstance(arguments.get(key), int) else 1
    return Manifest(
        file=path.name,
        generation=0,
        step=int(content["global_step"]),
        epoch=int(epochs["processed"]),
        batch_in_epoch=0,
        accumulation=accumulation,
        world_size=ranks,
        effective_batch=int(arguments["batch_size"]) * accumulation * ranks,
        sha256=sha256,
        size=facts.st_size,
        time=facts.st_mtime,
        seconds=0.0,
        config_hash="",
        model=describe_model(content["model_name"], content["model_config"]),
        classes=tuple(str(name) for name in arguments.get("class_names") or ()),
        rfdetr=str(content.get("rfdetr_version", "")),
        torch="",
    )


def describe_model(name: str, config: Mapping[str, Any]) -> str:
    """The model's line, in our names of the variants."""
    found = {key: variant for key, variant in VARIANTS.items() if variant.config == f"{name}Config"}
    key, task = next(((key, variant.task) for key, variant in found.items()), (name, "unknown"))
    return f"{key} {task} {config['resolution']}px {config['num_classes']} classes"
