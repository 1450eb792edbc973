"""Between RF-DETR's choice of the best and the folder: what was offered goes with the next state, or is lost with it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch

from rfdetr_contract.report import Weights
from rfdetr_trainer.best import BestManifest, Bests, Candidate, build_payload
from rfdetr_trainer.durable import STORAGE_FAULTS, Volume, write_file
from rfdetr_trainer.manifest import Manifest

logger = logging.getLogger(__name__)

KINDS: tuple[Weights, ...] = ("regular", "ema")
Scores = dict[Weights, float | None]
Attempt = Callable[[Callable[[], BestManifest]], BestManifest]


class BestKeeper:
    """One round's best weights. ``epochs``: finished epochs of the state that the round goes on from."""

    def __init__(self, bests: Bests, volume: Volume, epochs: int) -> None:
        self._bests = bests
        self._volume = volume
        self._epochs = epochs
        self._offered: tuple[Candidate, ...] = ()
        self._lost: set[Weights] = set()
        self._scores: Scores = dict.fromkeys(KINDS)

    def settle(self) -> Scores:
        """The names say what the state that we go on from knows as its best; the scores of that."""
        for kind in KINDS:
            chosen = self._bests.choose(kind, self._epochs)
            self._scores[kind] = chosen.score if chosen else None
            with log_refusal(f"checkpoint_best_{kind}.pth"):
                self._bests.publish(chosen, is_total=False) if chosen else self._bests.withdraw(kind)
        return dict(self._scores)

    def settle_total(self, kind: Weights) -> None:
        """The same for the best of both kinds."""
        chosen = self._bests.choose(kind, self._epochs)
        with log_refusal("checkpoint_best_total.pth"):
            self._bests.publish(chosen, is_total=True) if chosen else self._bests.withdraw(None)

    def read_scores(self) -> Scores:
        """The scores of what is durable."""
        return dict(self._scores)

    def offer(self, candidates: Iterable[Candidate]) -> None:
        """These are in the state that is saved next."""
        self._offered = tuple(candidates)

    def take_offered(self) -> tuple[Candidate, ...]:
        """What goes with this state."""
        offered, self._offered = self._offered, ()
        return offered

    def take_lost(self) -> frozenset[Weights]:
        """What could not be kept since this was asked last."""
        lost, self._lost = frozenset(self._lost), set()
        return lost

    def keep(self, tree: Mapping[str, Any], candidates: Iterable[Candidate], attempt: Attempt) -> None:
        """Write and publish; a volume that refuses costs the best, not the run."""
        for candidate in candidates:
            try:
                self.write(tree, candidate, attempt)
            except OSError as error:
                if error.errno not in STORAGE_FAULTS:
                    raise
                self._lost.add(candidate.weights)
                logger.error("best weights not saved, training goes on: %s", error.strerror)  # noqa: TRY400

    def write(self, tree: Mapping[str, Any], candidate: Candidate, attempt: Attempt = lambda write: write()) -> None:
        """The same, of a state that is there."""
        manifest = attempt(lambda: self._bests.write(tree, candidate))
        self._bests.publish(manifest, is_total=candidate.is_total)
        self._scores[candidate.weights] = candidate.score

    def write_weights(self, tree: Mapping[str, Any], candidate: Candidate, target: Path) -> None:
        """RF-DETR's file of weights under a plain name. A newer generation's is left alone."""
        if self._bests.is_overtaken():
            return
        payload = build_payload(tree, candidate)
        write_file(self._volume, target, lambda sink: torch.save(payload, cast("IO[bytes]", sink)))

    def prune(self, sets: Iterable[Manifest]) -> None:
        """Only what some kept state knows as its best stays."""
        self._bests.prune(sets)


@contextlib.contextmanager
def log_refusal(name: str) -> Any:
    """A name that cannot be given now is given in the next round."""
    try:
        yield
    except OSError as error:
        logger.warning("%s is not what it should be: %s", name, error.strerror)
