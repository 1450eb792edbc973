"""Panels that more than one board shows, or one board shows more than once."""

from __future__ import annotations

from tools.dashboards.looks import PODS, name_phases
from tools.dashboards.panels import Curves, Query, Stat, Steps
from tools.dashboards.queries import JOBS


def number(
    title: str,
    description: str,
    expr: str,
    name: str,
    *,
    width: int = 4,
    unit: str = "none",
    decimals: int = 0,
    steps: Steps = (),
) -> Stat:
    """One figure as it is at the end of the time range; in the text's colour unless there are thresholds."""
    return Stat(
        title=title,
        description=description,
        queries=(Query(expr, name, now=True),),
        width=width,
        unit=unit,
        decimals=decimals,
        steps=steps,
        color=None if steps else "text",
    )


def jobs_by_state(expr: str) -> Curves:
    """How many jobs are in each phase, over time."""
    return Curves(
        title="Jobs by state",
        description="Every job that exists, by its phase.",
        queries=(Query(expr, "{{phase}}"),),
        width=8,
        style="area",
        limits=(0, None),
        series=name_phases(),
    )


def occurrences(title: str, description: str, query: Query) -> Curves:
    """Something that happens now and then, counted."""
    return Curves(
        title=title,
        description=description,
        queries=(query,),
        width=8,
        style="stairs",
        limits=(0, None),
        empty="none so far",
        soft_max=1,
    )


REPLACED = occurrences(
    "Pods replaced, by reason",
    "In all, over the jobs that exist. WorkerFailed spends the job's budget; Preempted and NodeLost do not.",
    Query(f"sum by (reason) (rfdetr_job_restarts_total{{{JOBS}, {PODS}}})", "{{reason}}"),
)
