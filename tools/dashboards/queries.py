"""PromQL that more than one board asks."""

from __future__ import annotations

from tools.dashboards.panels import Query

JOBS = 'namespace=~"$namespace", job_name=~"$job_name"'
EACH = "namespace, job_name"
LATELY = "$__rate_interval"
ALL_TIME = "$__range"


def quantile(share: str, metric: str, labels: str = "", over: str = LATELY) -> str:
    """A quantile of a histogram, all its series together."""
    chosen = f"{{{labels}}}" if labels else ""
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{chosen}[{over}])))"


def quantiles(metric: str, labels: str = "", over: str = LATELY) -> tuple[Query, ...]:
    """The median and two of the slow end, as p50, p90 and p99."""
    return tuple(
        Query(quantile(share, metric, labels, over), f"p{float(share) * 100:.0f}") for share in ("0.5", "0.9", "0.99")
    )
