"""From a pod's manifest to a container of this machine: pure translation of command, environment and mounts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfdetr_contract import names

Argv = tuple[str, ...]
LOOPBACK = "127.0.0.1"
THREADS = "OMP_NUM_THREADS"
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES")


class Unsupported(ValueError):
    """What a container of this machine cannot do; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one job: a rank keeps its own for life."""

    rendezvous: int
    http: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod lives on this machine: its folder, the folders of claims by name, and the job's ports.

    ``scratch`` stands for /tmp and has a short path: a unix socket's may not be longer than 107 bytes.
    """

    folder: Path
    scratch: Path
    threads: int  # that a rank may compute with: the machine is shared by all of them, and waiting threads spin
    claims: Mapping[str, Path]
    ports: Ports


@dataclass(frozen=True, slots=True)
class Container:
    """What is started for a pod: folders that must exist and files that are written first are part of it."""

    argv: Argv
    env: dict[str, str]
    cwd: Path
    termination: Path
    folders: tuple[Path, ...] = ()
    files: tuple[tuple[Path, str], ...] = ()


def interpreter_command(argv: Argv) -> Argv:
    """The image's ``python`` is the interpreter that runs the local mode."""
    return (sys.executable, *argv[1:]) if argv and argv[0] in ("python", "python3") else argv


def rank_of(pod: Mapping[str, Any]) -> int:
    """The node rank of a pod."""
    return int(pod["metadata"]["labels"][names.LABEL_NODE_RANK])


def field_value(pod: Mapping[str, Any], path: str) -> str:
    """What the downward API says for a ``fieldPath``."""
    metadata = pod["metadata"]
    if path in ("status.podIP", "status.hostIP"):
        return LOOPBACK
    for prefix, source in (("metadata.annotations['", "annotations"), ("metadata.labels['", "labels")):
        if path.startswith(prefix):
            return str(metadata.get(source, {}).get(path[len(prefix) : -2], ""))
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata[path.removeprefix("metadata.")])
    raise Unsupported(f"the downward API's fieldPath {path!r} has no local meaning")


def volume_folder(volume: Mapping[str, Any], place: Place) -> Path:
    """The folder that stands for a volume."""
    if "persistentVolumeClaim" in volume:
        return place.claims[volume["persistentVolumeClaim"]["claimName"]]
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    if "emptyDir" in volume or "downwardAPI" in volume:
        return place.folder / "volumes" / str(volume["name"])
    kind = next((key for key in volume if key != "name"), "?")
    raise Unsupported(f"volume {volume['name']!r} is a {kind}, which local mode does not have")


def downward_files(pod: Mapping[str, Any], volume: Mapping[str, Any], folder: Path) -> tuple[tuple[Path, str], ...]:
    """The files of a downward API volume."""
    items = volume.get("downwardAPI", {}).get("items", [])
    return tuple((folder / item["path"], field_value(pod, item["fieldRef"]["fieldPath"])) for item in items)


def build_mounts(pod: Mapping[str, Any], place: Place) -> dict[str, Path]:
    """Mount path -> folder of this machine."""
    folders = {volume["name"]: volume_folder(volume, place) for volume in pod["spec"].get("volumes", [])}
    mounts = pod["spec"]["containers"][0].get("volumeMounts", [])
    return {mount["mountPath"]: folders[mount["name"]] / mount.get("subPath", "") for mount in mounts}


def rewrite_path(value: str, mounts: Mapping[str, Path]) -> str:
    """A value that is a mounted path, or lies below one, as a path of this machine; any other value as it is."""
    for mount in sorted(mounts, key=len, reverse=True):
        if value == mount:
            return str(mounts[mount])
        if value.startswith(mount + "/"):
            return str(mounts[mount] / value[len(mount) + 1 :])
    return value


def rewrite_argument(argument: str, job: str, ports: Ports) -> str:
    """Service names are the loopback here, and the rendezvous port is the job's own."""
    flag, _, value = argument.partition("=")
    if flag == "--master-addr" and f".{job}-ranks" in value:
        return f"{flag}={LOOPBACK}"
    if flag == "--master-port":
        return f"{flag}={ports.rendezvous}"
    return argument


def build_env(pod: Mapping[str, Any], mounts: Mapping[str, Path], ports: Ports) -> dict[str, str]:
    """The container's own environment."""
    env: dict[str, str] = {}
    container = pod["spec"]["containers"][0]
    if container.get("envFrom"):
        raise Unsupported("pod.envFrom needs a cluster: name the variables in pod.env")
    for variable in container.get("env", []):
        source = variable.get("valueFrom") or {}
        if source and "fieldRef" not in source:
            raise Unsupported(
                f"pod.env {variable['name']}: valueFrom {next(iter(source))} needs a cluster: give a value"
            )
        value = field_value(pod, source["fieldRef"]["fieldPath"]) if source else str(variable.get("value") or "")
        env[variable["name"]] = rewrite_path(value, mounts)
    if names.ENV_HTTP_PORT in env:
        env[names.ENV_HTTP_PORT] = str(ports.http[rank_of(pod)])
    return env


def build_container(
    pod: Mapping[str, Any],
    place: Place,
    inherited: Mapping[str, str],
    command: Callable[[Argv], Argv] = interpreter_command,
) -> Container:
    """The container of a pod on this machine.

    Raises:
        Unsupported: the pod needs what only a cluster has.

    """
    spec = pod["spec"]
    if spec.get("initContainers") or len(spec["containers"]) != 1:
        raise Unsupported("local mode runs pods of one container")
    container = spec["containers"][0]
    termination = place.folder / "termination-log"
    mounts = build_mounts(pod, place)
    reachable = {**mounts, container.get("terminationMessagePath", names.TERMINATION_LOG): termination}
    written: Sequence[tuple[Path, str]] = [
        file for volume in spec.get("volumes", []) for file in downward_files(pod, volume, volume_folder(volume, place))
    ]
    job = pod["metadata"]["labels"][names.LABEL_JOB]
    argv = tuple(
        rewrite_argument(str(part), job, place.ports) for part in [*container["command"], *container.get("args", [])]
    )
    base = {name: inherited[name] for name in INHERITED if name in inherited}
    return Container(
        argv=command(argv),
        env={
            **base,
            "TMPDIR": str(place.scratch),
            THREADS: str(place.threads),
            **build_env(pod, reachable, place.ports),
        },
        cwd=place.folder,
        termination=termination,
        folders=(place.folder, place.scratch, *mounts.values()),
        files=tuple(written),
    )
