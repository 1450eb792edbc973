"""The best weights: a file of each generation's own, and the names that RF-DETR's users know as second names of it.

A best belongs to a state: whoever goes on from a state has the best of that state, and no later one.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from pydantic import ValidationError

from rfdetr_contract import names
from rfdetr_contract._base import Frozen
from rfdetr_contract.report import Weights
from rfdetr_trainer.durable import Volume, publish, write_durable, write_file
from rfdetr_trainer.generations import Claim, build_lineage, has_newer
from rfdetr_trainer.manifest import Manifest, RunFolder
from rfdetr_trainer.resume import Resume

Limits = Mapping[int, float]  # up to which step a generation's work is ours
DESCRIPTION = (
    "args",
    "model_name",
    "model_config",
    "rfdetr_version",
)  # what RFDETR.from_checkpoint rebuilds a model by


class BestManifest(Frozen):
    """What is known of one file of weights; ``epoch`` is counted from 1, ``score`` is the value of ``metric``."""

    version: int = 1
    file: str
    weights: Weights
    generation: int
    step: int
    epoch: int
    metric: str
    score: float
    map50_95: float | None = None
    map50: float | None = None
    sha256: str
    size: int
    time: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that have become the best of their kind; ``is_total``: and of both kinds."""

    weights: Weights
    is_total: bool
    step: int
    epoch: int
    metric: str
    score: float
    map50_95: float | None
    map50: float | None
    head: Mapping[str, Any]  # what RF-DETR's own file says beside the weights


def build_payload(tree: Mapping[str, Any], candidate: Candidate) -> dict[str, Any]:
    """RF-DETR's file of best weights, out of a full state."""
    model = pick_weights(tree, candidate.weights)
    described = {key: tree[key] for key in DESCRIPTION if key in tree}
    return {
        "model": model,
        **described,
        **candidate.head,
        "state_dict": {f"model.{key}": value for key, value in model.items()},
        "callbacks": tree.get("callbacks", {}),
        "best_total_source": candidate.weights,
    }


def pick_weights(tree: Mapping[str, Any], weights: Weights) -> dict[str, torch.Tensor]:
    """The model's tensors by RF-DETR's names: the trained ones, or their moving average."""
    if weights == "regular":
        return strip_prefix(tree["state_dict"], "model.")
    for state in tree["callbacks"].values():
        if isinstance(state, dict) and "average_model_state_dict" in state:
            return strip_prefix(state["average_model_state_dict"], "module.model.")
    return strip_prefix(tree["state_dict"], "model.")


