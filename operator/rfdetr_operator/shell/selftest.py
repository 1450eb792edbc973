"""``python -m rfdetr_operator selftest``: is the CRD served, are the rights granted, do the metrics answer? One line a check."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp

from rfdetr_contract import names
from rfdetr_contract.metrics import OPERATOR
from rfdetr_operator.core.rights import Duties, Right, choose_rights
from rfdetr_operator.shell.cluster import Body, ClusterError
from rfdetr_operator.shell.kubernetes import Caller, check, connect
from rfdetr_operator.shell.settings import ReportsVia, Settings

REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class Finding:
    """A check and what is wrong, if anything."""

    what: str
    wrong: str = ""


def build_review(right: Right) -> Body:
    """The question whether we have a right."""
    resource, _, subresource = right.resource.partition("/")
    asked = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
    }


def build_job(namespace: str) -> Body:
    """The smallest job."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "selftest", "namespace": namespace},
        "spec": {"dataset": {"claimName": "selftest"}, "checkpoints": {"claimName": "selftest"}},
    }


def choose_duties(settings: Settings) -> Duties:
    """What this operator is told to do."""
    return Duties(
        namespaces=settings.namespaces,
        through_proxy=settings.reports_via is ReportsVia.API_PROXY,
        nodes=bool(settings.core.node_lost),
        lease=(settings.lease.namespace, settings.lease.name) if settings.lease else None,
    )


async def check_rights(calls: Caller, settings: Settings) -> AsyncIterator[Finding]:
    """Each right by itself."""
    for right in choose_rights(choose_duties(settings)):
        what = f"may {right}"
        try:
            answer = check(await calls.call("POST", REVIEWS, build_review(right)), "review")
        except ClusterError as error:
            yield Finding(what, str(error))
            continue
        allowed = (answer.get("status") or {}).get("allowed") is True
        yield Finding(what, "" if allowed else "the API server says no")


async def check_job(calls: Caller, namespace: str) -> Finding:
    """A job is taken, and not stored."""
    what = f"a job is accepted in {namespace} (dry run)"
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}"
    try:
        check(await calls.call("POST", path, build_job(namespace), (("dryRun", "All"),)), "create job")
    except ClusterError as error:
        return Finding(what, str(error))
    return Finding(what)


async def check_metrics(url: str) -> Finding:
    """Every family of the operator is there."""
    what = f"metrics at {url}"
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(url) as response:
            status, text = response.status, await response.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Finding(what, f"{type(error).__name__}: {error}")
    if status != 200:
        return Finding(what, f"answered {status}")
    missing = [each.name for each in OPERATOR if f"# TYPE {each.name} " not in text]
    return Finding(what, f"without {', '.join(missing)}" if missing else "")


async def selftest(settings: Settings, namespace: str, metrics_url: str | None) -> bool:
    """All checks; True when nothing is wrong."""
    connection = await connect(settings.kubeconfig, lambda _verb, _resource, _code: None)
    try:
        found = [await check_job(connection, namespace)]
        found += [finding async for finding in check_rights(connection, settings)]
    finally:
        await connection.close()
    if metrics_url:
        found.append(await check_metrics(metrics_url))
    for each in found:
        sys.stdout.write(f"{'FAIL' if each.wrong else 'ok  '} {each.what}{f': {each.wrong}' if each.wrong else ''}\n")
    return not any(each.wrong for each in found)


def run_selftest(settings: Settings, words: list[str]) -> int:
    """The exit code of the checks."""
    parser = argparse.ArgumentParser(prog="python -m rfdetr_operator selftest", description=__doc__)
    parser.add_argument("--namespace", default="default", help="where a job is tried (default: default)")
    parser.add_argument("--metrics-url", help="where the operator's metrics are")
    asked = parser.parse_args(words)
    return 0 if asyncio.run(selftest(settings, asked.namespace, asked.metrics_url)) else 1
