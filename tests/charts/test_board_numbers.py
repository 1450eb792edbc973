"""What the boards' expressions make of made-up series, told by promtool."""

from __future__ import annotations

from pathlib import Path

from charts.promtool import run_promtool
from programs import need
from promql import fill, list_expressions, read_boards

VALUES = {"__range": "1h", "__rate_interval": "1m", "namespace": "ml", "job_name": "shelves"}
# Rank 0 was preempted at step 40, when nothing had improved for three epochs; its successor ran to step 90, and ended.
REPLACED = {
    "rfdetr_train_step": ("40x9 stale", "_x9 40 90x9 stale"),
    "rfdetr_val_map_ratio": ("0.7x9 stale", "_x9 0.7 0.6x9 stale"),
    "rfdetr_early_stopping_wait_epochs": ("3x9 stale", "_x9 3 0x9 stale"),
    "rfdetr_early_stopping_patience_epochs": ("10x9 stale", "_x9 10 10x9 stale"),
}


def test_a_job_that_has_ended_keeps_what_its_last_pod_told(tmp_path: Path) -> None:
    """Not the highest number of all pods that it ever had."""
    expressions = list_expressions(read_boards())
    places = {"fleet: Jobs C": 0.6, "fleet: Jobs E": 0}
    iou = {"rfdetr_val_map_ratio": ', iou="50_95", weights="ema"'}
    series = [
        {
            "series": f'{name}{{namespace="ml", job_name="shelves", instance="{instance}"{iou.get(name, "")}}}',
            "values": values,
        }
        for name, both in REPLACED.items()
        for instance, values in zip(("10.0.0.1:9400", "10.0.0.2:9400"), both, strict=True)
    ]
    asked = [
        {
            "expr": fill(expressions[place], VALUES),
            "eval_time": "30m",
            "exp_samples": [{"labels": '{namespace="ml", job_name="shelves"}', "value": value}],
        }
        for place, value in places.items()
    ]
    files = {"test.yaml": {"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}]}}

    assert "" == run_promtool(need("promtool"), "test", "rules", "test.yaml", files=files, folder=tmp_path)
