"""The environment of a worker, in one place: what is the round's, and what a user may set otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rfdetr_contract import names
from rfdetr_trainer.launch.flags import Flags
from rfdetr_trainer.launch.wire import Round


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable, its value, and why it is set."""

    name: str
    value: str
    why: str


# A variable that the pod sets itself is left as it is.
DEFAULTS: tuple[Setting, ...] = (
    Setting("OMP_NUM_THREADS", "1", "ranks share the processors; waiting OpenMP threads spin (torchrun's default too)"),
    Setting("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1", "a failed or overdue collective ends its rank"),
    Setting("TORCH_NCCL_DUMP_ON_TIMEOUT", "0", "a rank is killed at once, there is nobody to read its flight recorder"),
)

# Only while the fork server imports: the law of forking. Its workers get the pod's own values.
FORK_SERVER: tuple[Setting, ...] = (
    Setting("OMP_NUM_THREADS", "1", "a thread that exists at a fork is missing in the child"),
    Setting("MKL_NUM_THREADS", "1", "a thread that exists at a fork is missing in the child"),
    Setting("OPENBLAS_NUM_THREADS", "1", "a thread that exists at a fork is missing in the child"),
    Setting("PYTORCH_NVML_BASED_CUDA_CHECK", "1", "asking for CUDA must not initialise it: no fork survives that"),
    Setting("JE_ARROW_MALLOC_CONF", "background_thread:false", "Arrow's allocator must not start a thread"),
)


def build_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """The defaults that the pod's own environment leaves open."""
    return {setting.name: setting.value for setting in DEFAULTS if setting.name not in environ}


def build_fork_server_env() -> dict[str, str]:
    """What holds in the fork server alone."""
    return {setting.name: setting.value for setting in FORK_SERVER}


def build_worker_env(flags: Flags, local_rank: int, order: Round, job: str, leader: str) -> dict[str, str]:
    """What torchrun sets for a worker of this round, and what the trainer is told beside it; nobody overrides it.

    ``leader``: the address at which this launcher has just met rank 0's. A name may still mean the pod before it.
    """
    rank, world = flags.node_rank * flags.nproc + local_rank, flags.nnodes * flags.nproc
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(flags.nproc),
        "GROUP_RANK": str(flags.node_rank),
        "GROUP_WORLD_SIZE": str(flags.nnodes),
        "NODE_RANK": str(flags.node_rank),
        "ROLE_NAME": "default",
        "ROLE_RANK": str(rank),
        "ROLE_WORLD_SIZE": str(world),
        "MASTER_ADDR": leader,
        "MASTER_PORT": str(order.store_port),
        "TORCHELASTIC_RUN_ID": f"{job}-{order.generation}",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "False",
        names.ENV_GENERATION: str(order.generation),
        names.ENV_RESUME: order.resume.model_dump_json() if order.resume else "",
    }
