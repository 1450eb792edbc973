"""The operator's settings, from the environment, once. An error names the key, the value and what is allowed."""

from __future__ import annotations

import enum
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from rfdetr_operator.core.settings import CoreSettings

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
DEFAULT_PORT: Final = 8080


class SettingsError(ValueError):
    """A setting that makes no sense."""


class ReportsVia(enum.StrEnum):
    """How rank 0's live report is read."""

    POD_IP = "podIP"
    API_PROXY = "apiProxy"


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """The lease that one of several operators holds; ``seconds`` is how long it stands without a renewal.

    ``identity`` names the pod: a container that starts again in it takes up what the one before it held.
    """

    namespace: str
    identity: str
    name: str = "rfdetr-operator"
    seconds: int = 6


@dataclass(frozen=True, slots=True)
class Settings:
    """How this operator runs: ``namespaces`` empty means all of them, ``kubeconfig`` None means in-cluster."""

    core: CoreSettings = field(default_factory=CoreSettings)
    namespaces: tuple[str, ...] = ()
    http_port: int = DEFAULT_PORT
    log_level: int = logging.INFO
    kubeconfig: str | None = None
    instance: str = "rfdetr-operator"
    lease: LeaseSettings | None = None
    reports_via: ReportsVia = ReportsVia.POD_IP
    revision: str = "unknown"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of an environment.

    Raises:
        SettingsError: a value is not one of the allowed ones.

    """
    core = CoreSettings()
    return Settings(
        core=CoreSettings(
            image=environ.get("RFDETR_TRAINER_IMAGE") or core.image,
            cluster_domain=environ.get("RFDETR_CLUSTER_DOMAIN", core.cluster_domain).strip("."),
            node_lost=timedelta(seconds=_read_number(environ, "RFDETR_NODE_LOST_SECONDS", 20, range(3601))),
        ),
        namespaces=_read_names(environ.get("RFDETR_WATCH_NAMESPACES", "")),
        http_port=_read_port(environ, "RFDETR_HTTP_PORT"),
        lease=_read_lease(environ),
        reports_via=ReportsVia(
            _read_choice(environ, "RFDETR_REPORTS_VIA", ReportsVia.POD_IP, tuple(each.value for each in ReportsVia))
        ),
        revision=environ.get("RFDETR_REVISION") or "unknown",
        log_level=_read_level(environ, "RFDETR_LOG_LEVEL"),
        kubeconfig=_choose_kubeconfig(environ),
        instance=environ.get("POD_NAME") or "rfdetr-operator",
    )


def _read_lease(environ: Mapping[str, str]) -> LeaseSettings | None:
    if _read_choice(environ, "RFDETR_LEADER_ELECTION", "false", ("true", "false")) == "false":
        return None
    namespace = environ.get("RFDETR_LEASE_NAMESPACE") or environ.get("POD_NAMESPACE")
    if not namespace:
        raise SettingsError("RFDETR_LEASE_NAMESPACE is not set, nor is POD_NAMESPACE; allowed: a namespace")
    return LeaseSettings(
        namespace=namespace,
        identity=environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        name=environ.get("RFDETR_LEASE_NAME") or "rfdetr-operator",
        seconds=_read_number(environ, "RFDETR_LEASE_SECONDS", 6, range(3, 3601)),
    )


def _read_choice(environ: Mapping[str, str], key: str, default: str, choices: tuple[str, ...]) -> str:
    text = environ.get(key) or default
    if text not in choices:
        raise SettingsError(f"{key} is {text!r}; allowed: {', '.join(choices)}")
    return text


def _read_number(environ: Mapping[str, str], key: str, default: int, allowed: range) -> int:
    text = environ.get(key) or str(default)
    if not text.isdecimal() or int(text) not in allowed:
        raise SettingsError(f"{key} is {text!r}; allowed: an integer from {allowed.start} to {allowed.stop - 1}")
    return int(text)


def _read_names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def _read_port(environ: Mapping[str, str], key: str) -> int:
    text = environ.get(key) or str(DEFAULT_PORT)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise SettingsError(f"{key} is {text!r}; allowed: a port from 1 to 65535")
    return int(text)


def _read_level(environ: Mapping[str, str], key: str) -> int:
    text = (environ.get(key) or "INFO").upper()
    if text not in LEVELS:
        raise SettingsError(f"{key} is {text!r}; allowed: {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[text]


def _choose_kubeconfig(environ: Mapping[str, str]) -> str | None:
    """An explicit file first, then the pod's own service account, then kubectl's default file."""
    if named := environ.get("RFDETR_KUBECONFIG") or environ.get("KUBECONFIG"):
        return named
    return None if environ.get("KUBERNETES_SERVICE_HOST") else str(Path("~/.kube/config").expanduser())