def strip_prefix(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What is below a prefix; a compiled model has its own below one more."""
    return {
        key.removeprefix(prefix).removeprefix("_orig_mod."): value
        for key, value in state.items()
        if key.startswith(prefix)
    }


def build_limits(claims: Mapping[int, Claim], generation: int, resume: Resume | None) -> dict[int, float]:
    """Our own generation's work, and each ancestor's up to where its child went on from it."""
    limits: dict[int, float] = {generation: math.inf}
    if generation not in claims and resume is not None:
        return limits | dict.fromkeys(range(generation), float(resume.step))
    limit = math.inf
    for claim in build_lineage({number: claim for number, claim in claims.items() if number <= generation}):
        limits[claim.generation] = limit
        if claim.resume is None:
            break
        limit = min(limit, claim.resume.step)
    return limits


def choose_best(found: Iterable[BestManifest], limits: Limits, weights: Weights, epoch: float) -> BestManifest | None:
    """The newest of our line that a state of so many finished epochs knows of: a newer best is a better one."""
    ours = [
        one
        for one in found
        if one.weights == weights and one.epoch <= epoch and one.step <= limits.get(one.generation, -1)
    ]
    return max(ours, key=lambda one: (one.step, one.generation), default=None)


def choose_surplus(
    found: Iterable[BestManifest], limits: Limits, generation: int, sets: Iterable[Manifest]
) -> tuple[BestManifest, ...]:
    """All but each kept state's best and the newest."""
    everything = tuple(found)
    epochs = {math.inf, *(float(one.epoch) for one in sets)}
    kept = [choose_best(everything, limits, weights, epoch) for weights in ("regular", "ema") for epoch in epochs]
    return tuple(one for one in everything if one not in kept and one.generation <= generation)


class Bests:
    """The best weights of one run folder, as one generation writes, publishes and prunes them."""

    def __init__(
        self,
        folder: RunFolder,
        generation: int,
        limits: Limits,
        volume: Volume,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._generation = generation
        self._limits = limits
        self._volume = volume
        self._clock = clock

    def is_overtaken(self) -> bool:
        """A newer generation is claimed: the names are its own, and what looks like surplus may be its best."""
        return has_newer(self._folder.generations, self._generation)

    def read(self) -> tuple[BestManifest, ...]:
        """Every best whose data is there."""
        return tuple(one for path in sorted(self._folder.best.glob("g*.json")) if (one := read_best(path)))

    def choose(self, weights: Weights, epoch: float = math.inf) -> BestManifest | None:
        """The best that a state of so many finished epochs knows of."""
        return choose_best(self.read(), self._limits, weights, epoch)

    def write(self, tree: Mapping[str, Any], candidate: Candidate) -> BestManifest:
        """Make weights durable under a name of this generation's."""
        stem = names.checkpoint_stem(self._generation, candidate.step)
        target = self._folder.best / f"{stem}-{candidate.weights}.pth"
        payload = build_payload(tree, candidate)
        written = write_file(self._volume, target, lambda sink: torch.save(payload, cast("IO[bytes]", sink)))
        manifest = BestManifest(
            file=target.name,
            weights=candidate.weights,
            generation=self._generation,
            step=candidate.step,
            epoch=candidate.epoch,
            metric=candidate.metric,
            score=candidate.score,
            map50_95=candidate.map50_95,
            map50=candidate.map50,
            sha256=written.sha256,
            size=written.size,
            time=self._clock(),
        )
        write_durable(target.with_suffix(".json"), dump(manifest), self._volume)
        return manifest

    def publish(self, manifest: BestManifest, *, is_total: bool) -> None:
        """Give weights the names that users know."""
        if self.is_overtaken():
            return
        wanted = [f"checkpoint_best_{manifest.weights}.pth"] + [names.BEST_CHECKPOINT] * is_total
        for name in wanted:
            target = self._folder.rfdetr / name
            if read_best(target.with_suffix(".json")) == manifest:
                continue
            publish(self._folder.best / manifest.file, target, self._volume)
            write_durable(target.with_suffix(".json"), dump(manifest), self._volume)

    def withdraw(self, weights: Weights | None) -> None:
        """Take a name away that holds what this line does not know of; None: the one of both kinds."""
        name = f"checkpoint_best_{weights}.pth" if weights else names.BEST_CHECKPOINT
        target = self._folder.rfdetr / name
        if target.exists() and not self.is_overtaken():
            self._volume.unlink(target)
            self._volume.unlink(target.with_suffix(".json"))

    def prune(self, sets: Iterable[Manifest]) -> None:
        """Remove what no kept state knows as its best. What cannot be removed now is surplus next time as well."""
        with contextlib.suppress(OSError):
            found = () if self.is_overtaken() else self.read()
            for manifest in choose_surplus(found, self._limits, self._generation, sets):
                file = self._folder.best / manifest.file
                self._volume.unlink(file.with_suffix(".json"))
                self._volume.unlink(file)


def read_best(path: Path) -> BestManifest | None:
    """The sidecar of a file of weights; None when either is not there, or not whole by its size."""
    try:
        manifest = BestManifest.model_validate_json(path.read_bytes())
        return manifest if path.with_suffix(".pth").stat().st_size == manifest.size else None
    except (OSError, ValidationError):
        return None


def dump(manifest: BestManifest) -> bytes:
    """A sidecar's content."""
    return manifest.model_dump_json(indent=1, exclude_none=True).encode()
