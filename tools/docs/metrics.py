"""The metrics reference from the contract's one list: ``python -m tools.docs.metrics`` prints it."""

from __future__ import annotations

from collections.abc import Iterable

from rfdetr_contract.metrics import OPERATOR, TRAINER, Metric

INTRO = """\
# Metrics reference

Made from the contract's one list by `make docs-reference`. Dashboards, alerts and both exporters use these names and no others.
"""
TRAINER_INTRO = """\
## Trainer pods, port 9400

Each pod serves them; the run's own numbers (mAP, loss, patience) come from node rank 0. The chart's PodMonitor adds `namespace`, `job_name` and
`node_rank`.
"""
OPERATOR_INTRO = """\
## Operator, port 8080

Series of a job go when the job goes.
"""


def build_table(metrics: Iterable[Metric]) -> str:
    """One table."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels) or '-'} | {metric.help} |"
        for metric in metrics
    ]
    return "\n".join(["| Metric | Kind | Labels | What it is |", "|---|---|---|---|", *rows]) + "\n"


def build_page() -> str:
    """The whole page."""
    return "\n".join([INTRO, TRAINER_INTRO, build_table(TRAINER), OPERATOR_INTRO, build_table(OPERATOR)])


if __name__ == "__main__":
    print(build_page(), end="")
