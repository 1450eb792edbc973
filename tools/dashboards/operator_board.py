"""Operator: is somebody in charge, does the work flow, does the API server answer, and how fast do jobs come back?"""

from __future__ import annotations

from collections.abc import Mapping

from tools.dashboards.board import Board, Row
from tools.dashboards.looks import QUANTILES
from tools.dashboards.panels import Curves, Query, Stat, paint
from tools.dashboards.queries import ALL_TIME, EACH, JOBS, LATELY, quantile, quantiles
from tools.dashboards.shared import REPLACED, jobs_by_state, number, occurrences

API_CALLS = "rfdetr_operator_api_calls_total"
ERRORS = 'result!~"ok|Conflict"'


def per_second(title: str, description: str, metric: str, by: str, colors: Mapping[str, str] | None = None) -> Curves:
    """How often something is done, stacked by a label."""
    return Curves(
        title=title,
        description=description,
        queries=(Query(f"sum by ({by}) (rate({metric}[{LATELY}]))", f"{{{{{by}}}}}"),),
        width=8,
        unit="ops",
        decimals=2,
        style="area",
        legend=(),
        limits=(0, None),
        series={name: paint(color) for name, color in (colors or {}).items()},
    )


SUMMARY = Row(
    4,
    (
        number(
            "In charge",
            "Operators that hold the lease. One is right; with none, nothing is replaced and nothing starts.",
            "sum (rfdetr_operator_leader) or vector(0)",
            "leader",
            steps=((None, "red"), (1, "green"), (2, "red")),
        ),
        Stat(
            title="Version",
            description="The version of each running operator.",
            queries=(Query("count by (version) (rfdetr_operator_build_info)", "{{version}}", now=True),),
            width=4,
            text="name",
            color="text",
        ),
        number("Jobs", "Jobs that exist, finished ones included.", "sum (rfdetr_jobs) or vector(0)", "jobs"),
        number(
            "Oldest key waiting",
            "How long the oldest job has waited for its reconcile. Below a second is usual.",
            "max (rfdetr_operator_queue_oldest_seconds)",
            "age",
            unit="s",
            decimals=1,
            steps=((None, "green"), (10, "yellow"), (60, "red")),
        ),
        number(
            "Reconcile, p99",
            "99 of 100 reconciles of the last time range were faster.",
            quantile("0.99", "rfdetr_reconcile_duration_seconds", over=ALL_TIME),
            "p99",
            unit="s",
            decimals=1,
            steps=((None, "green"), (1, "yellow"), (5, "red")),
        ),
        number(
            "Reconciles in error",
            "Share of the reconciles within the time range that ended in an error and are tried again.",
            f"(sum (increase(rfdetr_reconciles_total{{{ERRORS}}}[$__range])) or vector(0)) "
            "/ sum (increase(rfdetr_reconciles_total[$__range]))",
            "errors",
            unit="percentunit",
            decimals=1,
            steps=((None, "green"), (0.01, "yellow"), (0.1, "red")),
        ),
    ),
)

WORK = Row(
    8,
    (
        per_second(
            "Reconciles by result",
            "Reconciles a second. A Conflict is usual and tried again at once; other names than ok are errors.",
            "rfdetr_reconciles_total",
            "result",
            {"ok": "green", "Conflict": "yellow", "Unavailable": "red", "Refused": "orange"},
        ),
        Curves(
            title="Reconcile duration",
            description="From taking a job's key to the last write, by quantile.",
            queries=quantiles("rfdetr_reconcile_duration_seconds"),
            width=8,
            unit="s",
            decimals=2,
            limits=(0, None),
            series=QUANTILES,
        ),
        Curves(
            title="Queue",
            description="Keys that wait, and the age of the oldest of them in seconds.",
            queries=(
                Query("max (rfdetr_operator_queue_depth)", "Keys"),
                Query("max (rfdetr_operator_queue_oldest_seconds)", "Oldest"),
            ),
            width=8,
            decimals=1,
            limits=(0, None),
            soft_max=1,
            series={"Keys": paint("blue"), "Oldest": paint("orange", unit="s")},
        ),
    ),
    "Does the work flow?",
)

CALLS = Row(
    8,
    (
        per_second("API calls by verb", "Calls of the API server a second.", API_CALLS, "verb"),
        per_second("API calls by resource", "The same by what was asked for.", API_CALLS, "resource"),
        Curves(
            title="API answers that were refusals",
            description="Answers by code from 400 on. 404 and 409 are usual now and then; 403 means a missing right, 5xx a sick API server.",
            queries=(
                Query(
                    'sum by (code) (rate(rfdetr_operator_api_calls_total{code!~"[123].."}[$__rate_interval]))',
                    "{{code}}",
                ),
            ),
            width=8,
            unit="ops",
            decimals=2,
            limits=(0, None),
            empty="none",
        ),
    ),
    "Does the API server answer?",
)

JOBS_ROW = Row(
    8,
    (
        jobs_by_state('sum by (phase) (rfdetr_jobs{namespace=~"$namespace"})'),
        Curves(
            title="Recovery: from a lost pod to Running",
            description="How long a job was away after a pod was lost, by quantile, over the time range.",
            queries=quantiles("rfdetr_job_recovery_duration_seconds", over=ALL_TIME),
            width=8,
            unit="s",
            decimals=1,
            limits=(0, None),
            series=QUANTILES,
            empty="no pod was lost",
        ),
        Curves(
            title="Start: where a job waits",
            description="Queue: until its pods have a node. Pull: until their images are there. The slowest pod of each job.",
            queries=(
                Query(
                    f"max by ({EACH}, stage) (rfdetr_job_startup_seconds{{{JOBS}}})",
                    "{{job_name}}: {{stage}}",
                ),
            ),
            width=8,
            unit="s",
            decimals=1,
            limits=(0, None),
            legend=(),
            soft_max=1,
        ),
    ),
    "How are the jobs?",
)

CHANGES = Row(
    7,
    (
        REPLACED,
        occurrences(
            "Resizes by job",
            "Changes of the number of nodes while a job lives.",
            Query(f"max by ({EACH}) (rfdetr_job_resizes_total{{{JOBS}}})", "{{job_name}}"),
        ),
        Curves(
            title="Age of the newest report, by job",
            description="Time since a running job's progress was last seen to move. It rises while a validation goes on.",
            queries=(
                Query(
                    f"time() - max by ({EACH}) (rfdetr_job_last_progress_timestamp_seconds{{{JOBS}}})\n"
                    f'and on ({EACH}) max by ({EACH}) (rfdetr_job_status_phase{{{JOBS}, phase="Running"}}) == 1',
                    "{{job_name}}",
                ),
            ),
            width=8,
            unit="s",
            decimals=0,
            limits=(0, None),
        ),
    ),
)

OPERATOR_BOARD = Board(
    uid="rfdetr-operator",
    title="RF-DETR / Operator",
    description="The operator itself: who is in charge, whether its work flows, and what the API server says.",
    source="rfdetr_job_created_timestamp_seconds",
    many=True,
    rows=(SUMMARY, WORK, CALLS, JOBS_ROW, CHANGES),
)
