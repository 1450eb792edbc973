"""Fleet: every job at a glance. One table row a job, the busiest first; curves below to compare them."""

from __future__ import annotations

from tools.dashboards.board import Board, Row
from tools.dashboards.looks import PATIENCE, PODS, color_phases
from tools.dashboards.panels import Curves, Query, Stat, Steps, Table, paint
from tools.dashboards.queries import ALL_TIME, EACH, JOBS
from tools.dashboards.shared import REPLACED, jobs_by_state, number

ACTIVE = f'and on ({EACH}) max by ({EACH}) (rfdetr_job_status_phase{{{JOBS}, phase=~"Pending|Starting|Running|Restarting|Resizing"}}) == 1'
USEFUL = 'category=~"train|eval"'
NAME = "{{namespace}}/{{job_name}}"


def each(metric: str, *labels: str) -> str:
    """One value a job, whatever number of pods tells it."""
    return f"max by ({EACH}) ({metric}{{{', '.join((JOBS, *labels))}}})"


def kept(metric: str, *labels: str) -> str:
    """The value now; of a job that has ended, what the pod that came furthest told last: others were replaced by it."""
    told = f"last_over_time({metric}{{{', '.join((JOBS, *labels))}}}[{ALL_TIME}])"
    furthest = f"topk by ({EACH}) (1, last_over_time(rfdetr_train_step{{{JOBS}}}[{ALL_TIME}]))"
    return f"({each(metric, *labels)} or max by ({EACH}) ({told} and on ({EACH}, instance) {furthest}))"


def seconds(*labels: str) -> str:
    """Pod time within the time range, of pods that are gone too."""
    return f"sum by ({EACH}) (max_over_time(rfdetr_goodput_seconds_total{{{', '.join((JOBS, *labels))}}}[$__range]))"


def count_jobs(title: str, description: str, phases: str, color: str) -> Stat:
    """How many jobs are in these phases."""
    jobs = f'sum (rfdetr_job_status_phase{{{JOBS}, phase=~"{phases}"}}) or vector(0)'
    steps: Steps = ((None, "text"), (1, color))
    return number(title, description, jobs, "jobs", steps=steps)


def fill(color: str) -> dict[str, object]:
    """A cell with a bar from 0 to 1 and its value beside it."""
    bar = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    return paint(color, **{"custom.cellOptions": bar, "unit": "percentunit", "decimals": 0, "min": 0, "max": 1})


def width(pixels: int, **properties: object) -> dict[str, object]:
    """A narrow column."""
    return {"custom.width": pixels, **properties}


SUMMARY = Row(
    4,
    (
        count_jobs("Running", "Jobs whose ranks train right now.", "Running", "green"),
        count_jobs(
            "Not running yet",
            "Jobs that start, restart, resize or wait for a place; long waits show in the table.",
            "Pending|Starting|Restarting|Resizing",
            "orange",
        ),
        count_jobs("Failed", "Jobs that ended as Failed and still exist.", "Failed", "red"),
        number(
            "Ranks training",
            "Processes that train together, over all jobs.",
            f"sum ({each('rfdetr_world_size')}) or vector(0)",
            "ranks",
        ),
        number(
            "GPUs held",
            "CUDA devices that training processes hold now. CPU jobs hold none.",
            f"count (rfdetr_train_gpu_memory_allocated_bytes{{{JOBS}}}) or vector(0)",
            "GPUs",
        ),
        number(
            "Useful time",
            "Share of all pod time within the time range that was training or validation. The rest: starts, rendezvous, waiting, work redone.",
            f"sum ({seconds(USEFUL)}) / sum ({seconds()})",
            "useful",
            unit="percentunit",
            steps=((None, "red"), (0.5, "yellow"), (0.8, "green")),
        ),
    ),
)

COLUMNS = (
    ("namespace", "Namespace"),
    ("job_name", "Job"),
    ("model", "Model"),
    ("phase", "State"),
    ("Value #B", "Epochs done"),
    ("Value #C", "Last mAP"),
    ("Value #D", "Best mAP"),
    ("Value #E", "Patience used"),
    ("Value #F", "Time left"),
    ("Value #G", "Images/s"),
    ("Value #H", "Useful time"),
    ("Value #I", "Ready"),
    ("Value #J", "Pods"),
    ("Value #K", "Restarts"),
    ("Value #L", "Checkpoint age"),
)
RUN_LINK = {
    "title": "Open the training run",
    "url": "/d/rfdetr-training-run?var-namespace=${__data.fields.Namespace}&var-job_name=${__data.fields.Job}&${__url_time_range}",
}


