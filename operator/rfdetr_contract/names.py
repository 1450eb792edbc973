"""Names that cross a border: the resource, labels, annotations, environment, ports, paths and files."""

from __future__ import annotations

from typing import Final

GROUP: Final = "rfdetr.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "RFDETRTrainingJob"
PLURAL: Final = "rfdetrtrainingjobs"
SINGULAR: Final = "rfdetrtrainingjob"
SHORT: Final = "rfj"
CATEGORY: Final = "rfdetr"
MAX_JOB_NAME: Final = 50

LABEL_JOB: Final = f"{GROUP}/job-name"
LABEL_JOB_UID: Final = f"{GROUP}/job-uid"
LABEL_NODE_RANK: Final = f"{GROUP}/node-rank"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "rfdetr-operator"
FIELD_MANAGER: Final = "rfdetr-operator"
REPORTING_CONTROLLER: Final = f"{GROUP}/operator"

ANNOTATION_RUN_CONFIG: Final = f"{GROUP}/run-config"
ANNOTATION_RUN_HASH: Final = f"{GROUP}/run-hash"
ANNOTATION_ATTEMPT: Final = f"{GROUP}/attempt"

CONTAINER: Final = "trainer"
USER_ID: Final = 10001
RENDEZVOUS_PORT: Final = 29500
HTTP_PORT: Final = 9400

DATA_MOUNT: Final = "/data"
OUTPUT_MOUNT: Final = "/output"
RUN_CONFIG_MOUNT: Final = "/etc/rfdetr"
RUN_CONFIG_FILE: Final = "run.json"
TERMINATION_LOG: Final = "/dev/termination-log"
TERMINATION_LIMIT: Final = 4096  # bytes that the kubelet keeps of a termination message

ENV_RUN_CONFIG: Final = "RFDETR_RUN_CONFIG"
ENV_DATA_ROOT: Final = "RFDETR_DATA_ROOT"
ENV_OUTPUT_ROOT: Final = "RFDETR_OUTPUT_ROOT"
ENV_HTTP_PORT: Final = "RFDETR_HTTP_PORT"
ENV_TERMINATION_LOG: Final = "RFDETR_TERMINATION_LOG"
ENV_POD_UID: Final = "RFDETR_POD_UID"
ENV_POD_NAME: Final = "RFDETR_POD_NAME"
ENV_LAUNCHER_SOCKET: Final = "RFDETR_LAUNCHER_SOCKET"
ENV_RESUME: Final = "RFDETR_RESUME"
ENV_GENERATION: Final = "RFDETR_GENERATION"

RESERVED_ENV: Final = frozenset(
    {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "NODE_RANK"}
)
RESERVED_ENV_PREFIXES: Final = ("PET_", "MASTER_", "TORCHELASTIC_", "RFDETR_")

# The output folder of a job, below the output root.
GENERATIONS_DIR: Final = "generations"
CHECKPOINTS_DIR: Final = "checkpoints"
RFDETR_DIR: Final = "rfdetr"
LOGS_DIR: Final = "logs"
RESULT_FILE: Final = "result.json"
BEST_CHECKPOINT: Final = "checkpoint_best_total.pth"
BEST_DIR: Final = "best"


def is_reserved_env(name: str) -> bool:
    """A name of the environment that belongs to the operator and the launcher."""
    return name in RESERVED_ENV or name.startswith(RESERVED_ENV_PREFIXES)


def output_path(namespace: str, name: str, uid: str) -> str:
    """The job's own folder below the output root: jobs that share a claim are kept apart by their uid."""
    return f"{namespace}/{name}/{uid}"


def generation_file(generation: int) -> str:
    """The file by which a launcher claims a generation."""
    return f"{generation:06d}.json"


def checkpoint_stem(generation: int, step: int, batch_in_epoch: int = 0) -> str:
    """The common stem of a checkpoint (``.ckpt``) and its manifest (``.json``); inside an epoch it names the batch too."""
    stem = f"g{generation:06d}-s{step:08d}"
    return f"{stem}-b{batch_in_epoch:06d}" if batch_in_epoch else stem
