"""Operator: is somebody in charge, does the work flow, does the API server answer, and how fast do jobs come back?"""

from __future__ import annotations

from tools.dashboards.board import Board, Row
from tools.dashboards.looks import GREY, PODS, name_phases
from tools.dashboards.panels import Curves, Query, Stat, paint

JOBS = 'namespace=~"$namespace", job_name=~"$job_name"'


def quantiles(metric: str) -> tuple[Query, ...]:
    """Three quantiles of a histogram."""
    buckets = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({share}, {buckets})", f"p{float(share) * 100:.0f}")
        for share in ("0.5", "0.9", "0.99")
    )


QUANTILES = {"p50": paint("blue", **{"custom.lineWidth": 3}), "p90": paint(GREY), "p99": paint("orange")}
ERRORS = 'result!~"ok|Conflict"'

SUMMARY = Row(
    4,
    (
        Stat(
            title="In charge",
            description="Operators that hold the lease. One is right; with none, nothing is replaced and nothing starts.",
            queries=(Query("sum (rfdetr_operator_leader) or vector(0)", "leader", now=True),),
            width=4,
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
        Stat(
            title="Jobs",
            description="Jobs that exist, finished ones included.",
            queries=(Query("sum (rfdetr_jobs) or vector(0)", "jobs", now=True),),
            width=4,
            color="text",
        ),
        Stat(
            title="Oldest key waiting",
            description="How long the oldest job has waited for its reconcile. Below a second is usual.",
            queries=(Query("max (rfdetr_operator_queue_oldest_seconds)", "age", now=True),),
            width=4,
            unit="s",
            decimals=1,
            steps=((None, "green"), (10, "yellow"), (60, "red")),
        ),
        Stat(
            title="Reconcile, p99",
            description="99 of 100 reconciles of the last time range were faster.",
            queries=(
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(rfdetr_reconcile_duration_seconds_bucket[$__range])))",
                    "p99",
                    now=True,
                ),
            ),
            width=4,
            unit="s",
            decimals=1,
            steps=((None, "green"), (1, "yellow"), (5, "red")),
        ),
        Stat(
            title="Reconciles in error",
            description="Share of the reconciles within the time range that ended in an error and are tried again.",
            queries=(
                Query(
                    f"(sum (increase(rfdetr_reconciles_total{{{ERRORS}}}[$__range])) or vector(0)) "
                    "/ sum (increase(rfdetr_reconciles_total[$__range]))",
                    "errors",
                    now=True,
                ),
            ),
            width=4,
            unit="percentunit",
            decimals=1,
            steps=((None, "green"), (0.01, "yellow"), (0.1, "red")),
        ),
    ),
)

WORK = Row(
    8,
    (
        Curves(
            title="Reconciles by result",
            description="Reconciles a second. A Conflict is usual and tried again at once; other names than ok are errors.",
            queries=(Query("sum by (result) (rate(rfdetr_reconciles_total[$__rate_interval]))", "{{result}}"),),
            width=8,
            unit="ops",
            decimals=2,
            style="area",
            legend=(),
            limits=(0, None),
            series={
                "ok": paint("green"),
                "Conflict": paint("yellow"),
                "Unavailable": paint("red"),
                "Refused": paint("orange"),
            },
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
        Curves(
            title="API calls by verb",
            description="Calls of the API server a second.",
            queries=(Query("sum by (verb) (rate(rfdetr_operator_api_calls_total[$__rate_interval]))", "{{verb}}"),),
            width=8,
            unit="ops",
            decimals=2,
            style="area",
            legend=(),
            limits=(0, None),
        ),
        Curves(
            title="API calls by resource",
            description="The same by what was asked for.",
            queries=(
                Query("sum by (resource) (rate(rfdetr_operator_api_calls_total[$__rate_interval]))", "{{resource}}"),
            ),
            width=8,
            unit="ops",
            decimals=2,
            style="area",
            legend=(),
            limits=(0, None),
        ),
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
        Curves(
            title="Jobs by state",
            description="Every job that exists, by its phase.",
            queries=(Query('sum by (phase) (rfdetr_jobs{namespace=~"$namespace"})', "{{phase}}"),),
            width=8,
            style="area",
            limits=(0, None),
            series=name_phases(),
        ),
        Curves(
            title="Recovery: from a lost pod to Running",
            description="How long a job was away after a pod was lost, by quantile, over the time range.",
            queries=tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate(rfdetr_job_recovery_duration_seconds_bucket[$__range])))",
                    f"p{float(share) * 100:.0f}",
                )
                for share in ("0.5", "0.9", "0.99")
            ),
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
                    f"max by (namespace, job_name, stage) (rfdetr_job_startup_seconds{{{JOBS}}})",
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
        Curves(
            title="Pods replaced, by reason",
            description="In all, over the jobs that exist. WorkerFailed spends the job's budget; Preempted and NodeLost do not.",
            queries=(Query(f"sum by (reason) (rfdetr_job_restarts_total{{{JOBS}, {PODS}}})", "{{reason}}"),),
            width=8,
            style="stairs",
            limits=(0, None),
            empty="none so far",
            soft_max=1,
        ),
        Curves(
            title="Resizes by job",
            description="Changes of the number of nodes while a job lives.",
            queries=(Query(f"max by (namespace, job_name) (rfdetr_job_resizes_total{{{JOBS}}})", "{{job_name}}"),),
            width=8,
            style="stairs",
            limits=(0, None),
            empty="none so far",
            soft_max=1,
        ),
        Curves(
            title="Age of the newest report, by job",
            description="Time since a running job's progress was last seen to move. It rises while a validation goes on.",
            queries=(
                Query(
                    f"time() - max by (namespace, job_name) (rfdetr_job_last_progress_timestamp_seconds{{{JOBS}}})\n"
                    f'and on (namespace, job_name) max by (namespace, job_name) (rfdetr_job_status_phase{{{JOBS}, phase="Running"}}) == 1',
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
