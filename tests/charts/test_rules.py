"""The alerts and recording rules as they are shipped, tried by promtool: each alert fires once and keeps quiet once."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from charts.alert_cases import CASES, Case
from charts.chart_rules import read_alerts, read_groups, read_rules
from charts.promtool import run_promtool
from programs import need
from promql import KNOWN, Json, read_selectors

ROOT = Path(__file__).parents[2]
ALERTS = {
    "RFDETRTrainingStalled": "warning",
    "RFDETRLossNaN": "warning",
    "RFDETRCheckpointStale": "warning",
    "RFDETRRestartLoop": "warning",
    "RFDETRNodesBelowMinimum": "warning",
    "RFDETRJobFailed": "warning",
    "RFDETRMapRegressing": "info",
    "RFDETROperatorDown": "critical",
    "RFDETRReconcileErrors": "warning",
    "RFDETRDataLoaderBound": "info",
}


@pytest.fixture(scope="module")
def promtool() -> str:
    """The program that knows the rules of rules."""
    return need("promtool")


def build_test(case: Case) -> Json:
    """The case as promtool's own test: the alert's state at one minute, with all of its labels."""
    labels = {"alertname": case.alert, "alertstate": "firing", **(case.labels or {})}
    text = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    found = [{"labels": f"ALERTS{{{text}}}", "value": 1}] if case.labels is not None else []
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}',
                        "eval_time": f"{case.minute}m",
                        "exp_samples": found,
                    }
                ],
            }
        ],
    }


def test_there_are_ten_alerts_and_their_severities_are_these() -> None:
    """Routes go by severity: a change of one wakes other people."""
    assert {name: rule["labels"]["severity"] for name, rule in read_alerts().items()} == ALERTS


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_tells_what_it_means_and_what_to_do(name: str) -> None:
    """Summary, description and a runbook that exists as a page."""
    said = read_alerts()[name]["annotations"]

    assert {"summary", "description", "runbook_url"} == set(said)
    assert f"/runbooks/{name}" in said["runbook_url"]
    assert (ROOT / "docs/runbooks" / f"{name}.md").read_text().startswith(f"# {name}\n")


def test_every_runbook_belongs_to_an_alert() -> None:
    """No page outlives its alert."""
    assert sorted(ALERTS) == sorted(path.stem for path in (ROOT / "docs/runbooks").glob("RFDETR*.md"))


def test_rules_ask_only_for_metrics_and_labels_of_the_contract() -> None:
    """A rule over a metric that nobody exports never fires."""
    strangers = [
        (rule.get("alert") or rule["record"], selector)
        for rule in read_rules()
        for selector in read_selectors(rule["expr"])
        if not selector.labels <= KNOWN.get(selector.name, frozenset())
    ]

    assert [] == strangers


def test_recorded_names_say_level_metric_and_operation() -> None:
    """Prometheus' own convention, which keeps recorded series apart from scraped ones."""
    names = [rule["record"] for rule in read_rules() if "record" in rule]

    assert [] == [name for name in names if len(name.split(":")) != 3 or not name.split(":")[1].startswith("rfdetr_")]


def test_every_alert_has_a_story_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """Both kinds of mistake are tried."""
    stories: dict[str, set[bool]] = defaultdict(set)
    for case in CASES:
        stories[case.alert].add(case.labels is not None)

    assert {name: {True, False} for name in ALERTS} == dict(stories)


def test_promtool_takes_the_rules(promtool: str, tmp_path: Path) -> None:
    """Expressions, templates and names."""
    files: dict[str, Json] = {"rules.yaml": {"groups": read_groups()}}

    assert "" == run_promtool(promtool, "check", "rules", "rules.yaml", files=files, folder=tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.story}")
def test_an_alert_fires_when_it_should_and_only_then(promtool: str, tmp_path: Path, case: Case) -> None:
    """Told by promtool over made-up series."""
    files = {"rules.yaml": {"groups": read_groups()}, "test.yaml": build_test(case)}

    assert "" == run_promtool(promtool, "test", "rules", "test.yaml", files=files, folder=tmp_path)


def test_an_alert_reads_as_a_sentence_with_the_jobs_name(promtool: str, tmp_path: Path) -> None:
    """Annotations are templates; this is one of them filled in."""
    case = next(case for case in CASES if case.alert == "RFDETRTrainingStalled" and case.labels)
    wanted = {
        "eval_time": "40m",
        "alertname": case.alert,
        "exp_alerts": [
            {
                "exp_labels": dict(case.labels or {}),
                "exp_annotations": {
                    "summary": "Training team/shelves makes no progress.",
                    "description": "The job is Running, yet neither its report nor its step counter has moved for 30m 0s. "
                    "Its GPUs are held without being used.",
                    "runbook_url": read_alerts()[case.alert]["annotations"]["runbook_url"],
                },
            }
        ],
    }
    test = build_test(case)
    test["tests"][0]["alert_rule_test"] = [wanted]
    files = {"rules.yaml": {"groups": read_groups()}, "test.yaml": test}

    assert "" == run_promtool(promtool, "test", "rules", "test.yaml", files=files, folder=tmp_path)


def build_series(name: str, labels: str, each_minute: int) -> Json:
    """A counter that grows for half an hour."""
    return {"series": f"{name}{{{labels}}}", "values": f"0+{each_minute}x30"}


def build_expectation(name: str, labels: str, value: float) -> Json:
    """What a recorded series is after twenty minutes."""
    return {"expr": name, "eval_time": "20m", "exp_samples": [{"labels": f"{name}{{{labels}}}", "value": value}]}


def test_recorded_series_are_what_they_are_called(promtool: str, tmp_path: Path) -> None:
    """Two pods of one job count the same samples: the rate is one pod's, not the sum."""
    job = 'namespace="team",job_name="shelves"'
    samples, spent = "rfdetr_train_samples_total", "rfdetr_goodput_seconds_total"
    told = [
        build_series(samples, f'{job},node_rank="0"', 600),
        build_series(samples, f'{job},node_rank="1"', 600),
        build_series(spent, f'{job},node_rank="0",category="train"', 45),
        build_series(spent, f'{job},node_rank="0",category="idle"', 15),
    ]
    recorded = [
        build_expectation("namespace_job_name:rfdetr_train_samples:rate5m", job, 10),
        build_expectation("namespace_job_name:rfdetr_goodput_useful:ratio_rate15m", job, 0.75),
    ]
    test: Json = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": told, "promql_expr_test": recorded}],
    }
    files = {"rules.yaml": {"groups": read_groups()}, "test.yaml": test}

    assert "" == run_promtool(promtool, "test", "rules", "test.yaml", files=files, folder=tmp_path)
