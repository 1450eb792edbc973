"""For each alert a story in which it fires and one in which it does not. One value a minute, from the year 1970 on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JOB = '{namespace="team",job_name="shelves"}'
OWN = {"namespace": "team", "job_name": "shelves"}
Series = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Series in promtool's notation (``start+stepxtimes``), the minute to look at, and what fires then."""

    alert: str
    story: str
    minute: int
    series: Series
    labels: Mapping[str, str] | None = None  # None: it keeps quiet


def job(name: str, **labels: str) -> str:
    """A series of the job."""
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f'{name}{{namespace="team",job_name="shelves"{more}}}'


def phase(name: str, values: str = "1x300") -> dict[str, str]:
    """The job is in this phase."""
    return {job("rfdetr_job_status_phase", phase=name): values}


def fires(alert: str, story: str, minute: int, series: Series, severity: str = "warning") -> Case:
    """The alert fires for the job."""
    return Case(alert, story, minute, series, {**OWN, "severity": severity})


RUNNING = phase("Running")
STOOD = {job("rfdetr_job_last_progress_timestamp_seconds"): "600x300"}
STALLED = (
    fires("RFDETRTrainingStalled", "no-progress-since-minute-10", 40, {**RUNNING, **STOOD}),
    Case("RFDETRTrainingStalled", "suspended", 40, {**phase("Suspended"), **STOOD}),
    Case(
        "RFDETRTrainingStalled",
        "steps-move-though-the-reports-do-not-arrive",
        40,
        {**RUNNING, **STOOD, job("rfdetr_train_steps_total", node_rank="0"): "0+30x300"},
    ),
    Case(
        "RFDETRTrainingStalled",
        "progress-each-minute",
        40,
        {**RUNNING, job("rfdetr_job_last_progress_timestamp_seconds"): "0+60x300"},
    ),
)
LOSS = job("rfdetr_train_loss", component="total")
BROKEN = job("rfdetr_process_restarts_total", node_rank="0", reason="NaNLoss")
LOSS_NAN = (
    fires("RFDETRLossNaN", "the-loss-is-not-a-number", 10, {LOSS: "3 2" + " NaN" * 20}),
    fires("RFDETRLossNaN", "the-trainer-went-back-for-it", 20, {LOSS: "2x60", BROKEN: "_x15 1x60"}),
    fires("RFDETRLossNaN", "the-trainer-went-back-once-more", 70, {LOSS: "2x99", BROKEN: "1x60 2x60"}),
    Case("RFDETRLossNaN", "the-loss-falls", 10, {LOSS: "3-0.1x20"}),
    Case("RFDETRLossNaN", "the-last-time-is-an-hour-ago", 90, {LOSS: "2x99", BROKEN: "_x15 1x99"}),
)
SAVED = job("rfdetr_job_last_checkpoint_timestamp_seconds")
BEGUN = {job("rfdetr_job_started_timestamp_seconds"): "60x300"}
STALE = (
    fires("RFDETRCheckpointStale", "the-last-one-is-from-minute-20", 99, {**RUNNING, **BEGUN, SAVED: "1200x300"}),
    fires("RFDETRCheckpointStale", "there-never-was-one", 90, {**RUNNING, **BEGUN}),
    Case("RFDETRCheckpointStale", "one-every-ten-minutes", 99, {**RUNNING, **BEGUN, SAVED: "600+60x300"}),
    Case("RFDETRCheckpointStale", "the-job-has-ended", 99, {**phase("Succeeded"), **BEGUN, SAVED: "1200x300"}),
)
POD_DEATHS = job("rfdetr_job_restarts_total", reason="WorkerFailed")
PREEMPTIONS = job("rfdetr_job_restarts_total", reason="Preempted")
PROCESS_DEATHS = job("rfdetr_process_restarts_total", node_rank="0", reason="Crashed")
LOOP = (
    fires(
        "RFDETRRestartLoop",
        "a-pod-dies-every-five-minutes",
        27,
        {POD_DEATHS: "0 0 0 0 0 1 1 1 1 1 2 2 2 2 2 3 3 3 3 3 4 4 4 4 4 5x30"},
    ),
    fires(
        "RFDETRRestartLoop",
        "a-process-dies-every-five-minutes",
        25,
        {PROCESS_DEATHS: "0 0 0 0 0 1 1 1 1 1 2 2 2 2 2 3 3 3 3 3 4 4 4 4 4 5x30"},
    ),
    Case("RFDETRRestartLoop", "preempted-again-and-again", 40, {PREEMPTIONS: "0+1x60"}),
    Case(
        "RFDETRRestartLoop",
        "others-wait-for-a-preempted-pod",
        40,
        {job("rfdetr_job_restarts_total", reason="ProcessRestart"): "0+1x60"},
    ),
    Case("RFDETRRestartLoop", "one-death", 40, {POD_DEATHS: "0x20 1x60"}),
)
WANTED, READY = job("rfdetr_job_nodes_desired"), job("rfdetr_job_nodes_ready")
NODES = (
    fires(
        "RFDETRNodesBelowMinimum",
        "one-pod-stays-pending",
        20,
        {**phase("Restarting"), WANTED: "2x60", READY: "2x5 1x60"},
    ),
    Case(
        "RFDETRNodesBelowMinimum", "one-pod-is-replaced-at-once", 20, {**RUNNING, WANTED: "2x60", READY: "2x10 1 2x60"}
    ),
    Case("RFDETRNodesBelowMinimum", "suspended-on-purpose", 20, {**phase("Suspended"), WANTED: "2x60", READY: "0x60"}),
)
ENDED = job("rfdetr_job_completed_timestamp_seconds")
FAILED = (
    fires("RFDETRJobFailed", "failed-at-minute-10", 12, {**phase("Failed", "0x9 1x60"), ENDED: "_x9 600x60"}),
    Case("RFDETRJobFailed", "completed", 12, {**phase("Succeeded"), **phase("Failed", "0x60"), ENDED: "_x9 600x60"}),
    Case("RFDETRJobFailed", "failed-two-days-ago", 2880, {**phase("Failed", "1x3000"), ENDED: "600x3000"}),
)
NOW = job("rfdetr_val_map_ratio", iou="50_95", weights="ema")
BEST = job("rfdetr_val_best_map_ratio", weights="ema")
REGRESSING = (
    fires("RFDETRMapRegressing", "a-quarter-below-the-best", 30, {NOW: "0.4x5 0.3x60", BEST: "0.4x60"}, "info"),
    Case("RFDETRMapRegressing", "a-hair-below-the-best", 30, {NOW: "0.4x5 0.39x60", BEST: "0.4x60"}),
    Case("RFDETRMapRegressing", "one-bad-epoch", 30, {NOW: "0.4x5 0.3x8 0.41x60", BEST: "0.4x13 0.41x60"}),
)
WAITED, STEPPED = job("rfdetr_train_data_wait_seconds_total"), job("rfdetr_train_step_duration_seconds_sum")
LOADER = (
    fires("RFDETRDataLoaderBound", "half-of-each-step-is-waiting", 60, {WAITED: "0+29x90", STEPPED: "0+58x90"}, "info"),
    Case("RFDETRDataLoaderBound", "a-tenth-of-each-step", 60, {WAITED: "0+5x90", STEPPED: "0+58x90"}),
    Case("RFDETRDataLoaderBound", "no-step-is-made", 60, {WAITED: "0x90", STEPPED: "0x90"}),
)
LEADER = 'rfdetr_operator_leader{pod="rfdetr-operator-0"}'
DOWN = (
    Case("RFDETROperatorDown", "gone-at-minute-10", 30, {LEADER: "1x10"}, {"severity": "critical"}),
    Case("RFDETROperatorDown", "two-that-both-wait", 30, {LEADER: "1x10 0x60"}, {"severity": "critical"}),
    Case("RFDETROperatorDown", "one-leads-and-one-waits", 30, {LEADER: "1x60", LEADER.replace("-0", "-1"): "0x60"}),
    Case("RFDETROperatorDown", "the-lease-moves", 13, {LEADER: "1x10 0x60", LEADER.replace("-0", "-1"): "0x12 1x60"}),
)
RECONCILES = (
    Case(
        "RFDETRReconcileErrors",
        "every-second-one",
        40,
        {'rfdetr_reconciles_total{result="ok"}': "0+60x60", 'rfdetr_reconciles_total{result="Unavailable"}': "0+60x60"},
        {"severity": "warning"},
    ),
    Case(
        "RFDETRReconcileErrors",
        "one-in-a-hundred",
        40,
        {'rfdetr_reconciles_total{result="ok"}': "0+99x60", 'rfdetr_reconciles_total{result="Unavailable"}': "0+1x60"},
    ),
    Case(
        "RFDETRReconcileErrors",
        "somebody-else-wrote-in-between",
        40,
        {'rfdetr_reconciles_total{result="ok"}': "0+60x60", 'rfdetr_reconciles_total{result="Conflict"}': "0+60x60"},
    ),
    Case("RFDETRReconcileErrors", "nothing-to-do", 40, {'rfdetr_reconciles_total{result="Unavailable"}': "3x60"}),
)
CASES = (
    *STALLED, *LOSS_NAN, *STALE, *LOOP, *NODES, *FAILED, *REGRESSING, *LOADER, *DOWN, *RECONCILES,
)  # fmt: skip
