"""From a manifest to a local cluster that is ready to run it: admitted, stored, with its claims and ports."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rfdetr_operator.api.v1alpha1 import TrainingJob, parse_job
from rfdetr_operator.core.manifests import choose_checkpoint_claim
from rfdetr_operator.shell.cluster import Body, Key
from rfdetr_operator.shell.local import LocalCluster, Machine
from rfdetr_operator.shell.local_admission import Mistakes, admit
from rfdetr_operator.shell.local_container import Argv, Ports, interpreter_command
from rfdetr_operator.shell.local_pods import stamp
from rfdetr_operator.shell.local_ports import choose_ports
from rfdetr_operator.shell.local_store import DEFAULT_ROOT, Store, choose_claim_folder

TRAINER_MODULES = ("rfdetr_trainer", "torch", "rfdetr")


@dataclass(frozen=True, slots=True)
class Home:
    """Where jobs are kept, where claims are, and how a pod's command becomes one of this machine."""

    root: Path = DEFAULT_ROOT
    claims: Mapping[str, Path] = field(default_factory=dict)
    command: Callable[[Argv], Argv] = interpreter_command


@dataclass(frozen=True, slots=True)
class Session:
    """A job that is ready to run."""

    store: Store
    cluster: LocalCluster
    ports: Ports
    output: Path  # the folder of the checkpoint claim

    @property
    def job(self) -> TrainingJob:
        """The job as stored now."""
        return parse_job(self.cluster.job)


def job_key(body: Body) -> Key:
    """Namespace and name of a manifest."""
    return Key(body["metadata"].get("namespace", "default"), body["metadata"]["name"])


def open_session(store: Store, body: Body, home: Home, clock: Callable[[], datetime]) -> Session:
    """Admit the manifest over what is stored; the store must be locked.

    Raises:
        Mistakes: the manifest is not taken, or a claim has no folder.

    """
    stored = store.load()
    admitted = admit(body, stored, str(uuid.uuid4()), stamp(clock()))
    job = parse_job(admitted)
    if missing := tuple(missing_claims(job, home)):
        raise Mistakes(*missing)
    output = choose_claim_folder(home.root, choose_checkpoint_claim(job), dict(home.claims))
    if job.spec.checkpoints.claim_name:
        output.mkdir(parents=True, exist_ok=True)
    if admitted is not stored:
        store.save(admitted)
    ports = choose_ports(job.metadata.uid, job.spec.nodes)
    cluster = LocalCluster(store, admitted, Machine(ports, share_threads(job.ranks), clock, home.claims, home.command))
    return Session(store, cluster, ports, output)


def share_threads(ranks: int) -> int:
    """The threads of a rank when all of them share the processors that this process may use."""
    return max(len(os.sched_getaffinity(0)) // ranks, 1)


def missing_claims(job: TrainingJob, home: Home) -> Iterator[str]:
    """A sentence for each claim that must be there and is not."""
    wanted = {job.spec.dataset.claim_name: "spec.dataset.claimName"}
    for volume in job.spec.pod.volumes:
        if "persistentVolumeClaim" in volume:
            wanted.setdefault(str(volume["persistentVolumeClaim"].get("claimName")), "spec.pod.volumes")
    for claim, where in wanted.items():
        folder = choose_claim_folder(home.root, claim, dict(home.claims))
        if not folder.is_dir():
            yield f"{where}: claim {claim!r} has no folder here: make {folder}, or name one with --claim {claim}=FOLDER"


def missing_modules() -> tuple[str, ...]:
    """What the trainer needs and this interpreter does not have."""
    return tuple(name for name in TRAINER_MODULES if importlib.util.find_spec(name) is None)
