"""PromQL of one job: a value, a rate, a ratio, whatever number of pods tells it."""

from __future__ import annotations

from tools.dashboards.panels import Query

JOB = 'namespace="$namespace", job_name="$job_name"'
DASHED = {"fill": "dash", "dash": [8, 6]}


def highest(metric: str, *labels: str, by: str = "") -> str:
    """One value whatever number of pods tells it."""
    return f"max{f' by ({by})' if by else ''} ({metric}{{{', '.join((JOB, *labels))}}})"


def rate(metric: str, by: str = "") -> str:
    """The fastest pod's rate: every rank counts the whole job's steps and samples."""
    return f"max{f' by ({by})' if by else ''} (rate({metric}{{{JOB}}}[$__rate_interval]))"


def of(part: str, whole: str) -> Query:
    """Two numbers now, written as "part / whole"; the value is their ratio."""
    expr = (
        f'count_values("part", {part}) * on () group_left (whole) count_values("whole", {whole})\n'
        f"* on () group_left () ({part} / {whole})"
    )
    return Query(expr, "{{part}} / {{whole}}", now=True)


def map_of(weights: str, iou: str = "50_95") -> str:
    """The mAP of one set of weights."""
    return highest("rfdetr_val_map_ratio", f'iou="{iou}"', f'weights="{weights}"')


def grown(metric: str, by: str = "") -> str:
    """What a counter has counted in all its pods within the time range, their first value included."""
    return f"sum{f' by ({by})' if by else ''} (max_over_time({metric}{{{JOB}}}[$__range]))"


def newer(metric: str) -> str:
    """Above zero where a value that only grows has grown, across the gap that a lost pod leaves."""
    before = f"max (max_over_time({metric}{{{JOB}}}[10m] offset $__interval))"
    return f"{highest(metric)} > {before}"


def share_of(category: str, name: str) -> Query:
    """The share of all pod time that one category took."""
    chosen = f'{JOB}, category="{category}"'
    spent = f"sum (rate(rfdetr_goodput_seconds_total{{{chosen}}}[$__rate_interval]))"
    return Query(f"{spent}\n/ (sum (rate(rfdetr_goodput_seconds_total{{{JOB}}}[$__rate_interval])) > 0)", name)