def cell(expr: str) -> Query:
    """One column of the table."""
    return Query(expr, table=True)


JOB_TABLE = Row(
    10,
    (
        Table(
            title="Jobs",
            description=(
                "One row a job. Epochs done and patience used fill up: the run ends when either is full. Times are seconds in their best unit. "
                "A finished job keeps its last numbers while they are within the time range."
            ),
            queries=(
                cell(f"max by ({EACH}, phase) (rfdetr_job_status_phase{{{JOBS}}}) == 1"),
                cell(f"{kept('rfdetr_train_epoch')} / {kept('rfdetr_train_epochs_planned')}"),
                cell(kept("rfdetr_val_map_ratio", 'iou="50_95"')),
                cell(kept("rfdetr_val_best_map_ratio")),
                cell(f"{kept('rfdetr_early_stopping_wait_epochs')} / {kept('rfdetr_early_stopping_patience_epochs')}"),
                cell(each("rfdetr_train_eta_seconds")),
                cell(each("rfdetr_train_images_per_second")),
                cell(f"{seconds(USEFUL)} / {seconds()}"),
                cell(each("rfdetr_job_nodes_ready")),
                cell(each("rfdetr_job_nodes_desired")),
                cell(f"sum by ({EACH}) (rfdetr_job_restarts_total{{{JOBS}, {PODS}}})"),
                cell(f"time() - {each('rfdetr_job_last_checkpoint_timestamp_seconds')}"),
                cell(f"max by ({EACH}, model) (rfdetr_job_info{{{JOBS}}})"),
            ),
            width=24,
            columns=COLUMNS,
            dropped=("Value #A", "Value #M"),
            sort="State",
            series={
                "Namespace": width(100),
                "Job": {"custom.minWidth": 110, "links": [RUN_LINK]},
                "Model": width(85),
                "State": width(100, **{"custom.cellOptions": {"type": "color-text"}, "mappings": list(color_phases())}),
                "Epochs done": {**fill("blue"), "custom.minWidth": 110},
                "Last mAP": width(90, decimals=3),
                "Best mAP": width(90, **paint("green", **{"custom.cellOptions": {"type": "color-text"}}), decimals=3),
                "Patience used": {
                    **fill("orange"),
                    "custom.minWidth": 110,
                    "color": {"mode": "thresholds"},
                    "thresholds": {
                        "mode": "absolute",
                        "steps": [{"value": value, "color": color} for value, color in PATIENCE],
                    },
                },
                "Time left": width(100, unit="s", decimals=1),
                "Images/s": width(85, decimals=1),
                "Useful time": {**fill("green"), "custom.minWidth": 110},
                "Ready": width(65),
                "Pods": width(60),
                "Restarts": width(80),
                "Checkpoint age": width(125, unit="s", decimals=1),
            },
        ),
    ),
)

COMPARED = Row(
    9,
    (
        Curves(
            title="Best mAP 50:95 by job",
            description="The best validation so far of each job. A line that ends belongs to a job that has ended.",
            queries=(Query(each("rfdetr_val_best_map_ratio"), NAME),),
            width=12,
            decimals=3,
            style="stairs",
            limits=(0, None),
        ),
        Curves(
            title="Images per second by job",
            description="Images trained on, stacked: the upper edge is what the whole fleet does.",
            queries=(Query(f"max by ({EACH}) (rate(rfdetr_train_samples_total{{{JOBS}}}[$__rate_interval]))", NAME),),
            width=12,
            decimals=1,
            style="area",
            limits=(0, None),
        ),
    ),
    "Compared",
)

HEALTH = Row(
    8,
    (
        jobs_by_state(f"sum by (phase) (rfdetr_job_status_phase{{{JOBS}}}) > 0"),
        Curves(
            title="Pods missing by job",
            description="Pods that a job wants and that are not ready. All ranks train or none, so one missing pod holds up the rest.",
            queries=(
                Query(f"({each('rfdetr_job_nodes_desired')} - {each('rfdetr_job_nodes_ready')})\n{ACTIVE}", NAME),
            ),
            width=8,
            style="stairs",
            limits=(0, None),
            legend=(),
            soft_max=1,
        ),
        REPLACED,
    ),
    "Health",
)

FLEET = Board(
    uid="rfdetr-fleet",
    title="RF-DETR / Fleet",
    description="All RF-DETR trainings: what runs, how good it is, when it ends, and what needs a look.",
    source="rfdetr_job_created_timestamp_seconds",
    many=True,
    rows=(SUMMARY, JOB_TABLE, COMPARED, HEALTH),
)
