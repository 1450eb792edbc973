"""The demonstration: train a small RF-DETR on two local node ranks, preempt one of them, and see the run resume.

``python -m examples.demo`` makes the data, runs ``examples/quickstart-cpu.yaml`` through the command line's own code
and exits with 0 only when the model truly learned, was preempted and went on from its checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.data.digits import Recipe, write_digits
from rfdetr_contract import names
from rfdetr_contract.report import SUCCESSES, RunReport
from rfdetr_operator.api.v1alpha1 import TrainingJob, parse_job
from rfdetr_operator.cli.errors import UserError
from rfdetr_operator.cli.local_run import Options, run_file
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.local_session import Home
from rfdetr_operator.shell.local_store import CLAIMS_DIR, Store

MANIFEST = Path(__file__).with_name("quickstart-cpu.yaml")
ROOT = Path(".rfdetr/demo")
PREEMPTION = "1@step:90"  # in the middle of the fifth epoch of 20 steps
FLOOR = 0.3  # mAP 50:95; what does not learn stays below 0.05


@dataclass(frozen=True, slots=True)
class Check:
    """One fact that the demonstration claims."""

    fact: str
    holds: bool


def check_run(job: TrainingJob, report: RunReport | None) -> Iterator[Check]:
    """The facts, from the job's status and from the report that the run left on its claim."""
    status, result = job.status, job.status.result
    yield Check(f"the job is complete ({status.phase})", status.phase == "Succeeded")
    score = float(result.map50_95) if result and result.map50_95 else 0.0
    yield Check(f"it learned: mAP 50:95 is {score:.3f}, judged by COCOeval, above {FLOOR}", score > FLOOR)
    agree = result is not None and result.evaluators_agree is True
    yield Check("RF-DETR's own evaluator and COCOeval agree", agree)
    preemptions = status.restarts.preemptions if status.restarts else 0
    yield Check(f"node rank 1 was preempted ({preemptions} preemption)", preemptions >= 1)
    generation = report.generation if report and report.outcome in SUCCESSES else 0
    resumed = (report.resumed_step if report else None) or 0
    yield Check(f"it resumed: generation {generation} went on from step {resumed}", generation > 1 and resumed > 0)


def read_result(root: Path, job: TrainingJob) -> RunReport | None:
    """The report that the run left on its checkpoint claim."""
    meta = job.metadata
    folder = root / CLAIMS_DIR / str(job.spec.checkpoints.claim_name)
    path = folder / names.output_path(meta.namespace, meta.name, meta.uid) / names.RESULT_FILE
    return RunReport.model_validate_json(path.read_text()) if path.exists() else None


def run_demo(root: Path, *, plain: bool) -> int:
    """Data, run, checks; the exit code."""
    store = Store(root, Key("default", "quickstart"))
    if holder := store.running():
        raise UserError(f"the demonstration is already running, as process {holder}")
    shutil.rmtree(root, ignore_errors=True)
    sys.stdout.write("Making the data: 200 pictures of handwritten digits\n")
    write_digits(root / CLAIMS_DIR / "digits", Recipe())
    code = run_file(MANIFEST, Options(Home(root=root), preempt=(PREEMPTION,), plain=plain), sys.stdout)
    body = store.load()
    if body is None:
        return code or 1
    job = parse_job(body)
    checks = tuple(check_run(job, read_result(root, job)))
    sys.stdout.write("\n" + "".join(f"{'yes' if check.holds else 'NO '}  {check.fact}\n" for check in checks))
    return code or int(not all(check.holds for check in checks))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, default=ROOT, metavar="DIR", help=f"default: {ROOT}; emptied first")
    parser.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    args = parser.parse_args(argv)
    try:
        return run_demo(args.state, plain=args.plain)
    except UserError as error:
        sys.stderr.write("".join(f"{sentence}\n" for sentence in error.sentences))
        return 64


if __name__ == "__main__":
    sys.exit(main())
