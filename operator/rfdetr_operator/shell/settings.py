"""The operator's settings, from the environment, once. An error names the key, the value and what is allowed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rfdetr_operator.core.settings import CoreSettings

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
DEFAULT_PORT: Final = 8080


class SettingsError(ValueError):
    """A setting that makes no sense."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this operator runs: ``namespaces`` empty means all of them, ``kubeconfig`` None means in-cluster."""

    core: CoreSettings = field(default_factory=CoreSettings)
    namespaces: tuple[str, ...] = ()
    http_port: int = DEFAULT_PORT
    log_level: int = logging.INFO
    kubeconfig: str | None = None
    instance: str = "rfdetr-operator"


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
        ),
        namespaces=_read_names(environ.get("RFDETR_WATCH_NAMESPACES", "")),
        http_port=_read_port(environ, "RFDETR_HTTP_PORT"),
        log_level=_read_level(environ, "RFDETR_LOG_LEVEL"),
        kubeconfig=_choose_kubeconfig(environ),
        instance=environ.get("POD_NAME") or "rfdetr-operator",
    )


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
