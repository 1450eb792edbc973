"""Which checkpoints a job may go on from: a refusal names what the checkpoint holds and what the job wants."""

from __future__ import annotations

from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.fingerprint import DatasetFacts
from rfdetr_trainer.manifest import Manifest

CURE = "make a new job, with model.pretrainWeights if its weights should be the start"


def refuse_misfit(manifest: Manifest, run: RunConfig, model: str, facts: DatasetFacts | None) -> None:
    """Refuse another model, other classes, and another data set unless ``resume.allowDatasetChange``.

    Other world sizes and batch plans fit: the order of the samples is made anew for them, an optimizer step stays one,
    and the learning rate belongs to the effective batch, which stays.

    Raises:
        ConfigError: the checkpoint does not fit.

    """
    name = f"checkpoint {manifest.file}"
    if manifest.model != model and not manifest.model.startswith(f"{model} "):
        raise ConfigError(f"{name} is of model '{manifest.model}', this job's is '{model}'; {CURE}")
    if manifest.effective_batch != run.batch.effective and manifest.batch_in_epoch:
        raise ConfigError(
            f"{name} stands inside an epoch of effective batch {manifest.effective_batch}, this job's is "
            f"{run.batch.effective}; set training.effectiveBatchSize: {manifest.effective_batch}, or name a checkpoint "
            "of an epoch's end"
        )
    if facts is not None:
        _refuse_data(manifest, name, facts, allow_change=run.resume.allow_dataset_change)


def _refuse_data(manifest: Manifest, name: str, facts: DatasetFacts, *, allow_change: bool) -> None:
    if manifest.classes and manifest.classes != facts.classes:
        raise ConfigError(f"{name}: {describe_classes(manifest.classes, facts.classes)}; {CURE}")
    if manifest.dataset and manifest.dataset != facts.fingerprint and not allow_change:
        raise ConfigError(
            f"{name} was trained on data set {manifest.dataset}, the one on the claim is {facts.fingerprint}; "
            "bring the old one back, or make a new job with resume.from this run and resume.allowDatasetChange: true"
        )


def describe_classes(were: tuple[str, ...], are: tuple[str, ...]) -> str:
    """The first difference between two lists of classes."""
    if len(were) != len(are):
        return f"it has {len(were)} classes ({shorten(were)}), the data set has {len(are)} ({shorten(are)})"
    number = next(number for number, (old, new) in enumerate(zip(were, are, strict=True)) if old != new)
    return f"class {number} is '{were[number]}' there and '{are[number]}' in the data set"


def shorten(names: tuple[str, ...], limit: int = 8) -> str:
    """Names for a sentence."""
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def describe_change(manifest: Manifest, run: RunConfig, facts: DatasetFacts | None) -> tuple[str, ...]:
    """What a reader of the log should know of a checkpoint that fits, but was made under another plan."""
    notes = []
    if manifest.effective_batch != run.batch.effective:
        notes.append(
            f"effective batch {manifest.effective_batch} before, {run.batch.effective} now: steps done stay counted, "
            "the learning rate stays the checkpoint's"
        )
    elif (manifest.world_size, manifest.accumulation) != (run.topology.world_size, run.batch.accumulation):
        notes.append(
            f"{manifest.world_size} ranks x {manifest.accumulation} accumulated batches before, "
            f"{run.topology.world_size} x {run.batch.accumulation} now: steps, order of samples and learning rate stay"
        )
    if facts is not None and manifest.dataset and manifest.dataset != facts.fingerprint:
        notes.append(
            f"data set {manifest.dataset} before, {facts.fingerprint} now, as resume.allowDatasetChange allows"
        )
    return tuple(notes)
