"""The launcher's environment, and the run it is told of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rfdetr_contract import names
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.launch.channel import Resolve, resolve

ENV_PREFLIGHT_MODULE = "RFDETR_PREFLIGHT_MODULE"
PREFLIGHT = "rfdetr_trainer.preflight"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are."""

    run_config: Path
    data_root: Path
    output_root: Path
    http_port: int
    termination_log: Path
    pod_uid: str
    preflight: str  # the module whose ``check(run, data_root)`` judges the data set; empty: none
    resolve: Resolve = resolve  # the addresses of a name


def build_settings(environ: Mapping[str, str]) -> Settings:
    """The settings; what is not set has the pod's own paths."""
    port = environ.get(names.ENV_HTTP_PORT) or str(names.HTTP_PORT)
    if not port.isdecimal():
        raise ConfigError(f"{names.ENV_HTTP_PORT}={port} must be a port number (0: any free one)")
    default_config = f"{names.RUN_CONFIG_MOUNT}/{names.RUN_CONFIG_FILE}"
    return Settings(
        run_config=Path(environ.get(names.ENV_RUN_CONFIG) or default_config),
        data_root=Path(environ.get(names.ENV_DATA_ROOT) or names.DATA_MOUNT),
        output_root=Path(environ.get(names.ENV_OUTPUT_ROOT) or names.OUTPUT_MOUNT),
        http_port=int(port),
        termination_log=Path(environ.get(names.ENV_TERMINATION_LOG) or names.TERMINATION_LOG),
        pod_uid=environ.get(names.ENV_POD_UID) or uuid.uuid4().hex,
        preflight=environ.get(ENV_PREFLIGHT_MODULE, PREFLIGHT),
    )


def load_run(path: Path) -> RunConfig:
    """The run, or a sentence about the field that is wrong."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"run config {path}: {error.strerror}") from error
    try:
        return RunConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        words = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"run config {path}: {field}: {words[:1].lower()}{words[1:]}") from error
