"""One training, top to bottom: configs, data, module, trainer, our callbacks, fit, judgement, result."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import rfdetr.config
from pytorch_lightning.strategies import DDPStrategy
from rfdetr.training import build_trainer
from rfdetr.training.callbacks.ema import RFDETREMACallback

from rfdetr_contract import names
from rfdetr_contract.report import Judgement, Outcome, RunReport
from rfdetr_contract.run import LimitsRun, RunConfig
from rfdetr_contract.variants import VARIANTS
from rfdetr_trainer import config, dataset, prepared
from rfdetr_trainer.average import lend_average
from rfdetr_trainer.best import read_best
from rfdetr_trainer.callbacks.agreement import Agreement
from rfdetr_trainer.callbacks.best_weights import replace_best
from rfdetr_trainer.callbacks.boundary import Boundary, StopFlag
from rfdetr_trainer.callbacks.finish import Breathe, Finish
from rfdetr_trainer.callbacks.guards import ConfigBeatsCheckpoint, LossGuard, WorldGuard, find_early_stopping
from rfdetr_trainer.callbacks.meter import Meter
from rfdetr_trainer.callbacks.own_best import OwnBest
from rfdetr_trainer.callbacks.progress import ProgressReporter
from rfdetr_trainer.callbacks.resumed import Resumed
from rfdetr_trainer.callbacks.seeds import StepSeeds
from rfdetr_trainer.durable import VOLUME, Volume, write_durable
from rfdetr_trainer.fingerprint import DatasetFacts, read_facts
from rfdetr_trainer.generations import build_overtaken, has_newer
from rfdetr_trainer.judge import judge
from rfdetr_trainer.loading import load_verified, rescale_batches
from rfdetr_trainer.manifest import RunFolder
from rfdetr_trainer.messages import Line
from rfdetr_trainer.outcome import End
from rfdetr_trainer.rendezvous import wait_for_store
from rfdetr_trainer.resume import Resume
from rfdetr_trainer.sampler import ResumableDataModule, seed_everything
from rfdetr_trainer.saving import Saving, build_saving
from rfdetr_trainer.table import make_sturdy


@dataclass(frozen=True, slots=True)
class Round:
    """What one worker is told of its round, beside the RunConfig."""

    data_root: Path
    output_root: Path
    generation: int
    resume: Resume | None
    line: Line
    flag: StopFlag
    pod_uid: str = ""
    volume: Volume = VOLUME  # of the checkpoints


def fit(run: RunConfig, this: Round) -> End:
    """Train to the end; how it ended.

    Raises:
        Preempted: all ranks left after a save.
        RunError: the run cannot go on, with its reason.

    """
    meter = Meter(this.line, run.batch.per_device * run.batch.ranks)
    meter.enter("init")
    seed_everything("run", run.training.seed)
    folder = RunFolder.of(this.output_root, run)
    data = this.data_root / run.dataset.path
    layout = dataset.detect_layout(data, run.dataset.format)
    facts = read_facts(data, layout, this.resume.dataset if this.resume else "")
    configs = build_configs(run, (this.data_root, this.output_root), facts, this.resume)
    reporter = ProgressReporter(this.line, run.model.task, run.training.epochs, run.batch.effective)
    saving = build_saving(run, this, facts, reporter, meter)
    datamodule, module, trainer = build_training(run, this, configs, facts, saving)
    world, loss = WorldGuard(run, this.line), LossGuard()
    ends: list[End] = []

    def conclude(trainer: Any, module: Any, breathe: Breathe) -> None:
        saving.storage.require()  # no marker of success beside a state that is not there
        judgement = judge_best(run, this, folder, (module, datamodule, breathe), reporter)
        ends.append(write_result(this, folder, build_result(run, this, trainer, world, reporter, judgement)))

    target = str(folder.checkpoints / "step.ckpt")
    agreement = Agreement(choose_patience(run.limits))
    trainer.callbacks += [
        StepSeeds(run.training.seed),
        Resumed(),
        *([] if is_own(this.resume, folder) else [OwnBest(reporter)]),
        loss,
        world,
        ConfigBeatsCheckpoint(run),
        reporter,
        meter,
        Boundary(this.flag, saving, target, agreement, broken=loss.read),
        Finish(this.flag, agreement, conclude),
    ]
    wait_for_store(os.environ, run.limits.process_group_seconds)
    trainer.fit(module, datamodule, ckpt_path=this.resume.file if this.resume else None)
    meter.enter("end")
    saving.storage.drain()  # what Lightning has logged at the very end
    return ends[0] if ends else choose_end(trainer)


def build_training(
    run: RunConfig, this: Round, configs: tuple[Any, Any], facts: DatasetFacts, saving: Saving
) -> tuple[Any, Any, Any]:
    """RF-DETR's data module, module and trainer, with what the fork server has ready, and our door to the disk."""
    model_config, train_config = configs
    first = (this.resume.epoch, rescale_batches(this.resume, run.batch.accumulation)) if this.resume else (0, 0)
    datamodule = ResumableDataModule(model_config, train_config, seed=run.training.seed, first=first)
    prepared.lend_datasets(datamodule, facts.fingerprint)
    module = prepared.build_module(model_config, train_config)
    trainer = build_trainer(
        # With a value here every rank would rewrite metrics.csv in place, all at the same time; the weights come by ckpt_path.
        train_config.model_copy(update={"resume": None}),
        model_config,
        strategy=build_strategy(run, resuming=this.resume is not None),
        plugins=[saving.storage],
        profiler=saving.meter.stopwatch,
    )
    for ema in (each for each in trainer.callbacks if isinstance(each, RFDETREMACallback)):
        lend_average(module, ema)
    replace_best(trainer, saving.storage)
    make_sturdy(trainer, saving.storage, keep=this.resume is not None)
    return datamodule, module, trainer


