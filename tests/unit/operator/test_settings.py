"""Settings from the environment; an error names the key, the value and what is allowed."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from rfdetr_operator.core.settings import CoreSettings
from rfdetr_operator.shell.settings import LeaseSettings, ReportsVia, Settings, SettingsError, read_settings

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


def test_a_pod_needs_no_setting() -> None:
    """All namespaces, the service account, port 8080."""
    assert Settings() == read_settings(IN_CLUSTER)


def test_every_setting_has_its_key() -> None:
    """The whole of it."""
    environ = {
        **IN_CLUSTER,
        "RFDETR_TRAINER_IMAGE": "trainer:1",
        "RFDETR_CLUSTER_DOMAIN": ".cluster.local.",
        "RFDETR_WATCH_NAMESPACES": "a, b,,a",
        "RFDETR_HTTP_PORT": "9090",
        "RFDETR_LOG_LEVEL": "debug",
        "RFDETR_KUBECONFIG": "/file",
        "POD_NAME": "operator-0",
        "POD_NAMESPACE": "system",
        "RFDETR_LEADER_ELECTION": "true",
        "RFDETR_LEASE_NAME": "ours",
        "RFDETR_LEASE_SECONDS": "15",
        "RFDETR_REPORTS_VIA": "apiProxy",
        "RFDETR_NODE_LOST_SECONDS": "0",
        "RFDETR_REVISION": "abc",
    }

    assert Settings(
        core=CoreSettings(image="trainer:1", cluster_domain="cluster.local", node_lost=timedelta(0)),
        namespaces=("a", "b"),
        http_port=9090,
        log_level=logging.DEBUG,
        kubeconfig="/file",
        instance="operator-0",
        lease=LeaseSettings(namespace="system", identity="operator-0", name="ours", seconds=15),
        reports_via=ReportsVia.API_PROXY,
        revision="abc",
    ) == read_settings(environ)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({**IN_CLUSTER, "KUBECONFIG": "/k"}, "/k"),
        ({"KUBECONFIG": "/k", "RFDETR_KUBECONFIG": "/ours"}, "/ours"),
        (IN_CLUSTER, None),
    ],
)
def test_an_explicit_file_beats_the_service_account(environ: dict[str, str], named: str | None) -> None:
    """An operator in one cluster may serve another."""
    assert named == read_settings(environ).kubeconfig


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("RFDETR_HTTP_PORT", "http", "RFDETR_HTTP_PORT is 'http'; allowed: a port from 1 to 65535"),
        ("RFDETR_HTTP_PORT", "70000", "RFDETR_HTTP_PORT is '70000'; allowed: a port from 1 to 65535"),
        ("RFDETR_LOG_LEVEL", "LOUD", "RFDETR_LOG_LEVEL is 'LOUD'; allowed: DEBUG, INFO, WARNING, ERROR"),
        ("RFDETR_LEADER_ELECTION", "yes", "RFDETR_LEADER_ELECTION is 'yes'; allowed: true, false"),
        (
            "RFDETR_LEADER_ELECTION",
            "true",
            "RFDETR_LEASE_NAMESPACE is not set, nor is POD_NAMESPACE; allowed: a namespace",
        ),
        ("RFDETR_REPORTS_VIA", "pod", "RFDETR_REPORTS_VIA is 'pod'; allowed: podIP, apiProxy"),
        ("RFDETR_NODE_LOST_SECONDS", "-1", "RFDETR_NODE_LOST_SECONDS is '-1'; allowed: an integer from 0 to 3600"),
    ],
)
def test_a_wrong_value_is_refused_with_one_sentence(key: str, value: str, sentence: str) -> None:
    """The operator does not start with it."""
    with pytest.raises(SettingsError) as refused:
        read_settings({key: value})

    assert sentence == str(refused.value)
