"""Jobs as Prometheus text. The lines of a job are made once for each change of it, so a scrape is little more than a join."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from rfdetr_contract.metrics import OPERATOR, Metric
from rfdetr_operator.core.conditions import Phase
from rfdetr_operator.core.job_view import JobView

JOB_FAMILIES: Final = tuple(each for each in OPERATOR if each.labels[:2] == ("namespace", "job_name"))
JOBS: Final = next(each for each in OPERATOR if each.name == "rfdetr_jobs")
STATUSES: Final = ("true", "false", "unknown")
ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def format_line(name: str, labels: Mapping[str, str], value: float) -> str:
    """One sample."""
    inside = ",".join(f'{key}="{text.translate(ESCAPES)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {float(value)!r}\n"


def build_lines(view: JobView) -> dict[str, str]:
    """All samples of a job, by family."""
    job = {"namespace": view.namespace, "job_name": view.name}
    info = {**job, "uid": view.uid, "model": view.model, "dataset_format": view.dataset_format}
    restarts = "rfdetr_job_restarts_total"
    return {
        "rfdetr_job_info": format_line("rfdetr_job_info", info, 1),
        "rfdetr_job_status_phase": "".join(
            format_line("rfdetr_job_status_phase", {**job, "phase": phase}, phase == view.phase) for phase in Phase
        ),
        "rfdetr_job_status_condition": "".join(
            format_line("rfdetr_job_status_condition", {**job, "condition": kind, "status": text}, text == found)
            for kind, found in view.conditions
            for text in STATUSES
        ),
        **{
            name: format_line(name, job, when)
            for name, when in ((f"rfdetr_job_{event}_timestamp_seconds", when) for event, when in view.times)
        },
        "rfdetr_job_nodes_desired": format_line("rfdetr_job_nodes_desired", job, view.nodes_desired),
        "rfdetr_job_nodes_ready": format_line("rfdetr_job_nodes_ready", job, view.nodes_ready),
        "rfdetr_job_startup_seconds": "".join(
            format_line("rfdetr_job_startup_seconds", {**job, "stage": stage}, span) for stage, span in view.startup
        ),
        restarts: "".join(format_line(restarts, {**job, "reason": reason}, count) for reason, count in view.restarts),
        "rfdetr_job_resizes_total": format_line("rfdetr_job_resizes_total", job, view.resizes),
    }


def build_head(metric: Metric) -> str:
    """Help and type of a family."""
    return f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"


def build_exposition(phases: Iterable[tuple[str, str]], jobs: Iterable[Mapping[str, str]]) -> str:
    """All families of jobs: how many there are by namespace and phase, then each one's lines."""
    counted = sorted(Counter(phases).items())
    parts = [build_head(JOBS)]
    parts += [format_line(JOBS.name, {"namespace": namespace, "phase": phase}, n) for (namespace, phase), n in counted]
    every = list(jobs)
    for family in JOB_FAMILIES:
        parts.append(build_head(family))
        parts += [lines[family.name] for lines in every if family.name in lines]
    return "".join(parts)
