"""Whether a scrape is sound: by Prometheus's own tool where it is installed, and always by rules of our own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from programs import find
from rfdetr_contract.metrics import Metric

NAME = re.compile(r"[a-z][a-z0-9_]*")
UNITS = ("_milliseconds", "_ms", "_minutes", "_percent", "_kb", "_mb")
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}


def list_problems(text: str, contract: Iterable[Metric]) -> list[str]:
    """What is wrong with it, in sentences; with Prometheus's own tool on the path, what that says as well."""
    known = {metric.name: metric for metric in contract}
    problems = [*find_form_faults(text), *find_contract_faults(text, known)]
    if (promtool := find("promtool")) is not None:
        problems += run_promtool(promtool, text)
    return problems


def run_promtool(program: str, text: str) -> list[str]:
    """Its complaints."""
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()] or (
        [f"promtool: {done.returncode}"] * done.returncode
    )


def find_form_faults(text: str) -> list[str]:
    """Names, units, help and repeated series."""
    problems, seen = [], set[str]()
    if not text.endswith("\n"):
        problems.append("the last line does not end")
    for family in text_string_to_metric_families(text):
        if not family.documentation:
            problems.append(f"{family.name} has no help text")
        if not NAME.fullmatch(family.name) or family.name.endswith(UNITS):
            problems.append(f"{family.name} is no good name")
        for sample in family.samples:
            key = f"{sample.name}{sorted(sample.labels.items())}"
            if key in seen:
                problems.append(f"{key} is there twice")
            seen.add(key)
    return problems


def find_contract_faults(text: str, known: dict[str, Metric]) -> list[str]:
    """What is served beyond the contract, or in another form."""
    problems = []
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        metric = known.get(name)
        if metric is None or metric.kind != kind:
            problems.append(f"{name} ({kind}) is not in the contract")
        elif (kind == "counter") != name.endswith("_total"):
            problems.append(f"{name} is named as if it were no {kind}")
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            metric = known.get(strip_suffix(sample.name, known))
            labels = set(sample.labels) - {"le"}
            if metric is None or labels != set(metric.labels):
                problems.append(f"{sample.name} has the labels {sorted(labels)}")
    return problems


def strip_suffix(name: str, known: dict[str, Metric]) -> str:
    """The metric that a sample belongs to."""
    for suffix in SUFFIXES["histogram"]:
        base = name.removesuffix(suffix)
        if base != name and base in known and known[base].kind == "histogram":
            return base
    return name
