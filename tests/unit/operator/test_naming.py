"""Names and labels, both ways."""

from __future__ import annotations

import pytest

from rfdetr_operator.core.naming import build_address, build_labels, read_job_name, read_node_rank


def test_a_rank_keeps_one_dns_name() -> None:
    """The address is made of the pod, the headless Service and the namespace."""
    assert "shelves-0.shelves-ranks.team.svc" == build_address("shelves", "team", 0)


def test_a_cluster_domain_is_appended() -> None:
    """A resolver without a search path needs the whole name."""
    assert "shelves-1.shelves-ranks.team.svc.cluster.local" == build_address("shelves", "team", 1, "cluster.local")


def test_a_childs_labels_name_its_job() -> None:
    """What the manifests write, the doorbell reads."""
    assert "shelves" == read_job_name(build_labels("shelves", "uid"))


def test_a_label_of_somebody_else_names_no_job() -> None:
    """Only what this operator manages rings for a job."""
    assert read_job_name({"rfdetr.io/job-name": "shelves"}) is None


@pytest.mark.parametrize(("text", "rank"), [("0", 0), ("12", 12), ("", None), ("-1", None), ("x", None)])
def test_a_node_rank_is_a_plain_number(text: str, rank: int | None) -> None:
    """Anything else is no rank."""
    assert rank == read_node_rank({"rfdetr.io/node-rank": text})
