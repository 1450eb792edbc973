"""One rank. Forked from the launcher's warm server, or started cold: ``python -m rfdetr_trainer.worker``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from rfdetr_contract import names
from rfdetr_contract.report import FailureReason, Outcome, exit_code
from rfdetr_contract.run import RunConfig
from rfdetr_trainer import prepared
from rfdetr_trainer.callbacks.boundary import StopFlag
from rfdetr_trainer.dataset import detect_layout
from rfdetr_trainer.fingerprint import read_facts
from rfdetr_trainer.fit import Round, build_configs, fit
from rfdetr_trainer.loading import load_ahead as load_ahead  # called by the fork server
from rfdetr_trainer.messages import Line
from rfdetr_trainer.outcome import End, classify_error
from rfdetr_trainer.resume import Resume

# Known and harmless; each would be printed by every rank in every round.
NOISE = (
    ".*torch.jit.*",
    ".*does not have many workers.*",
    ".*number of training batches.*smaller than the logging interval.*",
    ".*resumable.*",
    ".*pretrain_weights.*",
    ".*lr_scheduler.step.*",
    ".*recommended to use .self.log.*",
    ".*Checkpoint directory.*exists and is not empty.*",
)

# A run that resumes is configured like any other that does, wherever it resumes.
FROM_SOMEWHERE = Resume(file="", sha256="", size=0, step=0, epoch=0, batch_in_epoch=0, world_size=1)


def quieten() -> None:
    """Leave the log to what a person wants to read."""
    for pattern in NOISE:
        warnings.filterwarnings("ignore", message=pattern)
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "rfdetr"):
        logging.getLogger(name).setLevel(logging.WARNING)


def build_round(environ: Mapping[str, str], flag: StopFlag) -> Round:
    """What the launcher said in the environment."""
    generation = int(environ.get(names.ENV_GENERATION, "1"))
    resume = environ.get(names.ENV_RESUME, "")
    return Round(
        data_root=Path(environ[names.ENV_DATA_ROOT]),
        output_root=Path(environ[names.ENV_OUTPUT_ROOT]),
        generation=generation,
        resume=Resume.model_validate_json(resume) if resume else None,
        line=Line(environ.get(names.ENV_LAUNCHER_SOCKET), int(environ["RANK"]), generation),
        flag=flag,
        pod_uid=environ.get(names.ENV_POD_UID, ""),
    )


def prepare(environ: Mapping[str, str]) -> None:
    """Called by the fork server: build what every worker of this run would build again at each restart."""
    quieten()
    run = RunConfig.model_validate_json(Path(environ[names.ENV_RUN_CONFIG]).read_bytes())
    roots = Path(environ[names.ENV_DATA_ROOT]), Path(environ[names.ENV_OUTPUT_ROOT])
    data = roots[0] / run.dataset.path
    facts = read_facts(data, detect_layout(data, run.dataset.format))
    prepared.prepare(*build_configs(run, roots, facts, FROM_SOMEWHERE), facts.fingerprint)


def claim_rank(environ: Mapping[str, str]) -> None:
    """Tell Lightning its rank: what it read when it was imported, in the fork server, was nobody's, so rank 0's."""
    rank_zero_only.rank = int(environ["RANK"])


def main() -> int:
    """Train; the exit code."""
    flag = StopFlag()
    flag.install()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the launcher's to hear
    quieten()
    claim_rank(os.environ)
    # Torchrun's own default. Without it Lightning takes all processors of the machine, and waiting threads spin.
    torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))
    this = build_round(os.environ, flag)
    run = RunConfig.model_validate_json(Path(os.environ[names.ENV_RUN_CONFIG]).read_bytes())
    try:
        end = fit(run, this)
    except Exception as error:  # noqa: BLE001 - the one place where any error becomes an outcome
        end = classify_error(error)
        if end.reason is FailureReason.USER_CODE:
            traceback.print_exc()
    if end.outcome in {Outcome.PREEMPTED, Outcome.FAILED}:
        tell(this.line, end)
    sys.stdout.flush()
    return int(exit_code(end.outcome, end.reason))


def tell(line: Line, end: End) -> None:
    """The last word."""
    print(f"rfdetr: {end.reason or end.outcome}: {end.message}", flush=True)
    line.send(
        phase="end",
        outcome=end.outcome,
        reason=end.reason,
        message=end.message,
        last_lines=end.last_lines,
        saved=end.saved,
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an exit handler of a collective library may wait for peers that are gone