def is_own(resume: Resume | None, folder: RunFolder) -> bool:
    """Nothing to resume from, or what this very run has saved."""
    return resume is None or Path(resume.file).parent == folder.checkpoints


def build_configs(
    run: RunConfig, roots: tuple[Path, Path], facts: DatasetFacts, resume: Resume | None
) -> tuple[Any, Any]:
    """Rfdetr's own configs of the model and of the training. ``roots``: of the data and of the output."""
    data_root, output_root = roots
    folder = RunFolder.of(output_root, run)
    model_class = getattr(rfdetr.config, VARIANTS[run.model.variant].config)
    segments = run.model.task == "segmentation"
    train_class = rfdetr.config.SegmentationTrainConfig if segments else rfdetr.config.TrainConfig
    config.check_overrides("model", run.model.overrides, config.OURS_OF_MODEL, model_class.model_fields)
    config.check_overrides("training", run.training.overrides, config.OURS_OF_TRAINING, train_class.model_fields)
    resuming = resume is not None
    weights = None if resuming else config.choose_weights(run, (output_root, data_root))
    model = config.build_model_arguments(run, num_classes=len(facts.classes), weights=weights, resuming=resuming)
    folder.rfdetr.mkdir(parents=True, exist_ok=True)
    training = config.build_train_arguments(
        run, data=data_root / run.dataset.path, output=folder.rfdetr, resuming=resuming
    )
    if resume is not None:  # Lightning refuses fewer epochs than are done
        training["epochs"] = max(training["epochs"], resume.epoch)
    return model_class(**model), train_class(**training)


def build_strategy(run: RunConfig, *, resuming: bool) -> DDPStrategy:
    """RF-DETR's own choice for DDP, with a time-out of ours instead of half an hour.

    Ranks that resume have loaded one and the same file: the weights need not be sent around again.
    """
    whole = run.batch.accumulation == 1
    return DDPStrategy(
        timeout=timedelta(seconds=run.limits.process_group_seconds),
        find_unused_parameters=True,
        static_graph=whole,
        gradient_as_bucket_view=whole,
        init_sync=not resuming,
    )


def choose_patience(limits: LimitsRun) -> timedelta:
    """How long a rank waits for another at a boundary: as in any collective, and while rank 0 writes its last checkpoint."""
    return timedelta(seconds=limits.process_group_seconds + limits.stop_seconds)


def judge_best(
    run: RunConfig, this: Round, folder: RunFolder, trained: tuple[Any, Any, Breathe], reporter: ProgressReporter
) -> Judgement | None:
    """The best checkpoint by pycocotools, or None when there is none."""
    best = folder.rfdetr / names.BEST_CHECKPOINT
    known = read_best(best.with_suffix(".json"))
    if reporter.best is None or known is None:
        return None
    module, datamodule, breathe = trained
    module.model.load_state_dict(load_verified(best, known.sha256)["model"])
    data = this.data_root / run.dataset.path
    split = dataset.read_split(data, dataset.detect_layout(data, run.dataset.format), "valid")
    return judge(
        module,
        datamodule,
        split,
        reported=reporter.best.value if known.map50_95 is None else known.map50_95,
        max_dets=int(module.train_config.eval_max_dets),
        segmentation=run.model.task == "segmentation",
        breathe=breathe,
    )


def choose_end(trainer: Any) -> End:
    """Early stopped, or every epoch done."""
    stopping = find_early_stopping(trainer)
    if stopping is not None and stopping.wait_count >= stopping.patience:
        return End(
            Outcome.EARLY_STOPPED,
            message=f"mAP 50:95 did not improve for {stopping.wait_count} validated epochs",
        )
    return End(Outcome.COMPLETED, message=f"{trainer.current_epoch} epochs trained")


def build_result(
    run: RunConfig,
    this: Round,
    trainer: Any,
    world: WorldGuard,
    reporter: ProgressReporter,
    judgement: Judgement | None,
) -> RunReport:
    """The terminal marker."""
    end = choose_end(trainer)
    best = f"{run.output}/{names.RFDETR_DIR}/{names.BEST_CHECKPOINT}"
    return RunReport(
        outcome=end.outcome,
        message=end.message,
        attempt=run.attempt,
        generation=this.generation,
        resumed_step=this.resume.step if this.resume else None,
        time=time.time(),
        world=world.world,
        progress=reporter.snapshot(trainer),
        best_checkpoint=best if (this.output_root / best).is_file() else None,
        judgement=judgement,
    )


def write_result(this: Round, folder: RunFolder, report: RunReport) -> End:
    """Make the marker durable, and tell it.

    Raises:
        RunError: a newer generation is claimed: the end is its own to say.

    """
    if has_newer(folder.generations, this.generation):
        raise build_overtaken(this.generation)
    text = report.model_dump_json(exclude_none=True, indent=1).encode()
    write_durable(folder.result, text)
    this.line.send(
        phase="end",
        progress=report.progress,
        outcome=report.outcome,
        message=report.message,
        best_checkpoint=report.best_checkpoint,
        judgement=report.judgement,
        resumed_step=report.resumed_step,
        world=report.world,
    )
    return End(report.outcome, message=report.message)
